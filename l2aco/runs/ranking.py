"""A predictor as a recommender of pairs for a cell line, and as one that may abstain. Rows of equal probability share
what is counted of them, so that their order decides nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from l2aco.metrics import ndcg_of_gain, shared_by_equals

Array = np.ndarray[Any, np.dtype[Any]]
TOPS = (5, 10, 20, 50, 100)
NAMES = ("precision", "recall", "ndcg", "enrichment")
COVERAGES = tuple(step / 10 for step in range(10, 0, -1))
BINS = 10


def top(label: Array, value: Array) -> Array:
    """(tops, 4): of the k highest rows of one line that holds both labels, for every k of `TOPS`: the share that are
    positive, the share of the positives among them, NDCG, and how many times more positives than in as many rows drawn
    by lot."""
    positives = int(label.sum())
    gain, _ = shared_by_equals(label, value)
    found = np.cumsum(gain)
    counts = np.minimum(TOPS, len(label))
    precision = found[counts - 1] / counts
    ndcg = ndcg_of_gain(gain, positives)[counts - 1]
    return np.stack([precision, found[counts - 1] / positives, ndcg, precision * len(label) / positives], axis=1)


def ranking(label: Array, value: Array, lines: Iterable[Array]) -> list[dict[str, float]]:
    """For every k of `TOPS` the means over the cell lines that hold both labels, `lines` of them. Arrays (n,), and the
    rows of each line."""
    found = [top(label[at], value[at]) for at in lines if 0 < label[at].sum() < len(at)]
    means = np.mean(found, axis=0) if found else np.full((len(TOPS), len(NAMES)), np.nan)
    return [
        {"k": k, "lines": len(found)} | dict(zip(NAMES, row, strict=True))
        for k, row in zip(TOPS, means.tolist(), strict=True)
    ]


def risk_coverage(label: Array, value: Array) -> list[dict[str, float]]:
    """What abstaining buys: of the share `coverage` of the rows whose probability is the furthest from a half, `error`
    is the share whose label lies on its other side."""
    if not len(label):
        return []
    wrong = np.cumsum(shared_by_equals((value >= 0.5) != (label == 1), np.abs(value - 0.5))[0])
    counts = [max(1, round(share * len(label))) for share in COVERAGES]
    return [
        {"coverage": share, "rows": count, "error": float(wrong[count - 1] / count)}
        for share, count in zip(COVERAGES, counts, strict=True)
    ]


def calibration(label: Array, value: Array) -> list[dict[str, float]]:
    """By tenths of the rows, the least probable first: the mean probability and the share of positives."""
    if not len(label):
        return []
    observed, predicted = (np.array_split(part[::-1], BINS) for part in shared_by_equals(label, value))
    return [
        {"rows": len(p), "predicted": float(p.mean()), "observed": float(y.mean())}
        for p, y in zip(predicted, observed, strict=True)
        if len(p)
    ]
