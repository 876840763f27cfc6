"""Predictions of models from elsewhere: beside a run, and in a suite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small_suite import SUITE

from l2aco.bench.scored import rows_of
from l2aco.bench.statistics import MEASURES, difference, resampled
from l2aco.bench.suite import load_suite
from l2aco.data.catalog import open_dataset
from l2aco.data.splits.make import make_split
from l2aco.entities import EntityKind
from l2aco.errors import InputError
from l2aco.runs.run import list_runs
from l2aco.workspace import Workspace


def test_somebody_elses_predictions(cli: Any, suite: Path, workspace: Workspace, tmp_path: Path) -> None:
    """The pair mean, written by hand into a file with names instead of ids, in another order of drugs and rows."""
    cli("bench", "run", str(suite))
    run = next(run for run in list_runs(workspace) if "f0" in run.id and "none" in json.dumps(run.spec.config))
    table = run.predictions().sample(fraction=1.0, shuffle=True, seed=1)
    file = tmp_path / "theirs.csv"
    table.select(
        drug_a="drug_b", drug_b="drug_a", cell_line="cell_line", prediction=1.0 - pl.col("probability")
    ).write_csv(file)
    found = json.loads(cli("bench", "compare", run.id, str(file), "--json").stdout)
    ours, theirs, gap = found["measures"]["auroc"]
    assert found["common"] == len(table)
    assert ours + theirs == pytest.approx(1.0)
    assert gap["value"] == pytest.approx(ours - theirs)
    assert found["rows"][0]["rank_gap"] ** 2 <= 1
    names = {drug.id: drug.name for drug in run.entities(EntityKind.drug)}
    assert all(names[row["drug_a_id"]] == row["drug_a"] for row in found["rows"])
    shown = cli("bench", "compare", run.id, str(file)).stdout
    assert f"first: {run.id}" in shown and "second: theirs.csv" in shown
    head = next(line for line in shown.splitlines() if line.startswith("measure"))
    assert head.split()[:4] == ["measure", "difference", "first", "second"]
    assert f"{gap['value']:.3f} [{gap['low']:.3f}, {gap['high']:.3f}]" in shown


def test_where_drugs_were_held_out_drugs_are_drawn_again(cli: Any, lab: Workspace) -> None:
    held_out = ("train", "--backbone", "MLP", "--setting", "novel-drug", "--set", "epochs=2")
    cli(*held_out, "--align", "none")
    helped = cli(*held_out, "--store", "reference--toy").stdout.replace("\n", " ")
    assert "over drugs drawn again" in helped and "cell lines drawn again" not in helped
    ours, theirs = list_runs(lab)
    found = json.loads(cli("bench", "compare", ours.id, theirs.id, "--json").stdout)
    assert list(found["measures"]) == ["auroc"]
    assert "over drugs drawn again" in cli("bench", "compare", ours.id, theirs.id).stdout
    dataset = open_dataset("demo", lab)
    rows = rows_of(dataset, make_split(dataset, ours.spec.split)).numbered()
    values = (run.predictions()["probability"].to_numpy() for run in (ours, theirs))
    one, other = (MEASURES["auroc"](rows, value, resampled(rows.groups)) for value in values)
    wanted = difference(one, other)
    gap = found["measures"]["auroc"][2]
    assert (gap["low"], gap["high"]) == pytest.approx((wanted.low, wanted.high))
    assert any(f"Of {rows.groups} drugs" in warning for warning in found["warnings"])


def _theirs(run: Any, **more: Any) -> pl.DataFrame:
    """What a model from elsewhere might send: other names, the drugs the other way round."""
    table = run.predictions("test").with_columns(fold=pl.lit(run.spec.split.fold), **more)
    return table.select("fold", *more, drug_a="drug_b", drug_b="drug_a", cell="cell_line", prediction="probability")


def _suite_with(theirs: str) -> str:
    arm = f'[[arms]]\nname = "theirs"\npredictions = "{theirs}"\n\n'
    claim = '\n[[claims]]\ntext = "theirs is better"\narm = "theirs"\nover = ["nothing", "pair mean"]\n'
    return SUITE.replace("[[claims]]", f"{arm}[[claims]]", 1) + claim


def test_somebody_elses_predictions_stand_in_the_report(cli: Any, suite: Path, workspace: Workspace) -> None:
    """Those of `panel`, on one of two splits: the same figures, a verdict of their own, and a place on the board."""
    cli("bench", "run", str(suite))
    (run,) = (run for run in list_runs(workspace) if _of_panel(run) and run.spec.split.fold == 1)
    _theirs(run).sample(fraction=1.0, shuffle=True, seed=1).write_csv(workspace.root / "theirs.csv")
    suite.write_text(_suite_with("theirs.csv"))
    report = json.loads(cli("bench", "run", str(suite), "--json").stdout)
    rows = {row["model"]: row for row in report["tables"][0]["rows"]}
    assert (rows["theirs"]["splits"], rows["panel"]["splits"]) == (1, 2)
    verdict = next(verdict for verdict in report["verdicts"] if verdict["claim"] == "theirs is better")
    assert verdict["splits"] == 1 and "It is one split: others may say otherwise." in verdict["sentence"]
    assert [line for line in report["checks"] if "theirs = panel" in line or "panel = theirs" in line]
    assert len(report["provenance"]["predictions"]["theirs"]) == 64
    assert "theirs" in cli("bench", "board", str(workspace.bench / "small")).stdout


def _of_panel(run: Any) -> bool:
    return bool(run.spec.store) and run.spec.align.vectors == "profiles"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.tail(-3), "says nothing of 3 of the"),
        (lambda table: table.with_columns(fold=7), "says nothing of any test row"),
        (lambda table: table.with_columns(fold=pl.lit("first")), "which is no finite number"),
        (lambda table: table.with_columns(cell=pl.lit("NOBODY-7")), "theirs.csv:2"),
        (lambda table: pl.concat([table, table.head(1)]), "twice"),
    ],
)
def test_wrong_predictions_are_refused_before_anything_is_trained(
    cli: Any, suite: Path, workspace: Workspace, change: Any, words: str
) -> None:
    cli("bench", "run", str(suite))
    (run,) = (run for run in list_runs(workspace) if _of_panel(run) and run.spec.split.fold == 1)
    change(_theirs(run)).write_csv(workspace.root / "theirs.csv")
    more = '[[arms]]\nname = "more"\nspec.config = {knowledge = "none", draws = 3}\n\n'
    suite.write_text(_suite_with("theirs.csv").replace("[[claims]]", f"{more}[[claims]]", 1))
    before = len(list_runs(workspace))
    assert words in cli("bench", "run", str(suite), code=1).stderr.replace("\n", " ")
    assert len(list_runs(workspace)) == before


def test_predictions_for_several_seeds_say_which(cli: Any, suite: Path, workspace: Workspace) -> None:
    """A model that was trained for one seed may have seen what another tests."""
    several = _suite_with("theirs.csv").replace("folds = 2", "folds = 2\nseeds = [0, 1]")
    cli("bench", "run", str(suite))
    (run,) = (run for run in list_runs(workspace) if _of_panel(run) and run.spec.split.fold == 1)
    _theirs(run).write_csv(workspace.root / "theirs.csv")
    suite.write_text(several)
    assert "of which seed" in cli("bench", "run", str(suite), code=1).stderr
    _theirs(run, seed=pl.lit(0)).write_csv(workspace.root / "theirs.csv")
    (table,) = json.loads(cli("bench", "run", str(suite), "--json").stdout)["tables"]
    assert {row["model"]: row["splits"] for row in table["rows"]} == {
        **dict.fromkeys(("panel", "nothing", "shuffled", "pair mean"), 4),
        "theirs": 1,
    }


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("predictions =", 'profiles = ["reference"]\npredictions =', "has predictions, and so no profiles"),
        ('dataset = ["demo"]', 'dataset = ["demo", "oneil"]', "one data set and one setting"),
    ],
)
def test_an_arm_is_trained_or_brought(suite: Path, old: str, new: str, words: str) -> None:
    suite.write_text(_suite_with("theirs.csv").replace(old, new))
    with pytest.raises(InputError, match=words):
        load_suite(str(suite))
