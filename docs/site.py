"""For mkdocs: README is the front page, and results and notebooks are pages too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]


def on_files(files: Any, config: Any) -> Any:
    """Add README.md, the pages and figures of benchmarks/results, and docs/notebooks/*.ipynb."""
    pages = {"index.md": (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")}
    results = ROOT / "benchmarks" / "results"
    for path in sorted((*results.rglob("*.md"), *results.rglob("*.svg"))):
        pages[f"results/{path.relative_to(results).as_posix()}"] = path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        pages[f"notebooks/{path.stem}.md"] = notebook(path)
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def notebook(path: Path) -> str:
    """Its cells as Markdown, and where the file is."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    parts = [f"```python\n{text}\n```" if kind == "code" else text for kind, text in texts]
    return "\n\n".join([*parts, f"The notebook: [{path.name}]({path.name})"]) + "\n"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead the links to results there."""
    for link, there in (("", ""), ("../", ""), ("../../", "../")):
        markdown = markdown.replace(f"]({link}benchmarks/results/", f"]({there}results/")
    return markdown
