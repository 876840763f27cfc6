"""The layouts of the paper's release: import, export, import again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets_for_tests import screen
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from layouts import laid_out

from l2aco.data.dataset import DataSet
from l2aco.data.export import export_dataset
from l2aco.data.features import table_in
from l2aco.data.features.table import FeatureTable
from l2aco.data.importing import ImportSpec, import_dataset
from l2aco.data.splits.make import make_split, num_folds
from l2aco.data.splits.spec import SplitSpec
from l2aco.errors import InputError, UnavailableError, UsageError
from l2aco.workspace import Workspace

PARTS = ("train", "valid", "test")


def content(dataset: DataSet) -> dict[str, Any]:
    """Everything that the layout can say of a data set."""
    graph = dataset.graph
    assert graph is not None
    found: dict[str, Any] = {
        "entities": [(e.id, e.kind, e.name) for e in (*dataset.drugs, *dataset.cell_lines)],
        "triples": [getattr(dataset.triples, name).tolist() for name in ("drug_a", "drug_b", "cell_line", "label")],
        "nodes": graph.nodes,
        "edges": {relation: pairs.tolist() for relation, pairs in graph.edges.items()},
    }
    for setting in dataset.manifest["released_splits"]:
        split = make_split(dataset, SplitSpec(setting=setting))
        found[setting] = [getattr(split, part).tolist() for part in PARTS]
    return found


def write_release(
    root: Path, rows: list[tuple[int, int, int, int]], parts: list[str], edges: list[tuple[int, str, int]]
) -> Path:
    """The files of the release: 6 drugs (ids 0-5), 4 lines (6-9), 5 other nodes (10-14)."""
    names = [f"DRUG {n}" for n in range(6)] + [f"LINE-{n}" for n in range(4)] + [f"gene/{n}" for n in range(5)]
    kg = root / "datasets" / "kg"
    kg.mkdir(parents=True)
    (kg / "entities.dict").write_text("".join(f"{n}\t{name}\n" for n, name in enumerate(names)))
    relations = sorted({relation for _, relation, _ in edges})
    (kg / "relations.dict").write_text("".join(f"{n}\t{name}\n" for n, name in enumerate(relations)))
    (kg / "train_new.tsv").write_text("".join(f"{names[h]}\t{r}\t{names[t]}\n" for h, r, t in edges))
    folder = root / "datasets" / "drugcombdb" / "S1"
    folder.mkdir(parents=True)
    for part in PARTS:
        lines = [
            f"{names[a].lower()}\t{a}\t{names[b].lower()}\t{b}\t{names[6 + c]}\t{6 + c}\t{label}\n"
            for (a, b, c, label), side in zip(rows, parts, strict=True)
            if side == part
        ]
        (folder / f"{part}.txt").write_text("".join(lines))
    return root


row = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3), st.integers(0, 1)).filter(
    lambda r: r[0] != r[1]
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(row, min_size=6, max_size=40, unique_by=lambda r: (frozenset(r[:2]), r[2])),
    edges=st.lists(
        st.tuples(st.integers(0, 14), st.sampled_from(["binds", "in"]), st.integers(0, 14)), min_size=1, max_size=25
    ),
    data=st.data(),
)
def test_import_export_import_is_the_identity(
    tmp_path_factory: pytest.TempPathFactory, rows: Any, edges: Any, data: st.DataObject
) -> None:
    parts = data.draw(st.lists(st.sampled_from(PARTS), min_size=len(rows), max_size=len(rows)))
    assume(set(parts) == set(PARTS))
    assume({end for r in rows for end in r[:2]} == set(range(6)) and {r[2] for r in rows} == set(range(4)))
    root = tmp_path_factory.mktemp("release")
    workspace = Workspace(root / "workspace")
    first = import_dataset(ImportSpec(path=write_release(root / "a", rows, parts, edges), name="first"), workspace)
    export_dataset(first, root / "b", "laco")
    second = import_dataset(ImportSpec(path=root / "b", name="second"), workspace)
    export_dataset(second, root / "c", "laco")
    third = import_dataset(ImportSpec(path=root / "c", name="third"), workspace)
    assert content(first)["novel-cell"] == content(second)["novel-cell"]
    assert content(first) == content(second) == content(third)


def rows_and_parts() -> tuple[list[tuple[int, int, int, int]], list[str]]:
    rows = [(a, b, c, (a + b + c) % 2) for a in range(6) for b in range(a + 1, 6) for c in range(4)]
    return rows, ["test" if c == 3 else "valid" if c == 2 else "train" for _, _, c, _ in rows]


def test_s0_and_s1_with_the_drugs_in_another_order_are_the_same_measurements(workspace: Workspace) -> None:
    rows, parts = rows_and_parts()
    path = write_release(workspace.root / "r", rows, parts, [(0, "binds", 10)])
    turned = write_release(workspace.root / "t", [(b, a, c, y) for a, b, c, y in rows], parts, [(0, "binds", 10)])
    (turned / "datasets" / "drugcombdb" / "S1").rename(path / "datasets" / "drugcombdb" / "S0")
    dataset = import_dataset(ImportSpec(path=path, name="d"), workspace)
    report = dataset.manifest["report"]
    assert (report["rows"], report["repeats"], report["triples"]) == (60, 0, 60)
    sizes = {key: dataset.manifest["released_splits"][key]["train"] for key in ("long-tail", "novel-cell")}
    assert sizes == {"long-tail": 30, "novel-cell": 30}


def test_the_released_split_is_used_as_it_is(workspace: Workspace) -> None:
    rows, parts = rows_and_parts()
    path = write_release(workspace.root / "r", rows, parts, [(0, "binds", 10)])
    dataset = import_dataset(ImportSpec(path=path, name="d"), workspace)
    assert dataset.manifest["released_splits"]["novel-cell"] == {
        "train": 30,
        "valid": 15,
        "test": 15,
        "on_several_sides": 0,
        "triples_dropped": 0,
        "tested_lines_seen_in_training": 0,
    }
    split = make_split(dataset, SplitSpec(setting="S1"))
    assert (len(split.train), split.held_out) == (30, ["LINE-3"])
    assert num_folds(dataset, SplitSpec()) == 1
    with pytest.raises(UsageError, match="one fixed split"):
        make_split(dataset, SplitSpec(fold=1))
    own = make_split(dataset, SplitSpec(folds=3, fold=1, released=False))
    assert own.held_out != split.held_out
    with pytest.raises(UsageError, match="no split for random"):
        make_split(dataset, SplitSpec(setting="random", released=True))


def test_a_leak_in_the_release_is_counted_and_stays_on_the_test_side(workspace: Workspace) -> None:
    rows, parts = rows_and_parts()
    tested = rows[parts.index("test")]
    leak = (tested[1], tested[0], *tested[2:])  # the same measurement, drugs swapped
    path = write_release(workspace.root / "r", [*rows, leak], [*parts, "train"], [(0, "binds", 10)])
    dataset = import_dataset(ImportSpec(path=path, name="d"), workspace)
    said = dataset.manifest["released_splits"]["novel-cell"]
    assert (said["on_several_sides"], said["train"], said["test"]) == (1, 30, 15)


def test_several_data_sets_in_a_release_must_be_chosen_from(workspace: Workspace) -> None:
    rows, parts = rows_and_parts()
    root = write_release(workspace.root / "r", rows, parts, [(0, "binds", 10)])
    (root / "datasets" / "drugcombdb").rename(root / "datasets" / "drugcomb")
    write_release(workspace.root / "s", rows, parts, [(0, "binds", 10)])
    (workspace.root / "s" / "datasets" / "drugcombdb").rename(root / "datasets" / "drugcombdb")
    with pytest.raises(InputError, match="several data sets"):
        import_dataset(ImportSpec(path=root, name="d"), workspace)
    chosen = import_dataset(ImportSpec(path=root / "datasets" / "drugcomb", name="d"), workspace)
    assert len(chosen.triples) == 60


@pytest.mark.parametrize("part", ["DeepDDS/data/small", "DFFNDDS/MyDataset"])
def test_the_feature_part_comes_back_with_the_same_triples_smiles_and_split(workspace: Workspace, part: str) -> None:
    dataset = screen(workspace)
    smiles = workspace.root / "smiles.csv"
    smiles.write_text("name,smiles\n" + "".join(f"D{n:02d},{'C' * (n + 1)}O\n" for n in range(14)))
    rows = workspace.root / "rows.csv"
    import polars as pl

    pl.read_parquet(dataset.path / "triples.parquet").select("drug_a", "drug_b", "cell_line", "label").write_csv(rows)
    first = import_dataset(ImportSpec(path=rows, name="small", drugs=smiles, replace=True), workspace)
    export_dataset(first, workspace.root / "out", "laco-features")
    second = import_dataset(ImportSpec(path=workspace.root / "out" / part, name="second"), workspace)
    assert second.triples_hash == first.triples_hash
    assert [drug.facts["smiles"] for drug in second.drugs] == [drug.facts["smiles"] for drug in first.drugs]
    one, two = (make_split(each, SplitSpec(setting="novel-cell")) for each in (first, second))
    assert all(np.array_equal(getattr(one, side), getattr(two, side)) for side in PARTS)


@pytest.mark.parametrize("source", ["omics", "expression"])
def test_the_part_of_synergyx_brings_omics_to_the_triples_of_another(workspace: Workspace, source: str) -> None:
    """Genes x channels by DepMap id, and by name of a line that has none; pickled, and read where that is allowed."""
    root = workspace.root
    (root / "rows.csv").write_text("drug_a,drug_b,cell_line,score\na,b,A375,1\na,c,MCF7,-1\nb,c,A375,2\nb,c,ODD,3\n")
    (root / "drugs.csv").write_text("name,smiles\na,CCO\nb,CCN\nc,C1CC(\n")
    (root / "lines.csv").write_text("name,depmap_id\nA375,ACH-000219\nMCF7,ACH-000019\n")
    draw = np.random.default_rng(0)
    shape = (20, 3) if source == "omics" else (20,)
    omics = {key: draw.normal(size=shape).astype(np.float32) for key in ("ACH-000219", "ACH-000019", "ODD")}
    np.save(root / "omics.npy", np.array(omics, dtype=object), allow_pickle=True)
    spec = ImportSpec(
        path=root / "rows.csv",
        name="first",
        drugs=root / "drugs.csv",
        cell_lines=root / "lines.csv",
        features={source: root / "omics.npy"},
        allow_pickle=True,
    )
    first = import_dataset(spec, workspace)
    export_dataset(first, root / "out", "laco-features")
    part = root / "out" / "SynergyX" / "MyDataset"
    again = spec.model_copy(
        update={
            "path": root / "out" / "DeepDDS" / "data" / "first",
            "name": "second",
            "drugs": part / "drug_map_with_smiles.csv",
            "cell_lines": part / "cell.csv",
            "features": {source: part / "1024079_genes_norm.npy"},
        }
    )
    with pytest.raises(UnavailableError, match="can run code"):
        import_dataset(again.model_copy(update={"allow_pickle": False}), workspace)
    second = import_dataset(again, workspace)
    assert [line.id for line in second.cell_lines] == [line.id for line in first.cell_lines]
    one, two = table_in(first, source), table_in(second, source)
    assert isinstance(one, FeatureTable) and isinstance(two, FeatureTable)
    assert two.values.shape == (3, 20, 3 if source == "omics" else 1) and two.mask.all()
    np.testing.assert_array_equal(two.values.reshape(one.values.shape), one.values)
    coded = np.load(part / "drugSmile_drugSubEmbed_db.npy", allow_pickle=True).item()
    assert sorted(coded) == ["CCN", "CCO"] and all(codes.shape == (2, 50) for codes in coded.values())


def test_what_is_a_score_in_one_file_of_a_release_is_one_in_all(workspace: Workspace) -> None:
    header = "drug_a,drug_b,cell,synergy\n"
    changes = {
        "new-cell/db-train.csv": header + "0,1,0,14.5\n0,2,1,-3\n",
        "new-cell/db-valid.csv": header + "1,2,0,0\n",
        "new-cell/db-test.csv": header + "1,2,1,1\n",
    }
    path = laid_out(workspace.root / "r", "laco-dffndds", changes)
    dataset = import_dataset(ImportSpec(path=path, name="d"), workspace)
    assert sorted(dataset.triples.score) == [-3, 0, 1, 14.5]


def test_an_existing_folder_is_not_written_over(workspace: Workspace) -> None:
    dataset = screen(workspace)
    (workspace.root / "out").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        export_dataset(dataset, workspace.root / "out", "laco")


def test_the_layout_of_hansynergy_brings_cids_smiles_and_the_split(workspace: Workspace) -> None:
    folder = workspace.root / "HANSynergy" / "data" / "drugcombdb" / "db"
    folder.mkdir(parents=True)
    for part, line in (("train", "X"), ("valid", "Y"), ("test", "Z")):
        rows = "".join(f"{a},{b},{line},{(a + b) % 2}\n" for a in range(2241, 2245) for b in range(a + 1, 2246))
        (folder / f"db-{part}_final.csv").write_text("drug_1,drug_2,context,label\n" + rows)
    (folder.parent / "cid_smile.json").write_text('{"2244": "CC(=O)Oc1ccccc1C(=O)O"}')
    dataset = import_dataset(ImportSpec(path=folder, name="han"), workspace)
    assert [drug.id for drug in dataset.drugs] == ["2241", "2242", "2243", "2244", "2245"]
    assert table_in(dataset, "morgan").mask.tolist() == [False, False, False, True, False]
    assert make_split(dataset, SplitSpec(setting="S1")).held_out == ["Z"]


def test_the_maps_and_omics_of_synergyx_go_with_another_import(workspace: Workspace) -> None:
    (workspace.root / "rows.csv").write_text("drug_a,drug_b,cell,label\nA,B,X,1\nA,C,Y,0\n")
    (workspace.root / "cell.csv").write_text("name,depmap_id\nX,ACH-000001\nY,ACH-000002\n")
    (workspace.root / "smiles.csv").write_text("name,processed_smiles,index\nA,CCO,0\nB,CCN,1\n")
    np.save(workspace.root / "omics.npy", {"ACH-000002": np.ones((5, 6))}, allow_pickle=True)  # type: ignore[arg-type]
    spec = ImportSpec(
        path=workspace.root / "rows.csv",
        name="d",
        drugs=workspace.root / "smiles.csv",
        cell_lines=workspace.root / "cell.csv",
        features={"omics": workspace.root / "omics.npy"},
        allow_pickle=True,
    )
    dataset = import_dataset(spec, workspace)
    assert dataset.drugs[0].facts["smiles"] == "CCO"
    assert table_in(dataset, "omics").values.shape == (2, 5, 6)
    assert table_in(dataset, "omics").mask.tolist() == [False, True]
