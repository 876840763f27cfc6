"""What people really send: each ends in one clear error with its place, or in a counted skip. Nothing half-imported."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from l2aco.data.features import table_in
from l2aco.data.importing import ImportSpec, import_dataset
from l2aco.errors import L2aCoError
from l2aco.profiles.exchange import import_set
from l2aco.runs.pairs import read_pairs
from l2aco.tables import read_raw
from l2aco.workspace import Workspace

GOOD = "drug_a,drug_b,cell_line,score\nA,B,X,1\nA,C,X,-1\nB,C,Y,2\n"


def profiles_in(path: Path) -> object:
    return import_set(path, "p", Workspace(path.parent), form="parquet")


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


def table(text: str | bytes, name: str = "t.csv") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def graphsynergy(**files: str | None) -> Callable[[Path], Path]:
    """A small good folder, with some files replaced, or left out where None."""

    def write(folder: Path) -> Path:
        good: dict[str, str | None] = {
            "drug_combinations.csv": "Drug1,Drug2,cell,drug1_db,drug2_db,synergy\na,b,X,DB00001,DB00002,1\n"
            "a,c,X,DB00001,DB00003,-1\n",
            "drug_protein.csv": "drug,protein\nDB00001,10\n",
            "cell_protein.csv": "GeneSym,source_desc,protein,cell,Tissue,target_id,weight\nG,na,10,X,lung,-666,1\n",
            "protein-protein_network.csv": "protein_a,protein_b\n10,11\n",
        }
        for name, text in {**good, **{key.replace("__", "."): value for key, value in files.items()}}.items():
            if text is not None:
                (folder / name).write_text(text)
        return folder

    return write


def deepdds(labels: str = "", **files: str) -> Callable[[Path], Path]:
    """A small good folder, with some files replaced; `labels`: more rows of the file of labels."""

    def write(folder: Path) -> Path:
        good = {
            "new_labels_0_10.csv": "drug1,drug2,cell,label\nC,CC,X,1\nC,CCC,Y,0\n" + labels,
            "smiles.csv": "name,smile\na,C\nb,CC\nc,CCC\n",
        }
        for name, text in {**good, **{key.replace("__", "."): value for key, value in files.items()}}.items():
            (folder / name).write_text(text)
        return folder

    return write


def outside_link(folder: Path) -> Path:
    secret = folder.parent / "secret.csv"
    secret.write_text("drug,protein\nDB00001,10\n")
    root = graphsynergy(drug_protein__csv=None)(folder)
    (root / "drug_protein.csv").symlink_to(secret)
    return root


def laco(
    train: str = "a\t0\tb\t1\tX\t3\t1\n", entities: str = "0\tA\n1\tB\n2\tC\n3\tX\n", kg: str = "A\tr\tB\n"
) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "kg").mkdir()
        (folder / "d" / "S1").mkdir(parents=True)
        (folder / "kg" / "entities.dict").write_text(entities)
        (folder / "kg" / "relations.dict").write_text("0\tr\n")
        (folder / "kg" / "train_new.tsv").write_text(kg)
        (folder / "d" / "S1" / "train.txt").write_text(train)
        for part in ("valid", "test"):
            (folder / "d" / "S1" / f"{part}.txt").write_text("a\t0\tc\t2\tX\t3\t0\n")
        return folder / "d"

    return write


HUGE = "x" * 200_000
CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing column": (table("drug_a,cell_line,score\nA,X,1\n"), r"t\.csv: has no column 'drug_b'"),
    "empty file": (table(""), r"t\.csv: is empty"),
    "header only": (table("drug_a,drug_b,cell_line,score\n"), r"t\.csv: holds no rows"),
    "neither score nor label": (table("drug_a,drug_b,cell_line\nA,B,X\n"), "neither scores nor labels"),
    "Latin-1 in a UTF-8 file": (table(GOOD.encode() + b"Caf\xe9,B,X,1\n"), r"t\.csv:5: is not UTF-8"),
    "UTF-16": (table(GOOD.encode("utf-16")), "is UTF-16"),
    "zero bytes": (table(GOOD.encode() + b"A\0,B,X,1\n"), r"t\.csv:5: holds a zero byte"),
    "unclosed quote": (table(GOOD + '"A,B,X,1\nA,D,X,1\n'), r"t\.csv"),
    "too many columns": (table(GOOD + "A,B,X,1,2,3\n"), r"t\.csv:5: has 6 columns, the header 4"),
    "empty drug": (
        table(GOOD + ",B,X,1\n"),
        r"(?s)t\.csv:5: column 'drug_a' is empty.*Fill it in, or take these rows out",
    ),
    "missing cells at the end": (
        table(GOOD + "A,B\n"),
        r"(?s)t\.csv:5: column 'cell_line' is empty.*Fill it in, or take these rows out",
    ),
    "score that is a word": (
        table(GOOD + "A,D,X,high\n"),
        r"(?s)t\.csv:5: column 'score' holds 'high'.*Correct it in the file, or take the row out",
    ),
    "infinite score": (table(GOOD + "A,D,X,inf\n"), r"t\.csv:5: column 'score' holds 'inf'"),
    "label of 2": (table("drug_a,drug_b,cell_line,label\nA,B,X,2\n"), r"t\.csv:2: .*label.* holds '2'"),
    "label of 2 after a line break in quotes": (
        table('drug_a,drug_b,cell_line,label\n"A\nA",B,X,1\nA,C,X,2\n'),
        r"t\.csv:4: column 'label' holds '2', not 0 or 1",
    ),
    "SMILES of nobody after a line break in quotes": (
        deepdds('C,CC,"X\nX",1\nC,CCCC,X,1\n'),
        r"new_labels_0_10\.csv:6: column 'drug2' holds a SMILES that",
    ),
    "label of 2 in the DeepDDS layout": (deepdds("C,CC,Y,2\n"), r"new_labels_0_10\.csv:4: column 'label' holds '2'"),
    "another triple after a line break in quotes": (
        deepdds(
            scores_0_10__csv='drug_a,drug_b,cell,score,note\na,b,X,1,"two\nlines"\na,b,Y,2,\n',
        ),
        r"scores_0_10\.csv:4: is about another triple",
    ),
    "huge cell": (table(GOOD + f"{HUGE},B,X,1\n"), r"t\.csv:5: column 'drug_a' holds more than 100,000 characters"),
    "Parquet that is text": (table(GOOD, "t.parquet"), r"t\.parquet: is not a readable Parquet"),
    "Excel that is text": (table(GOOD, "t.xlsx"), r"t\.xlsx: is not a readable xlsx"),
    "only self-pairs": (table("drug_a,drug_b,cell_line,score\nA,A,X,1\n"), "no labelled triple is left"),
    "unknown layout": (lambda folder: folder, "no layout that is known"),
    "negative gene id": (
        graphsynergy(drug_protein__csv="drug,protein\nDB00001,10\nDB00002,-7\n"),
        r"drug_protein\.csv:3: column 'protein' holds '-7'",
    ),
    "weight of 3": (
        graphsynergy(cell_protein__csv="GeneSym,source_desc,protein,cell,Tissue,target_id,weight\nG,na,1,X,lung,0,3\n"),
        r"cell_protein\.csv:2: column 'weight' holds 3",
    ),
    "missing file": (graphsynergy(cell_protein__csv=None), r"cell_protein\.csv: no such file"),
    "link out of the folder": (outside_link, r"drug_protein\.csv: is a link out of the folder"),
    "split file with a column too few": (laco(train="a\t0\tb\t1\tX\t1\n"), r"train\.txt:1: has 6 columns, not 7"),
    "graph id of nobody": (laco(train="a\t0\tb\t9\tX\t3\t1\n"), r"train\.txt:1: names the graph id '9'"),
    "label in a split file": (laco(train="\na\t0\tb\t1\tX\t3\t5\n"), r"train\.txt:2: column 'label' holds '5'"),
    "label after names that begin with a quote": (
        laco(train='"a\t0\tb\t1\tX\t3\t1\n"a\t0\tc\t2\tX\t3\t1\na\t0\tb\t1\tX\t3\t5\n"\t0\tc\t2\tX\t3\t1\n'),
        r"train\.txt:3: column 'label' holds '5'",
    ),
    "entity twice": (
        laco(entities="0\tA\n1\tB\n1\tC\n3\tX\n"),
        r"entities\.dict:3: the id '1' stands in it several times",
    ),
    **{
        f"expression of '{cell}'": (
            deepdds(new_cell_features_954__csv=f'gene_id,g1,g2\n"t\nt",t1,t2\nX,1,2\nW,,\nY,3,{cell}\n'),
            rf"new_cell_features_954\.csv:6: column 'g2' {words}",
        )
        for cell, words in (("inf", "holds 'inf'"), ("high", "holds 'high'"))
    },
    "edge to nobody": (laco(kg="A\tr\tB\nA\tr\tZ\n"), r"train_new\.tsv:2: the tail 'Z'"),
}


@pytest.mark.parametrize("case", CASES)
def test_ends_in_one_clear_error_and_leaves_nothing(case: str, workspace: Workspace) -> None:
    make, message = CASES[case]
    folder = workspace.root / "input" / "files"
    folder.mkdir(parents=True)
    with pytest.raises(L2aCoError, match=message) as caught:
        import_dataset(ImportSpec(path=make(folder), name="d"), workspace)
    assert caught.value.exit_code in (1, 2)
    assert not (workspace.data / "d").exists()
    assert not workspace.data.exists() or not list(workspace.data.iterdir())


LABELS_ALONE = "drug_a,drug_b,cell_line,label\nA,B,X,1\nA,C,X,0\n"
OPTIONS: dict[str, tuple[Callable[[Path], Path], dict[str, str], dict[str, str], str]] = {
    "a role of a layout with fixed names": (deepdds(), {"score": "synergy"}, {}, "columns of deepdds have fixed names"),
    "a role that a layout does not know": (graphsynergy(), {"label": "y"}, {}, "unknown column role 'label'"),
    "a column that a layout's file has not": (graphsynergy(), {"score": "effect"}, {}, "has no column 'effect'"),
    "a score rule without scores": (table(LABELS_ALONE), {}, {"label": ">= 10, <= 0"}, "brings no scores for --label"),
    "shipped labels without labels": (graphsynergy(), {}, {"label": "shipped"}, "no labels.*\n.*Leave --label out"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_that_cannot_count_is_refused(case: str, workspace: Workspace) -> None:
    make, columns, more, message = OPTIONS[case]
    folder = workspace.root / "input"
    folder.mkdir()
    spec = ImportSpec(path=make(folder), name="d", columns=columns, **more)  # type: ignore[arg-type]
    with pytest.raises(L2aCoError, match=message):
        import_dataset(spec, workspace)


def test_a_second_row_of_expression_for_one_line_is_counted(workspace: Workspace) -> None:
    folder = deepdds("C,CC,x,1\n", new_cell_features_954__csv="gene_id,g1\nX,1\nx,2\nY,3\n")(workspace.root)
    dataset = import_dataset(ImportSpec(path=folder, name="d"), workspace)
    assert len(dataset.cell_lines) == 2
    assert dataset.manifest["report"]["expression_second_rows_unused"] == 1


def test_a_column_of_a_layout_can_be_named(workspace: Workspace) -> None:
    folder = graphsynergy(
        drug_combinations__csv="Drug1,Drug2,cell,drug1_db,drug2_db,synergy,zip\na,b,X,DB00001,DB00002,1,-5\n"
    )(workspace.root)
    dataset = import_dataset(ImportSpec(path=folder, name="d", columns={"score": "zip"}), workspace)
    assert dataset.triples.score.tolist() == [-5]


def test_only_a_table_of_triples_is_told_of_columns(workspace: Workspace) -> None:
    path = table(GOOD)(workspace.root)
    other = table("rel,x_id\nr,A\n", "kg.csv")(workspace.root)
    for more in ({"graph": other}, {"aliases": other}):
        with pytest.raises(L2aCoError, match=r"kg\.csv: has no column") as caught:
            import_dataset(ImportSpec(path=path, name="d", **more), workspace)
        assert "--columns" not in str(caught.value)
    with pytest.raises(L2aCoError, match="--columns drug_a=NAME"):
        import_dataset(ImportSpec(path=other, name="d"), workspace)


def _by_polars(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path)


def _by_arrow(frame: pl.DataFrame, path: Path) -> None:
    pq.write_table(frame.to_arrow(), path)


@pytest.mark.parametrize("write", [_by_polars, _by_arrow])
@pytest.mark.parametrize("read", [read_raw, read_pairs, profiles_in])
def test_a_page_of_less_than_no_values(
    write: Callable[[pl.DataFrame, Path], None], read: Callable[[Path], object], tmp_path: Path
) -> None:
    """A reader that believes it asks for exabytes, and takes the process with it."""
    path = tmp_path / "t.parquet"
    write(pl.read_csv(io.StringIO(GOOD)), path)
    data = path.read_bytes()
    said = []
    for place in range(4, 40):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            read(path)
        except L2aCoError as error:
            said.append(error.message)
    assert any("negative number of values" in message for message in said)


def test_a_failed_replacement_keeps_the_old_data_set(workspace: Workspace) -> None:
    good, bad = table(GOOD, "good.csv")(workspace.root), table(GOOD + "A,D,X,high\n", "bad.csv")(workspace.root)
    before = import_dataset(ImportSpec(path=good, name="d"), workspace).hash
    with pytest.raises(L2aCoError):
        import_dataset(ImportSpec(path=bad, name="d", replace=True), workspace)
    assert import_dataset(ImportSpec(path=good, name="e"), workspace).hash == before
    assert sorted(path.name for path in workspace.data.iterdir()) == ["d", "e"]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD + "\n\n",
        GOOD.replace("A,", '"A",').replace("X", '"X"'),
        GOOD.replace("drug_a", "Drug_A ").replace("cell_line", "Cell Line"),
        GOOD + "A,D,X,NaN\nA,E,X,\n",
        "row," + GOOD.replace("\n", "\n1,", 3),
    ],
    ids=[
        "byte order mark",
        "Windows line ends",
        "blank lines",
        "quotes",
        "other spelling of the header",
        "no score",
        "a column called row",
    ],
)
def test_harmless_oddities_are_read(text: str, workspace: Workspace) -> None:
    dataset = import_dataset(ImportSpec(path=table(text)(workspace.root), name="d"), workspace)
    assert len(dataset.triples) == 3
    assert dataset.manifest["report"]["unmeasured"] == (2 if "NaN" in text else 0)


def test_labels_that_pandas_wrote_as_floats_are_labels(workspace: Workspace) -> None:
    text = "drug_a,drug_b,cell_line,label\nA,B,X,1.0\nA,C,X,0.0\n"
    assert import_dataset(ImportSpec(path=table(text)(workspace.root), name="d"), workspace).triples.label.tolist() == [
        1,
        0,
    ]
    with pytest.raises(L2aCoError, match=r"t\.csv:3: column 'label' holds '0.4'"):
        import_dataset(ImportSpec(path=table(text.replace("0.0", "0.4"))(workspace.root), name="e"), workspace)


def test_a_label_of_nan_is_a_missing_one(workspace: Workspace) -> None:
    text = "drug_a,drug_b,cell_line,label\nA,B,X,1\nA,C,X,NaN\nA,D,X,0\n"
    dataset = import_dataset(ImportSpec(path=table(text)(workspace.root), name="d"), workspace)
    assert dataset.triples.label.tolist() == [1, 0]
    assert dataset.manifest["report"]["unmeasured"] == 1


def test_pairs_with_a_column_twice_are_refused(workspace: Workspace) -> None:
    path = table("drug_a,drug_b,cell_line,Drug_A\nA,B,X,C\n", "pairs.csv")(workspace.root)
    with pytest.raises(L2aCoError, match=r"pairs\.csv:1: has the column drug_a twice"):
        read_pairs(path)


def test_lists_in_a_parquet_column_are_refused(workspace: Workspace) -> None:
    import polars as pl

    frame = pl.DataFrame({"drug_a": [["A"]], "drug_b": ["B"], "cell_line": ["X"], "score": [1.0]})
    frame.write_parquet(workspace.root / "t.parquet")
    with pytest.raises(L2aCoError, match="column 'drug_a' holds lists"):
        import_dataset(ImportSpec(path=workspace.root / "t.parquet", name="d"), workspace)


def test_a_quoted_name_may_hold_commas_and_the_lines_after_are_still_counted_right(workspace: Workspace) -> None:
    text = GOOD + '"2,4-\nD",B,X,1\nA,D,X,high\n'
    with pytest.raises(L2aCoError, match=r"t\.csv:7: column 'score' holds 'high'"):
        import_dataset(ImportSpec(path=table(text)(workspace.root), name="d"), workspace)


def test_pickled_features_are_not_executed(workspace: Workspace) -> None:
    rows, trap = table(GOOD)(workspace.root), workspace.root / "executed"
    bomb = workspace.root / "omics.npy"
    bomb.write_bytes(pickle.dumps(Bomb(trap)))
    with pytest.raises(L2aCoError, match=r"omics\.npy: is a pickled file.*\n.*--allow-pickle"):
        import_dataset(ImportSpec(path=rows, name="d", features={"omics": bomb}), workspace)
    assert not trap.exists()
    assert not (workspace.data / "d").exists()


def test_pickled_features_are_read_where_that_is_allowed(workspace: Workspace) -> None:
    path = workspace.root / "omics.npy"
    np.save(path, {"X": np.ones((4, 2)), "other": np.zeros((4, 2))}, allow_pickle=True)
    spec = ImportSpec(path=table(GOOD)(workspace.root), name="d", features={"omics": path}, allow_pickle=True)
    dataset = import_dataset(spec, workspace)
    feature = table_in(dataset, "omics")
    assert feature.values.shape == (2, 4, 2)
    assert feature.mask.tolist() == [True, False]


def test_vectors_of_different_lengths_are_refused(workspace: Workspace) -> None:
    path = workspace.root / "f.json"
    path.write_text(json.dumps({"A": [1, 2], "B": [1]}))
    with pytest.raises(L2aCoError, match=r"f\.json: holds vectors of different lengths"):
        import_dataset(ImportSpec(path=table(GOOD)(workspace.root), name="d", features={"f": path}), workspace)


@pytest.mark.parametrize("name", ["triples.parquet", "entities.parquet"])
def test_a_file_that_was_changed_behind_our_back_is_refused(name: str, workspace: Workspace) -> None:
    dataset = import_dataset(ImportSpec(path=table(GOOD)(workspace.root), name="d"), workspace)
    data = bytearray((dataset.path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (dataset.path / name).write_bytes(data)
    with pytest.raises(L2aCoError, match="does not match its checksum"):
        _ = (dataset.triples, dataset.drugs)
