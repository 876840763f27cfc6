"""Export to the layouts of the paper's release, so that a lab can move both ways."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.features import brought_features, table_in
from l2aco.data.features.table import FeatureTable
from l2aco.data.sources.laco import SETTINGS
from l2aco.data.splits.make import make_split
from l2aco.data.splits.spec import Split, SplitSpec
from l2aco.entities import Entity
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.files import atomic_folder, files_in, read_json, refuse_others, write_json

LAYOUTS = ("laco", "laco-features")
OMICS = "omics"
"""What a table of genes x channels is called where somebody brings one."""
MARK = ".l2aco-export.json"
"""Says which files of the folder are ours."""


def export_dataset(dataset: DataSet, folder: Path, layout: str = "laco", *, replace: bool = False) -> list[str]:
    """Write `folder` in a layout: `laco` is the graph part of the release, `laco-features` its feature part.

    The splits are those that came with the data set, else fold 0 of 5 with seed 0. Returns what was left out, one
    line each. Raises UnknownNameError, UsageError where the folder exists, or is to be replaced and holds anything
    that no export wrote, InputError for a name with a tab.
    """
    if layout not in LAYOUTS:
        raise UnknownNameError("layout", layout, LAYOUTS)
    splits: dict[str, Split] = {}
    left_out: list[str] = []
    for name, setting in SETTINGS.items():
        try:
            splits[name] = make_split(dataset, SplitSpec(setting=setting))
        except UsageError as error:
            left_out.append(f"{name}: {error.message}")
    folder = folder.expanduser().absolute()
    with atomic_folder(folder, replace=replace) as partial:
        _refuse_others(folder)
        if layout == "laco":
            _graph_part(dataset, splits, partial / "datasets")
        else:
            left_out += _deepdds_part(dataset, splits, partial / "DeepDDS" / "data" / dataset.name)
            left_out += _dffndds_part(dataset, splits, partial / "DFFNDDS" / "MyDataset")
            left_out += _synergyx_part(dataset, partial / "SynergyX" / "MyDataset")
        write_json(partial / MARK, {"dataset": dataset.name, "layout": layout, "files": files_in(partial)})
    return left_out


def _refuse_others(folder: Path) -> None:
    """Raises UsageError where the folder holds a file that no export wrote."""
    mark = read_json(folder / MARK) if (folder / MARK).is_file() else {}
    listed = mark.get("files") if isinstance(mark, dict) else None
    ours = {*(listed if isinstance(listed, list) else []), MARK}
    refuse_others(folder, ours.__contains__, "l2aco data export")


def _graph_part(dataset: DataSet, splits: dict[str, Split], folder: Path) -> None:
    names = _node_names(dataset)
    number = {name: place for place, name in enumerate(name for found in names.values() for name in found)}
    kg = folder / "kg"
    kg.mkdir(parents=True)
    forward = list(dataset.graph.forward()) if dataset.graph else []
    relations = sorted({relation for (_, relation, _), _ in forward})
    _write_tabs(kg / "entities.dict", ((place, name) for name, place in number.items()))
    _write_tabs(kg / "relations.dict", enumerate(relations))
    _write_tabs(
        kg / "train_new.tsv",
        (
            (names[source][head], relation, names[target][tail])
            for (source, relation, target), pairs in forward
            for head, tail in pairs.T
        ),
    )
    triples = dataset.triples
    for setting, split in splits.items():
        target = folder / dataset.name / setting
        target.mkdir(parents=True)
        for part in ("train", "valid", "test"):
            rows = triples.take(getattr(split, part))
            _write_tabs(
                target / f"{part}.txt",
                (
                    (
                        *_named(dataset.drugs[a], number),
                        *_named(dataset.drugs[b], number),
                        *_named(dataset.cell_lines[c], number),
                        label,
                    )
                    for a, b, c, label in zip(rows.drug_a, rows.drug_b, rows.cell_line, rows.label, strict=True)
                ),
            )


def _named(entity: Entity, number: dict[str, int]) -> tuple[str, int]:
    return entity.name, number[entity.id]


def _node_names(dataset: DataSet) -> dict[str, list[str]]:
    """One name for every node, by type, in the order of their numbers; a name that two types share gets its type."""
    if dataset.graph is None:
        nodes = {"drug": [drug.id for drug in dataset.drugs], "cell_line": [line.id for line in dataset.cell_lines]}
    else:
        nodes = dataset.graph.nodes
    entities = {*nodes["drug"], *nodes["cell_line"]}
    if len(entities) != len(nodes["drug"]) + len(nodes["cell_line"]):
        raise InputError("a drug and a cell line have the same id; the layout cannot tell them apart")
    taken = set(entities)
    names = {}
    for kind, ids in nodes.items():
        if kind in ("drug", "cell_line"):
            names[kind] = ids
            continue
        names[kind] = [f"{kind}:{item}" if item in taken else item for item in ids]
        taken.update(names[kind])
    return names


def _deepdds_part(dataset: DataSet, splits: dict[str, Split], folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    triples = dataset.triples
    everything = np.arange(len(triples))
    _write_csv(folder / f"filtered_updated_{dataset.name}.csv", *_triple_table(dataset, everything))
    smiles = _drug_map(dataset, folder)
    lines = ((line.id, place) for place, line in enumerate(dataset.cell_lines))
    _write_csv(folder / "cell_map.csv", ("name", "index"), lines)
    if "S1" in splits:
        (folder / "inductive").mkdir()
        for part in ("train", "valid", "test"):
            _write_tabs(folder / "inductive" / f"{part}_idx.txt", ((row,) for row in getattr(splits["S1"], part)))
    missing = sum(not text for text in smiles)
    return [f"SMILES of {missing} drugs are unknown"] if missing else []


def _drug_map(dataset: DataSet, folder: Path) -> list[str]:
    """Writes the map of drugs; returns their SMILES, empty where unknown."""
    smiles = [str(drug.facts.get("smiles", "")) for drug in dataset.drugs]
    rows = ((drug.id, text, place) for place, (drug, text) in enumerate(zip(dataset.drugs, smiles, strict=True)))
    _write_csv(folder / "drug_map_with_smiles.csv", ("name", "processed_smiles", "index"), rows)
    return smiles


def _synergyx_part(dataset: DataSet, folder: Path) -> list[str]:
    """Maps, pieces of every SMILES (2 x 50: codes, and which of them count), and omics of lines (genes x channels) by
    DepMap id, or by name of a line without one. The two last are pickled, as the layout has them."""
    folder.mkdir(parents=True)
    smiles = _drug_map(dataset, folder)
    depmap = [str(line.facts.get("xrefs", {}).get("depmap", "")) for line in dataset.cell_lines]
    named = [(line.id, key) for line, key in zip(dataset.cell_lines, depmap, strict=True)]
    _write_csv(folder / "cell.csv", ("name", "depmap_id"), named)
    pieces = table_in(dataset, "substructures")
    assert isinstance(pieces, FeatureTable)
    coded = {smiles[row]: np.stack([pieces.values[row], pieces.values[row] > 0]) for row in np.flatnonzero(pieces.mask)}
    _write_pickled(folder / "drugSmile_drugSubEmbed_db.npy", coded)
    measured = next((name for name in (OMICS, "expression") if name in brought_features(dataset)), None)
    if measured is None:
        return ["1024079_genes_norm.npy: the data set has no omics and no expression"]
    table = table_in(dataset, measured)
    assert isinstance(table, FeatureTable)
    values = table.values if table.values.ndim == 3 else table.values[:, :, None]
    omics = {key or name: values[row] for row, (name, key) in enumerate(named) if table.mask[row]}
    _write_pickled(folder / "1024079_genes_norm.npy", omics)
    return []


def _write_pickled(path: Path, entries: dict[str, Any]) -> None:
    np.save(path, np.array(entries, dtype=object), allow_pickle=True)


def _dffndds_part(dataset: DataSet, splits: dict[str, Split], folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    left_out: list[str] = []
    _write_csv(
        folder / "merged_data.csv", ("name", "index"), ((drug.id, place) for place, drug in enumerate(dataset.drugs))
    )
    _write_csv(
        folder / "cell_map.csv",
        ("name", "context", "index"),
        ((line.id, line.id, place) for place, line in enumerate(dataset.cell_lines)),
    )
    morgan = table_in(dataset, "morgan")
    assert isinstance(morgan, FeatureTable)
    drug_set = {
        str(place): {"smiles": drug.facts["smiles"], "features": morgan.values[place].tolist()}
        for place, drug in enumerate(dataset.drugs)
        if morgan.mask[place] and "smiles" in drug.facts
    }
    (folder / "drug_set.json").write_text(json.dumps(drug_set), encoding="utf-8")
    if "expression" in brought_features(dataset):
        table = table_in(dataset, "expression")
        assert isinstance(table, FeatureTable)
        vectors = {dataset.cell_lines[row].id: table.values[row].tolist() for row in np.flatnonzero(table.mask)}
        (folder / "context_set_m.json").write_text(json.dumps(vectors), encoding="utf-8")
    else:
        left_out.append("context_set_m.json: the data set has no expression")
    (folder / "new-cell").mkdir()
    if "S1" in splits:
        for part in ("train", "valid", "test"):
            table_rows = _triple_table(dataset, getattr(splits["S1"], part))
            _write_csv(folder / "new-cell" / f"db-{part}.csv", *table_rows)
    if "S0" in splits:
        (folder / "long-tail").mkdir()
        train = np.sort(np.concatenate([splits["S0"].train, splits["S0"].valid]))
        for name, rows in (("train_top_cells", train), ("test_tail_cells", splits["S0"].test)):
            _write_csv(folder / "long-tail" / f"{dataset.name}_{name}.csv", *_triple_table(dataset, rows))
    return left_out


def _triple_table(dataset: DataSet, rows: Any) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
    taken = dataset.triples.take(rows)
    return ("drug_a", "drug_b", "cell", "synergy"), (
        (dataset.drugs[a].id, dataset.drugs[b].id, dataset.cell_lines[c].id, int(label))
        for a, b, c, label in zip(taken.drug_a, taken.drug_b, taken.cell_line, taken.label, strict=True)
    )


def _write_tabs(path: Path, rows: Iterable[tuple[Any, ...]]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            cells = [str(cell) for cell in row]
            if any("\t" in cell or "\n" in cell or not cell.strip() for cell in cells):
                raise InputError(f"{cells} holds an empty name, a tab or a line end, which the layout cannot write")
            stream.write("\t".join(cells) + "\n")


def _write_csv(path: Path, header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
