"""What every setting is made of: the object itself, and what they share in dividing and in checking."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.splits.spec import Split, SplitSpec
from l2aco.data.triples import distinct
from l2aco.entities import EntityKind
from l2aco.errors import DamagedError

Array = np.ndarray[Any, np.dtype[Any]]
Parts = tuple[Array, Array, Array, list[str]]


class Setting(ABC):
    """One way to divide the triples, with what it promises.

    version: of its rules; a split that was made by others is made again. options: what of a `SplitSpec` is this
    setting's alone. folds_are_asked_for: whether the spec says how many folds there are, and not the data. held_out:
    the kind of entity that the test holds out whole, where it is one.
    """

    version: ClassVar[int] = 1
    options: ClassVar[frozenset[str]] = frozenset()
    folds_are_asked_for: ClassVar[bool] = True
    held_out: ClassVar[EntityKind | None] = None

    def num_folds(self, dataset: DataSet, spec: SplitSpec) -> int:
        """How many folds there are; raises UsageError where the data set cannot be divided so."""
        return spec.folds

    @abstractmethod
    def divide(self, dataset: DataSet, spec: SplitSpec) -> Parts:
        """(train, valid, test) row numbers in any order and the held-out ids; the validation rows are held out like
        the test rows. Raises UsageError where there are too few groups."""

    def groups(self, dataset: DataSet) -> Array:
        """int64 (n,), or (n, 2) for the two drugs: what the test holds out whole, of each of the triples; by default
        the row itself."""
        return np.arange(len(dataset.triples))

    def check(self, dataset: DataSet, split: Split) -> list[str]:
        """What a split keeps beyond what every split does, one line each; raises DamagedError (`leak`) where it does
        not."""
        return []


def generator(spec: SplitSpec, stream: int) -> np.random.Generator:
    """One stream for the folds (the same for every fold), others for what may differ between them."""
    return np.random.default_rng([spec.seed, stream] if stream == 0 else [spec.seed, stream, spec.fold])


def validation_groups(groups: Array, spec: SplitSpec) -> Array:
    """Groups in random order until they hold the validation share of the rows; one group at least is left."""
    names, counts = np.unique(groups, return_counts=True)
    order = generator(spec, 1).permutation(len(names))
    reached = np.cumsum(counts[order])
    take = int(np.searchsorted(reached, spec.valid_share * len(groups))) + 1
    return names[order[: min(take, len(names) - 1)]]


def ids_of(dataset: DataSet, kind: EntityKind, rows: Array) -> list[str]:
    """The ids of the drugs or cell lines in these rows, and of those that are called like them."""
    entities = dataset.entities(kind)
    return [entities[row].id for row in np.flatnonzero(np.isin(dataset.first_alike(kind), rows))]


def leak(split: Split, what: str) -> DamagedError:
    """The error for a split that breaks a promise."""
    return DamagedError(
        f"the {split.spec.setting} split leaks: {what}",
        where=split.hash[:16],
        remedy="Delete its file; it is made again.",
    )


def keep_apart(split: Split, what: str, groups: Array) -> None:
    """Raises DamagedError where a group is on two sides; groups: one number for each row of the triples."""
    sides: Mapping[str, Array] = {name: distinct(groups[rows]) for name, rows in split.sides.items()}
    names = list(sides)
    for first, second in ((names[0], names[1]), (names[0], names[2]), (names[1], names[2])):
        shared = np.intersect1d(sides[first], sides[second], assume_unique=True)
        if len(shared):
            raise leak(split, f"{len(shared)} {what}s are on both the {first} and the {second} side")
