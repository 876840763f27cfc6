"""Write the pages that come from code: docs/commands.md and docs/catalog.md. `--check` fails when they are stale.

The help of every command and the tables of models, encoders, backbones and metrics are read from the registries, so
that documentation cannot drift from what the program does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOTE = "<!-- Made by `make docs`; edit the code, not this page. -->\n\n"


def commands() -> str:
    """The help of every verb, as typer renders it."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "typer", "l2aco.cli.main", "utils", "docs", "--name", "l2aco"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return NOTE + done.stdout.rstrip() + "\n"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys as a Markdown table."""
    heads = list(rows[0])
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in rows:
        lines.append("| " + " | ".join(str(row[head]).replace("|", "\\|").replace("\n", " ") for head in heads) + " |")
    return "\n".join(lines)


def catalog() -> str:
    """What stands in the registries."""
    from l2aco.data.sources import SOURCES
    from l2aco.embeddings.encoders.table import ENCODERS
    from l2aco.llm.catalog import load_catalog
    from l2aco.metrics import METRICS
    from l2aco.models.backbones import backbones
    from l2aco.workspace import Settings

    llms = [
        {"alias": model.alias, "engine": model.engine, "model": model.model, "context": model.context}
        for model in load_catalog(Settings()).values()
    ]
    metrics = [
        {
            "name": metric.name,
            "title": metric.title,
            "better": "higher" if metric.higher else "lower",
            "range": f"{metric.low:g} to {metric.high:g}",
        }
        for metric in METRICS.values()
    ]
    sections = {
        "Language models (`l2aco llms`)": llms,
        "Encoders (`l2aco encoders`)": entries(ENCODERS),
        "Data sources (`l2aco data import`)": entries(SOURCES),
        "Backbones (`l2aco backbones`)": entries(backbones),
        "Metrics": metrics,
    }
    body = "\n\n".join(f"## {title}\n\n{table(rows)}" for title, rows in sections.items())
    return f"{NOTE}# What there is\n\n{body}\n"


def entries(registry: Any) -> list[dict[str, str]]:
    """Name, summary and extra of every entry of a registry."""
    return [{"name": item.name, "what": item.summary, "extra": item.extra or ""} for item in registry]


def main() -> int:
    stale = []
    for name, make in {"commands.md": commands, "catalog.md": catalog}.items():
        page, text = HERE / name, make()
        if "--check" not in sys.argv:
            page.write_text(text, encoding="utf-8")
        elif not page.exists() or page.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"stale: {', '.join(stale)}. Run `make docs` and commit the result.")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
