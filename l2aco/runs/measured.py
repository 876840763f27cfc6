"""Measurements that a user brings to a run that is finished: read, resolved, taken up without training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from l2aco.data.labels import UNLABELLED, LabelRule
from l2aco.data.sources.table import FITS, ROLES
from l2aco.data.triples import Triples
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError
from l2aco.runs.pairs import COLUMNS, Pair, resolve_pairs
from l2aco.tables import read_raw

if TYPE_CHECKING:
    from l2aco.runs.newcomers import Acquaintances
    from l2aco.runs.predictor import Predictor


@dataclass(frozen=True)
class Measured:
    """Pairs in cell lines; score and label float64 (n,), NaN where a file has no such column."""

    entities: list[tuple[Entity, Entity, Entity]]
    score: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.entities)

    @property
    def everybody(self) -> list[Entity]:
        """All drugs and cell lines."""
        return [entity for three in self.entities for entity in three]

    def labels(self, rule: LabelRule) -> np.ndarray:
        """int8 (n,): as they are given, else by `rule` of the score; UNLABELLED where neither says."""
        given = np.nan_to_num(self.label, nan=UNLABELLED).astype(np.int8)
        return np.where(np.isnan(self.label), rule.apply(self.score), given)

    def taken_up_by(self, predictor: Predictor) -> Predictor:
        """`predictor`, told of everybody, with these measurements; raises UsageError as `Predictor.learned`."""
        one, other, line = (list(column) for column in zip(*self.entities, strict=True))
        a, b = predictor.rows(EntityKind.drug, one), predictor.rows(EntityKind.drug, other)
        c, whole = predictor.rows(EntityKind.cell_line, line), np.ones(len(self), dtype=np.int64)
        first, second = np.minimum(a, b), np.maximum(a, b)
        return predictor.learned(Triples(first, second, c, self.score, self.label, whole, whole == 0))


def read_measured(path: Path, acquaintances: Acquaintances) -> Measured:
    """Measurements out of a table with columns for two drugs, a cell line and a score, or a label, called as `l2aco
    data import` knows them. Raises InputError with file and line for what is empty, no number, twice there or not
    known."""
    roles = [*COLUMNS, "score", "label"]
    table = read_raw(path).by_role({role: ROLES[role] for role in roles}, optional=("score", "label"), fits=FITS)
    said = [role for role in ("score", "label") if table.names.get(role) is not None]
    if not said:
        raise InputError("has neither a score nor a label", where=path, remedy="Add a column called score.")
    if not len(table):
        raise InputError("holds no measurement", where=path, remedy="Add a line for each, or leave --measured out.")
    table.require(*COLUMNS, *said)
    values = {"score": table.numbers, "label": table.labels}
    score, label = (
        values[role](role).to_numpy() if role in said else np.full(len(table), np.nan) for role in ("score", "label")
    )
    columns = table.frame.select(COLUMNS).iter_rows()
    pairs = [Pair(a, b, c, where=table.where(number)) for number, (a, b, c) in enumerate(columns)]
    entities = resolve_pairs(pairs, acquaintances)
    first: dict[tuple[frozenset[str], str], str | None] = {}
    for pair, (one, other, line) in zip(pairs, entities, strict=True):
        same = first.setdefault((frozenset((one.id, other.id)), line.id), pair.where)
        if same != pair.where:
            raise InputError(f"measures the same as {same}", where=pair.where, remedy="Give their mean on one line.")
    return Measured(entities, score, label)
