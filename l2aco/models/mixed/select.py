"""Variances of all effects by restricted maximum likelihood: how much a kernel weighs is read off the training rows.

Average-information Newton steps (Gilmour, Thompson and Cullis 1995, Biometrics 51, 1440) in the logarithms of the
variances. The trace in the gradient is the mean over draws from the model itself (García-Cortés et al. 1992): at the
maximum, what the data's residuals V^-1 y carry of each effect equals what simulated data carry. With s draws the error
of a variance by simulation is its standard error over sqrt(s), at any size; the draws stay the same over the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from l2aco.models.mixed.covariance import Covariance, Rows
from l2aco.models.mixed.solve import Additive, solve
from l2aco.models.mixed.terms import INTERCEPT, NOISE

Array = np.ndarray[Any, np.dtype[Any]]
LARGEST_STEP = 1.5
"""Of a logarithm: no variance grows or falls by more than a factor of 4.5 at a time."""
PRIOR = 0.5
"""Curvature added to the information of each logarithm, so that one that the data say nothing of stays where it is."""
SMALLEST = 1e-6
SETTLED = 0.2
"""Twice the logarithm of the likelihood that a step still hopes to gain: no test could tell the two apart."""
TOLERANCE = 1e-3
"""Of the solves: far below the error by simulation."""


@dataclass(frozen=True)
class Selected:
    """variances by term and `noise`; `errors`: the standard error of each one's logarithm; `steps` taken; `settled`:
    whether the last step was small against the errors."""

    variances: dict[str, float]
    errors: dict[str, float]
    steps: int
    settled: bool


def select_variances(
    covariance: Covariance,
    y: Array,
    start: Mapping[str, float],
    *,
    draws: int = 24,
    seed: int = 0,
    steps: int = 30,
    told: Callable[[int, dict[str, float]], None] = lambda step, variances: None,
) -> Selected:
    """The variances (in units of y's own) that make y (n,) likeliest, from `start`; that of the intercept stays.

    told: is called with the number and the variances of each step.
    """
    names = [name for name in start if name != str(INTERCEPT)]
    variances = dict(start)
    guess: Array | None = None
    for step in range(steps):
        told(step, variances)
        gradient, information, guess = _slope(covariance, y, variances, names, draws, seed, guess)
        inverse = np.linalg.inv(information + PRIOR * np.eye(len(names)))
        move = inverse @ gradient
        settled = bool(gradient @ move < SETTLED)
        move *= min(1.0, LARGEST_STEP / max(np.abs(move).max(), 1e-300))
        for name, by in zip(names, move, strict=True):
            variances[name] = max(variances[name] * float(np.exp(by)), SMALLEST)
        if settled:
            break
    errors = np.sqrt(np.diag(inverse))
    return Selected(variances, dict(zip(names, map(float, errors), strict=True)), step + 1, settled)


def _slope(
    covariance: Covariance,
    y: Array,
    variances: dict[str, float],
    names: list[str],
    draws: int,
    seed: int,
    guess: Array | None,
) -> tuple[Array, Array, Array]:
    """Gradient and average information of the logarithms of the variances `names`, and V^-1 of y and of the draws."""
    operator, precondition = covariance.at(variances), Additive(covariance, variances)
    drawn = covariance.draw(np.random.default_rng(seed), variances, draws)
    found = solve(operator, precondition, np.column_stack([y, drawn]), start=guess, tolerance=TOLERANCE)
    alpha, simulated = found[:, :1], found[:, 1:]
    of_data, of_draws = covariance.forms(alpha), covariance.forms(simulated)
    weight = np.array([variances[name] for name in names])
    gradient = 0.5 * weight * np.array([of_data[name] - of_draws[name] for name in names])
    by_name = {str(term): term for term in covariance.terms}
    parts = [alpha if name == NOISE else covariance.one(by_name[name], alpha) for name in names]
    changes = np.concatenate(parts, axis=1) * weight
    information = 0.5 * changes.T @ solve(operator, precondition, changes, tolerance=TOLERANCE)
    return gradient, (information + information.T) / 2.0, found


def some_pairs(rows: Rows, limit: int, seed: int = 0) -> Array:
    """int64: numbers of the rows of so many pairs, drawn at random, as stay within `limit` rows; all where they do. The
    variances of a large data set are read off those, in all of its lines."""
    if len(rows) <= limit:
        return np.arange(len(rows))
    _, group, size = np.unique(rows.pair_keys, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(size))
    taken = order[np.cumsum(size[order]) <= limit]
    return np.flatnonzero(np.isin(group, taken if len(taken) else order[:1]))
