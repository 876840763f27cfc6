"""What a page consists of. Whatever stands in it is text; templates make markup of it, and paths come from `slug`."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from l2aco.bench import table
from l2aco.bench.table import Table

HOME = "index.html"


@dataclass(frozen=True)
class Bar:
    """Where a bar begins and how long it is, in hundredths of its scale; `below`: it goes left of its zero."""

    start: float
    length: float
    below: bool = False


@dataclass(frozen=True)
class Cell(table.Cell):
    """`link`: the path of a page. `bar`: the number, drawn."""

    link: str | None = None
    bar: Bar | None = None


@dataclass(frozen=True)
class Note:
    """A sentence; `alarm` for what must not be missed."""

    text: str
    alarm: bool = False
    kind: str = "note"


@dataclass(frozen=True)
class Facts:
    """Names with what they are."""

    rows: Sequence[tuple[str, table.Cell]]
    kind: str = "facts"


@dataclass(frozen=True)
class Grid:
    """A table. `folded`: behind its title, for what few people read."""

    table: Table
    folded: bool = False
    kind: str = "grid"


@dataclass(frozen=True)
class Shelf:
    """Small tables, as many beside each other as there is room for."""

    grids: Sequence[Grid]
    kind: str = "shelf"


@dataclass(frozen=True)
class Picture:
    """A drawing by its template, with the table of what it shows. `title` and `caption` are read in its place."""

    template: str
    title: str
    caption: str
    values: Mapping[str, Any]
    table: Table | None = None
    kind: str = "picture"


@dataclass(frozen=True)
class Side:
    """Texts side by side: what each of several sources says under one heading."""

    rows: Sequence[tuple[str, Sequence[tuple[table.Cell, str]]]]
    kind: str = "side"


@dataclass(frozen=True)
class Reasons:
    """Sentences under headings, folded behind a title."""

    title: str
    lists: Sequence[tuple[str, Sequence[str]]]
    kind: str = "reasons"


@dataclass(frozen=True)
class Links:
    """Where one may go from here."""

    label: str
    cells: Sequence[Cell]
    kind: str = "links"


Part = Note | Facts | Grid | Shelf | Picture | Side | Reasons | Links


@dataclass(frozen=True)
class Section:
    """Parts under a heading."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """A page by its path; `notes` stand above all else. `values`: what a template of its own asks for."""

    path: str
    title: str
    sections: Sequence[Section] = ()
    notes: Sequence[Note] = ()
    template: str = "base.html"
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True)
class Document:
    """A finished page of somebody: HTML that is shown as it is, and that may do nothing."""

    html: bytes


def slug(*names: str) -> str:
    """A name as a part of an address and of a file: readable, harmless and another one for every name."""
    mark = hashlib.sha256("\0".join(names).encode(errors="surrogatepass")).hexdigest()[:12]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", names[-1])[:60].strip("-")
    return f"{readable}-{mark}" if readable else mark


def cell(value: object, link: str | None = None) -> Cell:
    """Any value as it reads in a table; numbers are sorted as such."""
    if isinstance(value, table.Cell):
        return Cell(value.text, value.key, link)
    if value is None:
        return Cell("–", link=link)
    if isinstance(value, bool):
        return Cell("yes" if value else "no", link=link)
    if isinstance(value, int):
        return Cell(f"{value:,}", value, link)
    if isinstance(value, float):
        if not math.isfinite(value):
            return Cell("–", -math.inf, link)
        small = value and (abs(value) < 1e-3 or abs(value) >= 1e5)
        return Cell(f"{value:.4g}" if small else f"{value:.3f}", value, link)
    if isinstance(value, Mapping):
        return Cell("; ".join(f"{name}: {cell(item).text}" for name, item in value.items()), link=link)
    if isinstance(value, list | tuple | set | frozenset):
        return Cell(", ".join(cell(item).text for item in value), link=link)
    return Cell(str(value), link=link)


def grid(title: str, rows: Iterable[Mapping[str, Any]], *, folded: bool = False) -> list[Grid]:
    """Rows as a table, a dash where one lacks what others have: none where there are no rows."""
    made = [{name: value if isinstance(value, Cell) else cell(value) for name, value in row.items()} for row in rows]
    if not made:
        return []
    columns = list(dict.fromkeys(name for row in made for name in row))
    made = [{name: row.get(name, Cell("–")) for name in columns} for row in made]
    numeric = {name for name in columns if any(row[name].key is not None for row in made)}
    for row in made:
        for name in numeric:
            if row[name].key is None and row[name].text == "–":
                row[name] = Cell("–", -math.inf)
    titles = [name.replace("_", " ") for name in columns]
    return [Grid(Table(title, titles, [[row[name] for name in columns] for row in made]), folded)]


def listed(title: str, rows: Iterable[Mapping[str, Any]], empty: str) -> Sequence[Part]:
    """The same, or a sentence in its place."""
    return grid(title, rows) or [Note(empty)]


def facts(values: Mapping[str, Any]) -> Facts:
    """What is known, without what is not."""
    return Facts([(name.replace("_", " "), cell(value)) for name, value in values.items() if value not in (None, "")])


def bar(value: float | None, low: float, high: float, text: str | None = None) -> Cell:
    """A number on its scale from `low` to `high`, drawn from zero, or from `low` where that is above zero."""
    if value is None or not math.isfinite(value):
        return Cell("–", -math.inf)
    shown = f"{value:g}" if text is None else text
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return Cell(shown, value)
    zero = min(max(0.0, low), high)
    one, other = ((min(max(end, low), high) - low) / (high - low) * 100 for end in (zero, value))
    return Cell(shown, value, bar=Bar(round(min(one, other), 2), round(abs(other - one), 2), other < one))
