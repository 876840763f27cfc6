"""docs/design/contracts.md names what exists."""

from __future__ import annotations

import importlib
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/design/contracts.md").read_text()
SPANS = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.S))
PLACEHOLDERS = {"attr", "name_or_class", "id_or_None", "qwen"}
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


def names_in_source() -> set[str]:
    """Every identifier of the package, and the words of its texts: names of files, columns and registry entries."""
    found: set[str] = set()
    for path in (ROOT / "l2aco").rglob("*.py"):
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            if token.type in (tokenize.NAME, tokenize.STRING) or tokenize.tok_name[token.type].startswith("FSTRING"):
                found.update(IDENTIFIER.findall(token.string))
        found.update(path.relative_to(ROOT).with_suffix("").parts)
    return found


def test_every_name_is_in_the_source() -> None:
    known = names_in_source()
    unknown = {
        word: span
        for span in SPANS
        for word in IDENTIFIER.findall(span.split("#")[0])
        if word not in known | PLACEHOLDERS
    }
    assert not unknown, f"contracts.md names what is not there: {unknown}"


def modules() -> list[str]:
    """`llm.catalog`, `runs.run` and their like, with or without a name in them."""
    packages = {path.name for path in (ROOT / "l2aco").iterdir() if path.is_dir()}
    dotted = {span.split("(")[0].split(" ")[0].rstrip(":") for span in SPANS if "." in span.split("(")[0]}
    return sorted(name for name in dotted if re.fullmatch(r"\w+(\.\w+)+", name) and name.split(".")[0] in packages)


@pytest.mark.parametrize("name", modules())
def test_every_path_leads_somewhere(name: str) -> None:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT / "l2aco" / Path(*parts[:length])
        if path.with_suffix(".py").is_file() or path.is_dir():
            found = importlib.import_module(".".join(["l2aco", *parts[:length]]))
            for attribute in parts[length:]:
                found = getattr(found, attribute)
            return
    pytest.fail(f"l2aco has no {name}")


def test_there_is_something_to_check() -> None:
    assert len(SPANS) > 200
    assert len(modules()) > 30
