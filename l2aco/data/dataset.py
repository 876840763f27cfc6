"""A data set on disk: `data/<name>/` with entities, triples, graph, features and a manifest of checksums."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.graph import KnowledgeGraph
from l2aco.data.labels import LabelRule
from l2aco.data.manifest import REMEDY, read_manifest
from l2aco.data.triples import Triples
from l2aco.entities import Entity, EntityIndex, EntityKind
from l2aco.errors import DamagedError
from l2aco.files import sha256_file
from l2aco.shown import Shown
from l2aco.tables import read_written

if TYPE_CHECKING:
    import polars as pl


class DataSet(Shown):
    """Drugs, cell lines, triples, and optionally a knowledge graph and features.

    `drugs` and `cell_lines` stand in the order of their ids and hold all that are known, with or without
    triples. Files are read when they are first asked for, and checked against the manifest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.manifest = read_manifest(path)

    @property
    def simulated(self) -> bool:
        """Whether the labels were made up, as those of the demo are."""
        return bool(self.manifest.get("simulated"))

    def facts(self) -> dict[str, Any]:
        """What it holds, by its manifest."""
        counts = {name.replace("_", " "): f"{value:,}" for name, value in self.manifest["counts"].items()}
        label = self.manifest["label_rule"]["text"]
        return {"name": self.name + (" (SIMULATED)" if self.simulated else ""), **counts, "synergistic where": label}

    def to_polars(self) -> pl.DataFrame:
        """The triples with names and ids: drug_a, drug_b, cell_line, their ids, score, label, count."""
        import polars as pl

        triples = self.triples
        found: dict[str, Any] = {}
        ends = {
            "drug_a": (triples.drug_a, self.drugs),
            "drug_b": (triples.drug_b, self.drugs),
            "cell_line": (triples.cell_line, self.cell_lines),
        }
        for what in ("name", "id"):
            for column, (rows, entities) in ends.items():
                values = pl.Series([getattr(entity, what) for entity in entities], dtype=pl.String)
                found[column if what == "name" else f"{column}_id"] = values.gather(rows)
        return pl.DataFrame(found | {"score": triples.score, "label": triples.label, "count": triples.count})

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
        if sha256_file(path) != self.manifest["files"].get(name):
            raise DamagedError("does not match its checksum in manifest.json", where=path, remedy=REMEDY)
        return path

    def _frame(self, name: str, schema: dict[str, Any]) -> Any:
        return read_written(self.file(name), schema, REMEDY)

    @cached_property
    def _entities(self) -> tuple[list[Entity], list[Entity]]:
        import polars as pl

        text = pl.String()
        schema = {"id": text, "kind": text, "name": text, "aliases": pl.List(pl.String), "facts": text}
        found: dict[EntityKind, dict[str, Entity]] = {EntityKind.drug: {}, EntityKind.cell_line: {}}
        table = self._frame("entities.parquet", schema)
        try:
            for row in table.iter_rows(named=True):
                entity = _entity(row)
                if found[entity.kind].setdefault(entity.id, entity) is not entity:
                    raise ValueError(f"two entities have the id {entity.id!r}")
        except (ValueError, RecursionError) as error:
            where = self.path / "entities.parquet"
            raise DamagedError(f"holds what is no entity ({error})", where=where, remedy=REMEDY) from None
        return list(found[EntityKind.drug].values()), list(found[EntityKind.cell_line].values())

    @property
    def drugs(self) -> list[Entity]:
        return self._entities[0]

    @property
    def cell_lines(self) -> list[Entity]:
        return self._entities[1]

    def entities(self, kind: EntityKind) -> list[Entity]:
        """`drugs` or `cell_lines`."""
        return self._entities[0 if kind is EntityKind.drug else 1]

    def measured(self, kind: EntityKind) -> np.ndarray[Any, Any]:
        """bool (Nd,) or (Nc,): who of `entities` stands in a triple; a source may know of others."""
        triples = self.triples
        rows = triples.cell_line if kind is EntityKind.cell_line else np.append(triples.drug_a, triples.drug_b)
        return np.bincount(rows, minlength=len(self.entities(kind))) > 0

    @cached_property
    def triples(self) -> Triples:
        import polars as pl

        ends = {"drug_a": pl.String(), "drug_b": pl.String(), "cell_line": pl.String()}
        measured = {"score": pl.Float64(), "label": pl.Int8(), "count": pl.Int64(), "outlier": pl.Boolean()}
        table = self._frame("triples.parquet", ends | measured)
        if not len(table):
            raise self._no_triples("there is none")
        try:
            triples = Triples(
                drug_a=rows_of(table["drug_a"], [drug.id for drug in self.drugs]),
                drug_b=rows_of(table["drug_b"], [drug.id for drug in self.drugs]),
                cell_line=rows_of(table["cell_line"], [line.id for line in self.cell_lines]),
                score=table["score"].fill_null(float("nan")).to_numpy().astype(np.float64),
                label=table["label"].to_numpy().astype(np.int8),
                count=table["count"].to_numpy().astype(np.int64),
                outlier=table["outlier"].to_numpy().astype(bool),
            )
        except pl.exceptions.PolarsError:
            raise self._no_triples("it names a drug or cell line that the data set does not have") from None
        if table.select(pl.exclude("score")).null_count().sum_horizontal().item():
            raise self._no_triples("a cell is empty")
        if not (np.isin(triples.label, (0, 1)).all() and (triples.count >= 1).all()):
            raise self._no_triples("a label is not 0 or 1, or a count below 1")
        if not (triples.drug_a < triples.drug_b).all():
            raise self._no_triples("a pair is not in the order of its ids")
        return triples

    def first_alike(self, kind: EntityKind) -> np.ndarray[Any, Any]:
        """int64 (n,): for each drug or cell line the row of the first that is called like it, else its own. An import
        takes as one what is called alike, or says why not."""
        return self._first_alike[kind]

    @cached_property
    def _first_alike(self) -> dict[EntityKind, np.ndarray[Any, Any]]:
        found = {}
        for kind in EntityKind:
            entities = self.entities(kind)
            row = {entity.id: number for number, entity in enumerate(entities)}
            found[kind] = np.arange(len(entities))
            for group in EntityIndex(kind, entities).collisions:
                rows = [row[entity.id] for entity in group]
                found[kind][rows] = min(rows)
        return found

    @property
    def united(self) -> Triples:
        """The triples, row for row, with the first of those that are called alike in the place of each: what a split
        must not have on two sides. A pair of two that are called alike is a pair of one with itself."""
        drug, line = self.first_alike(EntityKind.drug), self.first_alike(EntityKind.cell_line)
        ends = drug[self.triples.drug_a], drug[self.triples.drug_b]
        return replace(
            self.triples,
            drug_a=np.minimum(*ends),
            drug_b=np.maximum(*ends),
            cell_line=line[self.triples.cell_line],
        )

    def _no_triples(self, what: str) -> DamagedError:
        return DamagedError(f"holds what is no triple: {what}", where=self.path / "triples.parquet", remedy=REMEDY)

    @property
    def label_rule(self) -> LabelRule:
        """What makes a label of a score here; quantiles as the bounds that they are among this data set's scores."""
        written = self.manifest["label_rule"]
        rule = LabelRule(**{field: written[field] for field in LabelRule.model_fields})
        return rule.bounded(self.triples.score)

    @property
    def has_graph(self) -> bool:
        return "graph.npz" in self.manifest["files"]

    @cached_property
    def graph(self) -> KnowledgeGraph | None:
        if not self.has_graph:
            return None
        path = self.file("graph.npz")
        graph = KnowledgeGraph.load(path)
        for kind in EntityKind:
            if graph.nodes.get(kind.value) != [entity.id for entity in self.entities(kind)]:
                raise DamagedError("is the graph of other drugs or cell lines", where=path, remedy=REMEDY)
        return graph

    @cached_property
    def gene_symbols(self) -> dict[str, str]:
        """Gene symbol by the graph's protein id (Entrez gene id), where the source gives it."""
        import polars as pl

        if "gene_symbols.parquet" not in self.manifest["files"]:
            return {}
        table = self._frame("gene_symbols.parquet", {"protein": pl.String(), "symbol": pl.String()}).drop_nulls()
        return dict(zip(table["protein"].to_list(), table["symbol"].to_list(), strict=True))


def _entity(row: dict[str, Any]) -> Entity:
    facts = json.loads(row["facts"] or "{}")
    if not row["id"] or not row["name"] or not isinstance(facts, dict):
        raise ValueError("no id, name or facts")
    if not isinstance(facts.get("xrefs", {}), dict):
        raise ValueError("cross references without names")
    return Entity(row["id"], EntityKind(row["kind"]), row["name"], tuple(filter(None, row["aliases"] or ())), facts)


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
