"""Runs as one: what its weights are chosen by, what it predicts, and when it does not."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from turned import with_labels_turned_round

from l2aco.embeddings.store.store import open_store
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError
from l2aco.runs.calibration import logit
from l2aco.runs.evaluate import better_naive, comparison, result_row
from l2aco.runs.naive import naive_predictors
from l2aco.runs.run import open_run
from l2aco.runs.spec import TrainSpec
from l2aco.training.ensemble import choose_weights, make_ensemble
from l2aco.training.train import train
from l2aco.workspace import Workspace


@pytest.fixture(scope="module")
def trained(lab_folder, tmp_path_factory):
    """A workspace with runs of one split: a mixed model, a network on the pair's mean, and one of another fold."""
    root = tmp_path_factory.mktemp("ensemble") / "lab"
    shutil.copytree(lab_folder, root)
    lab = Workspace(root)
    train(TrainSpec(backbone="Mixed"), lab)
    train(TrainSpec(backbone="MLP", epochs=3, offset="pair"), lab)
    train(TrainSpec(backbone="MLP", epochs=1, align={"loss": "none"}, split={"fold": 1}), lab)
    return root


@pytest.fixture
def runs(trained, workspace):
    shutil.copytree(trained, workspace.root, dirs_exist_ok=True)
    return Workspace(workspace.root)


def test_it_is_the_weighted_mean_of_calibrated_logits_and_stands_in_the_table_beside_its_members(runs, cli):
    said = cli("ensemble", "Mixed", "on-pair")
    made = open_run("Ensemble", runs)
    members = [open_run(name, runs) for name in ("demo-Mixed", "on-pair")]
    weights = made.metrics["training"]["weights"]
    assert list(weights) == [run.id for run in members] and sum(weights.values()) == pytest.approx(1, abs=1e-5)
    expected = sum(weights[run.id] * logit(run.predictions()["calibrated"].to_numpy()) for run in members)
    np.testing.assert_allclose(logit(made.predictions()["probability"].to_numpy()), expected, atol=1e-6)
    table = {row["model"]: row for row in made.metrics["baselines"]}
    for run in members:
        assert table[run.id] == result_row(run.id, run.metrics["test"]) and run.id in said.stdout
    assert {"equal weights", "pair mean"} <= set(table) and "Ensemble" in said.stdout
    assert f"again: l2aco ensemble {members[0].id} {members[1].id}" in cli("runs", "show", made.id).stdout
    assert "Ensemble" in cli("runs", "list").stdout and "weights" not in cli("runs", "compare").stderr


def test_it_predicts_evaluates_and_recommends_like_any_run(runs, cli):
    made = make_ensemble([open_run(name, runs) for name in ("demo-Mixed", "on-pair")], runs)
    again = json.loads(cli("evaluate", made.id, "--json").stdout)["test"]["pooled"]["auroc"]
    assert again == pytest.approx(made.metrics["test"]["pooled"]["auroc"], abs=1e-6)
    line = Entity("BT-20", EntityKind.cell_line, "BT-20")
    vector = open_store("reference--toy", runs).vectors(EntityKind.cell_line, ["A375"])[0][0]
    told = [
        run.predictor().admit([line], {line.key: {"reference--toy": vector}})
        for run in (made, *(open_run(name, runs) for name in ("demo-Mixed", "on-pair")))
    ]
    drugs = [drug.id for drug in made.entities(EntityKind.drug)[:2]]
    found, *parts = (
        predictor.predict([drugs[0]], [drugs[1]], ["BT-20"], calibrated=place > 0)
        for place, predictor in enumerate(told)
    )
    weights = list(made.metrics["training"]["weights"].values())
    assert logit(found) == pytest.approx(sum(w * logit(p) for w, p in zip(weights, parts, strict=True)), abs=1e-5)
    said = cli("recommend", made.id, "--cell", "A375", "--top", 3)
    assert made.id in said.stderr + said.stdout
    pair = ("--drug-a", drugs[0], "--drug-b", drugs[1], "--cell", "A375")
    assert 0 < json.loads(cli("predict", made.id, *pair, "--json").stdout)[0]["probability"] < 1


def test_a_member_that_ranks_better_is_no_naive_predictor(runs):
    made = make_ensemble([open_run(name, runs) for name in ("demo-Mixed", "on-pair")], runs)
    assert {"equal weights", *made.metrics["training"]["weights"]} <= {
        row["model"] for row in comparison(made, made.metrics)
    }
    made.metrics["test"]["pooled"]["auroc"] = 0.0
    naive = better_naive(made)
    assert naive is not None and naive["model"] in naive_predictors()
    made.metrics["test"]["pooled"]["auroc"] = round(naive["auroc"], 3)  # the same by what is shown
    assert better_naive(made) is None


def test_a_run_that_is_all_of_an_ensemble_or_all_of_an_offset_has_the_same_threshold_there(runs, monkeypatch):
    monkeypatch.setattr("l2aco.training.ensemble.choose_weights", lambda *given: np.array([1.0, 0.0]))
    members = [open_run(name, runs) for name in ("demo-Mixed", "on-pair")]
    made = make_ensemble(members, runs)
    for name in ("balanced_accuracy", "f1", "mcc", "auroc"):
        assert made.metrics["test"]["pooled"][name] == pytest.approx(members[0].metrics["test"]["pooled"][name])
    monkeypatch.setattr("l2aco.training.network.choose_share", lambda *given: 0.0)
    run = train(TrainSpec(backbone="MLP", epochs=1, offset="pair", align={"loss": "none"}, seed=1), runs)
    (row,) = [row for row in run.metrics["baselines"] if row["model"] == "offset (pair)"]
    assert row == pytest.approx(result_row("offset (pair)", run.metrics["test"]), abs=1e-6)


def test_labels_of_test_rows_choose_nothing(runs):
    specs = [TrainSpec(backbone="Mixed"), TrainSpec(backbone="MLP", epochs=3, offset="pair")]
    with_labels_turned_round(runs, specs[0])
    turned = [train(spec.model_copy(update={"dataset": "turned"}), runs) for spec in specs]
    here = [open_run(name, runs) for name in ("demo-Mixed", "demo-MLP-novel-cell-f0-infonce-on-pair")]
    one, other = (make_ensemble(members, runs) for members in (here, turned))
    assert list(one.metrics["training"]["weights"].values()) == list(other.metrics["training"]["weights"].values())
    assert one.predictions()["probability"].equals(other.predictions()["probability"])
    assert one.metrics["test"]["pooled"]["auroc"] == pytest.approx(1 - other.metrics["test"]["pooled"]["auroc"])


def test_a_member_that_knows_nothing_weighs_nothing_and_no_group_is_in_both_halves():
    draw = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 100)
    truth = draw.normal(size=800)
    label = (truth + 0.5 * draw.normal(size=800) > 0).astype(int)
    knows, noise = 1 / (1 + np.exp(-2 * truth)), draw.uniform(0.1, 0.9, size=800)
    weights = choose_weights(label, [noise, knows], groups)
    assert weights[1] > 0.9 and (weights >= 0).all() and weights.sum() == pytest.approx(1)
    one = choose_weights(label, [knows, 1 / (1 + np.exp(-2 * (truth + draw.normal(size=800))))], groups)
    assert one[0] > one[1] >= 0
    with pytest.raises(InputError, match="single group"):
        choose_weights(label, [noise, knows], np.zeros(800, dtype=int))


def test_what_makes_no_ensemble_is_refused(runs, cli):
    assert "two runs or more" in cli("ensemble", "demo-Mixed", code=2).stderr
    assert "two runs or more" in cli("ensemble", "demo-Mixed", "demo-Mixed", code=2).stderr
    assert "another split" in cli("ensemble", "demo-Mixed", "novel-cell-f1", code=1).stderr
    assert "unknown run 'nobody'" in cli("ensemble", "demo-Mixed", "nobody", code=2).stderr
    cli("ensemble", "demo-Mixed", "on-pair")
    made = open_run("Ensemble", runs)
    said = cli("train", "--spec", made.path / "spec.toml", code=2).stderr
    assert "l2aco ensemble demo-Mixed" in said
    shutil.rmtree(open_run("on-pair", runs).path)
    assert "is gone" in cli("evaluate", made.id, code=1).stderr
    assert "auroc" in cli("runs", "show", made.id).stdout
