"""Tables as other people's programs write them: words for nothing, numbers as names, columns with another meaning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from excel import table_cells, write_excel

from l2aco.data.dataset import DataSet
from l2aco.tables import read_binary, read_raw
from l2aco.workspace import Workspace

Cli = Callable[..., Any]
SCREEN = (
    "drug1,drug2,cell,score\nErlotinib,Sorafenib,A375,1.5\nErlotinib,Lapatinib,HT-29,-2\nErlotinib,Lapatinib,MCF7,1\n"
)


@pytest.fixture
def bring(cli: Cli, workspace: Workspace) -> Callable[..., tuple[DataSet, str]]:
    """`bring(text, "--columns", ...)`: the data set of a table and what was said; `beside` are other files."""

    def run(text: str = SCREEN, *options: object, beside: dict[str, str] | None = None) -> tuple[DataSet, str]:
        for name, content in {"s.csv": text, **(beside or {})}.items():
            Path(name).write_text(content)
        said = cli("data", "import", "s.csv", "--name", "mine", "--force", *options)
        return DataSet(workspace.data / "mine"), said.stdout + said.stderr

    return run


def tissues(dataset: DataSet) -> dict[str, str | None]:
    return {line.name: line.facts.get("tissue") for line in dataset.cell_lines}


def feature(dataset: DataSet, name: str) -> dict[str, Any]:
    with np.load(dataset.path / "features" / f"{name}.npz") as arrays:
        return dict(arrays)


# Words for nothing


@pytest.mark.parametrize("word", ["NaN", "nan", "N/A", r"\N", "Unknown", "not available", "-", "<NA>", "n.d.", "k. A."])
def test_words_for_nothing_are_no_facts(bring: Any, word: str) -> None:
    lines = f"name,tissue,depmap_id\nA375,skin,ACH-000219\nHT29,{word},{word}\n"
    drugs = f"name,smiles,aliases\nErlotinib,{word},{word}\nSorafenib,CCO,\n"
    dataset, _ = bring(SCREEN, "--cell-lines", "l.csv", "--drugs", "d.csv", beside={"l.csv": lines, "d.csv": drugs})
    assert tissues(dataset)["A375"] == "skin" and tissues(dataset)["HT-29"] is None
    assert not any("smiles" in drug.facts for drug in dataset.drugs if drug.name.startswith("Erlotinib"))
    assert f"'{word}'" not in str([(item.aliases, item.facts) for item in (*dataset.drugs, *dataset.cell_lines)])


def test_a_word_for_nothing_is_nobody_to_profile(cli: Cli, workspace: Workspace) -> None:
    Path("names.txt").write_text("Erlotinib\nnan\nN/A\n")
    Path("names.csv").write_text("name,kind\nErlotinib,drug\nNaN,\n")
    for file in ("names.txt", "names.csv"):
        plan = cli("profile", "--llm", "fake", "--entities", file, "--kind", "drug", "--dry-run").stdout
        assert "1 requested" in plan


def test_a_word_for_nothing_is_no_profile(cli: Cli, workspace: Workspace) -> None:
    Path("p.csv").write_text("kind,name,text\ndrug,Erlotinib,EGFR first\ndrug,Sorafenib,NaN\ndrug,Lapatinib,n/a\n")
    assert "1 profiles" in cli("profiles", "import", "p.csv", "--name", "own").stdout


def test_rows_of_single_drugs_without_a_score_are_skipped_and_counted(bring: Any) -> None:
    text = SCREEN + "Erlotinib,NULL,A375,\\N\nErlotinib,,MCF7,\nErlotinib,Sorafenib,MCF7,NULL\n"
    dataset, said = bring(text)
    assert len(dataset.triples) == 3
    assert dataset.manifest["report"]["unmeasured"] == 1 and dataset.manifest["report"]["nothing_said"] == 2
    assert "rows of a single drug without a score skipped" in said


def test_a_scored_row_of_one_drug_is_named_by_its_line_and_column(cli: Cli, workspace: Workspace) -> None:
    Path("s.csv").write_text(SCREEN + "Erlotinib,NULL,A375,3\n")
    error = cli("data", "import", "s.csv", "--name", "mine", code=1).stderr
    assert "s.csv:5" in error and "column 'drug2'" in error


# Labels and numbers


@pytest.mark.parametrize("words", [("True", "False"), ("TRUE", "false"), ("yes", "no"), ("1.0", "0")])
def test_labels_in_words_are_labels(bring: Any, words: tuple[str, str]) -> None:
    dataset, _ = bring(f"drug_a,drug_b,cell_line,label\nErlotinib,Gefitinib,A549,{words[0]}\nX,Y,A549,{words[1]}\n")
    assert sorted(dataset.triples.label.tolist()) == [0, 1]


def test_labels_that_parquet_and_excel_know_as_such(cli: Cli, workspace: Workspace) -> None:
    rows: list[list[object]] = [["X", "Y", "A549", True], ["X", "Z", "A549", False]]
    names = ["drug_a", "drug_b", "cell_line", "label"]
    pl.DataFrame(rows, schema=names, orient="row").write_parquet("s.parquet")
    write_excel(Path("s.xlsx"), table_cells([list(names), *rows]))
    for file in ("s.parquet", "s.xlsx"):
        cli("data", "import", file, "--name", "mine", "--force")
        assert sorted(DataSet(workspace.data / "mine").triples.label.tolist()) == [0, 1]


def test_numbers_as_names_are_the_same_with_and_without_a_point(bring: Any) -> None:
    dataset, _ = bring("drug_a,drug_b,cell_line,score\n5311.0,2244,A549,1.5\n2244.0,5311,A549,2.5\n")
    assert [drug.id for drug in dataset.drugs] == ["2244", "5311"]
    assert dataset.triples.score.tolist() == [2.0]


def test_numbers_as_names_in_parquet_graphs_facts_and_features(cli: Cli, workspace: Workspace) -> None:
    numbers = {"drug_a": [5311.0, 2244.0], "drug_b": [2244, 446], "cell_line": ["A549", "A549"], "score": [1.0, -1.0]}
    pl.DataFrame(numbers).write_parquet("s.parquet")
    Path("d.csv").write_text("id,smiles,pubchem_cid\n5311.0,CCO,5311.0\n")
    graph = {"relation": ["targets"] * 2, "x_id": [5311.0, 446.0], "x_type": ["drug"] * 2, "y_id": [7157.0, 7157.0]}
    pl.DataFrame({**graph, "y_type": ["gene"] * 2}).write_parquet("g.parquet")
    pl.DataFrame({"cid": [5311.0, 446.0], "x": [0.5, 2.0]}).write_parquet("f.parquet")
    beside = ("--drugs", "d.csv", "--graph", "g.parquet", "--features", "f=f.parquet")
    cli("data", "import", "s.parquet", "--name", "mine", *beside)
    dataset = DataSet(workspace.data / "mine")
    assert [drug.id for drug in dataset.drugs] == ["2244", "446", "5311"]
    assert dataset.drugs[2].facts["smiles"] == "CCO" and dataset.drugs[2].facts["xrefs"]["pubchem"] == "5311"
    assert dataset.graph is not None and dataset.graph.nodes["protein"] == ["7157"]
    assert feature(dataset, "f")["mask"].tolist() == [False, True, True]


# Columns that are called like something else


def test_a_lineage_is_a_tissue_and_the_place_of_a_sample_is_none_beside_it(bring: Any) -> None:
    lines = "cell_line_name,sample_collection_site,lineage\nMCF7,pleural_effusion,breast\nA375,skin,skin\n"
    dataset, said = bring(SCREEN, "--cell-lines", "l.csv", beside={"l.csv": lines})
    assert tissues(dataset)["MCF7"] == "breast"
    assert "'lineage' as tissue" in said


def test_a_tumour_is_not_of_the_fluid_it_spread_to(bring: Any) -> None:
    lines = "cell_line_name,sample_collection_site\nMCF7,pleural_effusion\nA375,skin\nHT29,lymph_node\n"
    dataset, said = bring(SCREEN, "--cell-lines", "l.csv", beside={"l.csv": lines})
    assert tissues(dataset) == {"MCF7": None, "A375": "skin", "HT-29": None}
    assert "'sample_collection_site' as tissue" in said


def test_a_tissue_column_that_is_empty_leaves_it_to_the_next(bring: Any) -> None:
    lines = "name,tissue,primary_site\nMCF7,NA,breast\nA375,,skin\n"
    dataset, _ = bring(SCREEN, "--cell-lines", "l.csv", beside={"l.csv": lines})
    assert tissues(dataset)["MCF7"] == "breast"


def test_a_table_of_drugs_is_called_by_its_names_and_not_by_its_structures(bring: Any) -> None:
    smiles = ("COCCOc1cc2c(cc1)ncnc2", "CNC(=O)c1cc(Oc2ccccc2)ccn1")
    drugs = f",dname,chembl_id,smiles,drug\n0,Erlotinib,CHEMBL553,{smiles[0]},{smiles[0]}\n"
    drugs += f"1,Sorafenib,CHEMBL1336,{smiles[1]},{smiles[1]}\n"
    dataset, _ = bring(SCREEN, "--drugs", "d.csv", beside={"d.csv": drugs})
    found = {drug.name.split(" ")[0]: drug.facts.get("smiles") for drug in dataset.drugs}
    assert found == {"Erlotinib": smiles[0], "Sorafenib": smiles[1], "Lapatinib": None}


def test_ids_beside_structures_and_vectors_are_the_names(bring: Any) -> None:
    dataset, said = bring(
        "Drug1_ID,Drug1,Drug2_ID,Drug2,Cell_Line_ID,Cell_Line,Synergy\n"
        'Erlotinib,COCCOc1cc2c(cc1)ncnc2,Sorafenib,CNC(=O)c1cc(Oc2ccccc2)ccn1,A2058,"[0.6 0.9 0.1]",7.69\n'
        'Erlotinib,COCCOc1cc2c(cc1)ncnc2,Lapatinib,CS(=O)(=O)CCNCc1ccc(o1),A375,"[0.6 0.9 0.2]",-3.69\n'
    )
    assert {line.id for line in dataset.cell_lines} == {"A2058", "A375"}
    assert not any("(" in drug.name or "(" in drug.id for drug in dataset.drugs)
    assert "'Drug1_ID' as drug_a" in said and "'Cell_Line' as cell_line" in said.partition("Not read")[2]


def test_a_column_of_text_called_class_is_no_label(bring: Any) -> None:
    dataset, said = bring("drug1,drug2,cell,class,synergy\nErlotinib,Gefitinib,A549,TKI,3.5\nX,Y,A549,TKI,-3.5\n")
    assert sorted(dataset.triples.score.tolist()) == [-3.5, 3.5]
    assert "Not read" in said and "'class' as label" in said


def test_a_column_that_was_named_for_the_score_is_no_label_too(bring: Any) -> None:
    text = "drug1,drug2,cell,Y\nErlotinib,Gefitinib,A549,1\nX,Y,A549,0\nX,Z,A549,1\n"
    dataset, _ = bring(text, "--columns", "score=Y")
    assert dataset.manifest["label_rule"]["kind"] == "threshold"
    assert sorted(dataset.triples.score.tolist()) == [0, 1, 1]


def test_a_role_can_be_switched_off(bring: Any, cli: Cli) -> None:
    text = "drug1,drug2,cell,synergy,class\nErlotinib,Gefitinib,A549,3.5,0\nX,Y,A549,-3.5,1\n"
    assert bring(text)[0].manifest["label_rule"]["kind"] == "shipped"
    dataset, _ = bring(text, "--columns", "label=")
    assert dataset.manifest["label_rule"]["kind"] == "threshold" and "shipped_labels" not in str(dataset.manifest)
    error = cli("data", "import", "s.csv", "--name", "other", "--columns", "drug_a=", code=2).stderr
    assert "drug_a" in error and "needed" in error


def test_a_score_without_a_label_gets_none_where_the_table_ships_labels(bring: Any, cli: Cli) -> None:
    rows = ["A,B,X,9,0", "A,C,X,-9,1", "A,D,X,9,", "A,E,X,9,1", "E,A,X,9,0", "A,F,X,9,0", "A,F,X,7,", "A,B,Y,5,1"]
    rows += [f"A,B,Z{n},{n + repeat},1" for n in range(4) for repeat in (0, 0.5)]
    dataset, said = bring("drug_a,drug_b,cell_line,score,label\n" + "\n".join(rows) + "\n")
    names = [drug.name for drug in dataset.drugs]
    at_x = [number for number, c in enumerate(dataset.triples.cell_line) if dataset.cell_lines[c].name == "X"]
    found = {names[dataset.triples.drug_b[at]]: int(dataset.triples.label[at]) for at in at_x}
    assert found == {"B": 0, "C": 1, "F": 0}
    report = dataset.manifest["report"]
    assert (report["unlabelled"], report["ties"], report["label_conflicts"]) == (1, 1, 1)
    assert "shipped_labels" not in str(report) and "disagree" not in said
    noise = dataset.manifest["replicates"]
    assert noise["correlation"] > 0 and noise["label_agreement"] is noise["auroc_first_from_second"] is None
    shown = cli("data", "info", "mine").stdout
    assert "correlation of the scores" in shown and "labels agree" not in shown


def test_lines_that_fold_alike_and_are_known_to_be_two_stay_two(bring: Any) -> None:
    names = ("KM-H2", "KMH2", "KMH-2", "TT", "T.T", "T-T")
    dataset, _ = bring("drug_a,drug_b,cell_line,score\n" + "".join(f"A,B,{name},{len(name)}\n" for name in names))
    assert {line.name for line in dataset.cell_lines} == {"KM-H2", "KMH-2", "TT", "T.T"}


def test_shares_that_leave_no_gap_are_refused(bring: Any, cli: Cli, workspace: Workspace) -> None:
    scores = [-5, *[0] * 8, 7]
    rows = [f"A,B,L{number},{score}" for number, score in enumerate(scores)]
    Path("s.csv").write_text("drug_a,drug_b,cell_line,score\n" + "\n".join(rows) + "\n")
    error = cli("data", "import", "s.csv", "--name", "mine", "--label", "top 25%, bottom 25%", code=1).stderr
    assert "8 of 10 scores are exactly 0" in error and not (workspace.data / "mine").exists()
    dataset, _ = bring(Path("s.csv").read_text(), "--label", "top 43%, bottom 57%")  # every score is in one of both
    assert len(dataset.triples.label) == 10


def test_errors_name_the_column_as_the_file_does(cli: Cli, workspace: Workspace) -> None:
    Path("s.csv").write_text("drug_row,drug_col,cell_line_name,synergy_loewe\nA,B,X,1\nA,C,X,high\nA,D,X,2\n")
    assert (
        "s.csv:3: column 'synergy_loewe' holds 'high'" in cli("data", "import", "s.csv", "--name", "m", code=1).stderr
    )
    Path("s.csv").write_text("NSC1,NSC2,CELLNAME,SCORE\n740,750,,1\n740,752,A549,2\n")
    assert "s.csv:2: column 'CELLNAME'" in cli("data", "import", "s.csv", "--name", "m", code=1).stderr


def test_several_doses_of_one_triple_are_no_repeats(bring: Any, cli: Cli) -> None:
    rows = [f"7{a},7{b},{line},{dose},{a + b - dose}" for a, b in ((1, 2), (1, 3)) for line in "XYZ" for dose in (1, 9)]
    dataset, said = bring("NSC1,NSC2,CELLNAME,CONC1,SCORE\n" + "\n".join(rows) + "\n")
    assert "6 triples stand at several doses (CONC1)" in said
    assert dataset.manifest["replicates"] == {} and "labels agree" not in cli("data", "info", "mine").stdout
    same = [row.replace(",9,", ",1,") for row in rows]
    assert bring("NSC1,NSC2,CELLNAME,CONC1,SCORE\n" + "\n".join(same) + "\n")[0].manifest["replicates"]


# Expression


GENES = "gene,A375,HT-29,MCF7\nEGFR,1,2,3\nTP53,4,5,6\n"


def test_genes_by_lines_are_turned_and_that_is_said(bring: Any) -> None:
    dataset, said = bring(SCREEN, "--features", "expression=e.csv", beside={"e.csv": GENES})
    table = feature(dataset, "expression")
    assert table["columns"].tolist() == ["EGFR", "TP53"]
    assert table["values"].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert "turned" in said and "one column is an entity" in said


def test_a_second_header_and_columns_of_words_are_left_out(bring: Any) -> None:
    turned = "gene,A375,HT-29,MCF7\ndepmap,ACH-1,ACH-2,ACH-3\nEGFR,1,2,3\n"
    straight = "line,EGFR,tissue\ntranscript,ENST1,\nA375,1,skin\nHT-29,2,colon\nMCF7,3,breast\n"
    for text, left in ((turned, "depmap"), (straight, "tissue")):
        dataset, said = bring(SCREEN, "--features", "e=e.csv", beside={"e.csv": text})
        assert feature(dataset, "e")["values"].tolist() == [[1], [2], [3]]
        assert f"no number stands there: {left}" in said


def test_blanks_get_the_mean_of_their_gene_and_whole_blank_lines_nothing(bring: Any) -> None:
    text = "line,EGFR,TP53\nA375,1,NaN\nHT-29,3,8\nMCF7,,NA\n"
    dataset, said = bring(SCREEN, "--features", "e=e.csv", beside={"e.csv": text})
    table = feature(dataset, "e")
    assert table["mask"].tolist() == [True, True, False]
    assert table["values"].tolist() == [[1, 8], [3, 8], [0, 0]]
    assert "1 blanks got the mean" in said and "no number for MCF7" in said


def test_a_word_among_numbers_is_named_in_either_direction(cli: Cli, workspace: Workspace) -> None:
    Path("s.csv").write_text(SCREEN)
    for text, where in ((GENES.replace("5", "high"), "e.csv:3: column 'HT-29'"), ("l,g\nA375,1\nMCF7,x\n", "e.csv:3")):
        Path("e.csv").write_text(text)
        error = cli("data", "import", "s.csv", "--name", "m", "--features", "e=e.csv", code=1).stderr
        assert where in error
    Path("e.csv").write_text("gene,somebody,else\nEGFR,1,2\n")
    error = cli("data", "import", "s.csv", "--name", "m", "--features", "e=e.csv", code=1).stderr
    assert "or the other way around" in error and "--aliases" in error


# Bounds


def test_a_sheet_that_reaches_to_its_last_cell_is_refused_before_it_is_read(cli: Cli, workspace: Workspace) -> None:
    write_excel(Path("s.xlsx"), {"A1": "drug_a", "XFD1048576": 1})
    assert "17,179,869,184" not in (error := cli("data", "import", "s.xlsx", "--name", "m", code=1).stderr)
    assert "1,048,576 rows of 16,384 columns" in error


def test_a_parquet_of_two_hundred_million_rows_is_refused_before_it_is_read(cli: Cli, workspace: Workspace) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: pa.DictionaryArray.from_arrays(pa.nulls(1 << 20, pa.int32()).fill_null(0), ["X"]) for name in "ab"}
    piece = pa.table(columns)
    with pq.ParquetWriter("s.parquet", piece.schema) as writer:
        for _ in range(191):
            writer.write_table(piece)
    assert Path("s.parquet").stat().st_size < 1 << 20
    assert "unfolds to 200,278,016 rows" in cli("data", "import", "s.parquet", "--name", "m", code=1).stderr


def test_an_excel_file_that_unpacks_to_too_much_is_refused(
    cli: Cli, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2aco.bounds.MAX_BYTES", 10_000)
    write_excel(Path("s.xlsx"), table_cells([["drug_a", "x" * 20_000]]))
    assert "at most 10,000 are read" in cli("data", "import", "s.xlsx", "--name", "m", code=1).stderr


@pytest.mark.parametrize("role", ["features", "drugs.json"])
def test_json_that_nests_too_deep_is_refused(cli: Cli, workspace: Workspace, role: str) -> None:
    deep = '{"Erlotinib": ' + "[" * 100_000
    if role == "features":
        Path("s.csv").write_text(SCREEN)
        Path("f.json").write_text(deep)
        arguments: tuple[str, ...] = ("s.csv", "--features", "f=f.json")
    else:
        Path("d").mkdir()
        Path("d/labeled_triples.csv").write_text("drug_1,drug_2,context,label\n1,2,X,1\n")
        Path("d/drug_set.json").write_text(deep)
        arguments = ("d",)
    error = cli("data", "import", *arguments, "--name", "m", code=1).stderr
    assert ".json" in error and "JSON" in error


@pytest.mark.parametrize("header", [",".join(f"gene{n}" for n in range(20_000)), "x" * 90_000, "[" * 90_000])
@pytest.mark.parametrize("role", ["triples", "drugs"])
def test_a_table_of_very_many_or_very_long_columns_is_a_short_message(
    cli: Cli, workspace: Workspace, header: str, role: str
) -> None:
    Path("s.csv").write_text(SCREEN)
    Path("o.csv").write_text(f"{header}\n1\n")
    arguments = ("o.csv",) if role == "triples" else ("s.csv", "--drugs", "o.csv")
    error = cli("data", "import", *arguments, "--name", "m", code=1).stderr
    assert "Columns found: " in error and len(error) < 2_000


def test_a_path_is_no_pattern(tmp_path: Path) -> None:
    """Browsers and people put brackets into names; another file that the name would fit is not read in its place."""
    folder = tmp_path / "[work] *"
    folder.mkdir()
    for name, other in (("mine[1]", "mine1"), ("any*", "anything")):
        for one, value in ((name, "A"), (other, "B")):
            pl.DataFrame({"drug_a": [value]}).write_parquet(folder / f"{one}.parquet")
            (folder / f"{one}.csv").write_text(f"drug_a\n{value}\n")
            write_excel(folder / f"{one}.xlsx", {"A1": "drug_a", "A2": value})
        for ending in ("parquet", "csv", "xlsx"):
            assert read_raw(folder / f"{name}.{ending}").frame["drug_a"].to_list() == ["A"]


def test_json_that_spells_half_a_letter_is_refused(cli: Cli, workspace: Workspace) -> None:
    Path("dffndds").mkdir()
    Path("dffndds/labeled_triples.csv").write_text("drug_1,drug_2,context,label\n1,2,X,1\n")
    Path("dffndds/drug_set.json").write_text('{"1": {"smiles": "C\\ud800"}, "2": {"smiles": "CC"}}')
    told = cli("data", "import", "dffndds", "--name", "mine", code=1).stderr
    assert "drug_set.json: is not JSON of a data set" in told
    assert not (workspace.data / "mine").exists()


def test_a_column_without_a_name_stays_without_one(tmp_path: Path) -> None:
    """As of a CSV with row names that was made Parquet."""
    frame = pl.DataFrame({"": [1, 2], "name": ["a", "b"]})
    frame.write_parquet(tmp_path / "t.parquet")
    assert read_binary(tmp_path / "t.parquet").equals(frame)
