"""A predictor as a recommender, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from l2aco.metrics import by_group, ndcg_at
from l2aco.runs.ranking import calibration, ranking, risk_coverage


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_ndcg_is_scikit_learns(seed: int, k: int) -> None:
    """With ties."""
    rng = np.random.default_rng(seed)
    label, value = rng.integers(0, 2, 40), rng.integers(0, 9, 40) / 9
    label[0] = 1
    assert ndcg_at(label, value, k) == pytest.approx(ndcg_score(label[None], value[None], k=k))


def test_the_first_pairs_by_hand() -> None:
    """Two lines of ten pairs, two of them positive: one line is perfect, one is upside down; a third has one label."""
    label = np.array([1, 1, *[0] * 8, 1, 1, *[0] * 8, 0, 0])
    value = np.concatenate([np.linspace(1, 0, 10), np.linspace(0, 1, 10), [0.3, 0.4]])
    first, *_ = ranking(label, value, by_group(np.repeat([4, 2, 9], [10, 10, 2])))
    assert (first["k"], first["lines"]) == (5, 2)
    assert first["precision"] == pytest.approx((0.4 + 0) / 2)
    assert first["recall"] == pytest.approx((1 + 0) / 2)
    assert first["enrichment"] == pytest.approx((2 + 0) / 2)
    assert first["ndcg"] == pytest.approx(0.5)


def test_who_abstains_where_it_is_unsure_errs_less() -> None:
    rng = np.random.default_rng(0)
    value = rng.random(5000)
    label = (rng.random(5000) < value).astype(int)
    kept = risk_coverage(label, value)
    assert kept[0] == {"coverage": 1.0, "rows": 5000, "error": pytest.approx(np.mean((value >= 0.5) != label))}
    errors = [one["error"] for one in kept]
    assert errors == sorted(errors, reverse=True)
    for tenth in calibration(label, value):
        assert tenth["predicted"] == pytest.approx(tenth["observed"], abs=0.06)


def test_nothing_is_known_of_one_label() -> None:
    assert all(row["lines"] == 0 and np.isnan(row["ndcg"]) for row in ranking(np.ones(3), np.ones(3), [np.arange(3)]))


@given(st.integers(0, 10_000), st.integers(0, 40))
def test_nothing_hangs_on_the_order_of_equal_rows(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    label, value, line = rng.integers(0, 2, rows), rng.integers(0, 5, rows) / 4, rng.integers(0, 3, rows)
    other = rng.permutation(rows)
    pairs = [
        (risk_coverage(label, value), risk_coverage(label[other], value[other])),
        (calibration(label, value), calibration(label[other], value[other])),
        (ranking(label, value, by_group(line)), ranking(label[other], value[other], by_group(line[other]))),
    ]
    for found, again in pairs:
        assert all(one == pytest.approx(two, nan_ok=True) for one, two in zip(found, again, strict=True))
