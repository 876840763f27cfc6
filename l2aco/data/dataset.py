"""A data set on disk: `data/<name>/` with entities, triples, graph, features and a manifest of checksums."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.data.graph import KnowledgeGraph
from l2aco.data.triples import Triples
from l2aco.entities import Entity, EntityKind
from l2aco.errors import DamagedError
from l2aco.files import read_json, sha256_file

FORMAT = 1
REMEDY = "Import the data set again with --force."


class DataSet:
    """Drugs, cell lines, triples, and optionally a knowledge graph and features.

    `drugs` and `cell_lines` stand in the order of their ids and hold all that are known, with or without
    triples. Files are read when they are first asked for, and checked against the manifest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.manifest: dict[str, Any] = read_json(path / "manifest.json")
        if self.manifest.get("format") != FORMAT:
            raise DamagedError(f"has format {self.manifest.get('format')}, not {FORMAT}", where=path, remedy=REMEDY)

    @property
    def simulated(self) -> bool:
        """Whether the labels were made up, as those of the demo are."""
        return bool(self.manifest.get("simulated"))

    @property
    def hash(self) -> str:
        """Hex SHA-256 over every file of the import: entities, triples, graph, features."""
        return str(self.manifest["hash"])

    @property
    def triples_hash(self) -> str:
        """Hex SHA-256 over entity ids and triples: what a split depends on."""
        return str(self.manifest["triples_hash"])

    def file(self, name: str) -> Path:
        """The path of one of the files in the manifest, after its checksum; raises DamagedError."""
        path = self.path / name
        if not path.is_file():
            raise DamagedError("is missing", where=path, remedy=REMEDY)
        if sha256_file(path) != self.manifest["files"][name]:
            raise DamagedError("does not match its checksum in manifest.json", where=path, remedy=REMEDY)
        return path

    @cached_property
    def _entities(self) -> tuple[list[Entity], list[Entity]]:
        import polars as pl

        found: dict[EntityKind, list[Entity]] = {EntityKind.drug: [], EntityKind.cell_line: []}
        for row in pl.read_parquet(self.file("entities.parquet")).iter_rows(named=True):
            kind = EntityKind(row["kind"])
            found[kind].append(
                Entity(row["id"], kind, row["name"], tuple(row["aliases"] or ()), json.loads(row["facts"]))
            )
        return found[EntityKind.drug], found[EntityKind.cell_line]

    @property
    def drugs(self) -> list[Entity]:
        return self._entities[0]

    @property
    def cell_lines(self) -> list[Entity]:
        return self._entities[1]

    def entities(self, kind: EntityKind) -> list[Entity]:
        """`drugs` or `cell_lines`."""
        return self._entities[0 if kind is EntityKind.drug else 1]

    @cached_property
    def triples(self) -> Triples:
        import polars as pl

        table = pl.read_parquet(self.file("triples.parquet"))
        return Triples(
            drug_a=rows_of(table["drug_a"], [drug.id for drug in self.drugs]),
            drug_b=rows_of(table["drug_b"], [drug.id for drug in self.drugs]),
            cell_line=rows_of(table["cell_line"], [line.id for line in self.cell_lines]),
            score=table["score"].fill_null(float("nan")).to_numpy().astype(np.float64),
            label=table["label"].to_numpy().astype(np.int8),
            count=table["count"].to_numpy().astype(np.int64),
            outlier=table["outlier"].to_numpy().astype(bool),
        )

    @property
    def has_graph(self) -> bool:
        return "graph.npz" in self.manifest["files"]

    @cached_property
    def graph(self) -> KnowledgeGraph | None:
        return KnowledgeGraph.load(self.file("graph.npz")) if self.has_graph else None

    @cached_property
    def gene_symbols(self) -> dict[str, str]:
        """Gene symbol by the graph's protein id (Entrez gene id), where the source gives it."""
        import polars as pl

        if "gene_symbols.parquet" not in self.manifest["files"]:
            return {}
        table = pl.read_parquet(self.file("gene_symbols.parquet"))
        return dict(zip(table["protein"].to_list(), table["symbol"].to_list(), strict=True))


def rows_of(column: Any, ids: list[str]) -> Any:
    """int64 (n,): the position in `ids` of each value of a polars string column."""
    import polars as pl

    return column.replace_strict(pl.Series(ids, dtype=pl.String), np.arange(len(ids)), return_dtype=pl.Int64).to_numpy()


def entity_frame(entities: Iterable[Entity]) -> Any:
    """The polars table of entities.parquet: id, kind, name, aliases, facts (JSON)."""
    import polars as pl

    listed = list(entities)
    return pl.DataFrame(
        {
            "id": [entity.id for entity in listed],
            "kind": [entity.kind.value for entity in listed],
            "name": [entity.name for entity in listed],
            "aliases": [list(entity.aliases) for entity in listed],
            "facts": [json.dumps(dict(entity.facts), ensure_ascii=False, sort_keys=True) for entity in listed],
        },
        schema={
            "id": pl.String,
            "kind": pl.String,
            "name": pl.String,
            "aliases": pl.List(pl.String),
            "facts": pl.String,
        },
    )
