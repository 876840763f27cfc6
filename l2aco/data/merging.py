"""Join data sets, so that two screens share drugs and cell lines; every conflict is reported."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.catalog import check_new_name
from l2aco.data.dataset import DataSet
from l2aco.data.features import brought_features, table_in
from l2aco.data.features.table import FeatureRows, FeatureTable
from l2aco.data.labels import LabelRule
from l2aco.data.name_notes import name_notes
from l2aco.data.resolution import match_to, rename
from l2aco.data.sources.base import Edges, SourceData
from l2aco.data.spellings import contradiction
from l2aco.data.write import write_dataset
from l2aco.entities import Entity, EntityIndex, EntityKind, join_entities
from l2aco.errors import InputError, UsageError
from l2aco.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

EXAMPLES = 20


def merge_datasets(
    datasets: Sequence[DataSet], name: str, workspace: Workspace, *, keep_apart: bool = False, replace: bool = False
) -> DataSet:
    """Write `data/<name>/` with the triples of all.

    Drugs and cell lines are one where their ids are the same, or their names, synonyms or cross references are and
    nothing contradicts; each of these is listed in the manifest. With `keep_apart`, only ids count. A triple that
    several data sets label is one triple; where they disagree the majority of their labels counts and a tie is dropped.
    Scores are of different scales and are kept only where every triple has one and all data sets have the same bounds
    on them; the labels are otherwise used as they are, and the scores left out are counted.
    Raises UsageError for fewer than two data sets, or a name that cannot be taken.
    """
    import polars as pl

    if len(datasets) < 2:
        raise UsageError("a merge needs two data sets or more")
    check_new_name(name, workspace, replace=replace)
    parts = [_as_source(dataset) for dataset in datasets]
    report = _share_ids(parts, [dataset.name for dataset in datasets], keep_apart)
    conflicts = _conflicts(parts, [dataset.name for dataset in datasets])
    rows = pl.concat([part.rows for part in parts])
    rule = _shared_rule(datasets, rows)
    unused = "score" if rule.kind == "shipped" else "label"
    return write_dataset(
        name,
        workspace,
        drugs=_joined(parts, EntityKind.drug),
        cell_lines=_joined(parts, EntityKind.cell_line),
        rows=rows.drop(unused),
        label_rule=rule,
        graph_nodes=_nodes(parts),
        graph_edges=_edges(parts),
        gene_symbols={key: value for part in reversed(parts) for key, value in part.gene_symbols.items()},
        features=_features(parts),
        extra={
            "source": "merge",
            "merged": [{"name": dataset.name, "hash": dataset.hash} for dataset in datasets],
            "report": {
                "triples_in_several": conflicts["shared"],
                "triples_labelled_differently": conflicts["differ"],
                "scores_left_out": rows["score"].count() if unused == "score" else 0,
            },
            "conflicts": conflicts["examples"],
            "resolution": report,
            **_same_screen(datasets),
            "notes": [note for kind in EntityKind for note in name_notes(report[f"{kind.value}s"], kind)],
        },
        replace=replace,
    )


def _same_screen(datasets: Sequence[DataSet]) -> dict[str, bool]:
    """Whether response of any of them is of the screen of its scores; nothing where none has response."""
    said = [dataset.manifest["same_screen"] for dataset in datasets if "same_screen" in dataset.manifest]
    return {"same_screen": any(said)} if said else {}


def _shared_rule(datasets: Sequence[DataSet], rows: pl.DataFrame) -> LabelRule:
    """The rule that gives all rows their labels again, or `shipped`: quantiles of the joined scores are other bounds
    than each data set had."""
    written = [dataset.manifest["label_rule"] for dataset in datasets]
    rules = {LabelRule(**{field: rule[field] for field in LabelRule.model_fields}) for rule in written}
    rule = rules.pop()
    again = not rules and rule.kind in ("threshold", "gap") and not rows["score"].null_count()
    return rule if again else LabelRule(kind="shipped")


def _of(part: SourceData, kind: EntityKind) -> list[Entity]:
    return part.drugs if kind is EntityKind.drug else part.cell_lines


def _as_source(dataset: DataSet) -> SourceData:
    import polars as pl

    triples, graph = dataset.triples, dataset.graph
    drugs, lines = (np.array([entity.id for entity in dataset.entities(kind)], dtype=object) for kind in EntityKind)
    triple = {"drug_a": drugs[triples.drug_a], "drug_b": drugs[triples.drug_b], "cell_line": lines[triples.cell_line]}
    measured = {"score": triples.score, "label": triples.label}
    edges: Edges = {}
    for (source, relation, target), pairs in graph.forward() if graph else ():
        ends = [np.array(graph.nodes[kind])[row].tolist() for kind, row in ((source, pairs[0]), (target, pairs[1]))]  # type: ignore[union-attr]
        edges[(source, relation, target)] = (ends[0], ends[1])
    features = {}
    for name in brought_features(dataset):
        found = table_in(dataset, name)
        if isinstance(found, FeatureTable):
            rows = np.flatnonzero(found.mask)
            ids = [dataset.entities(found.kind)[row].id for row in rows]
            known = None if found.known is None else found.known[rows]
            features[name] = FeatureRows(found.kind, ids, found.values[rows], found.columns, known)
    others = {kind: ids for kind, ids in graph.nodes.items() if kind not in ("drug", "cell_line")} if graph else None
    return SourceData(
        drugs=list(dataset.drugs),
        cell_lines=list(dataset.cell_lines),
        rows=pl.DataFrame({**{end: ids.tolist() for end, ids in triple.items()}, **measured}, nan_to_null=True),
        graph_nodes=others,
        graph_edges=edges if graph else None,
        gene_symbols=dataset.gene_symbols,
        features=features,
    )


def _share_ids(parts: list[SourceData], names: list[str], keep_apart: bool) -> dict[str, dict[str, list[str]]]:
    """Give what is one in several parts the id that the first of these has; returns the report of each kind."""
    report: dict[str, dict[str, list[str]]] = {}
    for number in range(1, len(parts)):
        for kind in EntityKind:
            own, before = _of(parts[number], kind), _joined(parts[:number], kind)
            same, apart = ({}, []) if keep_apart else _same(own, before)
            parts[number] = rename(parts[number], kind, same)
            known = EntityIndex(kind, before)
            others = [(entity, name) for entity in own if (name := known.misnamed(entity)) is not None]
            listed = report.setdefault(f"{kind.value}s", {})
            for what, found in (
                ("joined_by_name", [f"{old} -> {new}" for old, new in same.items()]),
                ("alike_but_apart", apart),
                ("ids_with_other_names", [f"{entity.id} '{entity.name}', before '{name}'" for entity, name in others]),
            ):
                listed.setdefault(what, []).extend(f"{names[number]}: {text}" for text in found)
    return report


def _same(own: list[Entity], before: list[Entity]) -> tuple[dict[str, str], list[str]]:
    """New id by old id of those that are called like one before, or share a cross reference with it; and, in words,
    those that are called alike and something contradicts. A tissue contradicts where both data sets know both."""
    ids, known = {entity.id for entity in own}, {entity.id: entity for entity in before}
    new = [entity for entity in own if entity.id not in known]
    free = [entity for entity in before if entity.id not in ids]
    called = {**match_to(new, EntityIndex(new[0].kind, free))[0], **_by_xref(new, free)} if new else {}
    tissues = {entity.facts.get("tissue") for entity in own} & {entity.facts.get("tissue") for entity in before}
    same, apart = {}, []
    for entity in new:
        other = known.get(called.get(entity.id, ""))
        if other is None:
            continue
        if against := contradiction(*(_of_shared_tissues(one, tissues) for one in (entity, other))):
            apart.append(f"{entity.id} and {other.id} ({against})")
        else:
            same[entity.id] = other.id
    return same, apart


def _of_shared_tissues(entity: Entity, tissues: set[Any]) -> Entity:
    facts = {key: value for key, value in entity.facts.items() if key != "tissue" or value in tissues}
    return dataclasses.replace(entity, facts=facts)


def _by_xref(own: list[Entity], free: list[Entity]) -> dict[str, str]:
    """New id by old id where two entities share a cross reference that no third one has."""
    known: dict[tuple[str, str], set[str]] = {}
    for entity in free:
        for xref in entity.facts.get("xrefs", {}).items():
            known.setdefault(xref, set()).add(entity.id)
    found: dict[str, str] = {}
    for entity in own:
        targets = {target for xref in entity.facts.get("xrefs", {}).items() for target in known.get(xref, ())}
        if len(targets) == 1 and (target := targets.pop()) not in found.values():
            found[entity.id] = target
    return found


def _conflicts(parts: list[SourceData], names: list[str]) -> dict[str, Any]:
    import polars as pl

    labelled = pl.concat(
        [
            part.rows.select(
                pl.min_horizontal("drug_a", "drug_b").alias("drug_a"),
                pl.max_horizontal("drug_a", "drug_b").alias("drug_b"),
                "cell_line",
                "label",
                pl.lit(name).alias("dataset"),
            )
            for part, name in zip(parts, names, strict=True)
        ]
    )
    groups = labelled.group_by("drug_a", "drug_b", "cell_line", maintain_order=True).agg(
        pl.col("dataset").n_unique().alias("sets"), pl.col("label").n_unique().alias("labels")
    )
    shared = groups.filter(pl.col("sets") > 1)
    differ = shared.filter(pl.col("labels") > 1)
    examples = [" + ".join(row[:2]) + f" in {row[2]}" for row in differ.head(EXAMPLES).iter_rows()]
    return {"shared": len(shared), "differ": len(differ), "examples": examples}


def _joined(parts: list[SourceData], kind: EntityKind) -> list[Entity]:
    joined: dict[str, Entity] = {}
    for part in parts:
        for entity in _of(part, kind):
            joined[entity.id] = join_entities(joined.get(entity.id), entity)
    return list(joined.values())


def _nodes(parts: list[SourceData]) -> dict[str, list[str]] | None:
    graphs = [part.graph_nodes for part in parts if part.graph_nodes is not None]
    kinds = dict.fromkeys(kind for nodes in graphs for kind in nodes)
    return {kind: list(dict.fromkeys(i for g in graphs for i in g.get(kind, []))) for kind in kinds} if graphs else None


def _edges(parts: list[SourceData]) -> Edges | None:
    if all(part.graph_edges is None for part in parts):
        return None
    edges: Edges = {}
    for part in parts:
        for relation, (heads, tails) in (part.graph_edges or {}).items():
            old = edges.get(relation, ([], []))
            edges[relation] = (old[0] + heads, old[1] + tails)
    return edges


def _features(parts: list[SourceData]) -> dict[str, FeatureRows]:
    """Features of all parts; raises InputError where two of one name have different columns."""
    found: dict[str, FeatureRows] = {}
    for part in parts:
        for name, feature in part.features.items():
            first = found.get(name)
            if first is None:
                found[name] = feature
                continue
            if (first.kind, first.columns, first.values.shape[1:]) != (
                feature.kind,
                feature.columns,
                feature.values.shape[1:],
            ):
                raise InputError(f"the feature '{name}' has different columns in the data sets")
            values = np.concatenate([first.values, feature.values])
            known = np.concatenate([_known(first), _known(feature)])
            found[name] = FeatureRows(first.kind, [*first.ids, *feature.ids], values, first.columns, known)
    return found


def _known(feature: FeatureRows) -> np.ndarray:
    return np.ones(feature.values.shape, dtype=bool) if feature.known is None else feature.known
