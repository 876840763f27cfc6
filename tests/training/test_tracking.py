"""Trackers are optional, loaded late, and see every epoch and the end; the epoch table marks the best."""

from __future__ import annotations

import sys
import types

import pytest

from l2aco.errors import UnavailableError, UnknownNameError
from l2aco.runs.spec import TrainSpec
from l2aco.training.callbacks import EpochTable, make_trackers
from l2aco.training.train import train


@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
def test_a_tracker_that_is_not_installed_names_the_pip_line(workspace, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(UnavailableError, match=name) as caught:
        make_trackers([name], workspace)
    assert "l2aco[tracking]" in caught.value.remedy


def test_an_unknown_tracker_gets_a_suggestion(workspace):
    with pytest.raises(UnknownNameError, match="wandb"):
        make_trackers(["wanbd"], workspace)


def test_weights_and_biases_sees_the_spec_every_epoch_and_the_test_metrics(lab, monkeypatch):
    calls = {"logged": [], "summary": {}}

    class FakeRun:
        summary = calls["summary"]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            calls["closed"] = True

        def log(self, record, step):
            calls["logged"].append((step, record))

    def init(**arguments):
        calls["init"] = arguments
        return FakeRun()

    fake = types.ModuleType("wandb")
    fake.init = init
    monkeypatch.setitem(sys.modules, "wandb", fake)
    run = train(TrainSpec(backbone="GCN", epochs=2), lab, callbacks=make_trackers(["wandb"], lab))
    assert calls["init"]["name"] == run.id and calls["init"]["config"]["backbone"] == "GCN"
    assert [step for step, _ in calls["logged"]] == [1, 2] and "valid_auroc" in calls["logged"][0][1]
    assert calls["summary"]["test/auroc"] == run.metrics["test"]["pooled"]["auroc"] and calls["closed"]


def test_the_epoch_table_has_one_header_and_a_star_where_the_metric_improved():
    lines = []
    table = EpochTable(lines.append)
    with table.watching("run", TrainSpec()):
        for epoch, brier in enumerate((0.3, 0.2, 0.25), start=1):
            table.epoch({"epoch": epoch, "loss": 1.0, "valid_brier": brier})
    assert "valid_brier" in lines[0] and len(lines) == 4
    assert [line.endswith("*") for line in lines[1:]] == [True, True, False]
