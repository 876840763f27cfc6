"""Tables with the habits of spreadsheets, and what an import says of its guesses."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from l2aco.data.catalog import open_dataset
from l2aco.data.features import table_in
from l2aco.entities import EntityKind, read_entities
from l2aco.errors import InputError
from l2aco.workspace import Workspace

Cli = Callable[..., Any]
ROWS = "Erlotinib,Sorafenib,A375,1.5\nErlotinib,Lapatinib,HT-29,-2\n"


def imported(cli: Cli, workspace: Workspace, text: str, *options: object, name: str = "s.csv", code: int = 0) -> Any:
    (workspace.root / name).write_text(text, encoding="utf-8-sig")
    return cli("data", "import", workspace.root / name, "--name", "mine", *options, code=code)


def test_semicolons_and_decimal_commas_are_read(cli: Cli, workspace: Workspace) -> None:
    text = "Drug 1;Drug 2;Cell;Score\nErlotinib;Sorafenib;A375;1,5\nErlotinib;Lapatinib;HT-29;-2\n"
    imported(cli, workspace, text)
    assert sorted(open_dataset("mine", workspace).triples.score.tolist()) == [-2.0, 1.5]
    error = imported(cli, workspace, text.replace("-2", "1,2,3"), "--force", code=1).stderr
    assert "s.csv:3" in error and "1,2,3" in error


def test_a_comma_within_a_number_of_other_tables_is_no_decimal(cli: Cli, workspace: Workspace) -> None:
    error = imported(cli, workspace, 'drug1,drug2,cell,score\nA,B,C,"1,5"\n', code=1).stderr
    assert "holds '1,5', which is not a number" in error
    error = imported(cli, workspace, "drug1\tdrug2\tcell\tscore\nA\tB\tC\t1,234\n", name="s.tsv", code=1).stderr
    assert "holds '1,234', which is not a number" in error


def test_tables_beside_the_screen_may_have_semicolons_too(cli: Cli, workspace: Workspace) -> None:
    (workspace.root / "d.csv").write_text("id;name;smiles\nX1;Erlotinib;CCO\n")
    (workspace.root / "f.csv").write_text("drug;x1;x2\nErlotinib;0,5;1\nLapatinib;-2;1,25\n")
    options = ("--drugs", workspace.root / "d.csv", "--features", f"f={workspace.root / 'f.csv'}")
    imported(cli, workspace, "drug1,drug2,cell,score\n" + ROWS, *options)
    dataset = open_dataset("mine", workspace)
    assert sorted(table_in(dataset, "f").values.flatten().tolist())[0] == -2.0
    assert 0.5 in table_in(dataset, "f").values and 1.25 in table_in(dataset, "f").values
    assert [drug.facts.get("smiles") for drug in dataset.drugs if drug.name == "Erlotinib"] == ["CCO"]
    (workspace.root / "p.csv").write_text("kind;name;text\ndrug;Erlotinib;EGFR, first\n")
    assert "1 profiles" in cli("profiles", "import", workspace.root / "p.csv", "--name", "own").stdout


def test_the_columns_that_were_guessed_are_told_and_kept(cli: Cli, workspace: Workspace) -> None:
    said = imported(cli, workspace, "drug_row,drug_col,cell_line_name,synergy_zip\n" + ROWS).stderr
    assert "'drug_row' as drug_a" in said and "'synergy_zip' as score" in said
    assert any("synergy_zip" in note for note in open_dataset("mine", workspace).manifest["notes"])


def test_scores_that_fall_where_labels_say_synergy_are_refused(cli: Cli, workspace: Workspace) -> None:
    index = [0.3 + 0.05 * place for place in range(24)]  # of combination: synergy is below 1
    rows = [(f"A{place},B,HT-29", value, int(value < 1)) for place, value in enumerate(index)]
    table = "drug1,drug2,cell,score,label\n" + "".join(f"{who},{value},{label}\n" for who, value, label in rows)
    error = imported(cli, workspace, table, code=1).stderr
    assert "scores are lower where its labels say synergy" in error and "turn their sign" in error
    imported(cli, workspace, table, "--columns", "score=")
    imported(cli, workspace, table.replace("0.", "-0.").replace(",1.", ",-1."), "--force")
    imported(cli, workspace, "\n".join([*table.splitlines()[:10], "Z,B,HT-29,0.1,0", ""]), "--force")  # too few to tell


def test_several_scores_must_be_chosen_from(cli: Cli, workspace: Workspace) -> None:
    text = "drug_row,drug_col,cell_line_name,synergy_zip,synergy_loewe\nA,B,X,1,-2\nA,C,Y,-1,2\n"
    error = imported(cli, workspace, text, code=1).stderr
    assert "synergy_zip, synergy_loewe" in error and "--columns score=NAME" in error
    imported(cli, workspace, text, "--columns", "score=synergy_loewe")
    assert sorted(open_dataset("mine", workspace).triples.score.tolist()) == [-2.0, 2.0]
    error = imported(cli, workspace, "drug1,drug2,cell,score,score\nA,B,X,1,2\n", "--force", code=1).stderr
    assert "column 'score' twice" in error


@pytest.mark.parametrize("missing", ["NA", "nan", "#N/A", ""])
def test_a_word_for_nothing_is_no_name(cli: Cli, workspace: Workspace, missing: str) -> None:
    error = imported(cli, workspace, "drug1,drug2,cell,score\n" + ROWS + f"Erlotinib,{missing},A375,1\n", code=1).stderr
    assert "column 'drug2' is empty" in error and "s.csv:4" in error


def test_repeats_that_are_copies_tell_nothing_of_the_noise(cli: Cli, workspace: Workspace) -> None:
    rows = "".join(f"D{a},D{b},L{c},{a - b + c}\n" for a in range(5) for b in range(a) for c in range(3))
    imported(cli, workspace, "drug1,drug2,cell,score\n" + rows + rows)
    assert "labels agree" not in (shown := cli("data", "info", "mine").stdout) and "copies" in shown
    other = rows.replace(",1\n", ",-1\n")
    imported(cli, workspace, "drug1,drug2,cell,score\n" + rows + other, "--force")
    assert "labels agree" in cli("data", "info", "mine").stdout


def test_a_packed_file_is_told_from_an_unknown_layout(cli: Cli, workspace: Workspace) -> None:
    path = workspace.root / "s.csv.gz"
    path.write_bytes(gzip.compress(("drug1,drug2,cell,score\n" + ROWS).encode()))
    assert "Unpack it" in cli("data", "import", path, "--name", "mine", code=1).stderr


def test_smiles_that_cannot_be_read_are_named(cli: Cli, workspace: Workspace) -> None:
    (workspace.root / "d.csv").write_text("name,smiles\nErlotinib,CCO\nSorafenib,C1CC(no\n")
    said = imported(cli, workspace, "drug1,drug2,cell,score\n" + ROWS, "--drugs", workspace.root / "d.csv").stderr
    assert "1 SMILES cannot be read" in said and "Sorafenib" in said
    assert "1 of 3" in next(line for line in cli("data", "info", "mine").stdout.splitlines() if "SMILES" in line)


def test_added_entities_get_the_ids_of_the_reference_profiles(cli: Cli, workspace: Workspace) -> None:
    (workspace.root / "c.csv").write_text("name,tissue\nMCF7,breast\nMCF-7,breast\nA375,skin\nOwn line,skin\n")
    options = ("--cell-lines", workspace.root / "c.csv", "--add-entities")
    imported(cli, workspace, "drug1,drug2,cell,score\n" + ROWS, *options)
    assert [line.id for line in open_dataset("mine", workspace).cell_lines] == ["A375", "HT29", "MCF7", "Own line"]


def test_an_alias_table_speaks_of_both_kinds_and_finds_its_targets(cli: Cli, workspace: Workspace) -> None:
    (workspace.root / "a.csv").write_text("alias,id\ntarceva,Erlotinib\nht 29 old,HT-29\nnobody,X\n")
    text = "drug1,drug2,cell,score\n" + ROWS + "Tarceva,Lapatinib,HT 29 old,1\n"
    imported(cli, workspace, text, "--aliases", workspace.root / "a.csv")
    dataset = open_dataset("mine", workspace)
    assert len(dataset.drugs) == 3 and len(dataset.cell_lines) == 2
    resolution = dataset.manifest["resolution"]
    assert resolution["drugs"]["aliases_unused"] == resolution["cell_lines"]["aliases_unused"] == ["nobody"]


def test_a_name_of_an_alias_table_is_unused_where_its_own_kind_has_no_use_for_it(
    cli: Cli, workspace: Workspace
) -> None:
    (workspace.root / "a.csv").write_text("alias,id,kind\ntarceva,Erlotinib,drug\nnobody,X,drug\n")
    text = "drug1,drug2,cell,score\n" + ROWS + "Tarceva,Lapatinib,HT29,1\n"
    imported(cli, workspace, text, "--aliases", workspace.root / "a.csv")
    resolution = open_dataset("mine", workspace).manifest["resolution"]
    assert resolution["drugs"]["aliases_unused"] == resolution["cell_lines"]["aliases_unused"] == ["nobody"]


def test_an_alias_table_can_keep_a_name_from_being_matched(cli: Cli, workspace: Workspace) -> None:
    (workspace.root / "a.csv").write_text("alias,id\nErlotinib,Erlotinib\n")
    imported(cli, workspace, "drug1,drug2,cell,score\n" + ROWS, "--aliases", workspace.root / "a.csv")
    assert {drug.id for drug in open_dataset("mine", workspace).drugs} == {"Erlotinib", "DB00398", "DB01259"}


def test_a_table_of_measurements_is_no_table_of_entities(workspace: Workspace) -> None:
    path = workspace.root / "s.csv"
    path.write_text("drug1,drug2,cell,score\n" + ROWS)
    with pytest.raises(InputError, match=r"(?s)two drugs on a line.*l2aco data import"):
        read_entities(path, EntityKind.drug)
