"""Pairs that a user asks about: read, resolved against a data set, predicted, written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.sources.table import ROLES
from l2aco.entities import Entity, EntityIndex, EntityKind
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.tables import read_raw, repeated

if TYPE_CHECKING:
    import polars as pl

    from l2aco.runs.predictor import Predictor

COLUMNS = ("drug_a", "drug_b", "cell_line")


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
    table = raw.by_role({role: ROLES[role] for role in COLUMNS})
    table.require(*COLUMNS)
    taken = table.names.values()
    others = [name for name, kind in raw.frame.schema.items() if name not in taken and not kind.is_nested()]
    carried = raw.frame[table.rows].select(pl.col(others).cast(pl.String, strict=False).fill_null(""))
    more = carried.to_dicts() if others else [{}] * len(table)
    return [
        Pair(**row, where=table.where(number), more=more[number])
        for number, row in enumerate(table.frame.iter_rows(named=True))
    ]


def resolve_pairs(pairs: Sequence[Pair], dataset: DataSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of drug_a, drug_b and cell_line, int64 (n,); raises InputError with the line and the nearest names."""
    drugs, lines = _Rows(EntityKind.drug, dataset.drugs), _Rows(EntityKind.cell_line, dataset.cell_lines)
    found = np.empty((3, len(pairs)), dtype=np.int64)
    wrong: list[InputError] = []
    for number, pair in enumerate(pairs):
        try:
            found[:, number] = drugs.of(pair.drug_a), drugs.of(pair.drug_b), lines.of(pair.cell_line)
            if found[0, number] == found[1, number]:
                raise InputError(f"{pair.drug_a} and {pair.drug_b} are the same drug")
        except (UnknownNameError, InputError) as error:
            wrong.append(InputError(error.message, where=pair.where, remedy=error.remedy))
    if wrong:
        first, *others = wrong
        also = "".join(f"\n{error.where}: {error.message}" for error in others[:9])
        also += f"\nand {len(others) - 9} more lines" if len(others) > 9 else ""
        raise InputError(first.message, where=first.where, remedy=f"{first.remedy or ''}{also}".strip()) from None
    return found[0], found[1], found[2]


class _Rows:
    """Names to row numbers, each looked up once."""

    def __init__(self, kind: EntityKind, entities: Sequence[Entity]) -> None:
        self._index = EntityIndex(kind, entities)
        self._rows = {entity.id: row for row, entity in enumerate(entities)}
        self._seen: dict[str, int] = {}

    def of(self, name: str) -> int:
        if name not in self._seen:
            self._seen[name] = self._rows[self._index.resolve(name).id]
        return self._seen[name]


def predict_pairs(predictor: Predictor, pairs: Sequence[Pair]) -> pl.DataFrame:
    """One line a pair, in their order: names and ids, probability, calibrated probability, the call, and what else
    stood on its line: a column that is called like one of these ends in _given.

    `synergistic` is the probability against the threshold chosen on validation rows.
    """
    import polars as pl

    dataset = predictor.dataset
    a, b, c = resolve_pairs(pairs, dataset)
    probability = predictor.predict(a, b, c)
    names = dict.fromkeys(name for pair in pairs for name in pair.more)
    predicted = {
        "drug_a": [dataset.drugs[row].name for row in a],
        "drug_b": [dataset.drugs[row].name for row in b],
        "cell_line": [dataset.cell_lines[row].name for row in c],
        "drug_a_id": [dataset.drugs[row].id for row in a],
        "drug_b_id": [dataset.drugs[row].id for row in b],
        "cell_line_id": [dataset.cell_lines[row].id for row in c],
        "probability": probability,
        "calibrated": predictor.calibration.apply(probability),
        "synergistic": probability >= predictor.threshold,
    }
    more = {
        f"{name}_given" if name in predicted else name: [pair.more.get(name, "") for pair in pairs] for name in names
    }
    return pl.DataFrame({**predicted, **more})
