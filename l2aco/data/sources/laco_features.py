"""The feature part of the paper's release: `DeepDDS/data/<dataset>`, `DFFNDDS/MyDataset`, `HANSynergy/data/...`.

They hold triples by name, index or PubChem CID, SMILES, and fixed splits of the novel-cell setting; DFFNDDS also
expression. SynergyX has no triples of its own: its maps and its pickled omics go with another import, as --drugs
drug_map_with_smiles.csv, --cell-lines cell.csv and --features omics=1024079_genes_norm.npy --allow-pickle; pieces of
SMILES are cut anew. MatchMaker has no part of its own: it reads what the others bring. (Hugging Face data set
Matthewmtf/LaCo.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.data.features.table import FeatureRows
from l2aco.data.labels import LabelRule
from l2aco.data.sources.base import ReadOptions, SourceData, safe_file
from l2aco.data.sources.dffndds import read_json_table, read_vectors
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.tables import read_lines, read_table

if TYPE_CHECKING:
    import polars as pl

PARTS = ("train", "valid", "test")
TRIPLES = {
    "drug_a": ("drug_a", "drug_1"),
    "drug_b": ("drug_b", "drug_2"),
    "cell_line": ("cell", "context"),
    "value": ("synergy", "label"),
}
SMILES_MAP = "drug_map_with_smiles.csv"
CELL_MAP = "cell_map.csv"
SMILES_OF_CID = "cid_smile.json"


class LacoDeepDDS:
    """`DeepDDS/data/<dataset>`: filtered_updated_*.csv, drug_map_with_smiles.csv, cell_map.csv, inductive/."""

    roles = ()

    def recognises(self, path: Path) -> bool:
        return (path / SMILES_MAP).is_file() and any(path.glob("filtered_updated_*.csv"))

    def read(self, path: Path, options: ReadOptions) -> SourceData:
        found = sorted(path.glob("filtered_updated_*.csv"))
        if len(found) != 1:
            raise InputError(f"holds {len(found)} files filtered_updated_*.csv, not one", where=path)
        drugs, smiles = read_names(safe_file(path, SMILES_MAP), "processed_smiles")
        cells, _ = read_names(safe_file(path, CELL_MAP))
        (rows,) = read_triples([safe_file(path, found[0].name)], drugs, cells)
        splits = {}
        if (path / "inductive").is_dir():
            splits["novel-cell"] = {part: self._part(path / "inductive", part, rows) for part in PARTS}
        return _source_data(rows, smiles, splits)

    def _part(self, folder: Path, part: str, rows: pl.DataFrame) -> pl.DataFrame:
        file = safe_file(folder, f"{part}_idx.txt")
        table = read_lines(file, ("index",))
        places = table.whole_numbers("index")
        table.refuse(places >= len(rows), f"names row {{value}} of {len(rows)}", "index")
        return rows[places.to_list()]


class LacoDffndds:
    """`DFFNDDS/MyDataset`: cell_map.csv, drug_set.json, merged_data.csv, new-cell/ and long-tail/.

    The folder may hold the splits of two data sets (v1- and db-, drugcomb_ and drugcombdb_): --columns set=db
    chooses.
    """

    roles = ("set",)

    def recognises(self, path: Path) -> bool:
        return (path / "merged_data.csv").is_file() and (path / "new-cell").is_dir()

    def read(self, path: Path, options: ReadOptions) -> SourceData:
        import polars as pl

        drugs, _ = read_names(safe_file(path, "merged_data.csv"))
        cells, contexts = read_names(safe_file(path, CELL_MAP), "context")
        chosen = self._choose(path, options.columns.get("set"))
        files = [safe_file(path / "new-cell", f"{chosen}-{part}.csv") for part in PARTS]
        parts = dict(zip(PARTS, read_triples(files, drugs, cells), strict=True))
        rows = pl.concat(list(parts.values()))
        known = read_json_table(safe_file(path, "drug_set.json"))
        smiles = {
            name: entry["smiles"]
            for index, name in drugs.items()
            if isinstance(entry := known.get(index, known.get(name)), dict) and isinstance(entry.get("smiles"), str)
        }
        data = _source_data(rows, smiles, {"novel-cell": parts})
        if (path / "context_set_m.json").is_file():
            vectors = read_vectors(safe_file(path, "context_set_m.json"), EntityKind.cell_line)
            line = {context: name for name, context in contexts.items()}
            ids = [line.get(context, context) for context in vectors.ids]
            data.features["expression"] = FeatureRows(vectors.kind, ids, vectors.values)
        else:
            data.notes.append("No context_set_m.json there: the cell lines have no expression.")
        return data

    def _choose(self, path: Path, wanted: str | None) -> str:
        found = sorted(file.name[: -len("-train.csv")] for file in (path / "new-cell").glob("*-train.csv"))
        if wanted is None and len(found) == 1:
            return found[0]
        if wanted not in found:
            names = ", ".join(found) or "none"
            raise UsageError(f"holds the sets {names}", where=path, remedy="Choose one with --columns set=NAME.")
        return str(wanted)


class LacoHan:
    """`HANSynergy/data/<dataset>/<set>`: <set>-{train,valid,test}_final.csv (drugs by CID); cid_smile.json there or
    in one of the two folders above."""

    roles = ()

    def recognises(self, path: Path) -> bool:
        return any(path.glob("*-train_final.csv"))

    def read(self, path: Path, options: ReadOptions) -> SourceData:
        import polars as pl

        found = sorted(file.name[: -len("-train_final.csv")] for file in path.glob("*-train_final.csv"))
        if len(found) != 1:
            raise InputError(f"holds the sets {', '.join(found)}, not one", where=path)
        parts = {}
        for part in PARTS:
            file = safe_file(path, f"{found[0]}-{part}_final.csv")
            table = read_table(file, TRIPLES)
            table.require(*TRIPLES)
            parts[part] = table.frame.select("drug_a", "drug_b", "cell_line").with_columns(
                table.labels("value").alias("label"), pl.lit(None, dtype=pl.Float64).alias("score")
            )
        smiles = next(
            (folder for folder in (path, path.parent, path.parent.parent) if (folder / SMILES_OF_CID).is_file()), None
        )
        known = read_json_table(safe_file(smiles, SMILES_OF_CID)) if smiles else {}
        data = _source_data(
            pl.concat(list(parts.values())),
            {cid: text for cid, text in known.items() if isinstance(text, str)},
            {"novel-cell": parts},
        )
        if not smiles:
            data.notes.append(f"No {SMILES_OF_CID} there: the drugs have no SMILES.")
        return data


def read_names(path: Path, more: str | None = None) -> tuple[dict[str, str], dict[str, str]]:
    """Name by index, and the column `more` by name, of a map with the columns name, index and perhaps `more`."""
    table = read_table(path, {"name": ("name",), "index": ("index",), "more": (more or "name",)}, optional=["more"])
    table.require("name", "index")
    for role in ("name", "index"):
        table.refuse(~table.frame[role].is_first_distinct(), "holds the {column} '{value}' twice", role)
    extra = table.frame.filter(table.frame["more"].is_not_null()).select("name", "more")
    return dict(table.frame.select("index", "name").iter_rows()), dict(extra.iter_rows())


def read_triples(paths: Sequence[Path], drugs: dict[str, str], cells: dict[str, str]) -> list[pl.DataFrame]:
    """drug_a, drug_b, cell_line (names), score and label of each file; ends may be written as names or as indices of
    the maps.

    A column `synergy` of nothing but 0 and 1 in all files is a label, anything else a score.
    """
    import polars as pl

    parts = [_with_names(path, drugs, cells) for path in paths]
    labelled = all(part["value"].drop_nulls().is_in([0.0, 1.0]).all() for part in parts)
    name, other = ("label", "score") if labelled else ("score", "label")
    return [part.rename({"value": name}).with_columns(pl.lit(None, dtype=pl.Float64).alias(other)) for part in parts]


def _with_names(path: Path, drugs: dict[str, str], cells: dict[str, str]) -> pl.DataFrame:
    import polars as pl

    table = read_table(path, TRIPLES)
    table.require(*TRIPLES)
    ends = []
    for role, known in (("drug_a", drugs), ("drug_b", drugs), ("cell_line", cells)):
        names = {**known, **{name: name for name in known.values()}}
        found = table.frame[role].replace_strict(names, default=None, return_dtype=pl.String)
        table.refuse(found.is_null(), "column '{column}' holds '{value}', which the map does not", role)
        ends.append(found)
    return pl.DataFrame(ends).with_columns(table.numbers("value").alias("value"))


def _source_data(rows: pl.DataFrame, smiles: dict[str, str], splits: dict[str, dict[str, Any]]) -> SourceData:
    import polars as pl

    labelled = rows["label"].is_not_null().any()
    return SourceData(
        drugs=[
            Entity(name, EntityKind.drug, name, facts={"smiles": smiles[name]} if name in smiles else {})
            for name in pl.concat([rows["drug_a"], rows["drug_b"]]).unique().sort()
        ],
        cell_lines=[Entity(name, EntityKind.cell_line, name) for name in rows["cell_line"].unique().sort()],
        rows=rows,
        label_rule=LabelRule(kind="shipped") if labelled else LabelRule(),
        splits=splits,
        named=frozenset(EntityKind),
    )
