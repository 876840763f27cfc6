"""A predictor as a recommender of pairs for a cell line, and as one that may abstain."""

from __future__ import annotations

from typing import Any

import numpy as np

from l2aco.metrics import by_group, ndcg_curve

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
    found = np.cumsum(label[np.argsort(-value, kind="stable")])
    counts = np.minimum(TOPS, len(label))
    precision = found[counts - 1] / counts
    ndcg = ndcg_curve(label, value)[counts - 1]
    return np.stack([precision, found[counts - 1] / positives, ndcg, precision * len(label) / positives], axis=1)


def ranking(label: Array, value: Array, line: Array) -> list[dict[str, float]]:
    """For every k of `TOPS` the means over the cell lines that hold both labels, `lines` of them. Arrays (n,)."""
    found = [top(label[at], value[at]) for at in by_group(line) if 0 < label[at].sum() < len(at)]
    means = np.mean(found, axis=0) if found else np.full((len(TOPS), len(NAMES)), np.nan)
    return [
        {"k": k, "lines": len(found)} | dict(zip(NAMES, row, strict=True))
        for k, row in zip(TOPS, means.tolist(), strict=True)
    ]


def risk_coverage(label: Array, value: Array) -> list[dict[str, float]]:
    """What abstaining buys: of the share `coverage` of the rows whose probability is the furthest from a half, `error`
    is the share whose label lies on its other side."""
    order = np.argsort(-np.abs(value - 0.5), kind="stable")
    wrong = np.cumsum((value[order] >= 0.5) != (label[order] == 1))
    counts = [max(1, round(share * len(label))) for share in COVERAGES] if len(label) else []
    return [
        {"coverage": share, "rows": count, "error": float(wrong[count - 1] / count)}
        for share, count in zip(COVERAGES, counts, strict=False)
    ]


def calibration(label: Array, value: Array) -> list[dict[str, float]]:
    """By tenths of the rows, the least probable first: the mean probability and the share of positives."""
    parts = np.array_split(np.argsort(value, kind="stable"), BINS)
    return [
        {"rows": len(at), "predicted": float(value[at].mean()), "observed": float(label[at].mean())}
        for at in parts
        if len(at)
    ]
