"""Measures of scored rows, and how sure they are: what was held out is drawn again with replacement.

Rows of a cell line are not independent, and neither are seeds and folds of one data set. So a line (or a drug, where
drugs were held out) is drawn with all its rows in all seeds and folds, for all predictors alike: they are paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, wraps

import numpy as np

from l2aco.bench.pairs import FEWEST, pair_correlation
from l2aco.bench.rows import Array, Measure, Rows
from l2aco.metrics import auroc as plain_auroc
from l2aco.metrics import ndcg_at

LineMeasure = Callable[[Array, Array], float]
DRAWS = 2000
AT_ONCE = 2**13
"""Numbers of a table that is counted from: several such stay in a processor's cache."""
CONFIDENCE = 0.95
POWER = 0.8
FEWEST_GROUPS = 10
"""Of what is drawn again: an interval from fewer is narrower than it says."""


def few(groups: int, what: str) -> str:
    """A caution where so many of what is drawn again are too few; else nothing."""
    return f"Of {groups} {what} no interval can be trusted." if groups < FEWEST_GROUPS else ""


def resampled(groups: int, draws: int = DRAWS, seed: int = 0) -> Array:
    """float64 (1 + draws, groups): how often each group is drawn; the first row is the data as they are."""
    drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=draws)
    return np.vstack([np.ones(groups), drawn]).astype(np.float64)


def _of_each(measure: Measure) -> Measure:
    """Of one prediction (n,), (w,); of several (k, n), (k, w)."""

    @wraps(measure)
    def of_each(rows: Rows, prediction: Array, weights: Array) -> Array:
        if prediction.ndim == 1:
            return measure(rows, prediction, weights)
        return np.stack([measure(rows, one, weights) for one in prediction])

    return of_each


@_of_each
def auroc(rows: Rows, prediction: Array, weights: Array) -> Array:
    """(w,): AUROC of pooled rows, the mean over seeds and folds, for every row of `weights` (w, groups)."""
    found = np.stack([_auroc_of_split(rows, at, prediction, weights) for at in rows.splits])
    return _mean(found)


def _auroc_of_split(rows: Rows, at: Array, prediction: Array, weights: Array) -> Array:
    """A pair of a positive and a negative row counts as the product of their groups' weights, so that the pairs need to
    be counted by groups once alone."""
    names, group = np.unique(rows.group[at], return_inverse=True)
    positive = rows.label[at] == 1
    counts = _won(prediction[at], positive, group, len(names))
    drawn = weights[:, names]
    won = ((drawn @ counts) * drawn).sum(axis=1)
    total = (drawn @ np.bincount(group[positive], minlength=len(names))) * (
        drawn @ np.bincount(group[~positive], minlength=len(names))
    )
    return np.divide(won, total, out=np.full(len(won), np.nan), where=total > 0)


def _won(value: Array, positive: Array, group: Array, groups: int) -> Array:
    """(groups, groups): pairs of a positive row of the first and a negative row of the second of which the positive
    one has the higher value; half a pair where both have the same."""
    order = np.argsort(value)
    ordered, kind = value[order], (group + groups * positive)[order]
    level = np.cumsum(np.r_[0, ordered[1:] != ordered[:-1]])
    levels = int(level[-1]) + 1
    counts, below = np.zeros((groups, groups)), np.zeros(groups)
    size = max(64, AT_ONCE // groups)
    for start in range(0, levels, size):
        here = slice(*np.searchsorted(level, [start, start + size]))
        shape = (min(size, levels - start), 2, groups)
        table = np.bincount((level[here] - start) * 2 * groups + kind[here], minlength=math.prod(shape)).reshape(shape)
        negatives, positives = table[:, 0].astype(np.float64), table[:, 1].astype(np.float64)
        upto = below + np.cumsum(negatives, axis=0)
        counts += positives.T @ (upto - negatives / 2)
        below = upto[-1]
    return counts


@_of_each
def macro_auroc(rows: Rows, prediction: Array, weights: Array) -> Array:
    """(w,): AUROC within a cell line, the mean over lines that hold both labels (seeds averaged first)."""
    return _over_lines(rows, prediction, weights, plain_auroc)


@_of_each
def ndcg(rows: Rows, prediction: Array, weights: Array) -> Array:
    """(w,): NDCG at 20 of the pairs of a line, their labels the gain, the mean over lines."""
    return _over_lines(rows, prediction, weights, partial(ndcg_at, k=20))


def auroc_of_splits(rows: Rows, prediction: Array) -> float:
    """AUROC of pooled rows, the mean over the splits where both labels are: `auroc` of the data as they are."""
    found = [plain_auroc(rows.label[at], prediction[at]) for at in rows.splits]
    known = [value for value in found if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def auroc_of_lines(rows: Rows, prediction: Array) -> dict[int, float]:
    """AUROC within each cell line that holds both labels, by its number: the mean over the splits that test it."""
    found: dict[int, list[float]] = {}
    for at, value in _within_lines(rows, prediction, plain_auroc):
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
    for at in rows.lines:
        value = measure(rows.label[at], prediction[at])
        if not np.isnan(value):
            yield int(at[0]), value


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


def measures_of(rows: Rows) -> dict[str, Measure]:
    """The measures that are defined where this was held out: within lines only where lines are drawn again."""
    return MEASURES if rows.drawn == "cell lines" else {"auroc": auroc}


UNDEFINED = {
    "auroc": "no seed and fold has rows of both labels",
    "macro_auroc": "no cell line has rows of both labels",
    "ndcg_at_20": "no cell line has two rows, one of them positive",
    "pair_correlation": f"no pair has scores that differ in {FEWEST} lines",
}
"""Why a measure may be so."""


@dataclass(frozen=True)
class Difference:
    """One predictor minus another on the same rows: the value, its interval, its standard error, p, and the smallest
    true difference that would be found four times of five. NaN is what is not defined.

    p, two-sided: twice the share of draws in which it is not above 0, so that it is above 0.05 where the interval
    reaches down to 0.
    """

    value: float
    low: float
    high: float
    error: float
    p: float

    @property
    def resolution(self) -> float:
        from scipy.stats import norm

        return float((norm.ppf((1 + CONFIDENCE) / 2) + norm.ppf(POWER)) * self.error)


def difference(first: Array, second: Array) -> Difference:
    """From the measures (1 + draws,) of two predictors on the same draws; p by the smoothed share."""
    gap = first - second
    drawn = gap[1:][np.isfinite(gap[1:])]
    if not len(drawn):
        return Difference(float(gap[0]), *[float("nan")] * 4)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    p = 2 * (1 + int((drawn <= 0).sum())) / (1 + len(drawn))
    return Difference(float(gap[0]), float(low), float(high), float(drawn.std()), min(p, 1.0))


def holm(p: Array) -> Array:
    """p-values (n,) after Holm's correction for there being n claims. Holm. A simple sequentially rejective multiple
    test procedure. Scandinavian Journal of Statistics 1979."""
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected
