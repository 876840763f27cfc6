"""What a model of features reads of an entity: numbers, scaled as they were over training entities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from l2aco.data.features.base import ONE_HOT, PANEL, PROFILE
from l2aco.data.features.table import FeatureTable, Scaling
from l2aco.entities import EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.models.config import FeatureConfig, FeaturesConfig, sources
from l2aco.models.inputs import Inputs
from l2aco.models.vectors import Vectors, side_by_side

COUNTED = frozenset({"expression"})
"""Features that go through a logarithm where no value is negative."""


@dataclass(frozen=True)
class Part:
    """Of entities of one kind, from one source: a feature, their profile vectors, or who of the training they are.

    Measured quantities have zero mean and unit variance over training entities, or rows of length one with `unit`;
    whole numbers (bits, signs) stay as they are. A number that a panel leaves open is its mean, with `unit` zero. An
    entity of whom the source says nothing is zero, and masked.
    """

    kind: EntityKind
    source: str
    unit: bool
    scaling: Scaling | None
    trained: tuple[str, ...]
    """Ids of the entities in training."""

    @classmethod
    def fit(cls, inputs: Inputs, kind: EntityKind, source: str, *, unit: bool) -> Self:
        rows = inputs.train_drugs if kind is EntityKind.drug else inputs.train_cells
        entities = inputs.entities(kind)
        rows = np.arange(len(entities)) if rows is None else rows
        part = cls(kind, source, unit, None, tuple(entities[row].id for row in rows.tolist()))
        table = part._table(inputs)
        if unit or table.values.dtype.kind != "f":
            return part
        logged = source in COUNTED and not table.signed
        return replace(part, scaling=table.scaling(rows, logged=logged))

    def of(self, inputs: Inputs) -> FeatureTable:
        """(n, F), or (n, F, channels) of a feature that has some, of the entities of these inputs."""
        table = self._table(inputs)
        if self.unit:
            return replace(table, values=np.nan_to_num(table.values)).unit()
        return table if self.scaling is None else self.scaling.of(table)

    def _table(self, inputs: Inputs) -> FeatureTable:
        if self.source == ONE_HOT:
            place = {identity: column for column, identity in enumerate(self.trained)}
            at = np.array([place.get(entity.id, -1) for entity in inputs.entities(self.kind)], dtype=np.int64)
            values = (at[:, None] == np.arange(len(place))).astype(np.int8)
            return FeatureTable(self.kind, values, at >= 0)
        if self.source in (PROFILE, PANEL):
            vectors = inputs.drug_vectors if self.kind is EntityKind.drug else inputs.cell_vectors
            return _of_vectors(self.kind, vectors, numbers=self.source == PANEL)
        return _checked(self.source, inputs.features[self.source], self.kind)


@dataclass(frozen=True)
class Reading:
    """Of entities of one kind: what several sources say of them, side by side."""

    parts: tuple[Part, ...]

    @classmethod
    def fit(cls, inputs: Inputs, kind: EntityKind, source: str, *, unit: bool = False) -> Self:
        """`source`: names joined by +. Raises InputError where there are no vectors to read, UsageError for a feature
        of the other kind or of another shape."""
        return cls(tuple(Part.fit(inputs, kind, name, unit=unit) for name in sources(source)))

    @property
    def source(self) -> str:
        """As `fit` was told."""
        return "+".join(part.source for part in self.parts)

    def of(self, inputs: Inputs) -> FeatureTable:
        """(n, F) of the entities of these inputs, who may be newcomers; masked of whom no source says anything."""
        tables = [part.of(inputs) for part in self.parts]
        values = [table.values.reshape(len(table.mask), math.prod(table.values.shape[1:])) for table in tables]
        mask = np.logical_or.reduce([table.mask for table in tables])
        return FeatureTable(tables[0].kind, np.concatenate(values, axis=1), mask)


def cell_reading(inputs: Inputs, config: FeatureConfig, *, unit: bool = False) -> Reading:
    """What `config.cell_features` says of the cell lines of a model's inputs."""
    return _reading(inputs, config, EntityKind.cell_line, unit=unit)


def drug_reading(inputs: Inputs, config: FeaturesConfig) -> Reading:
    """What `config.drug_features` says of the drugs of a model's inputs."""
    return _reading(inputs, config, EntityKind.drug)


def _reading(inputs: Inputs, config: FeatureConfig, kind: EntityKind, *, unit: bool = False) -> Reading:
    known = {name for name, table in inputs.features.items() if table.mask.any()}
    return Reading.fit(inputs, kind, "+".join(config.read(kind, known.__contains__)), unit=unit)


def _of_vectors(kind: EntityKind, vectors: Mapping[str, Vectors], *, numbers: bool) -> FeatureTable:
    what = kind.value.replace("_", " ")
    chosen = [one for one in vectors.values() if one.columns or not numbers]
    if not chosen:
        raise InputError(
            f"no store brings {'numbers' if numbers else 'vectors'} of any {what}, and the "
            f"{PANEL if numbers else PROFILE} is to be read",
            remedy="Name one that does with --store, or read something else of it.",
        )
    values, known = side_by_side(chosen)
    return FeatureTable(kind, np.where(known[:, None], values, 0), known)


def _checked(name: str, table: FeatureTable, kind: EntityKind) -> FeatureTable:
    what = kind.value.replace("_", " ")
    if table.kind is not kind or not isinstance(table, FeatureTable) or table.values.ndim < 2:
        raise UsageError(f"the feature '{name}' is not one row of numbers for each {what}")
    if not np.isfinite(table.values).all():
        raise InputError(
            f"the feature '{name}' holds values that are not finite",
            remedy="Import the data set with another table for it, or with this one under another name.",
        )
    return table
