"""A predictor as a recommender of pairs for a cell line, and as one that may abstain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from l2aco.metrics import ndcg_at

Array = np.ndarray[Any, np.dtype[Any]]
TOPS = (5, 10, 20, 50, 100)
COVERAGES = tuple(step / 10 for step in range(10, 0, -1))
BINS = 10


def top(label: Array, value: Array, k: int) -> dict[str, float]:
    """Of the `k` highest rows of one line: the share that are positive, the share of the positives among them, NDCG,
    and how many times more positives than in as many rows drawn by lot. NaN where the line holds one label alone."""
    positives = int(label.sum())
    if positives in (0, len(label)):
        return dict.fromkeys(("precision", "recall", "ndcg", "enrichment"), float("nan"))
    first = label[np.argsort(-value, kind="stable")[:k]]
    precision = float(first.mean())
    return {
        "precision": precision,
        "recall": float(first.sum() / positives),
        "ndcg": ndcg_at(label, value, k),
        "enrichment": precision * len(label) / positives,
    }


def ranking(label: Array, value: Array, line: Array) -> list[dict[str, float]]:
    """For every k of `TOPS` the means over the cell lines that hold both labels, `lines` of them. Arrays (n,)."""
    parts = [(label[at], value[at]) for at in _of_lines(line)]
    found = []
    for k in TOPS:
        rows = [row for row in (top(*part, k) for part in parts) if not np.isnan(row["ndcg"])]
        means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}
        found.append({"k": k, "lines": len(rows), **means})
    return found


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


def _of_lines(line: Array) -> Iterator[Array]:
    order = np.argsort(line, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(line[order])) + 1)
