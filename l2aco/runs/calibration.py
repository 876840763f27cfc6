"""Platt scaling: two numbers, fitted on validation rows, that turn a model's probabilities into frequencies.

Where validation holds a few cell lines whole, their own level would be taken for the model's error, and carried over to
lines that have another: then the slope alone is fitted, and the mean of the logits stays.

Source: Platt, "Probabilistic outputs for support vector machines" (1999), with his smoothed targets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EDGE = 1e-7
FEW = 30
"""Groups that are held out whole, below which validation says too little of a level."""


@dataclass(frozen=True)
class Calibration:
    """p -> sigmoid(slope x logit(p) + intercept); slope 1 and intercept 0 change nothing."""

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float64 (n,), in the same order of rank; within 1e-7 of 0 or 1 they are equal."""
        return 1 / (1 + np.exp(-(self.slope * logit(probabilities) + self.intercept)))


def fit_calibration(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray | None = None) -> Calibration:
    """Fit on labels (n,) of 0/1 and probabilities (n,); the identity where that is impossible.

    groups (n,): what is held out whole, of each row, such as its cell line; where they are few, the slope alone is
    fitted (None: each row is one). Impossible means one class only, or scores that rank validation rows no better than
    chance: a slope that is not positive would turn the ranking round.
    """
    from scipy.optimize import minimize

    y = np.asarray(labels, dtype=np.float64)
    positives, negatives = y.sum(), len(y) - y.sum()
    if not positives or not negatives:
        return Calibration()
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    x = logit(probabilities)
    few = groups is not None and len(np.unique(groups)) < FEW
    middle = float(x.mean()) if few else 0.0

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        z = parameters[0] * (x - middle) + middle + parameters[1]
        error = 1 / (1 + np.exp(-z)) - target
        value = np.mean(np.logaddexp(0, z) - target * z)
        return float(value), np.array([np.mean(error * (x - middle)), 0.0 if few else np.mean(error)])

    slope, shift = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    intercept = middle * (1 - slope) + shift
    if not np.isfinite([slope, intercept]).all() or slope <= 0:
        return Calibration()
    return Calibration(float(slope), float(intercept))


def logit(probabilities: np.ndarray) -> np.ndarray:
    """float64 (n,): of probabilities (n,), which are kept 1e-7 away from 0 and 1."""
    p = np.clip(np.asarray(probabilities, dtype=np.float64), EDGE, 1 - EDGE)
    return np.log(p) - np.log1p(-p)
