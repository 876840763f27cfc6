"""Pairs that a user asks about: read and resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

from l2aco.columns import repeated
from l2aco.data.sources.table import FITS, ROLES
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.tables import read_raw

COLUMNS = ("drug_a", "drug_b", "cell_line")
RENAME = (
    "Rename yours to {role}; also read, whatever their case, spaces and underscores: "
    + "; ".join(f"{role} as {', '.join(ROLES[role][1:6])}" for role in COLUMNS)
    + "."
)


@dataclass(frozen=True)
class Pair:
    """What one line asks: two drugs and a cell line, by id, name or alias. `where` is the file and line, `more` what
    else stands there, by column."""

    drug_a: str
    drug_b: str
    cell_line: str
    where: str | None = None
    more: Mapping[str, str] = field(default_factory=dict)


def pairs_from(path: Path | None, drug_a: str | None, drug_b: str | None, cell_line: str | None) -> list[Pair]:
    """The pairs of a file, or the one that is named; raises UsageError for anything between."""
    if path is not None and not (drug_a or drug_b or cell_line):
        return read_pairs(path)
    if path is None and drug_a and drug_b and cell_line:
        return [Pair(drug_a, drug_b, cell_line)]
    if path is not None:
        raise UsageError("--pairs and a named pair contradict each other", remedy="Leave one of them out.")
    raise UsageError("which pairs?", remedy="Give --pairs FILE, or all three of --drug-a, --drug-b and --cell.")


def read_pairs(path: Path) -> list[Pair]:
    """Pairs out of a table with columns for two drugs and a cell line, called as `l2aco data import` knows them; the
    other columns are carried along. Raises InputError with file and line."""
    import polars as pl

    raw = read_raw(path)
    if again := repeated(raw.frame.columns):
        raise InputError(
            f"has the column {' and the column '.join(again)} twice",
            where=f"{path}:1",
            remedy="Remove or rename one of them.",
        )
    table = raw.by_role({role: ROLES[role] for role in COLUMNS}, remedy=RENAME, fits=FITS)
    table.require(*COLUMNS)
    taken = table.names.values()
    others = [
        name
        for name, kind in raw.frame.schema.items()
        if name not in taken and not kind.is_nested() and kind != pl.Binary
    ]
    carried = raw.frame[table.rows].select(pl.col(others).cast(pl.String, strict=False).fill_null(""))
    more = carried.to_dicts() if others else [{}] * len(table)
    return [
        Pair(**row, where=table.where(number), more=more[number])
        for number, row in enumerate(table.frame.iter_rows(named=True))
    ]


class Resolver(Protocol):
    """Who knows drugs and cell lines by name."""

    def resolve(self, kind: EntityKind, name: str) -> Entity:
        """Raises UnknownNameError or InputError."""


def resolve_pairs(pairs: Sequence[Pair], acquaintances: Resolver) -> list[tuple[Entity, Entity, Entity]]:
    """Both drugs and the cell line of every pair; raises InputError with the line and the nearest names."""
    resolve = cache(acquaintances.resolve)
    found: list[tuple[Entity, Entity, Entity]] = []
    wrong: list[InputError] = []
    for pair in pairs:
        try:
            one, other = (resolve(EntityKind.drug, name) for name in (pair.drug_a, pair.drug_b))
            found.append((one, other, resolve(EntityKind.cell_line, pair.cell_line)))
            if one.id == other.id:
                raise InputError(f"{pair.drug_a} and {pair.drug_b} are the same drug")
        except (UnknownNameError, InputError) as error:
            if pair.where is None:
                raise
            wrong.append(InputError(error.message, where=pair.where, remedy=error.remedy))
    if wrong:
        first, *others = wrong
        also = "".join(f"\n{error.where}: {error.message}" for error in others[:9])
        also += f"\nand {len(others) - 9} more lines" if len(others) > 9 else ""
        raise InputError(first.message, where=first.where, remedy=f"{first.remedy or ''}{also}".strip()) from None
    return found
