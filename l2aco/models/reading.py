"""What a model of features reads of an entity: one row of numbers, scaled as they were over training entities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from l2aco.data.features.table import FeatureTable, Scaling
from l2aco.entities import EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.models.config import ONE_HOT, PROFILE, FeatureConfig, FeaturesConfig
from l2aco.models.inputs import Inputs
from l2aco.models.vectors import Vectors, side_by_side

COUNTED = frozenset({"expression"})
"""Features that go through a logarithm where no value is negative."""


@dataclass(frozen=True)
class Reading:
    """Of entities of one kind, from `source`: a feature, their profile vectors, or who of the training they are.

    Measured quantities have zero mean and unit variance over training entities, or rows of length one with `unit`;
    whole numbers (bits, signs) stay as they are. An entity of whom the source says nothing is zero, and masked.
    """

    kind: EntityKind
    source: str
    unit: bool
    scaling: Scaling | None
    trained: tuple[str, ...]
    """Ids of the entities in training."""

    @classmethod
    def fit(cls, inputs: Inputs, kind: EntityKind, source: str, *, unit: bool = False) -> Self:
        """Raises InputError where there are no vectors to read, UsageError for a feature of the other kind or shape."""
        rows = inputs.train_drugs if kind is EntityKind.drug else inputs.train_cells
        entities = inputs.entities(kind)
        rows = np.arange(len(entities)) if rows is None else rows
        reading = cls(kind, source, unit, None, tuple(entities[row].id for row in rows.tolist()))
        table = reading._table(inputs)
        if unit or table.values.dtype.kind != "f":
            return reading
        logged = source in COUNTED and table.values.min(initial=0) >= 0
        return cls(kind, source, unit, table.scaling(rows, logged=logged), reading.trained)

    def of(self, inputs: Inputs) -> FeatureTable:
        """float32 (n, F) of the entities of these inputs, who may be newcomers."""
        table = self._table(inputs)
        if self.unit:
            return table.unit()
        return table if self.scaling is None else self.scaling.of(table)

    def _table(self, inputs: Inputs) -> FeatureTable:
        if self.source == ONE_HOT:
            place = {identity: column for column, identity in enumerate(self.trained)}
            at = np.array([place.get(entity.id, -1) for entity in inputs.entities(self.kind)], dtype=np.int64)
            values = (at[:, None] == np.arange(len(place))).astype(np.int8)
            return FeatureTable(self.kind, values, at >= 0)
        if self.source == PROFILE:
            vectors = inputs.drug_vectors if self.kind is EntityKind.drug else inputs.cell_vectors
            return _of_vectors(self.kind, vectors)
        return _checked(self.source, inputs.features[self.source], self.kind)


def cell_reading(inputs: Inputs, config: FeatureConfig, *, unit: bool = False) -> Reading:
    """What `config.cell_features` says of the cell lines of a model's inputs."""
    return Reading.fit(inputs, EntityKind.cell_line, config.of_cells(_known(inputs)), unit=unit)


def drug_reading(inputs: Inputs, config: FeaturesConfig) -> Reading:
    """What `config.drug_features` says of the drugs of a model's inputs."""
    return Reading.fit(inputs, EntityKind.drug, config.of_drugs(_known(inputs)))


def _known(inputs: Inputs) -> Callable[[str], bool]:
    return {name for name, table in inputs.features.items() if table.mask.any()}.__contains__


def _of_vectors(kind: EntityKind, vectors: Mapping[str, Vectors]) -> FeatureTable:
    what = kind.value.replace("_", " ")
    if not vectors:
        raise InputError(
            f"no store brings vectors of any {what}, and the profile is to be read",
            remedy="Name one that does with --store, or read something else of it.",
        )
    values, known = side_by_side(vectors.values())
    return FeatureTable(kind, values * known[:, None], known)


def _checked(name: str, table: FeatureTable, kind: EntityKind) -> FeatureTable:
    what = kind.value.replace("_", " ")
    if table.kind is not kind or not isinstance(table, FeatureTable) or table.values.ndim != 2:
        raise UsageError(f"the feature '{name}' is not one row of numbers for each {what}")
    if not np.isfinite(table.values).all():
        raise InputError(
            f"the feature '{name}' holds values that are not finite",
            remedy="Import the data set with another table for it, or with this one under another name.",
        )
    return table
