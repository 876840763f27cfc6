"""Suites from the command line: what is trained, what is taken, what is judged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from small_suite import SUITE

from l2aco.bench.suite import cells, load_suite, shipped_suites
from l2aco.data.features.cells import Tissue
from l2aco.errors import InputError
from l2aco.models.backbones.mlp import MLP
from l2aco.runs.run import list_runs
from l2aco.training.choose import complete
from l2aco.workspace import Workspace

NOTHING = '\n[[arms]]\nname = "nothing"\nspec.config = {knowledge = "none", draws = 4}\n'


def test_every_shipped_suite_can_be_planned(lab: Workspace) -> None:
    """On the demo: specs, stores and folds are all there. A set that is a control is found where it is named."""
    for name in ("facts", "bare-name"):
        shutil.copytree(lab.embeddings / "reference--toy", lab.embeddings / f"{name}--toy")
    assert {"smoke", "knowledge", "quickstart", "paper"} <= set(shipped_suites())
    for name in shipped_suites():
        suite = load_suite(name, dataset=("demo",))
        assert suite.title
        asked = {cell.arm: cell.spec for cell in cells(suite, lab)}
        assert asked.keys() == {arm.name for arm in suite.arms}
        for spec in asked.values():
            complete(spec, lab)


def test_a_suite_from_end_to_end(cli: Any, suite: Path, workspace: Workspace) -> None:
    found = cli("bench", "run", str(suite), "--json")
    report = json.loads(found.stdout)
    assert len(report["runs"]) == 8
    (verdict,) = report["verdicts"]
    assert verdict["splits"] == 2
    assert set(verdict["over"]) == {"nothing", "shuffled", "pair mean"}
    assert verdict["sentence"].startswith("Yes: " if verdict["holds"] else "No evidence that the panel helps")
    (table,) = report["tables"]
    assert {row["model"] for row in table["rows"]} == {"nothing", "panel", "shuffled", "pair mean"}
    for row in table["rows"]:
        assert row["auroc_low"] <= row["auroc"] <= row["auroc_high"]
    folder = workspace.bench / "small"
    text = (folder / "report.md").read_text()
    assert "SIMULATED" in text
    assert verdict["sentence"] in text
    assert text.index("resolve") < text.index(verdict["sentence"])
    predictions = pl.read_parquet(folder / "predictions.parquet")
    assert {"panel", "nothing", "shuffled", "pair mean", "label", "score"} <= set(predictions.columns)
    assert predictions["panel"].null_count() == 0
    before = {run.id for run in list_runs(workspace)}
    again = json.loads(cli("bench", "run", str(suite), "--json").stdout)
    assert again["provenance"].pop("date") >= report["provenance"].pop("date")
    assert again == report
    assert {run.id for run in list_runs(workspace)} == before


def test_ones_own_run_comes_before_those_of_a_suite(cli: Any, suite: Path, workspace: Workspace) -> None:
    """Even one that reads no profiles, as those of the suite do; these are taken where there is no other."""
    asked = ("train", "--backbone", "Mixed", "--dataset", "demo", "--store", "none", "--set", "draws=4", "--json")
    (own,) = json.loads(cli(*asked).stdout)["runs"]
    cli("bench", "run", str(suite), "--jobs", "2")
    assert list_runs(workspace)[0].id != own and len(json.loads(cli("runs", "list", "--json").stdout)) == 9
    assert f"taking the run {own}" in cli("recommend", "--cell", "A375").stderr
    assert own in cli("evaluate").stdout
    cli("runs", "delete", own, "--yes")
    (line,) = [line for line in cli("recommend", "--cell", "A375").stderr.splitlines() if "taking the run" in line]
    assert "knowledge" in line and "shuffled" not in line


def test_a_cell_that_was_changed_is_trained_alone(cli: Any, suite: Path, workspace: Workspace) -> None:
    cli("bench", "run", str(suite))
    before = {run.id for run in list_runs(workspace)}
    suite.write_text(
        SUITE.replace('knowledge = "none"', 'knowledge = "none", target = "label"'.replace('", ', '"\nspec.config.'))
    )
    cli("bench", "run", str(suite))
    assert len({run.id for run in list_runs(workspace)} - before) == 2


def test_a_cell_that_fails_stops_no_other(cli: Any, suite: Path) -> None:
    broken = '\n[[arms]]\nname = "broken"\nspec.config.knowledge = "response"\n'
    claim = '\n[[claims]]\ntext = "broken wins"\narm = "broken"\nover = ["pair mean"]\n'
    suite.write_text(SUITE.replace("\n[[claims]]", broken + "\n[[claims]]", 1) + claim)
    found = cli("bench", "run", str(suite), "--json", code=3)
    assert "2 of 10 runs failed" in found.stderr
    report = json.loads(found.stdout)
    assert len(report["runs"]) == 8
    failed = [line for line in report["checks"] if line.startswith("failed: ")]
    assert len(failed) == 2
    assert all("the data set has no response" in line for line in failed)
    assert "cannot be judged: broken wins: no run of broken." in report["checks"]


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory.\nTried 2 GiB")])
def test_a_model_without_enough_memory_fails_alone(
    cli: Any, suite: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def hungry(*_: Any) -> None:
        raise error

    monkeypatch.setattr(MLP, "score", hungry)
    told = cli("train", "--dataset", "demo", "--backbone", "MLP", "--align", "none", code=1).stderr.replace("\n", " ")
    assert "the model ran out of memory" in told and "batch_size" in told and "Tried 2 GiB" not in told
    arm = '[[arms]]\nname = "hungry"\nspec.backbone = "MLP"\nspec.config = {}\nspec.align.loss = "none"\n'
    suite.write_text(SUITE.split("[[arms]]")[0].replace("config = {draws = 4}", "") + arm + NOTHING)
    found = cli("bench", "run", str(suite), "--json", code=3)
    failed = [line for line in json.loads(found.stdout)["checks"] if "the model ran out of memory" in line]
    assert len(failed) == 2, json.loads(found.stdout)["checks"]
    assert len(json.loads(found.stdout)["runs"]) == 2


def test_an_arm_without_its_store_fails_alone(cli: Any, suite: Path) -> None:
    arm = '[[arms]]\nname = "no store"\nspec.backbone = "MLP"\nspec.encoder = "minilm"\n'
    suite.write_text("[[arms]]".join(SUITE.replace("config = {draws = 4}", "").split("[[arms]]")[:2]) + arm)
    report = json.loads(cli("bench", "run", str(suite), "--json", code=3).stdout)
    assert len(report["runs"]) == 2
    assert [line for line in report["checks"] if line.startswith("failed: no store")]


def test_models_that_differ_in_name_alone_are_said(cli: Any, suite: Path) -> None:
    """As where a suite asks for what a data set does not know."""
    again = '[[arms]]\nname = "nothing else"\nfolds = [0]\nspec.config.knowledge = "none"\n'
    suite.write_text("[[arms]]".join(SUITE.split("[[arms]]")[:3]) + again)
    checks = json.loads(cli("bench", "run", str(suite), "--json").stdout)["checks"]
    assert [line for line in checks if "nothing = nothing else (perhaps" in line]
    suite.write_text("[[arms]]".join(SUITE.split("[[arms]]")[:3]))
    checks = json.loads(cli("bench", "run", str(suite), "--json").stdout)["checks"]
    assert [line for line in checks if line.startswith("models that say the same") and line.endswith(": none")]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('config.knowlege = "none"', "did you mean knowledge"),
        ("learning_rate = 0.1", "is fitted at once and has no learning_rate"),
        ("patience = 3", "is fitted at once and has no patience"),
        ('offset = "mixed"', "is fitted at once"),
    ],
)
def test_what_a_backbone_lacks_is_refused_before_anything_is_trained(
    cli: Any, suite: Path, workspace: Workspace, setting: str, words: str
) -> None:
    broken = f'\n[[arms]]\nname = "broken"\nspec.{setting}\n'
    suite.write_text(SUITE.replace("\n[[claims]]", broken + "\n[[claims]]", 1))
    said = cli("bench", "run", str(suite), code=1).stderr
    assert "arm 'broken'" in said and words in said.replace("\n", " ")
    assert not list_runs(workspace)


@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_others_give_the_same_numbers(cli: Any, apart: Any, suite: Path, tmp_path: Path, executor: str) -> None:
    if executor == "ray":
        pytest.importorskip("ray", reason="the extra `ray` is not installed")
    one = json.loads(cli("bench", "run", str(suite), "--json").stdout)
    how = ["--jobs", "2", "--executor", executor, "--workspace", str(tmp_path / "other")]
    other = json.loads(apart("bench", "run", str(suite), "--json", *how))
    assert one["tables"] == other["tables"]
    assert one["verdicts"] == other["verdicts"]


def test_a_budget_ends_and_the_same_command_goes_on(cli: Any, suite: Path, workspace: Workspace) -> None:
    plain = suite.read_text()
    suite.write_text(plain.replace("\n[[arms]]", "\n[budget]\ncells = 3\n\n[[arms]]", 1))
    for number in (3, 6, 8):
        report = json.loads(cli("bench", "run", str(suite), "--json").stdout)
        assert len(report["runs"]) == number == len(list_runs(workspace))
        left = [int(line.split()[5]) for line in report["checks"] if line.startswith("not begun within the budget: ")]
        assert sum(left) == 8 - number
        assert f"{number} of 8 runs finished" in report["checks"]
    assert json.loads(cli("bench", "run", str(suite), "--json", "--hours", "1e-9").stdout)["runs"] == report["runs"]


def test_a_killed_suite_goes_on(suite: Path, workspace: Workspace) -> None:
    command = [sys.executable, "-c", "from l2aco.cli.main import app; app()", "bench", "run", str(suite), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=workspace.root, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list_runs(workspace)) < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {run.id: (run.path / "manifest.json").stat().st_mtime_ns for run in list_runs(workspace)}
    assert 2 <= len(done) < 8
    found = subprocess.run(command, cwd=workspace.root, env=environment, capture_output=True, text=True, check=True)
    assert len(json.loads(found.stdout)["runs"]) == 8
    runs = list_runs(workspace)
    assert len(runs) == 8
    assert {run.id: (run.path / "manifest.json").stat().st_mtime_ns for run in runs if run.id in done} == done


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('arm = "panel"', 'arm = "penal"', "unknown arm 'penal'"),
        ('naive = ["pair mean"]', 'naive = ["pear mean"]', "unknown naive predictor"),
        ('name = "nothing"', 'name = "panel"', "several arms called panel"),
        ('name = "nothing"', 'name = "label"', "no arm can be called label"),
        ("folds = 2", "folds = 1", "folds"),
        ("folds = 2", "foldes = 2", "foldes"),
        ("folds = 2", 'folds = 2\nname = "../../outside"', "cannot be the name of a suite"),
        ("folds = 2", "folds = 2\nseeds = [0, 0]", "nothing twice"),
        ("folds = 2", "folds = 2\nseeds = [-1]", "cannot be negative"),
        ("folds = 2", "folds = 2\nsettings = []", "must name something"),
        ('backbone = "Mixed"', 'backbone = "Mixed"\nseed = 9', "spec.seed is the suite's to say"),
        ('text = "the panel helps"', 'text = "it helps"\nmeasure = "nope"', "unknown measure 'nope'"),
        ('over = ["nothing"', 'over = ["panel", "nothing"', "is over itself"),
        ("[spec]", '[[models]]\nname = "MLP"\n\n[spec]', r"no arm has \{model\} in its name"),
        ("[spec]", "[[models]]\nspec.epochs = 1\n\n[spec]", r"models.*name"),
    ],
)
def test_a_wrong_suite_is_refused(suite: Path, old: str, new: str, words: str) -> None:
    suite.write_text(SUITE.replace(old, new))
    with pytest.raises(InputError, match=words):
        load_suite(str(suite))


def test_what_models_have_in_common_is_said_once(suite: Path) -> None:
    several = """
        [[models]]
        name = "one"
        folds = [0]
        spec.config = {draws = 2, kernels = "numpy"}

        [[models]]
        name = "two"

        [[arms]]
        name = "{model}, alone"
        spec.config.draws = 3

        [[claims]]
        text = "{model} helps"
        arm = "{model}, alone"
        over = ["nothing"]
    """
    suite.write_text(SUITE + several)
    made = load_suite(str(suite))
    assert [arm.name for arm in made.arms] == ["nothing", "panel", "shuffled", "one, alone", "two, alone"]
    one, two = made.arms[-2:]
    assert (one.folds, one.spec["config"]) == ((0,), {"draws": 3, "kernels": "numpy"})
    assert (two.folds, two.spec["config"]) == (None, {"draws": 3})
    assert [(claim.text, claim.arm, claim.over) for claim in made.claims[1:]] == [
        (f"{name} helps", f"{name}, alone", ("nothing",)) for name in ("one", "two")
    ]


def test_a_wrong_spec_names_its_arm(cli: Any, suite: Path, workspace: Workspace) -> None:
    suite.write_text(SUITE.replace('spec.config.knowledge = "none"', "spec.bachbone = 1"))
    found = cli("bench", "run", str(suite), code=1)
    assert "arm 'nothing'" in found.stderr and "did you mean backbone" in found.stderr
    assert not list_runs(workspace)


def test_a_measure_that_is_undefined_is_called_so(cli: Any, suite: Path, workspace: Workspace, tmp_path: Path) -> None:
    suite.write_text(SUITE.split("[[arms]]")[0] + "[[arms]]" + SUITE.split("[[arms]]")[1])
    cli("bench", "run", str(suite))
    run = list_runs(workspace)[0]
    few = run.predictions().filter(pl.col("label") == 1).rename({"probability": "prediction"})
    few.select("drug_a", "drug_b", "cell_line", "prediction").write_csv(tmp_path / "few.csv")
    said = cli("bench", "compare", run.id, str(tmp_path / "few.csv")).stdout
    assert "auroc is undefined: no seed and fold has rows of both labels" in said and "macro_auroc is undefined" in said
    found = json.loads(cli("bench", "compare", run.id, str(tmp_path / "few.csv"), "--json").stdout)
    assert found["measures"]["auroc"][2]["p"] is None and "auroc" in found["undefined"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.rename({"prediction": "guess"}), "no column of predictions"),
        (lambda table: pl.concat([table, table[:1]]), "twice"),
        (lambda table: table.with_columns(prediction=pl.lit("much")), "is no finite number"),
        (lambda table: table.with_columns(cell_line=pl.lit("NOBODY-7")), "NOBODY-7"),
    ],
)
def test_a_wrong_file_of_predictions(
    cli: Any, suite: Path, workspace: Workspace, tmp_path: Path, change: Any, words: str
) -> None:
    suite.write_text(SUITE.split("[[arms]]")[0] + "[[arms]]" + SUITE.split("[[arms]]")[1])
    cli("bench", "run", str(suite))
    run = list_runs(workspace)[0]
    table = run.predictions().select("drug_a", "drug_b", "cell_line", prediction="probability")
    change(table).write_csv(tmp_path / "theirs.csv")
    found = cli("bench", "compare", run.id, str(tmp_path / "theirs.csv"), code=None)
    assert found.exit_code in (1, 2)
    assert words in found.stderr
    assert "Traceback" not in found.stderr


def test_a_report_replaces_nobody_elses_files(cli: Any, suite: Path, workspace: Workspace, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "report.md").write_text("precious")
    assert "did not write" in cli("bench", "run", str(suite), "-o", str(mine), code=2).stderr.replace("\n", " ")
    assert (mine / "report.md").read_text() == "precious"
    assert not list_runs(workspace)
    linked, target = tmp_path / "linked", tmp_path / "target"
    linked.mkdir(), target.mkdir()
    (linked / "charts").symlink_to(target)
    cli("bench", "run", str(suite), "-o", str(linked), code=2)
    assert not list(target.iterdir())


def test_a_suite_of_which_no_run_is_there_says_why(cli: Any, suite: Path) -> None:
    suite.write_text(SUITE.split("[[arms]]")[0] + '[[arms]]\nname = "broken"\nspec.config.knowledge = "response"\n')
    found = cli("bench", "run", str(suite), code=1)
    assert "no run of the suite small is there" in found.stderr.replace("\n", " ")
    assert "the data set has no response" in found.stderr.replace("\n", " ")


def test_a_damaged_run_is_trained_again(cli: Any, suite: Path, workspace: Workspace) -> None:
    suite.write_text(SUITE.split("[[arms]]")[0] + "[[arms]]" + SUITE.split("[[arms]]")[1])
    before = json.loads(cli("bench", "run", str(suite), "--json").stdout)
    (list_runs(workspace)[0].path / "predictions.parquet").write_text("garbage")
    after = json.loads(cli("bench", "run", str(suite), "--json").stdout)
    assert after["tables"] == before["tables"]


def test_a_run_that_read_a_feature_of_another_version_is_trained_again(
    cli: Any, suite: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = '[[arms]]\nname = "one"\nspec.config = {drug_features = "one_hot", cell_features = "tissue"}\n'
    suite.write_text(SUITE.split("[spec]")[0] + '[spec]\nbackbone = "Logistic"\n\n' + arm)
    for runs in (2, 2):
        cli("bench", "run", str(suite))
        assert len(list_runs(workspace)) == runs
    monkeypatch.setattr(Tissue, "version", Tissue.version + 1)
    for runs in (4, 4):
        cli("bench", "run", str(suite))
        assert len(list_runs(workspace)) == runs


def test_another_suite_of_the_same_name_replaces_no_report(cli: Any, suite: Path, workspace: Workspace) -> None:
    cli("bench", "run", str(suite))
    before = (workspace.bench / "small" / "results.csv").read_bytes()
    other = workspace.root / "other" / "small.toml"
    other.parent.mkdir()
    other.write_text(SUITE.replace("folds = 2", "folds = 3"))
    runs = len(list_runs(workspace))
    assert "another suite of this name" in cli("bench", "run", str(other), code=2).stderr
    assert (workspace.bench / "small" / "results.csv").read_bytes() == before and len(list_runs(workspace)) == runs
    suite.write_text(SUITE.replace("A small one", "The same, changed"))
    assert "The same, changed" in cli("bench", "run", str(suite), "--json").stdout


@pytest.mark.parametrize("where", ["a file", "a file/below"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_trained(
    cli: Any, suite: Path, workspace: Workspace, where: str
) -> None:
    (workspace.root / "a file").write_text("mine")
    said = cli("bench", "run", str(suite), "--output", str(workspace.root / where), code=2).stderr
    assert "--output" in said and not list_runs(workspace)
    assert (workspace.root / "a file").read_text() == "mine"
