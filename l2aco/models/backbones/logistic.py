"""Logistic: logistic regression on what is read of both drugs, added, and of the cell line.

It holds no interaction of a drug with a line: in every line it ranks pairs alike. What it reaches is what drugs and
lines are like on their own, which any other model has to beat.

Shapes: columns (rows, F + G) of a sum of fingerprints and a cell line -> logits (rows,).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from l2aco.files import refuse_not_finite
from l2aco.models.classical import Classical, ClassicalConfig
from l2aco.models.config import BackboneConfig
from l2aco.models.estimator import Array
from l2aco.models.inputs import Inputs


class LogisticConfig(ClassicalConfig):
    strength: float = Field(default=0.1, gt=0)
    """Inverse of the penalty of squared weights, of standardised columns (C of scikit-learn)."""


class Logistic(Classical):
    """See the module."""

    Config: ClassVar[type[BackboneConfig]] = LogisticConfig
    citation: ClassVar[str] = "Cox. The regression analysis of binary sequences. 1958."

    @staticmethod
    def paired(first: Array, second: Array) -> Array:
        return first + second

    @classmethod
    def learn(cls, x: Array, label: Array, config: Any, seed: int) -> dict[str, Array]:
        from sklearn.linear_model import LogisticRegression

        mean, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
        scale = np.where(spread > 1e-9, spread, np.inf)
        fitted = LogisticRegression(C=config.strength, max_iter=1000).fit((x - mean) / scale, label)
        weight = fitted.coef_[0] / scale
        return {"weight": weight, "bias": np.array(fitted.intercept_[0] - mean @ weight)}

    @classmethod
    def restore(cls, inputs: Inputs, config: Any, arrays: Mapping[str, Array]) -> Self:
        restored = super().restore(inputs, config, arrays)
        refuse_not_finite(restored.learned)
        return restored

    def asked(self, x: Array) -> Array:
        from scipy.special import expit

        return np.asarray(expit(x @ self.learned["weight"] + self.learned["bias"]))
