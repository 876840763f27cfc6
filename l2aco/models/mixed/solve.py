"""V x = b by conjugate gradients for many right-hand sides, preconditioned by the model without interactions.

scipy's cg takes one right-hand side and multiplies a matrix by a vector at a time; here all that share V go together,
as matrix products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg, sparse

from l2aco.models.mixed.covariance import Covariance, Operator, Rows
from l2aco.models.mixed.terms import NOISE, Term

Array = np.ndarray[Any, np.dtype[Any]]


class Additive:
    """The inverse of s I + pair effects + (intercept, line and drug effects): pairs by their closed form, the others by
    a Cholesky factor of the size lines + drugs + 1 (Woodbury). What interacts counts as part of s."""

    def __init__(self, covariance: Covariance, variances: dict[str, float]) -> None:
        rows = covariance.of
        self.noise = variances[NOISE]
        size = {"pair": 0.0, "drug": 0.0, "all": 0.0, "one": 0.0}
        for term in covariance.terms:
            kind, main = _part(term)
            diagonal = covariance.diagonal(term) * variances[str(term)]
            if main:
                size[kind] += diagonal
            else:
                self.noise += diagonal * (2.0 if kind == "drug" else 1.0)
        pairs, effects = _design(rows)
        self.pairs, self.pairs_back = pairs, sparse.csr_array(pairs.T)
        self.effects, self.effects_back = effects, sparse.csr_array(effects.T)
        count = np.asarray(self.pairs_back.sum(axis=1)).ravel()
        self.shrink = (size["pair"] / (self.noise + size["pair"] * count))[:, None]
        prior = np.concatenate([[size["one"]], np.full(rows.lines, size["all"]), np.full(rows.drugs, size["drug"])])
        of_pairs = self.pairs_back @ effects
        gram = (self.effects_back @ effects - of_pairs.T @ (of_pairs * self.shrink)).toarray() / self.noise
        gram[np.diag_indices(len(prior))] += 1.0 / np.maximum(prior, 1e-9)
        self.factor = linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)

    def __call__(self, x: Array) -> Array:
        first = self._without_effects(x)
        found = linalg.cho_solve(self.factor, self.effects_back @ first, check_finite=False)
        return first - self._without_effects(self.effects @ found)

    def _without_effects(self, x: Array) -> Array:
        return (x - self.pairs @ (self.shrink * (self.pairs_back @ x))) / self.noise


def solve(
    operator: Operator,
    precondition: Callable[[Array], Array],
    right: Array,
    *,
    start: Array | None = None,
    tolerance: float = 1e-8,
    iterations: int = 500,
) -> Array:
    """x (n, m) with V x = right (n, m), to `tolerance` x the length of each right-hand side; `start`: a first guess."""
    x = np.zeros_like(right) if start is None else start.copy()
    residual = right.copy() if start is None else right - operator(x)
    limit = tolerance * np.linalg.norm(right, axis=0)
    direction, fall = np.zeros_like(right), np.ones(right.shape[1])
    for _ in range(iterations):
        going = np.linalg.norm(residual, axis=0) > limit
        if not going.any():
            break
        steep = precondition(residual)
        steepness = np.einsum("nm,nm->m", residual, steep)
        direction = steep + direction * (steepness / fall)
        image = operator(direction)
        step = np.where(going, steepness / np.maximum(np.einsum("nm,nm->m", direction, image), 1e-300), 0.0)
        x += direction * step
        residual -= image * step
        fall = np.maximum(steepness, 1e-300)
    return x


def _part(term: Term) -> tuple[str, bool]:
    """Which effect of the additive model the term belongs to, and whether it is a main effect."""
    kind = {"all": "all", "drug": "drug", "pair": "pair", "partner": "pair"}[term.left.partition(":")[0]]
    if kind == "all":
        return ("one" if term.right == "one" else "all"), True
    return kind, term.right == "one"


def _design(rows: Rows) -> tuple[sparse.csr_array, sparse.csr_array]:
    """One-hot pairs (n, pairs), and intercept, lines and both drugs (n, 1 + lines + drugs)."""
    n = len(rows)
    _, group = np.unique(rows.pair_keys, return_inverse=True)
    pairs = sparse.csr_array((np.ones(n), group, np.arange(n + 1)), shape=(n, int(group.max()) + 1))
    first = 1 + rows.lines
    columns = np.stack([np.zeros(n, np.int64), 1 + rows.c, first + rows.a, first + rows.b], axis=1)
    shape = (n, first + rows.drugs)
    effects = sparse.csr_array((np.ones(4 * n), columns.ravel(), np.arange(n + 1) * 4), shape=shape)
    effects.sum_duplicates()
    return pairs, effects
