"""Means of labels, and of neighbours' labels. Numpy only.

Every mean is smoothed towards the training mean: (sum + k * mean) / (n + k), k = 5 for drugs and cell lines, 3 for
pairs. A neighbour predictor weighs the same sums by exp(cosine / width) between the vectors of cell lines
(width 0.5) or drugs (0.3); an entity without a vector has the weight of cosine 0 to everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from l2aco.data.triples import Triples

Array = np.ndarray[Any, np.dtype[Any]]
Vectors = tuple[Array, Array]
"""(n, D) vectors of all drugs or all cell lines of the data set, and bool (n,): which are known."""
DRUG_K, PAIR_K = 5.0, 3.0
CELL_WIDTH, DRUG_WIDTH = 0.5, 0.3


class Predictor(Protocol):
    """Learns from the rows `rows` of the triples alone; predicts float64 (n,) probabilities for int64 rows of
    drugs and cell lines. The order of the two drugs never matters."""

    def fit(self, triples: Triples, rows: Array) -> Self: ...

    def predict(self, a: Array, b: Array, c: Array) -> Array: ...


def smoothed(total: Array, count: Array, k: float, mean: Array | float) -> Array:
    """`total` over `count`, and k times `mean` beside."""
    # where nothing was counted, smoothing would round the mean
    return np.where(count > 0, (total + k * mean) / (count + k), mean)


@dataclass
class GlobalMean:
    """The share of positive training rows."""

    mean: float = 0.5

    def fit(self, triples: Triples, rows: Array) -> Self:
        self.mean = float(triples.label[rows].mean()) if len(rows) else 0.5
        return self

    def predict(self, a: Array, b: Array, c: Array) -> Array:
        return np.full(len(a), self.mean)


class _Tables:
    """Smoothed mean label of every drug and of every cell line; the training mean where there are no rows."""

    def fit(self, triples: Triples, rows: Array) -> Self:
        label = triples.label[rows].astype(np.float64)
        self.mean = float(label.mean()) if len(label) else 0.5
        drugs = np.concatenate([triples.drug_a[rows], triples.drug_b[rows]])
        self.drug = self._table(drugs, np.tile(label, 2))
        self.cell = self._table(triples.cell_line[rows], label)
        return self

    def _table(self, groups: Array, label: Array) -> Array:
        return smoothed(np.bincount(groups, label), np.bincount(groups), DRUG_K, self.mean)

    def _look(self, table: Array, rows: Array) -> Array:
        known = rows < len(table)
        return np.where(known, table[np.where(known, rows, 0)], self.mean)


class DrugMean(_Tables):
    """Mean of the two drugs' means."""

    def predict(self, a: Array, b: Array, c: Array) -> Array:
        return (self._look(self.drug, a) + self._look(self.drug, b)) / 2


class CellMean(_Tables):
    """Mean of the cell line."""

    def predict(self, a: Array, b: Array, c: Array) -> Array:
        return self._look(self.cell, c)


class AdditiveMean(_Tables):
    """Training mean plus what each drug and the cell line deviate from it."""

    def predict(self, a: Array, b: Array, c: Array) -> Array:
        parts = self._look(self.drug, a) + self._look(self.drug, b) + self._look(self.cell, c)
        return np.clip(parts - 2 * self.mean, 0.0, 1.0)


@dataclass
class _Grouped:
    """Weighted smoothed means over the training rows that share a group with the row asked for."""

    k: float = PAIR_K

    def _store(self, groups: Array, others: Array, label: Array) -> None:
        order = np.argsort(groups, kind="stable")
        self.groups, self.others, self.label = groups[order], others[order], label[order]
        self.mean = float(label.mean()) if len(label) else 0.5

    def _sums(self, groups: Array, asked: Array, weights: Array | None) -> tuple[Array, Array]:
        """Weighted sum of labels and of weights, each (n,). `asked`: the entity compared with the stored `others`."""
        start = np.searchsorted(self.groups, groups, side="left")
        size = np.searchsorted(self.groups, groups, side="right") - start
        row = np.repeat(np.arange(len(groups)), size)
        at = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size) + np.repeat(start, size)
        weight = np.ones(len(row)) if weights is None else weights[asked[row], self.others[at]]
        return (
            np.bincount(row, weight * self.label[at], minlength=len(groups)),
            np.bincount(row, weight, minlength=len(groups)),
        )


@dataclass
class PairMean(_Grouped):
    """Mean of the unordered pair over its cell lines, weighted by their likeness to the line asked for where
    `weights` (lines, lines) is given."""

    weights: Array | None = None
    base: int = 1 << 31

    def _group(self, a: Array, b: Array) -> Array:
        return np.minimum(a, b).astype(np.int64) * self.base + np.maximum(a, b)

    def fit(self, triples: Triples, rows: Array) -> Self:
        group = self._group(triples.drug_a[rows], triples.drug_b[rows])
        self._store(group, triples.cell_line[rows], triples.label[rows].astype(np.float64))
        return self

    def predict(self, a: Array, b: Array, c: Array) -> Array:
        total, count = self._sums(self._group(a, b), c, self.weights)
        return smoothed(total, count, self.k, self.mean)


@dataclass
class PartnerMean(_Grouped):
    """Mean of each drug with others in the cell line asked for, weighted by the others' likeness to its partner
    where `weights` (drugs, drugs) is given. With one drug unseen this is the known partner's mean in that line."""

    weights: Array | None = None
    base: int = 1 << 31

    def fit(self, triples: Triples, rows: Array) -> Self:
        a, b, c = triples.drug_a[rows], triples.drug_b[rows], triples.cell_line[rows]
        known, other = np.concatenate([a, b]), np.concatenate([b, a])
        self._store(known * self.base + np.tile(c, 2), other, np.tile(triples.label[rows].astype(np.float64), 2))
        return self

    def predict(self, a: Array, b: Array, c: Array) -> Array:
        first, first_count = self._sums(a * self.base + c, b, self.weights)
        second, second_count = self._sums(b * self.base + c, a, self.weights)
        return smoothed(first + second, first_count + second_count, self.k, self.mean)


class PairAndCellMean:
    """The pair's mean plus what the cell line deviates from the training mean."""

    def fit(self, triples: Triples, rows: Array) -> Self:
        self.pair, self.cell = PairMean().fit(triples, rows), CellMean().fit(triples, rows)
        return self

    def predict(self, a: Array, b: Array, c: Array) -> Array:
        return np.clip(self.pair.predict(a, b, c) + self.cell.predict(a, b, c) - self.pair.mean, 0.0, 1.0)


def likeness(vectors: Vectors, width: float, *, centre: bool = True) -> Array:
    """float64 (n, n): exp(cosine / width) of the vectors, centred over the known ones; 1 where one is unknown."""
    values, mask = vectors
    values = np.nan_to_num(np.asarray(values, dtype=np.float64).reshape(len(values), -1))
    if centre and mask.any():
        values = values - values[mask].mean(axis=0)
    norm = np.linalg.norm(values, axis=1, keepdims=True)
    unit = np.divide(values, norm, out=np.zeros_like(values), where=(norm > 0) & mask[:, None])
    return np.exp(unit @ unit.T / width)
