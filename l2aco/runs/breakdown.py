"""Test metrics as they are reported: pooled, macro per cell line, by frequency stratum and by tissue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from l2aco.metrics import METRICS, compute, precision_at

TAIL_TRIPLES = 100
"""A cell line with at most this many triples in the whole data set is of the tail (setting long-tail)."""
TOP = 10


def strata(triples_per_line: np.ndarray) -> list[str]:
    """`head`, `middle` or `tail` for every cell line, from its number of triples in the whole data set (Nc,).

    Tail: at most 100 triples. Head: the largest lines that together hold half of all triples. Middle: the rest.
    """
    counts = np.asarray(triples_per_line)
    order = np.argsort(-counts, kind="stable")
    before = np.r_[0, np.cumsum(counts[order])[:-1]]
    head = set(order[before < counts.sum() / 2].tolist())
    return [
        "tail" if count <= TAIL_TRIPLES else "head" if line in head else "middle" for line, count in enumerate(counts)
    ]


def breakdown(
    labels: np.ndarray,
    probabilities: np.ndarray,
    cell_line: np.ndarray,
    *,
    threshold: float,
    groups: Mapping[str, Sequence[str | None]] | None = None,
) -> dict[str, Any]:
    """Every metric for rows (n,): `pooled` at `threshold`, `at_0.5`, `macro`, `per_cell_line`, and each of `groups`.

    `groups` maps a name ("stratum", "tissue") to the group of every cell line (Nc,); None leaves a line out.
    Macro values are means over the cell lines where the metric is defined; `cell_lines` says how many there are.
    """
    lines = np.unique(cell_line)
    per_line = {int(line): _of_line(labels, probabilities, cell_line == line, threshold) for line in lines}
    result: dict[str, Any] = {
        "rows": len(labels),
        "cell_lines": len(lines),
        "positives": int(np.sum(labels)),
        "threshold": threshold,
        "pooled": compute(labels, probabilities, threshold=threshold),
        "at_0.5": compute(labels, probabilities, threshold=0.5),
        "macro": macro(list(per_line.values())),
        "per_cell_line": per_line,
    }
    for name, of_line in (groups or {}).items():
        names = np.array([of_line[line] or "" for line in cell_line], dtype=object)
        result[name] = {
            group: _of_rows(labels, probabilities, names == group, threshold) for group in sorted(set(names) - {""})
        }
    return result


def macro(per_line: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over the cell lines where it is defined; NaN where it is nowhere."""
    names = [*METRICS, f"precision_at_{TOP}"]
    values = {name: np.array([line[name] for line in per_line], dtype=np.float64) for name in names}
    return {name: float(np.nanmean(v)) if np.isfinite(v).any() else float("nan") for name, v in values.items()}


def _of_rows(labels: np.ndarray, probabilities: np.ndarray, chosen: np.ndarray, threshold: float) -> dict[str, Any]:
    y, p = labels[chosen], probabilities[chosen]
    return {"rows": len(y), "positives": int(y.sum()), **compute(y, p, threshold=threshold)}


def _of_line(labels: np.ndarray, probabilities: np.ndarray, chosen: np.ndarray, threshold: float) -> dict[str, Any]:
    row = _of_rows(labels, probabilities, chosen, threshold)
    return row | {f"precision_at_{TOP}": precision_at(labels[chosen], probabilities[chosen], TOP)}
