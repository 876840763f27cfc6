"""Every metric with its direction, range and unit; shared by training, evaluation and the benchmark.

All functions take `labels` (n,) of 0/1 and `probabilities` (n,) in [0, 1]; threshold metrics also take the
decision threshold. A metric that is undefined for the rows at hand (AUROC with one class) is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from l2aco.errors import UnknownNameError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Metric:
    """`higher` is the direction of better; `low` and `high` the range; `title` what a table heads it with."""

    name: str
    title: str
    higher: bool
    low: float
    high: float
    function: Callable[[Array, Array, float], float]
    unit: str = ""

    def better(self, new: float, old: float, by: float = 0.0) -> bool:
        """Whether `new` improves on `old` by more than `by`; NaN never improves, and loses to any number."""
        if math.isnan(new):
            return False
        if math.isnan(old):
            return True
        return new > old + by if self.higher else new < old - by


def auroc(labels: Array, scores: Array) -> float:
    """Of any scores (n,), such as logits: the share of the pairs of a positive and a negative row where the positive
    one has the higher score, a tie being half; NaN where one class is missing or a score is NaN."""
    positive = labels == 1
    high, low = np.sort(scores[positive]), np.sort(scores[~positive])  # found in order, they are found faster
    if not len(high) or not len(low) or np.isnan([high[-1], low[-1]]).any():  # where NaN stands
        return math.nan
    below = np.searchsorted(low, high, "left").sum() + np.searchsorted(low, high, "right").sum()
    return float(below / (2 * len(high) * len(low)))


def _auroc(y: Array, p: Array, _: float) -> float:
    return auroc(y, p)


def _auprc(y: Array, p: Array, _: float) -> float:
    if not y.any():
        return math.nan
    order = np.argsort(-p, kind="stable")
    sorted_p, hits = p[order], np.cumsum(y[order])
    last = np.r_[np.flatnonzero(np.diff(sorted_p)), len(p) - 1]
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float(np.sum(np.diff(np.r_[0.0, recall]) * precision))


def _confusion(y: Array, p: Array, threshold: float) -> tuple[float, float, float, float]:
    called = p >= threshold
    positive = y == 1
    return (
        float(np.sum(called & positive)),
        float(np.sum(called & ~positive)),
        float(np.sum(~called & positive)),
        float(np.sum(~called & ~positive)),
    )


def _ratio(above: float, below: float) -> float:
    return above / below if below else math.nan


def _accuracy(y: Array, p: Array, t: float) -> float:
    tp, fp, fn, tn = _confusion(y, p, t)
    return _ratio(tp + tn, tp + fp + fn + tn)


def _balanced_accuracy(y: Array, p: Array, t: float) -> float:
    tp, fp, fn, tn = _confusion(y, p, t)
    return (_ratio(tp, tp + fn) + _ratio(tn, tn + fp)) / 2


def _precision(y: Array, p: Array, t: float) -> float:
    tp, fp, _, _ = _confusion(y, p, t)
    return _ratio(tp, tp + fp)


def _recall(y: Array, p: Array, t: float) -> float:
    tp, _, fn, _ = _confusion(y, p, t)
    return _ratio(tp, tp + fn)


def _f1(y: Array, p: Array, t: float) -> float:
    tp, fp, fn, _ = _confusion(y, p, t)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def _mcc(y: Array, p: Array, t: float) -> float:
    tp, fp, fn, tn = _confusion(y, p, t)
    return _ratio(tp * tn - fp * fn, math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))


def _kappa(y: Array, p: Array, t: float) -> float:
    tp, fp, fn, tn = _confusion(y, p, t)
    n = tp + fp + fn + tn
    chance = _ratio((tp + fp) * (tp + fn) + (fn + tn) * (fp + tn), n * n)
    return _ratio((tp + tn) / n - chance, 1 - chance) if n else math.nan


def _brier(y: Array, p: Array, _: float) -> float:
    return float(np.mean((p - y) ** 2)) if len(y) else math.nan


def _calibration_error(y: Array, p: Array, _: float, bins: int = 15) -> float:
    """Expected calibration error over `bins` equal-width bins, weighted by their share of rows."""
    if not len(y):
        return math.nan
    which = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [abs(p[which == b].mean() - y[which == b].mean()) * np.mean(which == b) for b in np.unique(which)]
    return float(np.sum(gaps))


METRICS = {
    metric.name: metric
    for metric in (
        Metric("auroc", "AUROC", True, 0, 1, _auroc),
        Metric("auprc", "AUPRC", True, 0, 1, _auprc),
        Metric("accuracy", "accuracy", True, 0, 1, _accuracy),
        Metric("balanced_accuracy", "balanced accuracy", True, 0, 1, _balanced_accuracy),
        Metric("f1", "F1", True, 0, 1, _f1),
        Metric("precision", "precision", True, 0, 1, _precision),
        Metric("recall", "recall", True, 0, 1, _recall),
        Metric("mcc", "MCC", True, -1, 1, _mcc),
        Metric("kappa", "kappa", True, -1, 1, _kappa),
        Metric("brier", "Brier score", False, 0, 1, _brier),
        Metric("calibration_error", "calibration error", False, 0, 1, _calibration_error),
    )
}


def get_metric(name: str) -> Metric:
    """The metric called `name`; raises UnknownNameError with suggestions."""
    try:
        return METRICS[name.casefold()]
    except KeyError:
        raise UnknownNameError("metric", name, METRICS) from None


def compute(
    labels: Array, probabilities: Array, *, threshold: float = 0.5, names: Iterable[str] | None = None
) -> dict[str, float]:
    """Metrics by name, for labels (n,) and probabilities (n,)."""
    y = np.asarray(labels).astype(np.int64)
    p = np.asarray(probabilities, dtype=np.float64)
    return {name: get_metric(name).function(y, p, threshold) for name in (names or METRICS)}


def best_threshold(labels: Array, probabilities: Array) -> float:
    """The threshold with the highest balanced accuracy on validation rows; 0.5 where one class is missing."""
    y = np.asarray(labels).astype(np.int64)
    p = np.asarray(probabilities, dtype=np.float64)
    positives, negatives = int(y.sum()), int(len(y) - y.sum())
    if not positives or not negatives:
        return 0.5
    order = np.argsort(-p, kind="stable")
    true_positives, false_positives = np.cumsum(y[order]), np.cumsum(1 - y[order])
    last = np.r_[np.flatnonzero(np.diff(p[order])), len(p) - 1]
    gain = true_positives[last] / positives - false_positives[last] / negatives
    return float(p[order][last[int(np.argmax(gain))]])


def by_group(groups: Array) -> list[Array]:
    """The rows of each group, for groups (n,), ascending."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def precision_at(labels: Array, probabilities: Array, k: int) -> float:
    """Share of positives among the `k` highest probabilities (fewer where there are fewer rows), equal ones sharing
    theirs."""
    return float(shared_by_equals(labels, probabilities)[0][:k].mean()) if len(labels) and k > 0 else math.nan


def ndcg_at(labels: Array, probabilities: Array, k: int) -> float:
    """NDCG of the `k` first rows (fewer where there are fewer); NaN where no row is positive, and of a single row."""
    if len(labels) < 2 or not labels.any():
        return math.nan
    return float(ndcg_curve(labels, probabilities)[min(k, len(labels)) - 1])


def ndcg_curve(labels: Array, probabilities: Array) -> Array:
    """(n,): NDCG of the 1, 2, ... n first rows, labels the gain, which rows of equal probability share:
    `sklearn.metrics.ndcg_score`, in a thirtieth of the time. At least one row is positive."""
    return ndcg_of_gain(shared_by_equals(labels, probabilities)[0], int(labels.sum()))


def ndcg_of_gain(gain: Array, positives: int) -> Array:
    """(n,): the same of the gain (n,) of rows that stand in order, the best first, where so many rows are positive."""
    discount = 1 / np.log2(np.arange(2, len(gain) + 2))
    ideal = np.cumsum(discount)[np.minimum(np.arange(len(gain)), positives - 1)]
    return np.asarray(np.cumsum(gain * discount) / ideal)


def shared_by_equals(gain: Array, values: Array) -> tuple[Array, Array]:
    """A gain (n,) in descending order of values (n,), those of equal value sharing theirs evenly, and these values: so
    that nothing hangs on the order in which equal rows came."""
    order = np.argsort(-values)
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    count = np.diff(np.r_[starts, len(values)])
    return np.repeat(np.add.reduceat(gain[order], starts, dtype=np.float64) / count, count), ordered
