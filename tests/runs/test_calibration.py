"""Platt scaling and the breakdown of test metrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2aco.metrics import compute
from l2aco.runs.breakdown import breakdown, strata
from l2aco.runs.calibration import Calibration, fit_calibration


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_an_overconfident_model_is_brought_back_to_the_frequencies():
    rng = np.random.default_rng(0)
    logit = rng.normal(size=20_000)
    labels = (rng.random(20_000) < sigmoid(logit - 0.5)).astype(int)
    claimed = sigmoid(3 * logit)
    calibration = fit_calibration(labels, claimed)
    assert calibration.slope == pytest.approx(1 / 3, abs=0.02)
    assert calibration.intercept == pytest.approx(-0.5, abs=0.05)
    before, after = compute(labels, claimed), compute(labels, calibration.apply(claimed))
    assert after["calibration_error"] < 0.02 < before["calibration_error"]
    assert after["auroc"] == before["auroc"]


@pytest.mark.parametrize(
    ("labels", "claimed"),
    [
        (np.ones(10), np.linspace(0.1, 0.9, 10)),  # one class
        (np.arange(10) < 5, np.linspace(0.1, 0.9, 10)),  # ranks the wrong way round
        (np.array([]), np.array([])),
    ],
)
def test_where_nothing_can_be_fitted_nothing_changes(labels, claimed):
    assert fit_calibration(np.asarray(labels, dtype=int), claimed) == Calibration()


def test_the_level_of_a_few_lines_is_not_carried_over():
    """Lines differ in their level: that of six is no error of the model, the overconfidence is."""
    rng = np.random.default_rng(0)
    line = np.repeat(np.arange(6), 5_000)
    logit = rng.normal(-0.4, 1, size=len(line))
    labels = (rng.random(len(line)) < sigmoid(logit + 0.7)).astype(int)
    claimed = sigmoid(2 * logit)
    of_rows, of_lines = fit_calibration(labels, claimed), fit_calibration(labels, claimed, line)
    assert of_rows.intercept == pytest.approx(0.7, abs=0.05)
    logits = [np.log(p / (1 - p)) for p in (claimed, of_lines.apply(claimed))]
    assert logits[1].mean() == pytest.approx(logits[0].mean())
    assert of_lines.slope < 0.7


def test_two_scores_become_the_means_of_platts_targets():
    labels, claimed = np.array([1, 1, 1, 0, 1, 0, 0, 0]), np.repeat([0.9, 0.3], 4)
    one, zero = (4 + 1) / (4 + 2), 1 / (4 + 2)
    found = fit_calibration(labels, claimed).apply(np.array([0.9, 0.3]))
    assert found == pytest.approx([(3 * one + zero) / 4, (one + 3 * zero) / 4], abs=1e-4)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50), st.floats(0.05, 5), st.floats(-3, 3))
def test_calibrated_values_are_probabilities_in_the_same_order(claimed, slope, intercept):
    values = Calibration(slope, intercept).apply(np.array(claimed))
    assert ((values >= 0) & (values <= 1)).all()
    order = np.argsort(claimed, kind="stable")
    assert (np.diff(values[order]) >= 0).all()


def test_strata_follow_the_long_tail():
    assert strata(np.array([5000, 100, 3000, 101, 1500, 1, 400])) == [
        "head", "tail", "head", "middle", "middle", "tail", "middle",
    ]  # fmt: skip


def test_the_breakdown_splits_the_rows_and_leaves_out_undefined_lines():
    rng = np.random.default_rng(1)
    line = np.repeat([0, 1, 2, 3], [40, 30, 20, 5])
    labels, probabilities = rng.integers(0, 2, 95), rng.random(95)
    labels[line == 3] = 1  # one class: AUROC is undefined there
    found = breakdown(labels, probabilities, line, threshold=0.4, groups={"tissue": ["skin", "lung", "skin", None]})
    assert found["rows"] == 95 and found["cell_lines"] == 4
    assert found["pooled"] == compute(labels, probabilities, threshold=0.4)
    assert found["at_0.5"] == compute(labels, probabilities, threshold=0.5)
    per_line = [compute(labels[line == n], probabilities[line == n])["auroc"] for n in range(3)]
    assert found["macro"]["auroc"] == pytest.approx(np.mean(per_line))
    assert found["tissue"]["skin"]["rows"] == 60 and found["tissue"]["lung"]["rows"] == 30
    assert set(found["tissue"]) == {"skin", "lung"}
    skin = np.isin(line, [0, 2])
    assert found["tissue"]["skin"]["auroc"] == compute(labels[skin], probabilities[skin])["auroc"]
