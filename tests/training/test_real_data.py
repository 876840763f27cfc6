"""DrugCombDB through the command line: the numbers of docs/training.md stand on this path."""

from __future__ import annotations

import json

import pytest


@pytest.mark.long
def test_drugcombdb_trains_on_new_cell_lines_and_stands_beside_the_pair_mean(shared, workspace, cli):
    cli("data", "import", shared / "data" / "graphsynergy" / "DrugCombDB", "--name", "drugcombdb")
    arguments = ("--dataset", "drugcombdb", "--backbone", "GCN", "--setting", "novel-cell", "--align", "none")
    result = cli("train", *arguments, "--set", "epochs=6", "--set", "lr=0.004", "--set", "batch_size=1024", "--json")
    table = {row["model"]: row for row in json.loads(result.stdout)["table"]}
    assert table["GCN"]["rows"] == table["pair mean"]["rows"] > 10_000
    assert table["GCN"]["auroc"] > table["drug mean"]["auroc"] > 0.6


def test_naive_predictors_reproduce_the_published_table_within_a_hundredth(shared, workspace, cli):
    cli("data", "import", shared / "data" / "deepdds", "--name", "oneil")
    expected = {"novel-cell": {"pair mean": 0.872}, "novel-drug": {"partner mean": 0.790, "fingerprint kNN": 0.793}}
    for setting, values in expected.items():
        rows = json.loads(cli("evaluate", "--dataset", "oneil", "--setting", setting, "--json").stdout)
        for name, auroc in values.items():
            (found,) = [row for row in rows if row["model"] in (name, f"{name} over drugs")]
            assert found["auroc"] == pytest.approx(auroc, abs=0.01) and found["runs"] == 5
