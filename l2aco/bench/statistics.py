"""Measures of scored rows, and how sure they are: what was held out is drawn again with replacement.

Rows of a cell line are not independent, and neither are seeds and folds of one data set. So a line (or a drug, where
drugs were held out) is drawn with all its rows in all seeds and folds, for all predictors alike: they are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
LineMeasure = Callable[[Array, Array], float]
DRAWS = 2000
DRAWS_AT_ONCE = 256
CONFIDENCE = 0.95
POWER = 0.8


@dataclass(frozen=True)
class Rows:
    """Test rows of all seeds and folds of one data set and setting, one behind the other, as arrays (n,).

    seed, fold: of the split. group: the number of what is drawn again (a cell line, or the drug that was held out), in
    0 .. groups - 1. line, pair: numbers of the cell line and of the pair. label 0 or 1; score: what was measured.
    """

    seed: Array
    fold: Array
    group: Array
    line: Array
    pair: Array
    label: Array
    score: Array

    def __len__(self) -> int:
        return len(self.label)

    @property
    def groups(self) -> int:
        return int(self.group.max()) + 1

    def take(self, at: Array) -> Rows:
        """Some of the rows: their numbers, or a mask (n,)."""
        return Rows(*(getattr(self, name)[at] for name in Rows.__dataclass_fields__))

    @cached_property
    def splits(self) -> list[Array]:
        """The rows of every seed and fold."""
        _, split = np.unique(self.seed * (self.fold.max() + 1) + self.fold, return_inverse=True)
        order = np.argsort(split, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(split[order])) + 1)


def resampled(groups: int, draws: int = DRAWS, seed: int = 0) -> Array:
    """float64 (1 + draws, groups): how often each group is drawn; the first row is the data as they are."""
    drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=draws)
    return np.vstack([np.ones(groups), drawn]).astype(np.float64)


def auroc(rows: Rows, prediction: Array, weights: Array) -> Array:
    """(w,): AUROC of pooled rows, the mean over seeds and folds, for every row of `weights` (w, groups)."""
    found = np.stack([_auroc_of_split(rows, at, prediction, weights) for at in rows.splits])
    return _mean(found)


def _auroc_of_split(rows: Rows, at: Array, prediction: Array, weights: Array) -> Array:
    """A pair of a positive and a negative row counts as the product of their groups' weights, so that the pairs need to
    be counted by groups once alone."""
    names, group = np.unique(rows.group[at], return_inverse=True)
    value, positive = prediction[at], rows.label[at] == 1
    own, counts = group[positive], np.zeros((len(names), len(names)))
    for other in range(len(names)):
        negatives = np.sort(value[~positive & (group == other)])
        below = np.searchsorted(negatives, value[positive], "left") + np.searchsorted(
            negatives, value[positive], "right"
        )
        counts[:, other] = np.bincount(own, below / 2, minlength=len(names))
    drawn = weights[:, names]
    won = np.einsum("wi,ij,wj->w", drawn, counts, drawn, optimize=True)
    total = (drawn @ np.bincount(own, minlength=len(names))) * (
        drawn @ np.bincount(group[~positive], minlength=len(names))
    )
    return np.divide(won, total, out=np.full(len(won), np.nan), where=total > 0)


def macro_auroc(rows: Rows, prediction: Array, weights: Array) -> Array:
    """(w,): AUROC within a cell line, the mean over lines that hold both labels (seeds averaged first)."""
    return _over_lines(rows, prediction, weights, _plain_auroc)


def ndcg(rows: Rows, prediction: Array, weights: Array) -> Array:
    """(w,): NDCG at 20 of the pairs of a line, their labels the gain, the mean over lines."""
    return _over_lines(rows, prediction, weights, _line_ndcg)


def auroc_of_splits(rows: Rows, prediction: Array) -> float:
    """AUROC of pooled rows, the mean over the splits where both labels are: `auroc` of the data as they are."""
    found = [_plain_auroc(rows.label[at], prediction[at]) for at in rows.splits]
    known = [value for value in found if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def auroc_of_lines(rows: Rows, prediction: Array) -> dict[int, float]:
    """AUROC within each cell line that holds both labels, by its number: the mean over the splits that test it."""
    found: dict[int, list[float]] = {}
    for at, value in _within_lines(rows, prediction, _plain_auroc):
        found.setdefault(int(rows.line[at]), []).append(value)
    return {line: float(np.mean(values)) for line, values in sorted(found.items())}


def _over_lines(rows: Rows, prediction: Array, weights: Array, measure: LineMeasure) -> Array:
    total, count = np.zeros(rows.groups), np.zeros(rows.groups)
    for at, value in _within_lines(rows, prediction, measure):
        group = rows.group[at]
        total[group], count[group] = total[group] + value, count[group] + 1
    known = count > 0
    mean = total[known] / count[known]
    sums = weights[:, known].sum(axis=1)
    return np.divide(weights[:, known] @ mean, sums, out=np.full(len(sums), np.nan), where=sums > 0)


def _within_lines(rows: Rows, prediction: Array, measure: LineMeasure) -> Iterator[tuple[int, float]]:
    """A row of each line of each split, and the measure of all rows of that line there, where it is defined."""
    for at in rows.splits:
        order = at[np.argsort(rows.line[at], kind="stable")]
        for of_line in np.split(order, np.flatnonzero(np.diff(rows.line[order])) + 1):
            value = measure(rows.label[of_line], prediction[of_line])
            if not np.isnan(value):
                yield int(of_line[0]), value


def _plain_auroc(label: Array, value: Array) -> float:
    from scipy.stats import rankdata

    positives = int(label.sum())
    if positives in (0, len(label)):
        return float("nan")
    ranks = rankdata(value)[label == 1].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(label) - positives)))


def _line_ndcg(label: Array, value: Array, k: int = 20) -> float:
    from sklearn.metrics import ndcg_score

    if len(label) < 2 or not label.any():
        return float("nan")
    return float(ndcg_score(label[None], value[None], k=k))


def pair_correlation(rows: Rows, prediction: Array, weights: Array, fewest: int = 5) -> Array:
    """(w,): correlation of predicted and measured scores of a pair over lines, the mean over pairs with at least
    `fewest` lines, and over seeds. A mean over the other lines is below 0: where a line is high, the others are low."""
    if len(weights) > DRAWS_AT_ONCE:  # a table of pairs by draws is held for each moment
        parts = np.array_split(weights, -(-len(weights) // DRAWS_AT_ONCE))
        return np.concatenate([pair_correlation(rows, prediction, part, fewest) for part in parts])
    known = np.isfinite(rows.score)
    found = []
    for seed in np.unique(rows.seed):
        at = np.flatnonzero(known & (rows.seed == seed))
        _, pair, count = np.unique(rows.pair[at], return_inverse=True, return_counts=True)
        often = count[pair] >= fewest
        found.append(_correlations(rows, prediction, weights, at[often], pair[often]))
    return _mean(np.stack(found))


def _correlations(rows: Rows, prediction: Array, weights: Array, at: Array, pair: Array) -> Array:
    if not len(at):
        return np.full(len(weights), np.nan)
    from scipy import sparse

    _, pair = np.unique(pair, return_inverse=True)
    x, y = prediction[at], rows.score[at]
    moments = np.stack([np.ones(len(at)), x, y, x * x, y * y, x * y])
    size = (int(pair.max()) + 1, rows.groups)
    sums = [sparse.csr_array((moment, (pair, rows.group[at])), shape=size) @ weights.T for moment in moments]
    n, sx, sy, sxx, syy, sxy = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        over = sxy - sx * sy / n
        spread_x, spread_y = sxx - sx * sx / n, syy - sy * sy / n
        flat = spread_x <= 1e-10 * np.maximum(sxx, 1e-300)
        value = np.where(flat, 0.0, over / np.sqrt(spread_x * spread_y))
    defined = (n >= 2) & (spread_y > 0) & np.isfinite(value)
    return np.where(defined, value, 0.0).sum(axis=0) / np.maximum(defined.sum(axis=0), 1)


def _mean(values: Array) -> Array:
    """Over the first axis, of what is defined."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


MEASURES = {
    "auroc": auroc,
    "macro_auroc": macro_auroc,
    "ndcg_at_20": ndcg,
    "pair_correlation": pair_correlation,
}


@dataclass(frozen=True)
class Difference:
    """One predictor minus another on the same rows: the value, its interval, its standard error, the share of draws in
    which it is not above 0, and the smallest true difference that would be found four times of five."""

    value: float
    low: float
    high: float
    error: float
    p: float

    @property
    def resolution(self) -> float:
        from scipy.stats import norm

        return float((norm.ppf(CONFIDENCE) + norm.ppf(POWER)) * self.error)


def difference(first: Array, second: Array) -> Difference:
    """From the measures (1 + draws,) of two predictors on the same draws. One-sided p, by the smoothed share."""
    gap = first - second
    drawn = gap[1:][np.isfinite(gap[1:])]
    if not len(drawn):
        return Difference(float(gap[0]), float("nan"), float("nan"), float("nan"), 1.0)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    p = (1 + int((drawn <= 0).sum())) / (1 + len(drawn))
    return Difference(float(gap[0]), float(low), float(high), float(drawn.std()), p)


def holm(p: Array) -> Array:
    """p-values (n,) after Holm's correction for there being n claims. Holm. A simple sequentially rejective multiple
    test procedure. Scandinavian Journal of Statistics 1979."""
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected
