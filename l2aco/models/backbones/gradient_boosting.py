"""GradientBoosting: histogram gradient boosting on what is read of both drugs and of the cell line.

`Boosted` is another: it reads what mixed models say of a triple.

Shapes: columns (rows, 2 F + G), the smaller and the larger of each number of the drugs -> logits (rows,).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from l2aco.models.classical import Classical, ClassicalConfig
from l2aco.models.config import BackboneConfig
from l2aco.models.estimator import Array
from l2aco.models.trees import Trees


class GradientBoostingConfig(ClassicalConfig):
    iterations: int = Field(default=400, ge=1)
    """Trees."""
    rate: float = Field(default=0.1, gt=0, le=1)
    """Share of a tree that is added."""
    leaves: int = Field(default=31, ge=2)
    """Of a tree."""
    rows_a_leaf: int = Field(default=20, ge=1)
    """At least."""
    l2: float = Field(default=1.0, ge=0)
    """Penalty of the leaves' values."""


class GradientBoosting(Classical):
    """See the module."""

    Config: ClassVar[type[BackboneConfig]] = GradientBoostingConfig
    citation: ClassVar[str] = "Friedman. Greedy function approximation: a gradient boosting machine. 2001."

    @classmethod
    def learn(cls, x: Array, label: Array, config: Any, seed: int) -> dict[str, Array]:
        return Trees.grow(
            x,
            label,
            categories=0,
            max_iter=config.iterations,
            learning_rate=config.rate,
            max_leaf_nodes=config.leaves,
            min_samples_leaf=config.rows_a_leaf,
            l2_regularization=config.l2,
            random_state=seed,
        ).arrays()

    def asked(self, x: Array) -> Array:
        from scipy.special import expit

        return np.asarray(expit(Trees.of_arrays(self.learned).logits(x)))
