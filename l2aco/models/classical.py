"""What logistic regression, random forest and gradient boosting share: columns that do not depend on the order of the
drugs, of features (fingerprints, and what is read of a cell line), of profile vectors, or of who is who. No torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from l2aco.data.features.base import ONE_HOT
from l2aco.data.features.table import FeatureTable
from l2aco.data.triples import Triples
from l2aco.files import part_of, under
from l2aco.models.config import CELL_FEATURES, BackboneConfig, FeaturesConfig
from l2aco.models.estimator import Array, Estimator
from l2aco.models.inputs import Inputs
from l2aco.models.reading import Reading, cell_reading, drug_reading
from l2aco.progress import Progress, Silent

PIECE = 8192
"""Rows scored at a time: their columns are written out."""


class ClassicalConfig(FeaturesConfig):
    usual_drugs: ClassVar[tuple[str, ...]] = ("morgan",)
    components: int = Field(default=64, ge=1)
    """Principal components of what is read of the cell lines in training, where it is more numbers than that; who is
    who (one_hot) stays whole."""


@dataclass(frozen=True)
class Rows:
    """What training held: int64 (n,) rows of drugs and cell lines, int8 (n,) labels."""

    a: Array
    b: Array
    c: Array
    label: Array

    @classmethod
    def of(cls, triples: Triples) -> Self:
        return cls(triples.drug_a, triples.drug_b, triples.cell_line, triples.label)

    def and_of(self, more: Self) -> Self:
        return type(self)(*(np.concatenate([getattr(self, name), getattr(more, name)]) for name in vars(self)))


@dataclass(frozen=True)
class Classical(Estimator):
    """A predictor of scikit-learn that learns from one row of columns a triple, and is fitted again to take rows up."""

    Config: ClassVar[type[BackboneConfig]] = ClassicalConfig
    unread: ClassVar[str] = "it takes the average of the others for them"
    uses: ClassVar[frozenset[str]] = frozenset({*CELL_FEATURES, *ClassicalConfig.usual_drugs})

    inputs: Inputs
    config: ClassicalConfig
    seed: int
    rows: Rows
    learned: Mapping[str, Array]
    newcomers: Inputs | None = None

    @classmethod
    @abstractmethod
    def learn(cls, x: Array, label: Array, config: Any, seed: int) -> dict[str, Array]:
        """What is learned from columns x float32 (n, p) and labels 0/1 (n,)."""

    @abstractmethod
    def asked(self, x: Array) -> Array:
        """float64 (n,): probabilities of columns x (n, p)."""

    @staticmethod
    def paired(first: Array, second: Array) -> Array:
        """Columns (n, 2 F) of two drugs (n, F) in either order: the smaller and the larger of each number."""
        return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)

    @classmethod
    def fit(
        cls, inputs: Inputs, config: Any, triples: Triples, *, seed: int = 0, progress: Progress = Silent()
    ) -> Self:
        with progress.task(f"fitting {cls.__name__}"):
            return cls(inputs, config, seed, Rows.of(triples), {})._learned()

    def refit(self, triples: Triples) -> Self:
        return replace(self, rows=self.rows.and_of(Rows.of(triples)))._learned()

    def _learned(self) -> Self:
        rows = self.rows
        x = self._columns(rows.a, rows.b, rows.c)
        return replace(self, learned=self.learn(x, rows.label, self.config, self.seed))

    def admit(self, newcomers: Inputs) -> Self:
        return replace(self, newcomers=newcomers)

    def probabilities(self, a: Array, b: Array, c: Array) -> Array:
        pieces = [slice(at, at + PIECE) for at in range(0, len(a), PIECE)]
        return np.concatenate([np.empty(0), *(self.asked(self._columns(a[at], b[at], c[at])) for at in pieces)])

    def _columns(self, a: Array, b: Array, c: Array) -> Array:
        drugs, lines = self._drugs, self._lines
        return np.concatenate([self.paired(drugs[a], drugs[b]), lines[c]], axis=1)

    @cached_property
    def _readings(self) -> tuple[Reading, Reading]:
        return drug_reading(self.inputs, self.config), cell_reading(self.inputs, self.config)

    @cached_property
    def _drugs(self) -> Array:
        return self._of(self._readings[0], self.inputs.train_drugs)

    @cached_property
    def _lines(self) -> Array:
        reading, trained = self._readings[1], self.inputs.train_cells
        values = self._of(reading, trained)
        if reading.source == ONE_HOT or values.shape[1] <= self.config.components:
            return values
        return _components(values, values[: self.inputs.num_cells] if trained is None else values[trained], self.config)

    def _of(self, reading: Reading, trained: Array | None) -> Array:
        """float32 (n, F) of all entities of a kind, newcomers behind; one of whom nothing is known is as those in
        training are on average."""
        tables = [reading.of(inputs) for inputs in (self.inputs, self.newcomers) if inputs is not None]
        usual = _average(tables[0], trained)
        return np.concatenate([np.where(table.mask[:, None], table.values, usual) for table in tables]).astype(
            np.float32
        )

    def arrays(self) -> dict[str, Array]:
        return {**under("rows", vars(self.rows)), "seed": np.array(self.seed), **under("learned", self.learned)}

    @classmethod
    def restore(cls, inputs: Inputs, config: Any, arrays: Mapping[str, Array]) -> Self:
        rows = Rows(**part_of("rows", arrays))
        return cls(inputs, config, int(arrays["seed"]), rows, part_of("learned", arrays))

    def facts(self) -> dict[str, Any]:
        """What was read of drugs and of cell lines."""
        drugs, lines = self._readings
        return {"drug_features": drugs.source, "cell_features": lines.source}


def _components(values: Array, trained: Array, config: ClassicalConfig) -> Array:
    """float32 (n, k) of (n, F): the principal components of (m, F) in training. Those along which the lines in training
    differ by rounding alone are left out: m lines have m - 1, and another line may lie anywhere beside them."""
    centre = trained.mean(axis=0, dtype=np.float64)
    _, spread, axes = np.linalg.svd(trained - centre, full_matrices=False)
    kept = spread > spread.max() * max(trained.shape) * np.finfo(np.float32).eps  # as numpy's matrix_rank
    return np.asarray((values - centre) @ axes[kept][: config.components].T, dtype=np.float32)


def _average(table: FeatureTable, trained: Array | None) -> Array:
    """(F,): of the entities in training of whom something is known."""
    rows = np.arange(len(table.mask)) if trained is None else np.unique(trained)
    known = table.values[rows[table.mask[rows]]]
    return known.mean(axis=0) if len(known) else np.zeros(table.values.shape[1])
