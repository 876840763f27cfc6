"""Scored test rows as arrays: what every measure reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from l2aco.metrics import by_group

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Rows:
    """Test rows of all seeds and folds of one data set and setting, one behind the other, as arrays (n,).

    seed, fold: of the split. group: the number of what is drawn again (a cell line, or the drug that was held out), in
    0 .. groups - 1. line, pair: numbers of the cell line and of the pair. label 0 or 1; score: what was measured.
    """

    seed: Array
    fold: Array
    group: Array
    line: Array
    pair: Array
    label: Array
    score: Array

    def __len__(self) -> int:
        return len(self.label)

    @property
    def groups(self) -> int:
        return int(self.group.max()) + 1

    @property
    def drawn(self) -> str:
        """What is drawn again, in words."""
        return "cell lines" if np.array_equal(self.group, self.line) else "drugs"

    def numbered(self) -> Rows:
        """The same, their groups numbered without gaps: who is in none of the rows is not drawn again."""
        return replace(self, group=np.unique(self.group, return_inverse=True)[1])

    def take(self, at: Array) -> Rows:
        """Some of the rows: their numbers, or a mask (n,)."""
        return Rows(*(getattr(self, name)[at] for name in Rows.__dataclass_fields__))

    @cached_property
    def splits(self) -> list[Array]:
        """The rows of every seed and fold."""
        return by_group(self.seed * (self.fold.max() + 1) + self.fold)

    @cached_property
    def lines(self) -> list[Array]:
        """The rows of every cell line of every seed and fold."""
        return [at[part] for at in self.splits for part in by_group(self.line[at])]


Measure = Callable[[Rows, Array, Array], Array]
"""Of rows, predictions (n,) or (k, n), and weights (w, groups): (w,) or (k, w)."""
