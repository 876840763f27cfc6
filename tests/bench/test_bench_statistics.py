"""Measures against the libraries' own, and intervals that hold what they promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from l2aco.bench.rows import Rows
from l2aco.bench.statistics import (
    MEASURES,
    auroc,
    difference,
    holm,
    macro_auroc,
    ndcg,
    pair_correlation,
    resampled,
)


def rows_of(seed: int, lines: int = 8, pairs: int = 12, seeds: int = 2) -> Rows:
    """Every pair in every line, the lines in two folds."""
    rng = np.random.default_rng(seed)
    line, pair = (grid.ravel() for grid in np.meshgrid(np.arange(lines), np.arange(pairs), indexing="ij"))
    score = rng.standard_normal(lines * pairs)
    count = len(score)
    return Rows(
        seed=np.repeat(np.arange(seeds), count),
        fold=np.tile(line % 2, seeds),
        group=np.tile(line, seeds),
        line=np.tile(line, seeds),
        pair=np.tile(pair, seeds),
        label=np.tile((score > 0).astype(int), seeds),
        score=np.tile(score, seeds),
    )


def guesses(rows: Rows, seed: int, levels: int = 7) -> np.ndarray:
    """With ties."""
    return np.random.default_rng(seed).integers(0, levels, len(rows)) / levels


@given(st.integers(0, 10_000))
def test_auroc_is_scikit_learns(seed: int) -> None:
    rows = rows_of(seed)
    predicted = guesses(rows, seed)
    expected = [roc_auc_score(rows.label[at], predicted[at]) for at in rows.splits]
    assert len(expected) == 4
    assert auroc(rows, predicted, resampled(8, 1))[0] == pytest.approx(np.mean(expected))


@given(st.integers(0, 10_000))
def test_a_line_that_is_drawn_twice_counts_twice(seed: int) -> None:
    rows = rows_of(seed, seeds=1)
    predicted = guesses(rows, seed)
    weights = np.random.default_rng(seed).integers(0, 3, (1, 8)).astype(float)
    again = np.repeat(np.arange(len(rows)), weights[0, rows.group].astype(int))
    copied = Rows(*(getattr(rows, name)[again] for name in Rows.__dataclass_fields__))
    if all(0 < copied.label[copied.fold == fold].sum() < (copied.fold == fold).sum() for fold in (0, 1)):
        plain = np.ones((1, 8))
        assert auroc(rows, predicted, weights) == pytest.approx(auroc(copied, predicted[again], plain))


def test_within_lines_and_at_the_top() -> None:
    rows = rows_of(3, seeds=1)
    predicted = np.random.default_rng(0).random(len(rows))
    lines = [rows.line == line for line in range(8)]
    by_line = [roc_auc_score(rows.label[at], predicted[at]) for at in lines]
    assert macro_auroc(rows, predicted, np.ones((1, 8)))[0] == pytest.approx(np.mean(by_line))
    top = [ndcg_score(rows.label[at][None], predicted[at][None], k=20) for at in lines]
    assert ndcg(rows, predicted, np.ones((1, 8)))[0] == pytest.approx(np.mean(top))


def test_correlation_of_a_pair_over_lines() -> None:
    rows = rows_of(4, seeds=1)
    predicted = rows.score + np.random.default_rng(0).standard_normal(len(rows))
    expected = [np.corrcoef(predicted[rows.pair == pair], rows.score[rows.pair == pair])[0, 1] for pair in range(12)]
    assert pair_correlation(rows, predicted, np.ones((1, 8)))[0] == pytest.approx(np.mean(expected))
    of_the_pair = rows.pair.astype(float)
    assert pair_correlation(rows, of_the_pair, np.ones((1, 8)))[0] == 0


def test_what_is_undefined_has_no_p() -> None:
    rows = replace(rows_of(5), label=np.ones(len(rows_of(5)), dtype=int), score=np.full(len(rows_of(5)), np.nan))
    for name, measure in MEASURES.items():
        found = difference(*(measure(rows, guesses(rows, seed), resampled(8, 50)) for seed in (1, 2)))
        assert np.isnan(found.p) == (name != "ndcg_at_20"), name  # of positive rows alone it is 1
    assert holm(np.array([0.01, np.nan]))[0] == pytest.approx(0.02)


def test_a_predictor_is_not_better_than_itself() -> None:
    rows = rows_of(5)
    predicted = guesses(rows, 5)
    for name, measure in MEASURES.items():
        found = difference(*[measure(rows, predicted, resampled(8, 50))] * 2)
        assert (found.value, found.p) == (0.0, 1.0), name


def test_resampled_is_the_same_for_the_same_seed() -> None:
    assert np.array_equal(resampled(9), resampled(9))
    assert (resampled(9)[1:].sum(axis=1) == 9).all()


@given(st.integers(0, 10_000), st.floats(-1, 4))
def test_what_is_claimed_has_an_interval_above_zero(seed: int, gain: float) -> None:
    drawn = np.random.default_rng(seed).normal(gain, 1.0, 501)
    found = difference(drawn, np.zeros(501))
    assert (found.p <= 0.05) == ((drawn[1:] <= 0).sum() < 12), "of 500, a fortieth"
    assert found.p > 0.05 or found.low > 0


def test_who_is_not_tested_is_not_drawn() -> None:
    """Lines of the data set that no split here holds change no interval."""
    rows = rows_of(6)
    apart = replace(rows, group=7 * rows.group + 3)
    assert apart.groups == 7 * rows.groups - 3 and apart.numbered().groups == rows.groups
    for measure in (auroc, pair_correlation):
        one, other = (measure(part, guesses(rows, 6), resampled(8, 50)) for part in (rows, apart.numbered()))
        assert np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("seed", range(4))
def test_a_correlation_lies_within_its_interval(seed: int) -> None:
    """Also of many pairs, and far from 0: a line drawn twice agrees with itself, which draws know and the data do
    not."""
    rows = rows_of(seed, lines=9, pairs=600, seeds=1)
    noise = np.random.default_rng(seed + 100).standard_normal(len(rows))
    for share in (-1.0, -0.3, 0.0, 1.0):
        value, *drawn = pair_correlation(rows, share * rows.score + noise, resampled(9, 400))
        low, high = np.quantile(drawn, [0.025, 0.975])
        assert low < value < high and -1 <= min(drawn) <= max(drawn) <= 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_between_the_p_and_bonferroni(p: list[float]) -> None:
    found = holm(np.array(p))
    assert (found >= np.array(p)).all()
    assert (found <= np.minimum(np.array(p) * len(p), 1.0) + 1e-12).all()
    assert (np.argsort(found, kind="stable").tolist() == np.argsort(np.array(p), kind="stable").tolist()) or len(
        set(found)
    ) < len(p)


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])


def _claims(signal: float, repeats: int) -> np.ndarray:
    """p of "the first is better than the second", where the first knows `signal` more of 30 lines."""
    found = []
    for seed in range(repeats):
        rows = rows_of(seed, lines=30, pairs=20, seeds=1)
        rng = np.random.default_rng(seed + 10_000)
        shared = rows.score + 2 * rng.standard_normal(len(rows))
        first = shared + signal * rows.score + rng.standard_normal(len(rows))
        second = shared + rng.standard_normal(len(rows))
        weights = resampled(30, 300, seed)
        found.append(difference(auroc(rows, first, weights), auroc(rows, second, weights)).p)
    return np.array(found)


def test_what_is_there_is_found_and_what_is_not_is_not() -> None:
    assert (_claims(1.0, 20) <= 0.05).mean() >= 0.9
    assert (_claims(0.0, 100) <= 0.05).mean() <= 0.1


def test_the_announced_resolution_is_what_is_resolved() -> None:
    """Over repetitions, differences spread as their standard error says."""
    found = []
    for seed in range(60):
        rows = rows_of(seed, lines=30, pairs=20, seeds=1)
        rng = np.random.default_rng(seed)
        first, second = (rows.score + 2 * rng.standard_normal(len(rows)) for _ in range(2))
        weights = resampled(30, 200, seed)
        found.append(difference(auroc(rows, first, weights), auroc(rows, second, weights)))
    observed = np.std([item.value for item in found])
    announced = np.mean([item.error for item in found])
    assert 0.7 < announced / observed < 1.4


def test_rows_without_scores_have_no_correlation() -> None:
    rows = replace(rows_of(1), score=np.full(len(rows_of(1)), np.nan))
    assert np.isnan(pair_correlation(rows, guesses(rows, 1), np.ones((1, 8)))[0])
