"""From what is known of entities (numbers, embeddings) to the factor Phi of a kernel K = Phi Phi^T.

The kernel is Gaussian in the distance of standardised features, exp(-d^2 / w) with w the mean d^2 of the training
entities: a typical two of them have exp(-1), and nothing is left to choose. It is centred, since the constant belongs
to other effects. All of it is fitted on training entities only and applied to any other afterwards (kernel principal
components: Schölkopf, Smola and Müller 1998, Neural Computation 10, 1299).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import linalg

from l2aco.errors import InputError
from l2aco.models.moments import moments

Array = np.ndarray[Any, np.dtype[Any]]
Scaling = Literal["columns", "none"]
RANK = 64
LANDMARKS = 1000


@dataclass(frozen=True)
class FeatureMap:
    """centre, scale (p,): what is taken off each column and what it is divided by (infinite: a column that training
    entities do not tell apart). landmarks (L, p): scaled features that others are compared with. width: w. middle (L,)
    and whole: the kernel's mean of each landmark over the training entities, and of all of those. weights (L, r): from
    centred kernel values to Phi. count: so many landmarks, the first, are training entities, which K is centred on;
    others were added later.
    """

    centre: Array
    scale: Array
    landmarks: Array
    width: float
    middle: Array
    whole: float
    weights: Array
    count: int

    def __call__(self, values: Array) -> tuple[Array, Array]:
        """Phi (n, r) of these entities and `rest` (n,), the part of K's diagonal that Phi leaves out: what the training
        entities do not span, and 1 (their mean) for an entity of which nothing is known (all NaN).

        Raises InputError for other columns than those fitted, or values that are infinite.
        """
        values = check_features(values, len(self.centre))
        known = np.asarray(~np.isnan(values).all(axis=1))
        kernel, diagonal = self._kernel(values)
        phi = np.where(known[:, None], kernel @ self.weights, 0.0)
        rest = np.maximum(diagonal - np.sum(phi**2, axis=1), 0.0)
        return phi, np.where(known, rest, 1.0)

    def _kernel(self, values: Array) -> tuple[Array, Array]:
        """Centred kernel with the landmarks, (n, L), and its diagonal (n,), over the size of the training entities'."""
        raw = _gaussian(_scaled(values, self.centre, self.scale), self.landmarks, self.width)
        mine = raw[:, : self.count].mean(axis=1)
        size = 1.0 - self.whole
        centred = raw - mine[:, None] - self.middle + self.whole
        return centred / size, (1.0 - 2.0 * mine + self.whole) / size

    def widened(self, values: Array) -> FeatureMap:
        """This map with newcomers `values` (k, p) as further landmarks: one that is measured is known whole, as
        training entities are."""
        values = check_features(values, len(self.centre))
        values = values[~np.isnan(values).all(axis=1)]
        scaled = _scaled(values, self.centre, self.scale)
        raw = _gaussian(scaled, self.landmarks[: self.count], self.width)
        grown = replace(
            self,
            landmarks=np.concatenate([self.landmarks, scaled]),
            middle=np.concatenate([self.middle, raw.mean(axis=1)]),
            weights=np.concatenate([self.weights, np.zeros((len(values), self.weights.shape[1]))]),
        )
        kernel, _ = grown._kernel(values)
        phi = kernel @ grown.weights
        size, directions = np.linalg.eigh(kernel[:, len(self.landmarks) :] - phi @ phi.T)
        kept = size > 1e-6
        new = directions[:, kept] / np.sqrt(size[kept])
        old = -self.weights @ (phi.T @ new)
        return replace(grown, weights=np.column_stack([grown.weights, np.concatenate([old, new])]))

    @property
    def rank(self) -> int:
        return int(self.weights.shape[1])


def fit_features(values: Array, rows: Array, *, scaling: Scaling = "columns", rank: int = RANK) -> FeatureMap | None:
    """The map of features `values` (n, p; NaN where unknown) from the training entities `rows` alone.

    scaling: "columns" brings each column to variance 1, "none" leaves them as they are. A missing value takes the
    training mean of its column. At most `rank` directions are kept, of at most 1,000 entities: exact where there are no
    more training entities than `rank`. None where the training entities cannot be told apart: fewer than two are known,
    or all are the same. Raises InputError for values that are infinite or not a matrix.
    """
    values = check_features(values)
    train = values[rows]
    train = train[~np.isnan(train).all(axis=1)]
    if len(train) < 2:
        return None
    centre, spread = moments(train)
    told_apart = spread > 1e-9 * np.maximum(np.abs(centre), 1.0)
    if not told_apart.any():
        return None
    scale = np.where(told_apart, spread if scaling == "columns" else 1.0, np.inf)
    landmarks = _scaled(train, centre, scale)
    if len(landmarks) > LANDMARKS:
        landmarks = landmarks[np.random.default_rng(0).permutation(len(landmarks))[:LANDMARKS]]
    width = 2.0 * float(np.mean(np.sum((landmarks - landmarks.mean(axis=0)) ** 2, axis=1)))
    raw = _gaussian(landmarks, landmarks, width)
    middle, whole = raw.mean(axis=0), float(raw.mean())
    centred = (raw - middle[:, None] - middle + whole) / (1.0 - whole)
    kept = min(rank, len(landmarks))
    size, directions = linalg.eigh(centred, subset_by_index=(len(landmarks) - kept, len(landmarks) - 1))
    real = size > 1e-9 * size[-1]
    weights = (directions[:, real] / np.sqrt(size[real]))[:, ::-1]
    return FeatureMap(centre, scale, landmarks, width, middle, whole, np.ascontiguousarray(weights), len(landmarks))


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


def _scaled(values: Array, centre: Array, scale: Array) -> Array:
    """Centred and scaled copies (n, p), 0 where unknown."""
    return np.nan_to_num((values - centre) / scale, nan=0.0)


def _gaussian(one: Array, other: Array, width: float) -> Array:
    from scipy.spatial.distance import cdist

    return np.exp(-cdist(one, other, "sqeuclidean") / width)
