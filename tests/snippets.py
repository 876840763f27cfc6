"""The snippets of a page, in their order: Python, files that a fence names, and the commands of indented blocks.

Sybil reads them, keeps one namespace for all Python of a page, and leaves out what stands below a comment
`<!-- skip: next "reason" -->`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import SkipTest

from sybil import Document, Example, Region
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

COMMAND = re.compile(r"^    (?P<line>\S(?:.*\\\n)*.*)$", flags=re.M)
FENCE = RawFencedCodeBlockLexer(re.compile(r"(?P<info>[^\n]*)\n"))
FILE = re.compile(r'(?P<kind>toml|json|csv)(?: title="(?P<name>[\w.-]+)")?$')
TEXT = ("text", "console", "python")
READ: dict[str, Callable[[str], Any]] = {"toml": tomllib.loads, "json": json.loads, "csv": str.split}


def commands(text: str) -> list[str]:
    """The commands of a line of a shell: continued lines are joined, `&&` parts two, what stands apart explains."""
    joined = re.sub(r"\\\n\s+", "", text)
    return [part.strip() for part in re.split(r"\s{2,}", joined)[0].split("&&")]


def snippets(page: Path, shell: Callable[[str], Any]) -> Iterable[Example]:
    """What there is to evaluate on a page; `shell` takes each command."""

    def shells(document: Document) -> Iterable[Region]:
        fences = [range(region.start, region.end) for region in FENCE(document)]
        for found in COMMAND.finditer(document.text):
            if not any(found.start() in fence for fence in fences):
                yield Region(found.start(), found.end(), commands(found["line"]), evaluate)

    def evaluate(example: Example) -> None:
        for command in example.parsed:
            shell(command)

    return Document.parse(str(page), SkipParser(), PythonCodeBlockParser(), files, shells).examples()


def files(document: Document) -> Iterable[Region]:
    """A fence of TOML, JSON or CSV has to be that, and where it has a title it is a file of the current folder."""
    for region in FENCE(document):
        info = region.lexemes["info"]
        if found := FILE.match(info):
            yield Region(region.start, region.end, (found["kind"], found["name"], region.lexemes["source"]), written)
        elif info not in TEXT:
            raise ValueError(f"{document.path}: {document.line_column(region.start)}: a fence of {info or 'nothing'}")


def written(example: Example) -> None:
    kind, name, text = example.parsed
    READ[kind](text)
    if name:
        Path(name).write_text(text, encoding="utf-8")


def followed(page: Path, shell: Callable[[str], Any]) -> None:
    """Evaluate all that a page does not mark as skipped, and the tests that its Python defines."""
    defined: dict[str, Any] = {}
    for example in snippets(page, shell):
        defined = example.namespace
        with suppress(SkipTest):
            example.evaluate()
    for name in [name for name in defined if name.startswith("test_")]:
        defined[name]()
