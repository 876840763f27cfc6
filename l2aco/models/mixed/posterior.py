"""How sure the model is: the variance of a measurement yet to be made, and draws of what it may be.

A draw perturbs and solves (Matheron's rule): effects and noise are drawn from the prior, and what a fit to the drawn
data finds of the drawn effects is taken off. What is left has the posterior's covariance. Parts that training rows say
nothing of (a new line's own effects, a new drug's, what lies outside a kernel's basis) are added exactly, not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from l2aco.models.mixed.says import Asked, say
from l2aco.models.mixed.solve import Additive, solve
from l2aco.models.mixed.state import Entities, State
from l2aco.models.mixed.terms import NOISE, Term

Array = np.ndarray[Any, np.dtype[Any]]
CHUNK = 65_536
ENOUGH = 100
"""Measurements from which the reach of an interval is read."""


@dataclass(frozen=True)
class Draws:
    """deviations: by term, float32 (groups, r, draws), coefficients less their posterior mean."""

    deviations: dict[str, Array]
    count: int


@dataclass(frozen=True)
class Prediction:
    """float64 (n,) each, on the standardised target's scale. variance: of a measurement, noise included."""

    mean: Array
    variance: Array

    def interval(self, share: float = 0.9, tails: Array | None = None) -> tuple[Array, Array]:
        """Lower and upper ends of the central interval that holds `share` of the measurements: as many standard
        deviations from the mean as `tails` says, or as a normal does."""
        from scipy.stats import norm

        far = norm.ppf(0.5 + share / 2.0)
        if tails is not None and len(tails):
            far = np.interp(share, np.linspace(0, 1, len(tails)), tails)
        reach = far * np.sqrt(self.variance)
        return self.mean - reach, self.mean + reach

    def tails(self, y: Array) -> Array:
        """float64 (101,): how many standard deviations from the mean the nearest 0%, 1%, ..., 100% of the measurements
        y (n,) lie, NaN among them left out; (0,) where fewer than 100 are left. A target that is bounded lies nearer
        than a normal would: there 1.5 hold what a normal needs 1.64 for."""
        apart = np.abs(y - self.mean) / np.sqrt(self.variance)
        apart = apart[~np.isnan(apart)]
        return np.quantile(apart, np.linspace(0, 1, 101)) if len(apart) >= ENOUGH else np.zeros(0)

    def above(self, value: float) -> Array:
        """(n,) the probability that a measurement lies above `value`."""
        from scipy.stats import norm

        return norm.sf(value, loc=self.mean, scale=np.sqrt(self.variance))


def draw_posterior(state: State, *, count: int = 32, seed: int = 0, tolerance: float = 1e-4) -> Draws:
    """`count` draws of all coefficients about their mean. One solve of `count` right-hand sides."""
    covariance, rng = state.covariance, np.random.default_rng(seed)
    operator = covariance.at(state.variances)
    precondition = Additive(covariance, operator.variances)
    parts: dict[str, list[Array]] = {str(term): [] for term in state.terms}
    for some in covariance.portions(count):
        size = len(range(count)[some])
        drawn: dict[str, Array] = {}
        data = rng.standard_normal((len(state.rows), size)) * np.sqrt(state.variances[NOISE])
        for term in state.terms:
            left, scale = covariance.left[term.left], np.sqrt(state.variances[str(term)])
            drawn[str(term)] = rng.standard_normal((left.groups, covariance.rank(term), size)) * scale
            data += left.spread(drawn[str(term)], covariance.phi[term.right])
        found = solve(operator, precondition, data, tolerance=tolerance)
        for term in state.terms:
            for known in covariance.left[term.left].collect(found, [covariance.phi[term.right]]):
                deviation = drawn.pop(str(term)) - state.variances[str(term)] * known
                parts[str(term)].append(deviation.astype(np.float32))
    return Draws({name: np.concatenate(some, axis=-1) for name, some in parts.items()}, count)


def predict(
    state: State, draws: Draws, a: Array, b: Array, c: Array, *, drugs: Entities, lines: Entities
) -> Prediction:
    """Mean and variance of a measurement of each triple; arguments as `model.score`."""
    mean, variance = np.empty(len(c)), np.empty(len(c))
    for start in range(0, len(c), CHUNK):
        some = slice(start, start + CHUNK)
        asked = Asked(state, a[some], b[some], c[some], drugs, lines)
        mean[some] = sum(say(asked, term, state.coefficients[str(term)][:, :, None])[:, 0] for term in state.terms)
        deviation = sum(say(asked, term, draws.deviations[str(term)]) for term in state.terms)
        variance[some] = np.mean(np.square(deviation), axis=1) + unlearned(asked) + state.variances[NOISE]
    return Prediction(mean, variance)


def unlearned(asked: Asked) -> Array:
    """(n,): the prior variance of what the training rows say nothing of."""
    total = np.zeros(len(asked.c))
    for term in asked.state.terms:
        seen, new = _amounts(asked, term)
        inside, rest = np.sum(asked.right[term.right] ** 2, axis=1), asked.rest[term.right]
        total += asked.state.variances[str(term)] * (seen * rest[asked.c] + new * (inside + rest)[asked.c])
    return total


def _amounts(asked: Asked, term: Term) -> tuple[Array, Array]:
    """(n,) each: how much of the left side training rows know, and how much is new."""
    kind, _, kernel = term.left.partition(":")
    known = {"a": asked.drugs[asked.a] >= 0, "b": asked.drugs[asked.b] >= 0}
    if kind == "all":
        return np.ones(len(asked.c)), np.zeros(len(asked.c))
    if kind == "pair":
        return (asked.pair >= 0).astype(float), (asked.pair < 0).astype(float)
    if kind == "drug" and not kernel:
        twice = np.where(asked.a == asked.b, 2.0, 1.0)
        seen = known["a"].astype(float) + known["b"]
        return twice * seen, twice * (2.0 - seen)
    psi, beyond = asked.psi[kernel], asked.psi_rest[kernel]
    if kind == "drug":
        return np.sum((psi[asked.a] + psi[asked.b]) ** 2, axis=1), beyond[asked.a] + beyond[asked.b]
    seen, new = np.zeros(len(asked.c)), np.zeros(len(asked.c))
    for of, partner in ((known["a"], asked.b), (known["b"], asked.a)):
        inside = np.sum(psi[partner] ** 2, axis=1)
        seen += np.where(of, inside, 0.0)
        new += beyond[partner] + np.where(of, 0.0, inside)
    return seen, new
