"""What a feature is: fitted once, then told of any entities, in a data set or not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from l2aco.data.features.table import FeatureTable, Table
from l2aco.entities import Entity, EntityKind

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

Array = np.ndarray[Any, np.dtype[Any]]
AUTO, PROFILE, PANEL, ONE_HOT = "auto", "profile", "panel", "one_hot"
"""What a model reads of an entity, under a name that no feature may have."""

TABLE = "--features {name}=FILE"
"""The option of an import that brings a feature which is computed of nothing else."""


def how_to_bring(name: str, option: str = TABLE) -> str:
    """What to do where a data set lacks a feature that only an import brings, by this option."""
    option = option.format(name=name)
    return f"`l2aco data import TABLE.csv --name NAME {option}` makes a data set with it (docs/data.md)."


class Feature(ABC):
    """A feature of drugs or of cell lines.

    `fit` learns what there is to learn (a vocabulary, which columns there are) and `of` then describes any entities.
    `state` is what a run saves of it; `restore` makes the fitted feature of that again. Statistics of training rows,
    such as a mean, are no part of a feature: the model that scales by them keeps them with its weights.
    """

    kind: EntityKind
    version: ClassVar[int] = 3
    """Of what it computes: tables that another one computed are made again, and runs that read them predict no more."""
    brought_by: ClassVar[str] = TABLE
    """The option of `l2aco data import` that brings what is read, {name} being the feature's."""
    learns: ClassVar[bool] = False
    """Whether `fit` depends on the rows given."""

    @classmethod
    @abstractmethod
    def fit(cls, dataset: DataSet, rows: Array | None = None) -> Self:
        """`rows`: int64 rows of the entities of its kind that training holds; None stands for all."""

    @abstractmethod
    def of(self, entities: Sequence[Entity]) -> Table:
        """The feature of these entities, in their order; those of which nothing is known are masked."""

    def state(self) -> dict[str, Array]:
        """Arrays without pickles; none where there is nothing to learn."""
        return {}

    @classmethod
    def restore(cls, state: Mapping[str, Array]) -> Self:
        """The feature whose `state()` this is."""
        return cls()


class Listed(Feature):
    """A feature that is known for some entities by their ids, and for others where their facts bring it.

    An entity that is not listed has it where `facts[name]` maps columns to numbers; a column that is not named there
    counts as the mean over the listed entities.
    """

    def __init__(self, name: str, ids: Sequence[str], table: FeatureTable) -> None:
        self.name, self.ids, self.table, self.kind = name, list(ids), table, table.kind
        self._row = {identity: row for row, identity in enumerate(self.ids)}

    @classmethod
    def fit(cls, dataset: DataSet, rows: Array | None = None) -> Self:
        raise TypeError("a listed feature is made of its table")

    def of(self, entities: Sequence[Entity]) -> FeatureTable:
        table = self.table
        at = np.array([self._row.get(entity.id, -1) for entity in entities], dtype=np.int64)
        listed = at >= 0
        values = np.zeros((len(at), *table.values.shape[1:]), dtype=table.values.dtype)
        mask = np.zeros(len(at), dtype=bool)
        values[listed], mask[listed] = table.values[at[listed]], table.mask[at[listed]]
        for row in np.flatnonzero(~mask).tolist():
            brought = entities[row].facts.get(self.name)
            if isinstance(brought, Mapping) and table.columns and table.values.ndim == 2:
                values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
                values[row], mask[row] = self._row_from(brought)
        return FeatureTable(table.kind, values, mask, table.columns)

    def _row_from(self, brought: Mapping[str, Any]) -> tuple[Array, bool]:
        usual = self.table.values[self.table.mask].mean(axis=0) if self.table.mask.any() else 0.0
        given = np.array([float(brought.get(column, np.nan)) for column in self.table.columns])
        return np.where(np.isfinite(given), given, usual), bool(np.isfinite(given).any())

    def state(self) -> dict[str, Array]:
        return {"name": np.array(self.name), "ids": np.array(self.ids, dtype=np.str_), **self.table.arrays()}

    @classmethod
    def restore(cls, state: Mapping[str, Array]) -> Self:
        table = FeatureTable(
            EntityKind(str(state["kind"])), state["values"], state["mask"], tuple(state["columns"].tolist())
        )
        return cls(str(state["name"]), state["ids"].tolist(), table)
