"""`l2aco data` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l2aco.data.catalog import open_dataset
from l2aco.workspace import Workspace

Cli = Callable[..., Any]
TABLE = "drug_a,drug_b,cell_line,score\n" + "".join(
    f"D{a},D{b},L{c},{(-1) ** (a + b + c) * (a + 1)}\n" for a in range(6) for b in range(a + 1, 6) for c in range(8)
)


@pytest.fixture
def table(workspace: Workspace) -> Path:
    path = workspace.root / "screen.csv"
    path.write_text(TABLE)
    return path


def test_import_reports_lists_and_describes(cli: Cli, table: Path) -> None:
    table.write_text(TABLE + "D1,D0,L0,9\nD1,D1,L0,3\n")
    shown = cli("data", "import", table, "--name", "mine").stdout
    for words in ("rows read", "122", "self-pairs dropped", "in swapped order", "triples kept", "120"):
        assert words in shown
    rows = json.loads(cli("data", "list", "--json").stdout)
    assert rows[0]["name"] == "mine"
    assert (rows[0]["triples"], rows[0]["drugs"], rows[0]["cell_lines"]) == (120, 6, 8)
    info = json.loads(cli("data", "info", "MINE", "--json").stdout)
    assert {row["what"] for row in info["coverage"]} >= {"SMILES", "tissue", "profile set reference"}
    assert "coverage" in cli("data", "info", "mine").stdout


def test_real_input_is_reported_as_documented(cli: Cli, workspace: Workspace, shared: Path) -> None:
    folder = shared / "data" / "graphsynergy" / "DrugCombDB"
    shown = cli("data", "import", folder, "--name", "drugcombdb").stdout
    for number in ("69,436", "52", "2,629", "66,755", "572", "73", "16,823", "493,984"):
        assert number in shown.split(), number


def test_a_name_that_is_taken_needs_force(cli: Cli, table: Path) -> None:
    cli("data", "import", table, "--name", "mine")
    assert "--force" in cli("data", "import", table, "--name", "mine", code=2).stderr
    cli("data", "import", table, "--name", "mine", "--force", "--label", "> 2")
    assert json.loads(cli("data", "list", "--json").stdout)[0]["label"] == "score > 2"


def test_what_left_no_triple_is_counted(cli: Cli, workspace: Workspace) -> None:
    rows = [*("X,X,L,1" for _ in range(12)), "X,Y,L,", "X,Y,M,0.5"]
    (workspace.root / "t.csv").write_text("drug_a,drug_b,cell_line,score\n" + "\n".join(rows) + "\n")
    said = cli("data", "import", "t.csv", "--name", "x", "--label", ">= 1, <= 0", code=1).stderr
    counted = "left of 14 rows: 1 rows without score or label skipped, 12 self-pairs dropped, 1 triples without a label"
    assert f"{counted}, or in the gap" in said


def test_labels_of_one_class_are_warned_of(cli: Cli, table: Path) -> None:
    said = cli("data", "import", table, "--name", "mine", "--label", "> 99", "--quiet").stderr
    assert "All 120 triples are not synergistic by the rule 'score > 99'" in said
    assert "All 120" not in cli("data", "import", table, "--name", "other").stderr


def test_info_tells_of_simulation_once_and_of_what_a_set_is_about(cli: Cli, workspace: Workspace) -> None:
    assert "SIMULATED:" not in cli("data", "info", "demo").stdout
    rows = {row["what"]: row for row in json.loads(cli("data", "info", "demo", "--json").stdout)["coverage"]}
    assert rows["profile set reference-molecular"]["drugs"] is None
    assert rows["profile set reference-molecular"]["share of triples"] == 1


def test_the_hint_at_a_feature_that_is_not_there_can_be_followed(cli: Cli, table: Path) -> None:
    train = ("train", "--backbone", "GradientBoosting", "--cell-features", "expression", "--align", "none")
    hint = cli(*train, "--dataset", "demo", code=2).stderr
    assert "l2aco data import TABLE.csv --name NAME --features expression=FILE" in hint
    (table.parent / "x.csv").write_text("line,g1,g2\n" + "".join(f"L{n},{n},{n % 3}\n" for n in range(8)))
    cli("data", "import", table, "--name", "mine", "--features", "expression=x.csv")
    cli(*train, "--dataset", "mine", "-q")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["import", "nowhere.csv", "--name", "x"], 1, "no such file or folder"),
        (["import", "above", "--name", "x"], 1, "Import one of them: above/screen"),
        (["import", "screen.csv", "--name", "../x"], 2, "cannot be a name"),
        (["import", "screen.csv", "--name", "x", "--source", "deepdss"], 2, "deepdds"),
        (["import", "screen.csv", "--name", "x", "--label", "positive"], 2, "no label rule"),
        (["import", "screen.csv", "--name", "x", "--label", "shipped"], 1, "no labels"),
        (["import", "screen.csv", "--name", "Demo"], 2, "simulated data set's name"),
        (["import", "screen.csv", "--name", "x", "--columns", "drug_a"], 2, "name=VALUE"),
        (["import", "screen.csv", "--name", "x", "--columns", "drug=D"], 2, "unknown column role"),
        (["import", "screen.csv", "--name", "x", "--columns", "score=effect"], 1, "has no column 'effect'"),
        (["import", "screen.csv", "--name", "x", "--columns", "score=cell_line"], 1, "two roles, score and cell_line"),
        (["info", "nothing"], 2, "unknown data set"),
        (["split", "demo", "--setting", "novel-cel"], 2, "novel-cell"),
        (["split", "demo", "--fold", "7"], 2, "no fold 7"),
        (["split", "demo", "--stratify", "sex"], 2, "stratify"),
        (["fetch", "drugcomdb"], 2, "drugcombdb"),
        (["fetch", "oneil"], 2, "--yes"),
        (["export", "demo", "out", "--layout", "pdf"], 2, "laco"),
    ],
)
def test_mistakes_end_in_one_message(cli: Cli, table: Path, arguments: list[str], code: int, message: str) -> None:
    (screen := table.parent / "above" / "screen").mkdir(parents=True)
    for name in ("new_labels_0_10.csv", "scores_0_10.csv", "smiles.csv", "new_cell_features_954.csv"):
        (screen / name).touch()
    result = cli("data", *arguments, code=code)
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (table.parent / "data" / "x").exists()


@pytest.mark.parametrize("what", [("profiles", "x.jsonl"), ("profiles", "x.parquet"), ("store", "x.parquet")])
def test_a_file_that_is_not_there_is_said_not_to_be(cli: Cli, workspace: Workspace, what: tuple[str, str]) -> None:
    verb, file = what
    assert f"{file}: no such file or folder" in cli(verb, "import", file, "--name", "x", code=1).stderr


@pytest.mark.parametrize("name", ["profile", "One_Hot", "auto", "molecule_graphs", "substructures"])
def test_a_feature_that_could_never_be_read_is_refused(cli: Cli, table: Path, name: str) -> None:
    (table.parent / "f.csv").write_text("drug,x\na,1\n")
    told = cli("data", "import", table, "--name", "x", "--features", f"{name}={table.parent / 'f.csv'}", code=2).stderr
    assert f"no feature can be brought as '{name}'" in told and not (table.parent / "data" / "x").exists()


def test_columns_can_be_named(cli: Cli, table: Path) -> None:
    table.write_text(TABLE.replace("drug_a", "first").replace("score", "effect"))
    cli("data", "import", table, "--name", "x", "--columns", "drug_a=first", "--columns", "score=effect")
    assert json.loads(cli("data", "list", "--json").stdout)[0]["triples"] == 120


def test_split_makes_all_folds_and_says_what_it_checked(cli: Cli, table: Path) -> None:
    cli("data", "import", table, "--name", "mine")
    rows = json.loads(cli("data", "split", "mine", "--setting", "S1", "--folds", "4", "--check", "--json").stdout)
    assert [row["fold"] for row in rows] == [0, 1, 2, 3]
    assert sum(row["test"] for row in rows) == 120
    assert all("no cell line on two sides" in row["checked"] for row in rows)
    one = json.loads(cli("data", "split", "mine", "--folds", "4", "--fold", "2", "--json").stdout)
    assert one[0]["hash"] == rows[2]["hash"]


def test_a_planted_leak_ends_with_exit_code_1(cli: Cli, table: Path) -> None:
    import numpy as np

    cli("data", "import", table, "--name", "mine")
    cli("data", "split", "mine", "--fold", "0")
    path = next((table.parent / "data" / "mine" / "splits").glob("*.npz"))
    with np.load(path) as arrays:
        parts = {name: arrays[name] for name in ("train", "valid", "test")}
    parts["train"] = np.append(parts["train"], parts["test"][0])
    np.savez(path, **parts)
    assert "not the split" in cli("data", "split", "mine", "--fold", "0", "--check", code=1).stderr


def test_plots_are_pictures(cli: Cli, table: Path) -> None:
    cli("data", "import", table, "--name", "mine")
    cli("data", "info", "mine", "--plots", "plots")
    pictures = sorted((table.parent / "plots").glob("*.png"))
    assert [path.stem for path in pictures] == ["label_balance", "rows_per_cell_line", "rows_per_drug", "scores"]
    assert "100 triples" in (table.parent / "plots" / "rows_per_drug.svg").read_text()
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5_000 for path in pictures)


def test_export_and_import_again(cli: Cli, table: Path) -> None:
    cli("data", "import", table, "--name", "mine")
    cli("data", "export", "mine", "out")
    cli("data", "import", "out", "--name", "back")
    mine, back = json.loads(cli("data", "list", "--json").stdout)[::-1]
    assert (mine["triples"], mine["drugs"]) == (back["triples"], back["drugs"])
    assert "Wrote" in cli("data", "export", "mine", "features", "--layout", "laco-features").stdout


def test_an_export_replaces_nothing_but_an_export(cli: Cli, table: Path, tmp_path: Path) -> None:
    cli("data", "import", table, "--name", "mine")
    thesis = tmp_path / "thesis"
    (thesis / "chapters").mkdir(parents=True)
    (thesis / "chapters" / "one.tex").write_text("years of work")
    error = cli("data", "export", "mine", thesis, "--force", code=2).stderr
    assert "chapters/one.tex" in error and "did not write" in error
    assert (thesis / "chapters" / "one.tex").read_text() == "years of work"
    cli("data", "export", "mine", "out")
    assert "--force" in cli("data", "export", "mine", "out", code=2).stderr
    cli("data", "export", "mine", "out", "--force", "--layout", "laco-features")
    assert not Path("out/datasets").exists() and Path("out/DeepDDS").is_dir()


@pytest.mark.parametrize("other", ["file", "link", "mark"])
def test_an_export_that_holds_other_things_is_not_replaced(cli: Cli, table: Path, tmp_path: Path, other: str) -> None:
    cli("data", "import", table, "--name", "mine")
    cli("data", "export", "mine", "out")
    away = tmp_path / "away"
    away.mkdir()
    (away / "kept.txt").write_text("kept")
    if other == "file":
        Path("out/notes.txt").write_text("mine")
    elif other == "link":
        Path("out/link").symlink_to(away)
    else:
        Path("out/.l2aco-export.json").write_text("[]")
    assert "did not write" in cli("data", "export", "mine", "out", "--force", code=2).stderr
    assert (away / "kept.txt").read_text() == "kept" and Path("out/datasets").is_dir()
    assert sorted(path.name for path in Path().iterdir()) == ["away", "data", "out", "screen.csv"]


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", ".hidden", "a\\b", "x\n", ""])
def test_a_name_of_a_feature_leads_nowhere(cli: Cli, table: Path, tmp_path: Path, name: str) -> None:
    Path("f.csv").write_text("cell,g1\nL0,1\n")
    before = sorted(tmp_path.rglob("*"))
    error = cli("data", "import", table, "--name", "mine", "--features", f"{name}=f.csv", code=2).stderr
    assert "cannot be a name" in error or "name=VALUE" in error
    assert sorted(tmp_path.rglob("*")) == before


def test_no_merge_takes_the_name_of_the_simulated_data_set(cli: Cli, table: Path) -> None:
    cli("data", "import", table, "--name", "one")
    cli("data", "import", table, "--name", "two")
    for more in ([], ["--force"]):
        assert "simulated" in cli("data", "merge", "one", "two", "--name", "Demo", *more, code=2).stderr
    assert not (table.parent / "data" / "Demo").exists()


def test_names_that_differ_in_case_only(cli: Cli, table: Path, workspace: Workspace) -> None:
    cli("data", "import", table, "--name", "Screen")
    cli("data", "import", table, "--name", "other")
    for command in (["import", table], ["merge", "Screen", "other"]):
        stderr = cli("data", *command, "--name", "screen", "--force", code=2).stderr
        assert "'Screen' differs from 'screen' in case only" in stderr
    (workspace.data / "other").rename(workspace.data / "SCREEN")  # as an older version may have left it
    assert open_dataset("Screen", workspace).path.name == "Screen"
    assert open_dataset("SCREEN", workspace).path.name == "SCREEN"
    assert json.loads(cli("data", "info", "screen", "--json").stdout)


def test_merge_of_two(cli: Cli, table: Path) -> None:
    cli("data", "import", table, "--name", "one")
    cli("data", "import", table, "--name", "two")
    shown = cli("data", "merge", "one", "two", "--name", "both").stdout
    assert "triples in several of the data sets" in shown
    assert json.loads(cli("data", "info", "both", "--json").stdout)["both"][0] == {"what": "rows read", "value": 240}


def test_fetch_from_a_local_copy(cli: Cli, shared: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2ACO_CACHE", str(workspace.root / "cache"))
    shown = cli("data", "fetch", "oneil", "--from", shared / "data").stdout
    assert "12,230" in shown
    assert "shipped labels that disagree with the score rule" in shown
