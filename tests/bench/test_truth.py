"""The verdict against a known truth: what is planted is found, what is not is not claimed, and what is said to be
resolved is. Profiles are vectors of lines; the predictor is a mean over the training lines that are alike."""

from __future__ import annotations

import numpy as np
import pytest

from l2aco.bench.rows import Rows
from l2aco.bench.scored import Scored
from l2aco.bench.suite import Suite
from l2aco.bench.verdict import Verdict, judge

LINES, PAIRS, DIMENSIONS, FOLDS, DRAWS = 60, 60, 4, 5, 10
CLAIM = {"text": "profiles help", "arm": "profiles", "over": ["no knowledge", "shuffled"]}
ARMS = [{"name": name} for name in ("profiles", "no knowledge", "shuffled")]
SUITE = Suite.model_validate({"name": "truth", "dataset": ["made"], "arms": ARMS, "claims": [CLAIM]})


def scored(seed: int, signal: float) -> Scored:
    """Scores of every pair in every line: pair, line, what `signal` of the profiles says of the pair there, noise.

    Each seed has other lines and the same pairs: lines are what is drawn again.
    """
    always, rng = np.random.default_rng(0), np.random.default_rng([1, seed])
    profile = rng.standard_normal((LINES, DIMENSIONS))
    of_pair = always.standard_normal((PAIRS, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    score = always.standard_normal(PAIRS) + 0.5 * rng.standard_normal((LINES, 1)) + signal * profile @ of_pair.T
    score += rng.standard_normal(score.shape)
    found = Scored("made", "novel-cell", simulated=True)
    fold_of = rng.permutation(LINES) % FOLDS
    shuffles = [rng.permutation(LINES) for _ in range(DRAWS)]
    for fold in range(FOLDS):
        train, test = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        found.rows[0, fold] = _rows(fold, test, score[test])
        drawn = {"profiles": [profile], "shuffled": [profile[order] for order in shuffles], "no knowledge": [None]}
        for arm, of_lines in drawn.items():
            values = np.stack([_alike(one, train, test, score[train]).ravel() for one in of_lines])
            found.predictions.setdefault(arm, {})[0, fold] = values
    return found


def _rows(fold: int, lines: np.ndarray, score: np.ndarray) -> Rows:
    line, pair = (grid.ravel() for grid in np.meshgrid(lines, np.arange(PAIRS), indexing="ij"))
    zeros = np.zeros(len(line), dtype=np.int64)
    return Rows(zeros, zeros + fold, line, line, pair, (score.ravel() > 0).astype(np.int64), score.ravel())


def _alike(profile: np.ndarray | None, train: np.ndarray, test: np.ndarray, score: np.ndarray) -> np.ndarray:
    if profile is None:
        return np.repeat(score.mean(axis=0)[None], len(test), axis=0)
    unit = profile / np.linalg.norm(profile, axis=1, keepdims=True)
    weight = np.exp(unit[test] @ unit[train].T / 0.5)
    return (weight @ score) / weight.sum(axis=1, keepdims=True)


def verdict(seed: int, signal: float) -> Verdict:
    (found,) = judge(SUITE, [scored(seed, signal)])
    return found


def test_what_is_planted_is_claimed(request: pytest.FixtureRequest) -> None:
    seeds = range(20 if request.config.getoption("--long") else 5)
    found = [verdict(seed, 0.6).holds for seed in seeds]
    print(f"claimed where a signal is planted: {np.sum(found)} of {len(found)}")
    assert np.mean(found) >= 0.9


def test_what_is_not_there_is_not_claimed(request: pytest.FixtureRequest) -> None:
    """Against the no-knowledge predictor alone, too: the harder case, since no control stands beside it."""
    many = 200 if request.config.getoption("--long") else 40
    found = [verdict(1000 + seed, 0.0).holds for seed in range(many)]
    print(f"claimed where nothing is planted: {np.sum(found)} of {many}")
    assert np.mean(found) <= 0.05


@pytest.mark.long
def test_what_is_resolved_is_found_four_times_of_five() -> None:
    """A signal whose mean gain over the hardest rival is about the announced resolution."""
    gains, announced, held = [], [], []
    for signal in (0.2, 0.3, 0.4):
        found = [verdict(2000 + seed, signal) for seed in range(60)]
        gain = np.mean([one.over[one.hardest].value for one in found])
        resolves = np.mean([one.resolution for one in found])
        share = np.mean([one.holds for one in found])
        observed = np.std([one.over["no knowledge"].value for one in found])
        error = np.mean([one.over["no knowledge"].error for one in found])
        print(f"signal {signal}: gain {gain:.4f}, resolves {resolves:.4f}, found {share:.2f}")
        print(f"standard error {error:.4f}, spread over repetitions {observed:.4f}")
        assert 0.7 < error / observed < 1.4
        gains, announced, held = [*gains, gain], [*announced, resolves], [*held, share]
    power = np.interp(1.0, np.array(gains) / np.array(announced), held)
    print(f"found where the gain is what is resolved: {power:.2f}")
    assert power >= 0.6
