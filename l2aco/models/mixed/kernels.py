"""From what is known of entities (numbers, embeddings) to the factor Phi of a kernel K = Phi Phi^T.

Fitted on training entities only and applied to any other afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from l2aco.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]
Scaling = Literal["columns", "rows"]
RANK = 64


@dataclass(frozen=True)
class FeatureMap:
    """centre, scale (p,): what is taken off each column and what it is divided by (0: a column that training entities
    do not tell apart, left out). basis (p, r): the leading r directions of the training entities. unit: whether rows
    are brought to length 1 after centring (a cosine kernel), instead of columns to variance 1. size: the root mean
    square length of a training row, so that K has a mean diagonal of 1 over the training entities.
    """

    centre: Array
    scale: Array
    basis: Array
    size: float
    unit: bool

    @property
    def rank(self) -> int:
        return int(self.basis.shape[1])

    def __call__(self, values: Array) -> tuple[Array, Array]:
        """Phi (n, r) of these entities and `rest` (n,), the part of K's diagonal that Phi leaves out: what lies outside
        the basis, and 1 (the mean of the training entities) for an entity of which nothing is known (all NaN).

        Raises InputError for other columns than those fitted, or values that are infinite.
        """
        scaled, known = _scaled(check_features(values, len(self.centre)), self.centre, self.scale, self.unit)
        scaled /= self.size
        phi = scaled @ self.basis
        rest = np.maximum(np.sum(scaled**2, axis=1) - np.sum(phi**2, axis=1), 0.0)
        return phi, np.where(known, rest, 1.0)

    def widened(self, values: Array) -> tuple[FeatureMap, Array]:
        """This map with the directions that newcomers `values` (k, p) add to the basis, and their Phi (k, r) in it: a
        newcomer that is measured is known whole, as training entities are."""
        scaled, _ = _scaled(check_features(values, len(self.centre)), self.centre, self.scale, self.unit)
        scaled /= self.size
        _, singular, beyond = np.linalg.svd(scaled - scaled @ self.basis @ self.basis.T, full_matrices=False)
        basis = np.concatenate([self.basis, beyond[singular > 1e-6].T], axis=1)
        return replace(self, basis=basis), scaled @ basis


def fit_features(values: Array, rows: Array, *, scaling: Scaling = "columns", rank: int = RANK) -> FeatureMap | None:
    """The map of features `values` (n, p; NaN where unknown) from the training entities `rows` alone.

    scaling: "columns" standardises each column (numbers of different kinds), "rows" brings each centred row to length 1
    (embeddings). A missing value takes the training mean of its column. At most `rank` directions are kept: exact where
    there are no more training entities than that. None where the training entities cannot be told apart: fewer than two
    are known, or all are the same. Raises InputError for values that are infinite or not a matrix.
    """
    values = check_features(values)
    train = values[rows]
    train = train[~np.isnan(train).all(axis=1)]
    if len(train) < 2:
        return None
    present = ~np.isnan(train)
    count = np.maximum(present.sum(axis=0), 1)
    centre = np.where(present, train, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(present, train - centre, 0.0) ** 2).sum(axis=0) / count)
    told_apart = spread > 1e-9 * np.maximum(np.abs(centre), 1.0)
    if not told_apart.any():
        return None
    unit = scaling == "rows"
    scale = np.where(told_apart, 1.0 if unit else spread, 0.0)
    scaled, _ = _scaled(train, centre, scale, unit)
    size = float(np.sqrt(np.mean(np.sum(scaled**2, axis=1))))
    _, singular, basis = np.linalg.svd(scaled, full_matrices=False)
    kept = min(rank, int(np.sum(singular > 1e-9 * singular[0])))
    return FeatureMap(centre, scale, np.ascontiguousarray(basis[:kept].T), size, unit)


def check_features(values: Array, columns: int | None = None) -> Array:
    """`values` as float64 (n, p); raises InputError where they are not that."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or (columns is not None and values.shape[1] != columns):
        wanted = f"(n, {columns})" if columns is not None else "(n, p)"
        raise InputError(
            f"the features of a kernel have the shape {values.shape}, not {wanted}",
            remedy="Give every entity the same columns, those that the model was fitted with.",
        )
    if np.isinf(values).any():
        raise InputError(
            "the features of a kernel hold infinite values", remedy="Leave a value that is not known empty (NaN)."
        )
    return values


def _scaled(values: Array, centre: Array, scale: Array, unit: bool) -> tuple[Array, Array]:
    """Centred and scaled copies (n, p) with 0 where unknown, and bool (n,): of whom anything is known."""
    known = np.asarray(~np.isnan(values).all(axis=1))
    scaled = np.divide(values - centre, scale, out=np.zeros_like(values), where=scale > 0)
    scaled = np.nan_to_num(scaled, nan=0.0)
    if unit:
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        scaled = np.divide(scaled, length, out=np.zeros_like(scaled), where=length > 0)
    return scaled, known
