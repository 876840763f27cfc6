"""What may go with any import: feature tables, and an extra knowledge graph of typed edges (PrimeKG and the like)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.columns import refuse_repeats
from l2aco.data.features import kind_of
from l2aco.data.features.response import RESPONSE
from l2aco.data.features.table import FeatureRows
from l2aco.data.measured import Measured, Owners, read_measured
from l2aco.data.sources.base import Edges, SourceData
from l2aco.data.sources.dffndds import read_vectors
from l2aco.entities import Entity, EntityIndex, EntityKind
from l2aco.errors import InputError, UnavailableError
from l2aco.tables import read_table

if TYPE_CHECKING:
    import polars as pl

EDGE_ROLES = {
    "relation": ("relation", "edge_type", "display_relation"),
    "x_id": ("x_id", "head", "head_id", "source", "source_id", "subject"),
    "x_type": ("x_type", "head_type", "source_type", "subject_type"),
    "y_id": ("y_id", "tail", "tail_id", "target", "target_id", "object"),
    "y_type": ("y_type", "tail_type", "target_type", "object_type"),
    "x_name": ("x_name", "head_name", "source_name"),
    "y_name": ("y_name", "tail_name", "target_name"),
}
TYPES = {"gene": "protein", "gene/protein": "protein", "genes": "protein", "cellline": "cell_line", "anatomy": "tissue"}


def add_graph(data: SourceData, path: Path) -> SourceData:
    """Join a table of typed edges to the graph.

    Columns as PrimeKG (Chandak et al. 2023, doi:10.1038/s41597-023-01960-3): relation, x_id, x_type, y_id, y_type and
    perhaps x_name, y_name. A drug or cell line is found by id, name or alias; edges of others than the data set's
    are left out and counted. An edge that the table has in both directions is kept once: inverses come by themselves.
    """
    import polars as pl

    read = read_table(path, EDGE_ROLES, optional=["x_name", "y_name"])
    read.require("relation", "x_id", "x_type", "y_id", "y_type")
    table = read.frame
    for end in ("x", "y"):
        written = pl.col(f"{end}_type").str.to_lowercase().str.replace_all(" ", "_")
        table = table.with_columns(written.replace(TYPES).alias(f"{end}_type"))
    indices = {
        "drug": EntityIndex(EntityKind.drug, data.drugs),
        "cell_line": EntityIndex(EntityKind.cell_line, data.cell_lines),
    }
    for end in ("x", "y"):
        table = table.with_columns(_found(table, end, indices))
    known = table.filter(table["x_id"].is_not_null() & table["y_id"].is_not_null())
    known = known.with_columns(
        (pl.concat_str("x_type", "x_id", separator="\t") > pl.concat_str("y_type", "y_id", separator="\t")).alias(
            "turn"
        )
    )
    known = known.select(
        "relation",
        *(
            pl.when("turn").then(f"{other}_{what}").otherwise(f"{end}_{what}").alias(f"{end}_{what}")
            for end, other in (("x", "y"), ("y", "x"))
            for what in ("type", "id")
        ),
    ).unique(maintain_order=True)
    edges: Edges = dict(data.graph_edges or {})
    nodes = {kind: set(ids) for kind, ids in (data.graph_nodes or {}).items()}
    for (relation, source, target), part in known.group_by("relation", "x_type", "y_type", maintain_order=True):
        key = (str(source), str(relation).replace(" ", "_"), str(target))
        old = edges.get(key, ([], []))
        heads, tails = (
            pl.concat([pl.Series(before, dtype=pl.String), part[column].rename("")])
            for before, column in zip(old, ("x_id", "y_id"), strict=True)
        )
        edges[key] = (heads, tails)
        for kind, column in ((str(source), "x_id"), (str(target), "y_id")):
            if kind not in indices:
                nodes.setdefault(kind, set()).update(part[column].unique())
    left = len(table) - int((table["x_id"].is_not_null() & table["y_id"].is_not_null()).sum())
    report = {**data.report, "graph_rows": len(table), "graph_rows_about_others": left, "graph_edges_added": len(known)}
    return dataclasses.replace(
        data, graph_nodes={kind: sorted(ids) for kind, ids in nodes.items()}, graph_edges=edges, report=report
    )


def _found(table: pl.DataFrame, end: str, indices: Mapping[str, EntityIndex]) -> pl.Series:
    """The ids of one end, those of drugs and cell lines as the data set writes them, null where it has no such."""
    import polars as pl

    ids = table[f"{end}_id"]
    for kind, index in indices.items():
        rows = table[f"{end}_type"] == kind
        asked = table.filter(rows).select(f"{end}_id", f"{end}_name").unique()
        answers = {}
        for key, name in asked.iter_rows():
            entity = _find(index, key) or (_find(index, name) if name else None)
            answers[key] = entity.id if entity else None
        mapped = ids.replace_strict(answers, default=None, return_dtype=pl.String) if answers else ids
        ids = pl.select(pl.when(rows).then(mapped).otherwise(ids).alias(f"{end}_id")).to_series()
    return ids


def _find(index: EntityIndex, name: str) -> Entity | None:
    try:
        return index.find(name)
    except InputError:
        return None


def add_feature(data: SourceData, name: str, path: Path, *, allow_pickle: bool) -> SourceData:
    """Join a feature table: CSV, TSV, Parquet or Excel with the entities in the first column or in the header, JSON of
    vectors by entity, or, with `allow_pickle`, a pickled .npy of a dict. Entities are found by id, name, alias or cross
    reference; of the kind whose feature is called `name`, else drugs or cell lines, whichever more of the names are."""
    entities = {EntityKind.drug: data.drugs, EntityKind.cell_line: data.cell_lines}
    only = kind_of(name)
    kinds = [only] if only else list(entities)

    def whose(names: Sequence[str]) -> Owners:
        return max((_owners(names, kind, entities[kind]) for kind in kinds), key=len)

    suffix = path.suffix.casefold()
    if suffix in (".json", ".npy"):
        read = read_vectors(path, EntityKind.drug) if suffix == ".json" else _pickled(path, allow_pickle)
        found = _measured(path, read, whose(read.ids))
    else:
        who = " and ".join(f"{kind.replace('_', ' ')}s" for kind in kinds)
        found = read_measured(path, whose, who)
    report = {
        **data.report,
        f"{name}_rows": len(found.owners.ids),
        f"{name}_rows_used": len(found.rows.ids),
        f"{name}_rows_passed_over": len(found.owners.passed_over),
    }
    features = {**data.features, name: found.rows}
    notes = [*data.notes, *found.notes, *(_about_drugs(path, found.rows.columns, data) if name == RESPONSE else ())]
    return dataclasses.replace(data, features=features, report=report, notes=notes)


def _about_drugs(path: Path, columns: Sequence[str], data: SourceData) -> list[str]:
    """Which drugs of a table of response are none of the data set's."""
    owners = _owners(columns, EntityKind.drug, data.drugs)
    kept = "; what is known of these tells lines apart, and nothing of a pair"
    return [f"{path.name}: {owners.left_out}{kept}."] if owners.left_out else []


def _owners(names: Sequence[str], kind: EntityKind, entities: list[Entity]) -> Owners:
    index = EntityIndex(kind, entities)
    by_xref = {str(xref): entity for entity in entities for xref in entity.facts.get("xrefs", {}).values()}
    sure = [index.exact(name) or by_xref.get(name) for name in names]
    taken = {entity.id for entity in sure if entity}
    ids: list[str] = []
    passed_over: list[str] = []
    for name, entity in zip(names, sure, strict=True):
        alike = None if entity or not name else _find(index, name)
        if alike and alike.id in taken:
            passed_over.append(f"'{name}' (like '{alike.name}')")
            alike = None
        found = entity or alike
        ids.append(found.id if found else "")
    strangers = [name for name, id_ in zip(names, ids, strict=True) if name and not id_]
    return Owners(kind, ids, passed_over, [name for name in strangers if _find(index, name) is None])


def _measured(path: Path, read: FeatureRows, owners: Owners) -> Measured:
    """Vectors with their owners."""
    if not owners:
        raise InputError("is about none of the drugs and cell lines", where=path, remedy="Its keys name them.")
    refuse_repeats("entries", read.ids, owners.ids, lambda row: str(path))
    used = [row for row, owner in enumerate(owners.ids) if owner]
    rows = FeatureRows(owners.kind, [owners.ids[row] for row in used], read.values[used])
    better = f"{path.name}: passed over, for one that fits better: {', '.join(owners.passed_over)}."
    said = [f"{path.name}: {owners.left_out}."] if owners.left_out else []
    return Measured(rows, owners, said + ([better] if owners.passed_over else []))


def _pickled(path: Path, allow_pickle: bool) -> FeatureRows:
    if not path.is_file():
        raise InputError("no such file", where=path)
    if not allow_pickle:
        raise UnavailableError(
            "is a pickled file, and reading it can run code that is hidden in it",
            where=path,
            remedy="If you trust where it comes from, pass --allow-pickle.",
        )
    try:
        found: Any = np.load(path, allow_pickle=True)
        found = found.item() if found.shape == () else found
        values = np.array([np.atleast_1d(np.asarray(item, dtype=np.float32)) for item in found.values()])
    except Exception as error:
        raise InputError(f"is not a pickled dict of equal arrays ({error})", where=path) from None
    if not len(values) or not np.isfinite(values).all():
        raise InputError("holds no vector, or one with something else than finite numbers", where=path)
    return FeatureRows(EntityKind.drug, [str(key) for key in found], values.astype(np.float32))
