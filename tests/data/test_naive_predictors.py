"""Naive predictors: what they say, and that they never see a test label."""

from __future__ import annotations

import dataclasses
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from datasets_for_tests import screen, write

from l2aco.data.features.table import FeatureRows
from l2aco.data.splits.make import make_split
from l2aco.data.splits.spec import SplitSpec
from l2aco.entities import EntityKind
from l2aco.metrics import compute
from l2aco.runs.naive import naive_predictors, neighbours, predict_naive, predictions
from l2aco.runs.naive_means import CellMean, PairMean, PartnerMean, likeness
from l2aco.runs.naive_scores import PairMeanOfScores
from l2aco.workspace import Workspace


def test_the_pair_mean_is_smoothed_towards_the_training_mean(workspace: Workspace) -> None:
    dataset = write(workspace, [(0, 1, 0, 1), (0, 1, 1, 1), (0, 2, 0, -1), (1, 2, 0, -1)])
    predictor = PairMean().fit(dataset.triples, np.arange(4))
    found = predictor.predict(np.array([1, 0, 5]), np.array([0, 2, 6]), np.array([7, 7, 7]))
    assert found == pytest.approx([(2 + 3 * 0.5) / 5, (0 + 3 * 0.5) / 4, 0.5])


def test_neighbours_weigh_the_lines_that_are_alike(workspace: Workspace) -> None:
    dataset = write(workspace, [(0, 1, 0, 1), (0, 1, 1, -1), (0, 2, 0, 1), (0, 2, 1, -1)])
    vectors = np.zeros((40, 2))
    vectors[[0, 2]], vectors[[1, 3]] = (1, 0), (-1, 0)
    weights = likeness((vectors, np.ones(40, dtype=bool)), 0.5)
    ask = (np.array([0, 0]), np.array([1, 1]), np.array([2, 3]))
    like_positive, like_negative = PairMean(weights=weights).fit(dataset.triples, np.arange(4)).predict(*ask)
    assert like_positive > 0.6 > 0.4 > like_negative


def test_the_partner_mean_of_an_unseen_drug_is_the_known_partners_in_that_line(workspace: Workspace) -> None:
    rows = [(1, 2, 0, 1), (1, 3, 0, 1), (1, 2, 1, -1), (2, 3, 1, -1)]
    dataset = write(workspace, rows)
    found = (
        PartnerMean().fit(dataset.triples, np.arange(4)).predict(np.array([0, 0]), np.array([1, 1]), np.array([0, 1]))
    )
    assert found == pytest.approx([(2 + 1.5) / 5, (0 + 1.5) / 4])


@pytest.mark.parametrize("shift", [0.0, -1.0])
def test_expression_goes_through_a_logarithm_unless_it_is_signed(workspace: Workspace, shift: float) -> None:
    values = np.random.default_rng(4).gamma(1.0, size=(12, 30)).astype(np.float32) + np.float32(shift)
    ids = [f"L{number:02d}" for number in range(12)]
    expression = FeatureRows(EntityKind.cell_line, ids, values, tuple(f"G{number}" for number in range(30)))
    dataset = screen(workspace, features={"expression": expression})
    split = make_split(dataset, SplitSpec(setting="novel-cell"))
    read = np.zeros((len(dataset.cell_lines), 30))
    read[:12] = values if shift else np.log2(1 + values)
    ours = neighbours({"expression": (read, np.arange(len(read)) < 12)})
    name = "expression kNN over cell lines"
    assert predict_naive(dataset, split)[name] == pytest.approx(predictions(ours, dataset, split)[name], abs=1e-6)


def test_a_pair_of_scores_falls_back_on_its_drugs(workspace: Workspace) -> None:
    rows = [(0, b, c, 5.0 + b + c) for b in range(1, 5) for c in range(4)]
    rows += [(a, b, c, -5.0 - a - c) for a in range(1, 5) for b in range(a + 1, 5) for c in range(4)]
    dataset = write(workspace, rows)
    found = PairMeanOfScores().fit(dataset.triples, np.arange(len(rows)))
    ask = np.array([[0, 1], [1, 2], [0, 30], [1, 30], [30, 31]]).T
    good, bad, half_good, half_bad, unknown = found.predict(ask[0], ask[1], np.zeros(5, dtype=np.int64))
    assert good > half_good > unknown > half_bad > bad


def test_without_scores_the_mixed_model_is_of_labels_and_of_one_label_there_is_none(workspace: Workspace) -> None:
    dataset = screen(workspace)
    split = make_split(dataset, SplitSpec(setting="random"))
    scoreless = np.full(len(dataset.triples), np.nan)
    dataset.__dict__["triples"] = dataclasses.replace(dataset.triples, score=scoreless)
    found = predict_naive(dataset, split)
    assert "pair mean of scores" not in found and found["mixed without kernels"].std() > 0
    dataset.__dict__["triples"] = dataclasses.replace(dataset.triples, label=np.ones_like(dataset.triples.label))
    assert "mixed without kernels" not in predict_naive(dataset, split)


@pytest.mark.parametrize("positives", range(1, 9))
def test_an_unseen_line_has_the_training_mean_to_the_last_bit(workspace: Workspace, positives: int) -> None:
    rows = [(a, b, 4, 1 if number < positives else -1) for number, (a, b) in enumerate(combinations(range(6), 2))]
    dataset = write(workspace, rows[:9])
    found = CellMean().fit(dataset.triples, np.arange(9)).predict(np.zeros(3), np.ones(3), np.array([0, 2, 9]))
    assert set(found) == {positives / 9}


@pytest.mark.parametrize("setting", ["random", "novel-cell", "novel-drug", "novel-pair"])
def test_labels_of_test_rows_change_no_prediction(workspace: Workspace, setting: str) -> None:
    dataset = screen(workspace)
    split = make_split(dataset, SplitSpec(setting=setting))
    before = predict_naive(dataset, split)
    label = dataset.triples.label.copy()
    label[split.test] = 1 - label[split.test]
    dataset.__dict__["triples"] = dataclasses.replace(dataset.triples, label=label)
    after = predict_naive(dataset, split)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_every_predictor_is_blind_to_the_order_of_the_drugs_and_gives_probabilities(workspace: Workspace) -> None:
    dataset = screen(workspace)
    triples, rng = dataset.triples, np.random.default_rng(0)
    vectors = {"v": (rng.normal(size=(40, 5)), rng.random(40) < 0.8)}
    a, b, c = (rng.integers(0, 40, 200) for _ in range(3))
    for name, predictor in {**naive_predictors(), **neighbours(vectors, vectors)}.items():
        found = predictor.fit(triples, np.arange(len(triples))).predict(a, b, c)
        assert np.allclose(found, predictor.predict(b, a, c)), name
        assert ((found >= 0) & (found <= 1)).all(), name


@pytest.mark.parametrize(
    ("public", "setting", "wanted"),
    [
        (
            "graphsynergy/DrugCombDB",
            "novel-cell",
            {
                "drug mean": 0.685,
                "pair mean": 0.741,
                "cell-protein kNN over cell lines": 0.743,
                "pair mean of scores": 0.745,
                "mixed without kernels": 0.7466,
            },
        ),
        ("graphsynergy/DrugCombDB", "novel-drug", {"partner mean": 0.707, "fingerprint kNN over drugs": 0.715}),
        ("graphsynergy/DrugCombDB", "random", {"pair mean": 0.743, "pair + cell mean": 0.770}),
        ("deepdds", "novel-cell", {"pair mean": 0.872, "expression kNN over cell lines": 0.875}),
        ("deepdds", "novel-drug", {"partner mean": 0.790, "fingerprint kNN over drugs": 0.793}),
    ],
)
def test_the_published_baselines_come_out_within_a_hundredth(
    real: Any, public: str, setting: str, wanted: dict[str, float]
) -> None:
    dataset = real(public)
    found: dict[str, list[float]] = {name: [] for name in wanted}
    for fold in range(5):
        split = make_split(dataset, SplitSpec(setting=setting, fold=fold))
        label = dataset.triples.label[split.test]
        for name, probabilities in predict_naive(dataset, split).items():
            if name in wanted:
                found[name].append(compute(label, probabilities, names=["auroc"])["auroc"])
    assert {name: float(np.mean(values)) for name, values in found.items()} == pytest.approx(wanted, abs=0.01)
