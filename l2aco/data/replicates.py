"""What repeated measurements say about the noise of the labels: the ceiling that no predictor can pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.labels import UNLABELLED, LabelRule
from l2aco.metrics import compute

if TYPE_CHECKING:
    import polars as pl

DRAWS = 200


def replicate_statistics(replicates: pl.DataFrame, rule: LabelRule, *, seed: int = 0) -> dict[str, Any]:
    """Agreement between two measurements of one triple.

    replicates: drug_a, drug_b, first, second (scores); rule: with bounds, not quantiles, which the repeats alone cannot
    tell. Returns how many there are, their correlation, the share whose labels agree, and the AUROC with which one
    measurement predicts the other's label (None where the rule labels no score), each with a 95% bootstrap interval
    over drug pairs, since the triples of one pair are not independent. Empty where nothing was measured twice.
    """
    if len(replicates) < 2:
        return {}
    first, second = replicates["first"].to_numpy(), replicates["second"].to_numpy()
    pairs = (replicates["drug_a"] + "\n" + replicates["drug_b"]).rank("dense").to_numpy().astype(np.int64) - 1
    if rule.kind == "shipped" and rule.tells_of_scores:
        rule = LabelRule(positive=rule.positive, negative=rule.positive)
    labels = rule.apply(np.concatenate([first, second])).reshape(2, -1)
    values = _statistics(first, second, labels)
    rng = np.random.default_rng(seed)
    number = int(pairs.max()) + 1
    draws: list[dict[str, float]] = []
    for _ in range(DRAWS if number > 1 else 0):
        drawn = np.bincount(rng.integers(number, size=number), minlength=number)
        rows = np.repeat(np.arange(len(pairs)), drawn[pairs])
        draws.append(_statistics(first[rows], second[rows], labels[:, rows]))
    result: dict[str, Any] = {
        "triples": len(replicates),
        "pairs": number,
        "identical_scores": int(np.sum(first == second)),
    }
    for name, value in values.items():
        result[name] = _rounded(value)
        known = [draw[name] for draw in draws if not np.isnan(draw[name])]
        if known:
            low, high = np.quantile(known, [0.025, 0.975])
            result[f"{name}_interval"] = [_rounded(low), _rounded(high)]
    return result


def ceiling(correlation: float, positive_share: float) -> float:
    """The AUROC of a predictor that knows what is measured without its noise, against the label of one measurement: of
    a Gaussian whose repeats correlate so, and whose labels are positive so often."""
    from scipy.stats import norm

    points = norm.ppf((np.arange(4000) + 0.5) / 4000)
    known = np.sqrt(max(correlation, 0.0))
    positive = norm.sf((norm.isf(positive_share) - known * points) / np.sqrt(max(1 - known**2, 1e-12)))
    below = np.cumsum(1 - positive) - (1 - positive) / 2
    return float((positive * below).sum() / (positive.sum() * (1 - positive).sum()))


def _statistics(first: Any, second: Any, labels: Any) -> dict[str, float]:
    both = (labels != UNLABELLED).all(axis=0)
    flat = np.ptp(first) == 0 or np.ptp(second) == 0
    return {
        "correlation": float("nan") if flat else float(np.corrcoef(first, second)[0, 1]),
        "label_agreement": float(np.mean(labels[0, both] == labels[1, both])) if both.any() else float("nan"),
        "auroc_first_from_second": _auroc(labels[0], second),
        "auroc_second_from_first": _auroc(labels[1], first),
    }


def _auroc(label: Any, score: Any) -> float:
    known = label != UNLABELLED
    return compute(label[known], score[known], names=["auroc"])["auroc"]


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
