"""The layout of GraphSynergy (Yang et al. 2021, doi:10.1093/jamia/ocab162): DrugCombDB and OncologyScreen.

Combinations by DrugBank id, with drug-protein, cell-protein and protein-protein tables that make a knowledge
graph. Public files: TOJSSE-iData/GraphSynergy, folder data/.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from l2aco.data.sources.base import COLUMNS_REMEDY, Edges, ReadOptions, SourceData, entities_from_names, safe_file
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError
from l2aco.tables import Table, read_table

if TYPE_CHECKING:
    import polars as pl

COMBINATIONS = "drug_combinations.csv"
MAX_TARGETS = 30
"""Gene symbols kept as the fact `targets`; the graph has all of them."""
_COMBINATION_ROLES = {
    "name_a": ("Drug1", "drug_a_name"),
    "name_b": ("Drug2", "drug_b_name"),
    "cell_line": ("cell",),
    "drug_a": ("drug1_db",),
    "drug_b": ("drug2_db",),
    "score": ("synergy",),
}
_CELL_ROLES = {
    "symbol": ("GeneSym",),
    "protein": ("protein",),
    "cell_line": ("cell",),
    "tissue": ("Tissue",),
    "weight": ("weight",),
}


class GraphSynergy:
    """Reads the folder; the protein network may be missing, which is said in the notes."""

    roles = tuple(_COMBINATION_ROLES)

    def recognises(self, path: Path) -> bool:
        return (path / COMBINATIONS).is_file() and (path / "drug_protein.csv").is_file()

    def read(self, path: Path, options: ReadOptions) -> SourceData:
        import polars as pl

        rows = self._combinations(safe_file(path, COMBINATIONS), options)
        targets = self._targets(safe_file(path, "drug_protein.csv"))
        cells = self._cell_proteins(safe_file(path, "cell_protein.csv"))
        pairs, notes = self._network(path)
        network = pairs.filter(pl.col("a") != pl.col("b"))
        edges: Edges = {
            ("drug", "targets", "protein"): (targets["drug"].to_list(), targets["protein"].to_list()),
            ("protein", "interacts", "protein"): (network["a"].to_list(), network["b"].to_list()),
        }
        for name, sign in (("overexpresses", 1), ("underexpresses", -1)):
            part = cells.filter(pl.col("weight") == sign)
            edges[("cell_line", name, "protein")] = (part["cell_line"].to_list(), part["protein"].to_list())
        tissue = self._tissues(cells, path)
        edges[("cell_line", "from_tissue", "tissue")] = (list(tissue), list(tissue.values()))
        # A protein known only by a self-pair stays a node: it is in the source, it just has no neighbour.
        proteins = pl.concat([targets["protein"], cells["protein"], pairs["a"], pairs["b"]]).unique()
        drugs = entities_from_names(
            pl.concat([rows["drug_a"], rows["drug_b"]]), pl.concat([rows["name_a"], rows["name_b"]]), EntityKind.drug
        )
        named = {drug.id for drug in drugs}
        drugs += [Entity(key, EntityKind.drug, key) for key in targets["drug"].unique() if key not in named]
        symbols = dict(cells.filter(pl.col("symbol").is_not_null()).select("protein", "symbol").iter_rows())
        drugs = _with_targets(drugs, targets, symbols)
        lines = sorted({*rows["cell_line"], *tissue})
        return SourceData(
            drugs=drugs,
            cell_lines=[
                Entity(line, EntityKind.cell_line, line, facts={"tissue": tissue[line]} if line in tissue else {})
                for line in lines
            ],
            rows=rows.select("drug_a", "drug_b", "cell_line", "score"),
            graph_nodes={
                "protein": sorted(proteins, key=int),
                "tissue": sorted(set(tissue.values())),
            },
            graph_edges=edges,
            gene_symbols=symbols,
            report={
                "protein_self_pairs": len(pairs) - len(network),
                "drugs_with_several_names": sum(bool(drug.aliases) for drug in drugs),
            },
            notes=notes,
        )

    def _combinations(self, path: Path, options: ReadOptions) -> pl.DataFrame:
        table = read_table(path, options.named(_COMBINATION_ROLES), remedy=COLUMNS_REMEDY)
        table.require("name_a", "name_b", "cell_line", "drug_a", "drug_b")
        return table.frame.with_columns(table.numbers("score"))

    def _targets(self, path: Path) -> pl.DataFrame:
        table = read_table(path, {"drug": ("drug",), "protein": ("protein",)})
        table.require("drug", "protein")
        return table.frame.with_columns(_gene_ids(table, "protein"))

    def _cell_proteins(self, path: Path) -> pl.DataFrame:
        table = read_table(path, _CELL_ROLES)
        table.require("protein", "cell_line", "tissue", "weight")
        weight = table.numbers("weight")
        table.refuse(~weight.is_in([1.0, -1.0]), "column '{column}' holds {value}; 1 and -1 are known", "weight")
        return table.frame.with_columns(_gene_ids(table, "protein"), weight)

    def _tissues(self, cells: pl.DataFrame, path: Path) -> dict[str, str]:
        pairs = cells.select("cell_line", "tissue").unique(maintain_order=True)
        tissue = dict(pairs.iter_rows())
        if len(tissue) != len(pairs):
            twice = pairs.filter(pairs["cell_line"].is_duplicated())["cell_line"][0]
            raise InputError(f"gives cell line '{twice}' several tissues", where=path / "cell_protein.csv")
        return tissue

    def _network(self, path: Path) -> tuple[pl.DataFrame, list[str]]:
        """Proteins a and b of every edge, self-pairs included, and notes."""
        import polars as pl

        for name in ("protein-protein_network.xlsx", "protein-protein_network.csv"):
            if (path / name).exists():
                file = safe_file(path, name)
                table = read_table(file, {"a": ("protein_a",), "b": ("protein_b",)})
                table.require("a", "b")
                return table.frame.with_columns(_gene_ids(table, "a"), _gene_ids(table, "b")), []
        empty = pl.DataFrame({"a": [], "b": []}, schema={"a": pl.String, "b": pl.String})
        return empty, ["No protein-protein_network.xlsx there: the graph has no protein-protein edges."]


def _gene_ids(table: Table, role: str) -> pl.Series:
    import polars as pl

    return table.whole_numbers(role).cast(pl.String)


def _with_targets(drugs: list[Entity], targets: pl.DataFrame, symbols: dict[str, str]) -> list[Entity]:
    """The drugs with the fact `targets`: symbols of their proteins, as far as the source has symbols."""
    found: dict[str, list[str]] = {}
    for drug, protein in targets.select("drug", "protein").unique(maintain_order=True).iter_rows():
        if protein in symbols:
            found.setdefault(drug, []).append(symbols[protein])
    return [
        replace(drug, facts={**drug.facts, "targets": sorted(found[drug.id])[:MAX_TARGETS]})
        if drug.id in found
        else drug
        for drug in drugs
    ]
