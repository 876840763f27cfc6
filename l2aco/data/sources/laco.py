"""The graph part of the paper's release: a knowledge graph of names, and fixed S0 and S1 files.

Hugging Face data set Matthewmtf/LaCo, `datasets/`: kg/{entities.dict, relations.dict, train_new.tsv} and
<dataset>/<setting>/{train,valid,test}.txt. The graph has no node types: what the split files name are drugs and cell
lines, everything else is of the type `entity`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from l2aco.data.labels import LabelRule
from l2aco.data.sources.base import Edges, ReadOptions, SourceData, entities_from_names, safe_file
from l2aco.data.splits.released import PARTS
from l2aco.entities import EntityKind
from l2aco.errors import InputError
from l2aco.tables import read_lines

if TYPE_CHECKING:
    import polars as pl

SETTINGS = {"S0": "long-tail", "S1": "novel-cell"}
KG = ("entities.dict", "relations.dict", "train_new.tsv")
COLUMNS = ("name_a", "kg_a", "name_b", "kg_b", "name_cell", "kg_cell", "label")
OTHER = "entity"


class LacoGraph:
    """Reads `datasets/<dataset>`, with the graph in `datasets/kg` beside it; the root of the release works where it
    holds one data set only."""

    roles = ()

    def recognises(self, path: Path) -> bool:
        return bool(find_datasets(path))

    def read(self, path: Path, options: ReadOptions) -> SourceData:
        import polars as pl

        folder = self._folder(path)
        kg = folder.parent / "kg"
        names = _dictionary(safe_file(kg, KG[0]))
        relations = _dictionary(safe_file(kg, KG[1]), may_be_empty=True)
        splits = {
            SETTINGS[setting]: {part: self._part(safe_file(folder / setting, f"{part}.txt"), names) for part in PARTS}
            for setting in SETTINGS
            if (folder / setting).is_dir()
        }
        pair = {"low": pl.min_horizontal("drug_a", "drug_b"), "high": pl.max_horizontal("drug_a", "drug_b")}
        settings = [pl.concat([parts[part] for part in PARTS]).with_columns(**pair) for parts in splits.values()]
        rows = settings[0]
        for more in settings[1:]:  # S0 and S1 divide the same measurements: count each once
            rows = pl.concat([rows, more.join(rows, on=["low", "high", "cell_line"], how="anti")])
        drugs = entities_from_names(
            pl.concat([rows["drug_a"], rows["drug_b"]]), pl.concat([rows["name_a"], rows["name_b"]]), EntityKind.drug
        )
        lines = entities_from_names(rows["cell_line"], rows["name_cell"], EntityKind.cell_line)
        types = {drug.id: "drug" for drug in drugs} | {line.id: "cell_line" for line in lines}
        both = {drug.id for drug in drugs} & {line.id for line in lines}
        if both:
            raise InputError(f"'{min(both)}' is both a drug and a cell line", where=folder)
        others = sorted(set(names.values()) - set(types))
        types |= dict.fromkeys(others, OTHER)
        return SourceData(
            drugs=drugs,
            cell_lines=lines,
            rows=rows.select("drug_a", "drug_b", "cell_line", "label"),
            label_rule=LabelRule(kind="shipped"),
            graph_nodes={OTHER: others},
            graph_edges=self._edges(safe_file(kg, KG[2]), types, set(relations.values())),
            splits=splits,
            notes=[f"Fixed splits of the release: {', '.join(splits)}; they are used unless released = false."],
        )

    def _folder(self, path: Path) -> Path:
        found = find_datasets(path)
        if len(found) > 1:
            names = ", ".join(str(folder) for folder in found)
            raise InputError(f"holds several data sets ({names})", where=path, remedy="Name one of these folders.")
        return found[0]

    def _part(self, path: Path, names: dict[str, str]) -> pl.DataFrame:
        """Rows with the graph's names as ids; raises InputError for an id that entities.dict does not hold."""
        import polars as pl

        table = read_lines(path, COLUMNS)
        table.require(*COLUMNS)
        ids = []
        for role, target in (("kg_a", "drug_a"), ("kg_b", "drug_b"), ("kg_cell", "cell_line")):
            found = table.frame[role].replace_strict(names, default=None, return_dtype=pl.String).alias(target)
            table.refuse(found.is_null(), "names the graph id '{value}', which entities.dict does not hold", role)
            ids.append(found)
        return table.frame.with_columns(*ids, table.labels())

    def _edges(self, path: Path, types: dict[str, str], relations: set[str]) -> Edges:
        import polars as pl

        table = read_lines(path, ("head", "relation", "tail"), may_be_empty=True)
        table.require("head", "relation", "tail")
        for role, known in (("head", set(types)), ("relation", relations), ("tail", set(types))):
            table.refuse(~table.frame[role].is_in(list(known)), "the {column} '{value}' is in no .dict file", role)
        typed = table.frame.with_columns(
            pl.col("head").replace_strict(types).alias("source"), pl.col("tail").replace_strict(types).alias("target")
        )
        return {
            (str(source), str(relation), str(target)): (part["head"].to_list(), part["tail"].to_list())
            for (source, relation, target), part in typed.group_by("source", "relation", "target", maintain_order=True)
        }


def find_datasets(path: Path) -> list[Path]:
    """Folders at `path` that have split files and a graph beside them."""
    places = [path, *sorted(path.glob("datasets/*")), *sorted(path.glob("*"))] if path.is_dir() else []
    return [
        folder
        for folder in dict.fromkeys(places)
        if (folder.parent / "kg" / KG[0]).is_file()
        and any((folder / setting / "train.txt").is_file() for setting in SETTINGS)
    ]


def _dictionary(path: Path, *, may_be_empty: bool = False) -> dict[str, str]:
    """Name by id; raises InputError where an id stands twice, or two ids have one name."""
    table = read_lines(path, ("id", "name"), may_be_empty=may_be_empty)
    table.require("id", "name")
    for role in ("id", "name"):
        again = ~table.frame[role].is_first_distinct()
        table.refuse(again, "the {column} '{value}' stands in it several times", role)
    return dict(table.frame.select("id", "name").iter_rows())
