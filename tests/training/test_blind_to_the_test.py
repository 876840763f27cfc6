"""Nothing that a run reports of itself is chosen by the labels of its test rows; those of validation rows stop
training, say how much of a network is added, calibrate, and do no more."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from turned import with_labels_turned_round

from l2aco.runs.run import Run
from l2aco.runs.spec import TrainSpec
from l2aco.training.train import train
from l2aco.workspace import Workspace


@pytest.fixture(scope="module", params=["none", "mixed", "pair"])
def runs(lab_folder, tmp_path_factory, request) -> tuple[Run, Run]:
    import shutil

    root = tmp_path_factory.mktemp("blind") / "lab"
    shutil.copytree(lab_folder, root)
    lab = Workspace(root)
    spec = TrainSpec(
        backbone="MLP",
        epochs=3,
        batch_size=256,
        learning_rate=0.01,
        align={"loss": "none"},
        offset=request.param,
    )
    with_labels_turned_round(lab, spec)
    one, other = (train(spec.model_copy(update={"dataset": name}), lab) for name in ("demo", "turned"))
    return one, other


def test_the_two_runs_differ_in_the_labels_of_their_test_rows_alone(runs: tuple[Run, Run]) -> None:
    one, other = (run.tested() for run in runs)
    assert one.drop("label").equals(other.drop("label"))
    assert (one["label"] == 1 - other["label"]).all()
    assert runs[0].metrics["valid"]["auroc"] > 0.6, "it has learned something"


def test_predictions_calibration_and_threshold_stay(runs: tuple[Run, Run]) -> None:
    one, other = (run.metrics for run in runs)
    assert one["calibration"] == other["calibration"] != {"slope": 1.0, "intercept": 0.0}
    assert one["test"]["threshold"] == other["test"]["threshold"]
    assert one["valid"] == other["valid"]
    tables = [pl.read_parquet(run.file("predictions.parquet")) for run in runs]
    for column in ("probability", "calibrated"):
        assert np.array_equal(tables[0][column], tables[1][column])


def test_nor_does_what_is_learned_depend_on_the_labels_of_validation_rows(lab: Workspace) -> None:
    spec = TrainSpec(backbone="MLP", epochs=1, align={"loss": "none"}, offset="mixed", target="score")
    with_labels_turned_round(lab, spec, "valid")
    one, other = (train(spec.model_copy(update={"dataset": name}), lab) for name in ("demo", "turned"))
    assert one.file("model.safetensors").read_bytes() == other.file("model.safetensors").read_bytes()
    with np.load(one.file("offset.npz")) as first, np.load(other.file("offset.npz")) as second:
        assert all(np.array_equal(first[name], second[name]) for name in ("variances", "target_numbers", "cut"))
        assert not np.array_equal(first["y"], second["y"]), "the offset of the test rows has taken them up"


def test_naive_predictors_call_the_same_rows_synergistic(runs: tuple[Run, Run]) -> None:
    baselines = [{row["model"]: row for row in run.metrics["baselines"]} for run in runs]
    for name, row in baselines[0].items():
        for metric in ("auroc", "balanced_accuracy"):
            assert row[metric] == pytest.approx(1 - baselines[1][name][metric]), (name, metric)
