"""The one place that writes a data set, whatever it came from."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco import __version__
from l2aco.data.dataset import DataSet, entity_frame
from l2aco.data.features.table import save_table
from l2aco.data.graph import KnowledgeGraph
from l2aco.data.labels import LabelRule
from l2aco.data.manifest import FORMAT
from l2aco.data.merge_rows import Merged, merge_rows
from l2aco.data.replicates import replicate_statistics
from l2aco.data.report_words import LEFT_OUT, REPORT_WORDS
from l2aco.data.splits.released import write_released
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.files import atomic_folder, child, refuse_others, sha256_bytes, sha256_file, stable_hash, write_json
from l2aco.workspace import Workspace, names_in

if TYPE_CHECKING:
    import polars as pl

    from l2aco.data.features.table import FeatureRows


_OURS = re.compile(
    r"manifest\.json|(entities|triples|gene_symbols)\.parquet|graph\.npz|(features|released|splits|naive)/.+|\.writer\..+"
)
"""What lies in the folder of a data set."""


def write_dataset(
    name: str,
    workspace: Workspace,
    *,
    drugs: Iterable[Entity],
    cell_lines: Iterable[Entity],
    rows: pl.DataFrame,
    label_rule: LabelRule | None = None,
    graph_nodes: Mapping[str, list[str]] | None = None,
    graph_edges: Mapping[tuple[str, str, str], tuple[Iterable[str], Iterable[str]]] | None = None,
    gene_symbols: Mapping[str, str] | None = None,
    features: Mapping[str, FeatureRows] | None = None,
    splits: Mapping[str, Mapping[str, pl.DataFrame]] | None = None,
    extra: Mapping[str, Any] | None = None,
    repeats: bool = True,
    replace: bool = False,
) -> DataSet:
    """Canonicalise, merge, count and write; nothing is left behind when anything is wrong.

    rows: drug_a, drug_b, cell_line (ids) and score and/or label (null where unknown).
    graph_nodes: ids of the node types other than drug and cell_line, which are `drugs` and `cell_lines`;
    graph_edges: forward relations as (source ids, target ids). No graph where both are missing.
    splits: of the source itself, by setting and part (train, valid, test), as rows of drug_a, drug_b, cell_line.
    repeats: whether rows of one triple are repeats of one measurement, which tell of its noise.
    extra: more for the manifest, such as `source`, `report` (added to the merge report), `simulated`.
    Raises InputError for a row or edge about an unknown entity, or two entities with one id.
    """
    ordered = {
        EntityKind.drug: _by_id(drugs, EntityKind.drug),
        EntityKind.cell_line: _by_id(cell_lines, EntityKind.cell_line),
    }
    rule = label_rule or LabelRule()
    _check_rows(rows, ordered)
    merged = merge_rows(rows, rule)
    if not len(merged.table):
        raise _nothing_left({**(extra or {}).get("report", {}), **merged.report})
    graph = None
    if graph_nodes is not None or graph_edges is not None:
        graph = _graph(ordered, graph_nodes or {}, graph_edges or {})
    path = workspace.child(workspace.data, name)
    with atomic_folder(path, replace=replace) as folder:
        refuse_others(path, lambda file: bool(_OURS.fullmatch(file)), "l2aco data import")
        _write_files(folder, ordered, merged, graph, gene_symbols or {}, features or {})
        released = write_released(folder, merged.table, splits or {})
        files = {str(file.relative_to(folder)): sha256_file(file) for file in sorted(folder.rglob("*.*"))}
        manifest = _manifest(name, ordered, merged, rule, graph, files, {**(extra or {}), "released_splits": released})
        if not repeats:
            manifest["replicates"] = {}
        write_json(folder / "manifest.json", manifest)
        refuse_but_for_case(name, workspace)  # another may have been written meanwhile
    return DataSet(path)


def _nothing_left(report: Mapping[str, Any]) -> InputError:
    counts = ", ".join(f"{report[key]:,} {REPORT_WORDS[key]}" for key in LEFT_OUT if report.get(key))
    return InputError(
        f"no labelled triple is left of {report['rows']:,} rows: {counts or 'there are none'}",
        remedy="A triple is of two different drugs: check the columns and the label rule.",
    )


def refuse_but_for_case(name: str, workspace: Workspace) -> None:
    """Raises UsageError where a data set is called so but for case."""
    known = names_in(workspace.data)
    if name not in known and (other := next((item for item in known if item.casefold() == name.casefold()), None)):
        raise UsageError(f"'{other}' differs from '{name}' in case only", remedy="Choose another --name.")


def _by_id(entities: Iterable[Entity], kind: EntityKind) -> list[Entity]:
    ordered = sorted(entities, key=lambda entity: entity.id)
    for before, after in itertools.pairwise(ordered):
        if before.id == after.id:
            raise InputError(f"two {kind.value.replace('_', ' ')}s have the id '{after.id}'")
    return ordered


def _check_rows(rows: pl.DataFrame, ordered: Mapping[EntityKind, list[Entity]]) -> None:
    for column, kind in (
        ("drug_a", EntityKind.drug),
        ("drug_b", EntityKind.drug),
        ("cell_line", EntityKind.cell_line),
    ):
        unknown = rows.filter(~rows[column].is_in([entity.id for entity in ordered[kind]]))[column]
        if len(unknown):
            raise InputError(
                f"{len(unknown)} rows name a {kind.value.replace('_', ' ')} that is not listed, such as '{unknown[0]}'"
            )


def _graph(
    ordered: Mapping[EntityKind, list[Entity]],
    others: Mapping[str, list[str]],
    edges: Mapping[tuple[str, str, str], tuple[Iterable[str], Iterable[str]]],
) -> KnowledgeGraph:
    import polars as pl

    nodes = {kind.value: [entity.id for entity in found] for kind, found in ordered.items()} | dict(others)
    forward = {}
    for relation, ends in edges.items():
        columns = []
        for kind, ids in zip((relation[0], relation[2]), ends, strict=True):
            known = pl.Series(nodes.get(kind, []), dtype=pl.String)
            column = pl.Series(ids, dtype=pl.String).replace_strict(
                known, np.arange(len(known)), default=-1, return_dtype=pl.Int64
            )
            columns.append(column.to_numpy())
        forward[relation] = np.stack(columns)
    return KnowledgeGraph.build(nodes, forward)


def _write_files(
    folder: Path,
    ordered: Mapping[EntityKind, list[Entity]],
    merged: Merged,
    graph: KnowledgeGraph | None,
    gene_symbols: Mapping[str, str],
    features: Mapping[str, FeatureRows],
) -> None:
    import polars as pl

    entity_frame([*ordered[EntityKind.drug], *ordered[EntityKind.cell_line]]).write_parquet(folder / "entities.parquet")
    merged.table.write_parquet(folder / "triples.parquet")
    if graph is not None:
        graph.save(folder / "graph.npz")
    if gene_symbols:
        pairs = sorted(gene_symbols.items())
        pl.DataFrame({"protein": [pair[0] for pair in pairs], "symbol": [pair[1] for pair in pairs]}).write_parquet(
            folder / "gene_symbols.parquet"
        )
    if features:
        (folder / "features").mkdir()
    for feature, table in features.items():
        save_table(table.align(ordered[table.kind]), child(folder / "features", f"{feature}.npz"))


def _manifest(
    name: str,
    ordered: Mapping[EntityKind, list[Entity]],
    merged: Merged,
    rule: LabelRule,
    graph: KnowledgeGraph | None,
    files: dict[str, str],
    extra: dict[str, Any],
) -> dict[str, Any]:
    report = {**merged.report, **extra.pop("report", {})}
    ids = [[entity.id for entity in found] for found in ordered.values()]
    return {
        "format": FORMAT,
        "name": name,
        "made_by": f"l2aco {__version__}",
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "hash": stable_hash([files[key] for key in sorted(files)]),
        "triples_hash": stable_hash([ids, sha256_bytes(_content(merged))]),
        "label_rule": {**rule.model_dump(), "text": str(rule)},
        "counts": {
            "triples": len(merged.table),
            "drugs": len(ordered[EntityKind.drug]),
            "cell_lines": len(ordered[EntityKind.cell_line]),
            "nodes": graph.num_nodes if graph else 0,
            "edges": graph.num_edges if graph else 0,
        },
        "report": report,
        "replicates": replicate_statistics(merged.replicates, merged.rule),
        **extra,
        "files": files,
    }


def _content(merged: Merged) -> bytes:
    """The bytes of the triples that do not depend on how a Parquet library writes them."""
    import polars as pl

    table = merged.table
    ids = "\n".join(table.select(pl.concat_str("drug_a", "drug_b", "cell_line", separator="\t")).to_series())
    score = table["score"].fill_null(float("nan")).to_numpy().astype("<f8")
    return ids.encode() + score.tobytes() + table["label"].to_numpy().astype("<i1").tobytes()
