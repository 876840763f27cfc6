"""Features: right values, masks, a cache by content, and scaling that never sees a test line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from datasets_for_tests import screen, write
from hypothesis import given, settings
from hypothesis import strategies as st

from l2aco.data.dataset import DataSet
from l2aco.data.features import FEATURES, table_in
from l2aco.data.features.molecule_graphs import MoleculeGraphs
from l2aco.data.features.molecules import AtomPair, MolecularDescriptors, Morgan, canonical
from l2aco.data.features.substructures import Substructures
from l2aco.data.features.table import FeatureRows, FeatureTable, GraphTable
from l2aco.data.importing import ImportSpec, import_dataset
from l2aco.data.splits.make import make_split
from l2aco.data.splits.spec import SplitSpec
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, L2aCoError, UnknownNameError
from l2aco.workspace import Workspace

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
TABLE = "drug_a,drug_b,cell_line,score\nA,B,X,1\nA,C,X,-1\nB,C,Y,2\nB,D,Y,-2\n"
SMILES = f"name,smiles\nA,{ASPIRIN}\nB,CCO\nC,not a molecule\n"


@pytest.fixture
def dataset(workspace: Workspace) -> DataSet:
    (workspace.root / "t.csv").write_text(TABLE)
    (workspace.root / "s.csv").write_text(SMILES)
    return import_dataset(
        ImportSpec(path=workspace.root / "t.csv", name="d", drugs=workspace.root / "s.csv"), workspace
    )


@pytest.mark.parametrize("name", ["morgan", "atom_pair", "descriptors", "molecule_graphs"])
def test_a_drug_without_a_readable_smiles_is_masked_and_zero(dataset: DataSet, name: str) -> None:
    feature = table_in(dataset, name)
    assert feature.mask.tolist() == [True, True, False, False]
    if isinstance(feature, FeatureTable):
        assert np.isfinite(feature.values).all()
        assert not feature.values[2:].any()
        assert feature.values[:2].any(axis=1).all()


def test_fingerprints_are_those_of_rdkit(dataset: DataSet) -> None:
    from rdkit.Chem import MolFromSmiles, rdFingerprintGenerator

    molecule = MolFromSmiles(ASPIRIN)
    for name, make in (
        ("morgan", rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)),
        ("atom_pair", rdFingerprintGenerator.GetAtomPairGenerator(fpSize=1024)),
    ):
        assert np.array_equal(table_in(dataset, name).values[0], make.GetFingerprintAsNumPy(molecule))


def test_descriptors_are_named(dataset: DataSet) -> None:
    table = table_in(dataset, "descriptors")
    assert table.values[0, table.columns.index("MolWt")] == pytest.approx(180.16, abs=0.01)


def test_a_peptide_of_two_hundred_residues_has_every_feature() -> None:
    smiles = "NCC(=O)" * 199 + "NCC(=O)O"
    peptide = Entity("p", EntityKind.drug, "p", facts={"smiles": smiles})
    glycine = Entity("g", EntityKind.drug, "g", facts={"smiles": "NCC(=O)O"})
    for feature in (Morgan(), AtomPair(), MolecularDescriptors()):
        table = feature.of([peptide, glycine])
        assert table.mask.all() and np.isfinite(table.values).all() and (table.values[0] != table.values[1]).any()
    assert not {"Ipc", "AvgIpc"} & {*table.columns} and len(table.columns) == table.values.shape[1]
    assert table.values[0, table.columns.index("MolWt")] == pytest.approx(200 * 57.05 + 18, abs=1)
    assert np.diff(MoleculeGraphs().of([peptide]).start).tolist() == [200 * 4 + 1]
    pieces = Substructures.fit(Known([peptide, glycine])).of([peptide])  # type: ignore[arg-type]
    assert pieces.mask.all() and (pieces.values > 0).any()


@dataclass
class Known:
    """What `Substructures` asks of a data set."""

    drugs: list[Entity]


def test_a_table_of_another_version_of_a_feature_is_made_again(
    dataset: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    table_in(dataset, "descriptors")
    kept = lambda: sorted((dataset.path / "features" / "cache").glob("descriptors-*.npz"))  # noqa: E731
    before = kept()
    monkeypatch.setattr(MolecularDescriptors, "version", MolecularDescriptors.version + 1)
    table_in(dataset, "descriptors")
    assert len(before) == 1 and len(kept()) == 2


def test_a_molecular_graph_has_78_features_an_atom_and_every_bond_twice(dataset: DataSet) -> None:
    graphs = table_in(dataset, "molecule_graphs")
    assert isinstance(graphs, GraphTable)
    atoms, bonds, owner = graphs.batch(np.array([1, 3, 0, 1]))
    assert atoms.shape == (3 + 13 + 3, 78)
    assert np.allclose(atoms.sum(axis=1), 1)
    assert owner.tolist() == [0] * 3 + [2] * 13 + [3] * 3
    assert bonds.shape[1] == 2 * (2 + 13 + 2)
    assert (owner[bonds[0]] == owner[bonds[1]]).all()
    assert {tuple(pair) for pair in bonds.T} == {tuple(pair[::-1]) for pair in bonds.T}
    assert np.array_equal(atoms[:3], atoms[-3:])


def test_substructures_spell_the_smiles(dataset: DataSet) -> None:
    table = table_in(dataset, "substructures")
    spelled = "".join(table.columns[piece - 1] for piece in table.values[0] if piece)
    assert spelled == canonical(dataset.drugs[0])
    assert table.values.shape == (4, 50)
    assert table.mask.tolist() == [True, True, False, False]


def test_the_tissue_and_the_proteins_of_a_line(workspace: Workspace) -> None:
    dataset = write(
        workspace,
        [(0, 1, 0, 1), (0, 1, 1, -1)],
        graph_nodes={"protein": ["10", "11", "12"]},
        graph_edges={
            ("cell_line", "overexpresses", "protein"): (["L00", "L01"], ["10", "12"]),
            ("cell_line", "underexpresses", "protein"): (["L00"], ["12"]),
        },
    )
    tissue, proteins = table_in(dataset, "tissue"), table_in(dataset, "cell_proteins")
    assert tissue.columns == ("breast", "colon", "lung", "skin")
    assert tissue.values[:2].tolist() == [[0, 0, 1, 0], [0, 0, 0, 1]]
    assert proteins.columns == ("10", "12")
    assert proteins.values[:3].tolist() == [[1, -1], [0, 1], [0, 0]]
    assert proteins.mask[:3].tolist() == [True, True, False]


def test_a_data_set_without_a_graph_says_so(dataset: DataSet) -> None:
    with pytest.raises(InputError, match="no knowledge graph"):
        table_in(dataset, "cell_proteins")


def test_an_unknown_feature_names_the_near_ones_and_the_way_to_bring_it(dataset: DataSet) -> None:
    with pytest.raises(UnknownNameError, match=r"morgan[\s\S]*--features morgn=FILE"):
        table_in(dataset, "morgn")


def test_every_feature_of_the_registry_has_a_row_for_each_entity(dataset: DataSet) -> None:
    for entry in FEATURES:
        if entry.name in ("cell_proteins", "response", "smiles_model"):  # of a graph, brought, of a model by its name
            continue
        feature = table_in(dataset, entry.name)
        assert len(feature.mask) == len(dataset.entities(feature.kind)), entry.name


def test_the_cache_is_read_and_a_damaged_one_is_made_again(dataset: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    first = table_in(dataset, "morgan").values
    path = next((dataset.path / "features" / "cache").glob("morgan-*.npz"))
    monkeypatch.setattr("l2aco.data.features.molecules.Morgan.of", lambda *_: pytest.fail("computed again"))
    assert np.array_equal(table_in(dataset, "morgan").values, first)
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:100])
    assert np.array_equal(table_in(dataset, "morgan").values, first)


def test_other_smiles_are_another_cache(dataset: DataSet, workspace: Workspace) -> None:
    before = table_in(dataset, "morgan").values[1].copy()
    (workspace.root / "s.csv").write_text(SMILES.replace("CCO", "CCN"))
    spec = ImportSpec(path=workspace.root / "t.csv", name="d", drugs=workspace.root / "s.csv", replace=True)
    assert not np.array_equal(table_in(import_dataset(spec, workspace), "morgan").values[1], before)


def scaled(table: FeatureTable, rows: np.ndarray) -> np.ndarray:
    return table.scaling(rows).of(table).values


def test_scaling_is_fitted_on_the_training_lines_alone(workspace: Workspace) -> None:
    dataset = screen(workspace)
    rng = np.random.default_rng(0)
    values = rng.normal(5, 3, size=(40, 7)).astype(np.float32)
    split = make_split(dataset, SplitSpec(setting="novel-cell"))
    lines = dataset.triples.cell_line
    mask = np.ones(40, dtype=bool)
    table = FeatureTable(EntityKind.cell_line, values, mask)
    planted = values.copy()
    planted[np.unique(lines[split.test])] += 1000  # a leak would move everything
    train = lines[split.train]
    before, after = scaled(table, train), scaled(FeatureTable(EntityKind.cell_line, planted, mask), train)
    fitted = np.unique(train)
    assert np.array_equal(before[fitted], after[fitted])
    assert np.allclose(before[fitted].mean(axis=0), 0, atol=1e-5)
    assert np.allclose(before[fitted].std(axis=0), 1, atol=1e-4)
    assert not np.allclose(scaled(table, np.arange(40))[fitted], before[fitted])


def test_constant_columns_and_unknown_lines_scale_to_zero() -> None:
    values, mask = np.array([[1.0, 5.0], [3.0, 5.0], [9.0, 9.0]]), np.array([True, True, False])
    table = FeatureTable(EntityKind.cell_line, values, mask)
    assert scaled(table, np.array([0, 1, 1, 2])).tolist() == [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]


def test_log_unit_length_and_a_choice_of_genes() -> None:
    table = FeatureTable(
        EntityKind.cell_line, np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]]), np.array([True, False]), ("g1", "g2", "g3")
    )
    assert table.unit().values.tolist() == [[pytest.approx(0.6), pytest.approx(0.8), 0], [0, 0, 0]]
    assert table.logged().values[0].tolist() == pytest.approx([2.0, np.log2(5), 0])
    assert table.pick(["g3", "g1"]).values[0].tolist() == [0, 3]
    with pytest.raises(UnknownNameError):
        table.pick(["g4"])


def test_a_feature_table_of_the_users_is_matched_by_name_alias_and_xref(workspace: Workspace) -> None:
    (workspace.root / "t.csv").write_text(TABLE)
    (workspace.root / "lines.csv").write_text("name,aliases,depmap_id\nX,X-one,ACH-000001\nY,,ACH-000002\n")
    (workspace.root / "f.csv").write_text("id,g1,g2\nACH-000002,3,4\nX one,1,2\nsomebody,9,9\n")
    dataset = import_dataset(
        ImportSpec(
            path=workspace.root / "t.csv",
            name="d",
            cell_lines=workspace.root / "lines.csv",
            features={"expression": workspace.root / "f.csv"},
        ),
        workspace,
    )
    table = table_in(dataset, "expression")
    assert (table.kind, table.columns) == (EntityKind.cell_line, ("g1", "g2"))
    assert table.values.tolist() == [[1, 2], [3, 4]]
    assert dataset.manifest["report"]["expression_rows_used"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,g1\nX,1\nY,high\n", r"f\.csv:3: column 'g1' holds 'high'"),
        ('id,g1\n"X\nX",1\nX,2\nY,high\n', r"f\.csv:5: column 'g1' holds 'high'"),
        ("id,g1\nnobody,1\n", "is about none"),
        ("id\nX\n", "no feature columns"),
    ],
)
def test_a_wrong_feature_table_is_refused(workspace: Workspace, text: str, message: str) -> None:
    (workspace.root / "t.csv").write_text(TABLE)
    (workspace.root / "f.csv").write_text(text)
    spec = ImportSpec(path=workspace.root / "t.csv", name="d", features={"f": workspace.root / "f.csv"})
    with pytest.raises(L2aCoError, match=message):
        import_dataset(spec, workspace)


def test_the_row_of_the_very_line_counts_and_one_that_is_like_it_is_reported(workspace: Workspace) -> None:
    (workspace.root / "t.csv").write_text(TABLE)
    (workspace.root / "f.csv").write_text("id,g1\nx-,100\nX,1\nY.,2\n")
    spec = ImportSpec(path=workspace.root / "t.csv", name="d", features={"e": workspace.root / "f.csv"})
    dataset = import_dataset(spec, workspace)
    assert table_in(dataset, "e").values.tolist() == [[1], [2]]
    assert dataset.manifest["report"]["e_rows_passed_over"] == 1
    assert any("'x-' (like 'X')" in note for note in dataset.manifest["notes"])


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("f.csv", 'id,g1\n"Z\nZ",5\nX,1\nX,2\n', r"f\.csv:5: rows 'X' and 'X' are both about 'X'"),
        ("f.csv", "id,g1\nX-,1\nY,1\n-x,2\n", r"f\.csv:4: rows 'X-' and '-x' are both about 'X'"),
        ("f.json", '{"X-": [1], "-x": [2]}', r"f\.json: entries 'X-' and '-x'"),
    ],
)
def test_two_rows_of_one_line_are_refused(workspace: Workspace, file: str, text: str, message: str) -> None:
    (workspace.root / "t.csv").write_text(TABLE)
    (workspace.root / file).write_text(text)
    spec = ImportSpec(path=workspace.root / "t.csv", name="d", features={"f": workspace.root / file})
    with pytest.raises(InputError, match=message):
        import_dataset(spec, workspace)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_rows_of_a_source_land_on_their_entities(data: Any) -> None:
    from datasets_for_tests import entities

    known = entities(10, "D", EntityKind.drug)
    ids = data.draw(st.lists(st.sampled_from([e.id for e in known] + ["other"]), max_size=12, unique=True))
    values = np.arange(len(ids) * 2, dtype=np.float32).reshape(-1, 2)
    table = FeatureRows(EntityKind.drug, ids, values).align(known)
    for row, entity in enumerate(known):
        assert table.mask[row] == (entity.id in ids)
        wanted = values[ids.index(entity.id)] if entity.id in ids else np.zeros(2)
        assert np.array_equal(table.values[row], wanted)


def test_features_survive_a_merge_of_data_sets(workspace: Workspace, tmp_path: Path) -> None:
    from l2aco.data.merging import merge_datasets

    (workspace.root / "t.csv").write_text(TABLE)
    (workspace.root / "f.csv").write_text("id,g1\nX,1\n")
    (workspace.root / "g.csv").write_text("id,g1\nY,2\n")
    parts = [
        import_dataset(
            ImportSpec(path=workspace.root / "t.csv", name=name, features={"e": workspace.root / f"{name}.csv"}),
            workspace,
        )
        for name in ("f", "g")
    ]
    merged = merge_datasets(parts, "both", workspace)
    assert table_in(merged, "e").values.tolist() == [[1], [2]]
    assert pl.read_parquet(merged.path / "triples.parquet")["count"].to_list() == [2] * 4
