"""What single drugs do to a line, beside the synergy of pairs: measured where that is known, else expected."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from l2aco.workspace import Workspace

LINES = ["A-375", "HT-29", "MCF7", "A549", "SK-MEL-28", "HCT116"]
DRUGS = ["Erlotinib", "Bortezomib", "Paclitaxel", "Vemurafenib"]
RESPONSE = """drug,A375,HT29,MCF7,A549
BORTEZOMIB,-5,-4.5,-5.5,
vemurafenib,-2,1,2,1.5
"""
TOLD = {"sensitivity": {"EGFR_1st": 1, "BRAF_V600": -1}, "response": {"velcade": -7.25, "Zelboraf": None}}


@pytest.fixture(scope="module")
def screened(tmp_path_factory):
    """A workspace with a screen, response measured of some of its lines and drugs, and a Mixed run that reads it."""
    from typer.testing import CliRunner

    from l2aco.cli.main import app

    folder = tmp_path_factory.mktemp("screened")
    rows = ["drug_a,drug_b,cell_line,score"]
    for number, line in enumerate(LINES):
        for i, a in enumerate(DRUGS):
            rows += [f"{a},{b},{line},{(number * 7 + i * 5 + j * 3) % 11 - 5}" for j, b in enumerate(DRUGS[i + 1 :])]
    (folder / "screen.csv").write_text("\n".join(rows) + "\n")
    (folder / "response.csv").write_text(RESPONSE)
    for arguments in (
        ("data", "import", folder / "screen.csv", "--name", "mine", "--features", f"response={folder}/response.csv"),
        ("train", "--dataset", "mine", "--backbone", "Mixed", "--setting", "random", "--folds", "3",
         "--set", "knowledge=stores+response", "--set", "draws=4"),
    ):  # fmt: skip
        said = CliRunner().invoke(app, [*map(str, arguments), "--workspace", str(folder)])
        assert said.exit_code == 0, said.output
    return Workspace(folder)


def ask(cli, workspace, cell, *arguments):
    return cli("recommend", "--cell", cell, "--all-pairs", "--top", 100, *arguments, "--workspace", workspace.root)


def alone(rows: list[dict]) -> dict[str, tuple]:
    """By drug: the number, what it is, and who says so."""
    return {
        row[f"drug_{end}"]: tuple(row[f"alone_{end}{part}"] for part in ("", "_is", "_from"))
        for row in rows
        for end in "ab"
    }


def test_what_was_measured_goes_before_what_a_panel_expects(screened, cli):
    found = alone(json.loads(ask(cli, screened, "A375", "--json").stdout))
    assert found["Bortezomib"] == (-5, "measured", "response in mine")
    assert found["Vemurafenib"] == (-2, "measured", "response in mine")
    assert found["Erlotinib"][1:] == ("expected", "reference-panel")


def test_a_blank_was_not_measured(screened, cli):
    """The model reads the mean of the drug in its place; nobody is told that it was measured."""
    found = alone(json.loads(ask(cli, screened, "A549", "--json").stdout))
    assert found["Vemurafenib"] == (1.5, "measured", "response in mine")
    assert found["Bortezomib"][1] == "expected"


def test_it_stands_in_tables_files_pages_and_reasons(screened, cli, tmp_path):
    files = ("-o", tmp_path / "pairs.csv", "--html", tmp_path)
    result = ask(cli, screened, "A375", "--reasons", *files)
    assert "-5 | -2" in result.stdout or "-2 | -5" in result.stdout
    sentence = "Measured effect of Bortezomib alone on A-375: -5, lower than in 1 of 2 other lines (response in mine"
    assert sentence in result.stdout and sentence in (tmp_path / "A-375.html").read_text()
    assert "Expected effect of Erlotinib alone on A-375" in result.stdout
    said = " ".join(result.stderr.split())
    assert "measured (response in mine; the lower, the more sensitive); or ~ expected (reference-panel" in said
    assert alone(pl.read_csv(tmp_path / "pairs.csv").to_dicts())["Vemurafenib"][:2] == (-2, "measured")


def test_of_a_new_line_it_is_told_in_a_file(screened, cli, tmp_path):
    """Drugs may be called by any of their names; what is not known stays unknown; the model reads it too."""
    path = tmp_path / "new.json"
    path.write_text(json.dumps(TOLD))
    rows = json.loads(ask(cli, screened, "NEW", "--profile", path, "--json").stdout)
    found = alone(rows)
    assert found["Bortezomib"] == (-7.25, "measured", "as told")
    assert found["Erlotinib"] == (1, "expected", "as told") and found["Vemurafenib"] == (-1, "expected", "as told")
    path.write_text(json.dumps(TOLD | {"response": {"Bortezomib": 3}}))
    other = json.loads(ask(cli, screened, "NEW", "--profile", path, "--json").stdout)
    assert [row["probability"] for row in other] != [row["probability"] for row in rows]


def test_merged_data_sets_keep_what_was_measured(screened, cli):
    root = ("--workspace", screened.root)
    cli("data", "merge", "mine", "mine", "--name", "twice", *root)
    from l2aco.data.catalog import open_dataset
    from l2aco.data.features import table_in

    one, both = (table_in(open_dataset(name, screened), "response").measured() for name in ("mine", "twice"))
    assert (~(one == one)).sum() == (~(both == both)).sum() > 0


def test_a_data_set_that_is_gone_measured_nothing(screened, cli, tmp_path: Path):
    import shutil

    shutil.copytree(screened.root / "runs", tmp_path / "runs")
    shutil.copytree(screened.root / "embeddings", tmp_path / "embeddings")
    found = alone(json.loads(ask(cli, Workspace(tmp_path), "A375", "--json").stdout))
    assert found["Bortezomib"][1] == "expected"
