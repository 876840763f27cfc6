"""What was measured of pairs, as a run's data set holds it today."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.catalog import open_dataset
from l2aco.data.labels import UNLABELLED, LabelRule
from l2aco.entities import Entity
from l2aco.errors import UnknownNameError
from l2aco.recommend.asked import Pairs
from l2aco.recommend.own import Neighbour

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet
    from l2aco.runs.measured import Measured
    from l2aco.runs.run import Run


class Record:
    """Labels by pair and cell line: what `told` says, else the data set. hash: of that as it is today, None where it is
    gone. share: of all that are synergistic. A score alone is labelled by the data set's rule, and has
    no label where there is none."""

    def __init__(self, run: Run, told: Measured | None = None) -> None:
        self.share: float | None = None
        self.hash: str | None = None
        self._labels: dict[frozenset[str], dict[str, int]] = {}
        self._scores: dict[frozenset[str], dict[str, float]] = {}
        rule = LabelRule(kind="shipped")
        with suppress(UnknownNameError):
            dataset = open_dataset(str(run.spec.dataset), run.workspace)
            rule, self.hash = dataset.label_rule, dataset.hash
            self._read(dataset)
        if told is not None:
            self._hear(told, told.labels(rule))

    def _hear(self, told: Measured, labels: np.ndarray) -> None:
        for (one, other, line), score, label in zip(told.entities, told.score.tolist(), labels.tolist(), strict=True):
            pair = frozenset((one.id, other.id))
            self._labels.setdefault(pair, {}).pop(line.id, None)
            self._scores.setdefault(pair, {}).pop(line.id, None)
            if not np.isnan(score):
                self._scores.setdefault(pair, {})[line.id] = score
            if label != UNLABELLED:
                self._labels[pair][line.id] = label

    def _read(self, dataset: DataSet) -> None:
        triples = dataset.triples
        self.share = float(triples.label.mean()) if len(triples.label) else None
        drugs, lines = [drug.id for drug in dataset.drugs], [line.id for line in dataset.cell_lines]
        columns = (triples.drug_a, triples.drug_b, triples.cell_line, triples.label, triples.score)
        for a, b, c, label, score in zip(*(column.tolist() for column in columns), strict=True):
            pair = frozenset((drugs[a], drugs[b]))
            self._labels.setdefault(pair, {})[lines[c]] = label
            if score == score:  # NaN where none is known
                self._scores.setdefault(pair, {})[lines[c]] = score

    def measured(self, pairs: Pairs, line: Entity) -> np.ndarray:
        """bool (n,): which of the pairs were measured in this line."""
        place = {drug.id: row for row, drug in enumerate(pairs.drugs)}
        found = [both for of in (self._labels, self._scores) for both, lines in of.items() if line.id in lines]
        there = [sorted(place[drug] for drug in both) for both in found if len(both) == 2 and both <= place.keys()]
        keys = [one * len(pairs.drugs) + other for one, other in there]
        return np.isin(pairs.keys(), keys)

    def near(self, one: Entity, other: Entity, near: Sequence[Neighbour]) -> dict[str, int]:
        """The labels of the pair by the names of the lines among `near` in which it was measured."""
        labels = self._labels.get(frozenset((one.id, other.id)), {})
        return {found.entity.name: labels[found.entity.id] for found in near if found.entity.id in labels}

    def of(self, one: Entity, other: Entity, line: Entity, near: Sequence[Neighbour]) -> dict[str, Any]:
        """Here, elsewhere, and in the lines that are most like it, as the fields of a `RankedPair`."""
        labels = self._labels.get(frozenset((one.id, other.id)), {})
        elsewhere = [label for name, label in labels.items() if name != line.id]
        nearby = list(self.near(one, other, near).values())
        return {
            "recorded": self.hash is not None,
            "measured": labels.get(line.id),
            "measured_score": self._scores.get(frozenset((one.id, other.id)), {}).get(line.id),
            "elsewhere_synergistic": sum(elsewhere),
            "elsewhere_measured": len(elsewhere),
            "near_synergistic": sum(nearby),
            "near_measured": len(nearby),
        }
