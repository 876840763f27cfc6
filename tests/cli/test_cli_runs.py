"""`l2aco runs` and `l2aco evaluate`."""

from __future__ import annotations

import json

import pytest

from l2aco.runs.run import list_runs, open_run
from l2aco.runs.spec import TrainSpec
from l2aco.training.train import train


def spec(**more) -> TrainSpec:
    return TrainSpec(backbone="GCN", epochs=1, **more)


def test_runs_are_listed_shown_and_compared_by_what_differs(lab, cli):
    said = cli("runs", "list").stderr
    assert "no run yet" in said and "l2aco train" in said
    train(spec(), lab)
    train(spec(align={"loss": "none"}, seed=3), lab)
    rows = json.loads(cli("runs", "list", "--json").stdout)
    assert [row["align"] for row in rows] == ["none", "infonce"], "newest first"
    assert all(0 < row["auroc"] < 1 for row in rows)
    shown = cli("runs", "show", "none-s3").stdout
    assert "pair mean" in shown and "by tissue" in shown and "l2aco train --spec" in shown
    compared = json.loads(cli("runs", "compare", "--json").stdout)
    assert compared[0]["seed"] == 3 and compared[0]["align.loss"] == "none" and compared[1]["same_test"]
    assert "dataset" not in compared[0] and "epochs" not in compared[0]
    shell = json.loads(cli("runs", "show", "infonce", "--json").stdout)
    assert shell["metrics"]["baselines"] and shell["spec"]["store"] == ["reference--toy"]


def test_runs_are_compared_by_what_they_were_tested_on(lab, cli):
    for split in ({"seed": 1}, {"valid_share": 0.2}, {"shots": 5}, {}):
        train(spec(align={"loss": "none"}, split=split), lab)
    compared = json.loads(cli("runs", "compare", "--json").stdout)
    assert [row["same_test"] for row in compared] == [True, True, True, False]


def test_a_name_that_fits_no_run_or_several_is_refused(lab, cli):
    train(spec(), lab)
    train(spec(seed=1), lab)
    assert "fits 2 runs" in cli("runs", "show", "GCN", code=2).stderr
    assert "runs list" in cli("runs", "show", "nothing", code=2).stderr


def test_a_name_is_first_read_as_it_is_written(lab, cli):
    for backbone, more in (("Mixed", {}), ("MLP", {"offset": "mixed", "align": {"loss": "none"}, "epochs": 1})):
        train(TrainSpec(backbone=backbone, store=() if backbone == "Mixed" else None, **more), lab)
    assert open_run("Mixed", lab).spec.backbone == "Mixed"
    assert "fits 2 runs" in cli("runs", "show", "MIXED", code=2).stderr


def test_evaluate_computes_the_saved_numbers_from_the_weights(lab, cli):
    run = train(spec(), lab)
    found = json.loads(cli("evaluate", "--json").stdout)
    assert found["run"] == run.id
    assert found["test"]["pooled"] == pytest.approx(run.metrics["test"]["pooled"])
    assert found["test"]["macro"]["auroc"] == pytest.approx(run.metrics["test"]["macro"]["auroc"])
    calibrated = run.predictions()["calibrated"].sum()
    assert sum(tenth["rows"] * tenth["predicted"] for tenth in found["calibration"]) == pytest.approx(calibrated)
    shown = cli("evaluate", run.id).stdout
    assert "pair mean" in shown and "raw" not in shown


def test_evaluate_without_a_run_gives_the_naive_predictors_over_all_folds(lab, cli):
    rows = json.loads(cli("evaluate", "--dataset", "demo", "--folds", 3, "--store", "reference--toy", "--json").stdout)
    named = {row["model"]: row for row in rows}
    assert named["pair mean"]["runs"] == 3 and named["drug mean"]["auroc"] > 0.6
    assert named["global mean"]["auroc"] == 0.5
    assert "profile kNN over cell lines" in named
    assert "novel-cell" in cli("evaluate", "--dataset", "demo", "--setting", "novel-celll", code=2).stderr


def test_the_newest_run_is_the_default(lab):
    first = train(spec(), lab)
    assert open_run(None, lab).id == first.id
    assert [run.id for run in list_runs(lab)] == [first.id]


def test_evaluate_refuses_options_that_it_would_not_read(lab, cli):
    run = train(spec(), lab)
    assert "data set of its own" in cli("evaluate", run.id, "--dataset", "demo", code=2).stderr
    assert "belong to --dataset" in cli("evaluate", "--setting", "novel-drug", code=2).stderr


def test_an_empty_name_is_no_run(lab, cli):
    train(spec(), lab)
    assert "empty name" in cli("runs", "show", "", code=2).stderr


def test_a_folder_is_no_output(lab, cli, tmp_path):
    train(spec(), lab)
    pair = ("--drug-a", "Gemcitabine", "--drug-b", "Erlotinib", "--cell", "A375")
    assert "is a folder" in cli("predict", *pair, "-o", tmp_path, code=2).stderr
    assert "is a folder" in cli("recommend", "--cell", "A375", "-o", tmp_path, code=2).stderr


def test_a_run_of_a_gpu_recommends_where_there_is_none(lab, cli):
    from l2aco.files import sha256_file

    run = train(spec(), lab)
    told = run.path / "spec.toml"
    told.write_text(told.read_text().replace('device = "auto"', 'device = "cuda:0"'))
    manifest = json.loads((run.path / "manifest.json").read_text())
    manifest["files"]["spec.toml"] = sha256_file(told)
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    assert "cuda:0" in told.read_text()
    cli("recommend", "--cell", "A375", "--top", 2)
    assert "no device 'cuda:7'" in cli("recommend", "--cell", "A375", "--device", "cuda:7", code=1).stderr


def test_a_run_whose_spec_makes_no_sense_today_hides_no_other(lab, cli):
    from l2aco.files import sha256_file

    train(spec(), lab)
    odd = train(spec(seed=1), lab)
    told = odd.path / "spec.toml"
    told.write_text(told.read_text() + "\n[surprise]\nvalue = 1\n")
    manifest = json.loads((odd.path / "manifest.json").read_text())
    manifest["files"]["spec.toml"] = sha256_file(told)
    (odd.path / "manifest.json").write_text(json.dumps(manifest))
    result = cli("runs", "list", "--json")
    assert len(json.loads(result.stdout)) == 1 and odd.id in result.stderr


def test_predict_says_whose_numbers_these_are(lab, cli):
    run = train(spec(), lab)
    pair = ("--drug-a", "Gemcitabine", "--drug-b", "Erlotinib", "--cell", "A375")
    said = cli("predict", *pair).stderr
    assert run.id in said and "demo" in said and "SIMULATED" in said
    assert "contradict" in cli("predict", *pair, "--pairs", "pairs.csv", code=2).stderr


def test_a_piped_table_breaks_no_name(lab, cli):
    run = train(spec(), lab)
    assert run.id in cli("runs", "list").stdout
