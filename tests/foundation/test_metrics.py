"""Metrics agree with scikit-learn, say their direction, and are NaN where they mean nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from l2aco.errors import UnknownNameError
from l2aco.metrics import METRICS, best_threshold, compute, get_metric, precision_at

ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=4, max_size=60).filter(
    lambda rows: 0 < sum(label for label, _ in rows) < len(rows)
)


@given(ROWS)
def test_agrees_with_scikit_learn(rows: list[tuple[int, int]]) -> None:
    y, p = np.array([r[0] for r in rows]), np.array([r[1] / 20 for r in rows])
    called = (p >= 0.5).astype(int)
    ours = compute(y, p)
    expected = {
        "auroc": reference.roc_auc_score(y, p),
        "auprc": reference.average_precision_score(y, p),
        "accuracy": reference.accuracy_score(y, called),
        "balanced_accuracy": reference.balanced_accuracy_score(y, called),
        "recall": reference.recall_score(y, called),
        "brier": reference.brier_score_loss(y, p),
    }
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, abs=1e-12), name
    for name, function in {
        "mcc": reference.matthews_corrcoef,
        "kappa": reference.cohen_kappa_score,
        "f1": reference.f1_score,
        "precision": reference.precision_score,
    }.items():
        if not math.isnan(ours[name]):
            assert ours[name] == pytest.approx(function(y, called), abs=1e-12), name
    for name, value in ours.items():
        assert math.isnan(value) or METRICS[name].low - 1e-12 <= value <= METRICS[name].high + 1e-12, name


def test_one_class_is_nan_not_a_crash() -> None:
    values = compute(np.ones(5), np.linspace(0, 1, 5))
    assert math.isnan(values["auroc"])
    assert values["accuracy"] == pytest.approx(0.6)


def test_direction_is_read_from_the_metric() -> None:
    assert get_metric("AUROC").better(0.8, 0.7)
    assert get_metric("brier").better(0.1, 0.2)
    assert not get_metric("auroc").better(math.nan, 0.1)
    assert get_metric("auroc").better(0.1, math.nan)
    with pytest.raises(UnknownNameError, match="auroc"):
        get_metric("aurok")


def test_threshold_separates_what_can_be_separated() -> None:
    y, p = np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.15, 0.2, 0.3, 0.35])
    assert compute(y, p, threshold=best_threshold(y, p))["balanced_accuracy"] == 1.0
    assert best_threshold(np.ones(3), np.ones(3)) == 0.5


def test_precision_at_counts_the_top() -> None:
    assert precision_at(np.array([1, 0, 1, 1]), np.array([0.9, 0.8, 0.1, 0.7]), 3) == pytest.approx(2 / 3)
