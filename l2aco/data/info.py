"""What a data set holds, in tables: for the report of an import, `data info` and docs/data.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from l2aco.data.catalog import open_or_simulate
from l2aco.data.dataset import DataSet
from l2aco.data.features import brought_features, table_in
from l2aco.data.features.response import origin
from l2aco.data.report_words import REPORT_WORDS
from l2aco.data.splits.make import check_split, make_split, num_folds, setting_of
from l2aco.data.splits.spec import Split, SplitSpec
from l2aco.entities import EntityKind
from l2aco.files import checked_spec
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace

Rows = list[dict[str, Any]]
ALWAYS = {"rows", "self_pairs", "repeats", "repeats_swapped", "triples"}


def import_report(dataset: DataSet) -> Rows:
    """What the import did, one count a row; what never happened is left out."""
    report, counts = dataset.manifest["report"], dataset.manifest["counts"]
    rows: Rows = [
        {"what": REPORT_WORDS.get(key, key.replace("_", " ")), "count": value}
        for key, value in report.items()
        if value or key in ALWAYS
    ]
    rows += [
        {"what": "drugs known, with or without triples", "count": counts["drugs"]},
        {"what": "cell lines known, with or without triples", "count": counts["cell_lines"]},
    ]
    if counts["nodes"]:
        rows += [
            {"what": "nodes of the knowledge graph", "count": counts["nodes"]},
            {"what": "directed edges, inverses included", "count": counts["edges"]},
        ]
    for kind, found in dataset.manifest.get("resolution", {}).items():
        for outcome, names in found.items():
            if names:
                what = f"{kind.replace('_', ' ')} {outcome.replace('_', ' ')}"
                rows.append({"what": what, "count": names if isinstance(names, int) else len(names)})
    return rows


def describe_dataset(dataset: DataSet, workspace: Workspace, progress: Progress = Silent()) -> dict[str, Rows]:
    """Tables by title: overview, noise, label balance by line, coverage, graph. `progress` hears of damaged sets."""
    triples = dataset.triples
    note = dataset.manifest.get("note", "")
    known = triples.score[~np.isnan(triples.score)]
    overview: Rows = [
        *([{"what": "SIMULATED", "value": note.removeprefix("SIMULATED: ")}] if dataset.simulated else []),
        {"what": "label rule", "value": dataset.manifest["label_rule"]["text"]},
        {"what": "positive share", "value": round(float(triples.label.mean()), 4)},
        *([{"what": "response measured in", "value": screen}] if (screen := origin(dataset)) else []),
        {"what": "triples measured more than once", "value": int(np.sum(triples.count > 1))},
        *(
            {"what": f"score, {name}", "value": round(float(np.quantile(known, q)), 3)}
            for name, q in (("lowest", 0), ("5%", 0.05), ("median", 0.5), ("95%", 0.95), ("highest", 1))
            if len(known)
        ),
    ]
    tables = {dataset.name: [{"what": row["what"], "value": row["count"]} for row in import_report(dataset)] + overview}
    if noise := dataset.manifest["replicates"]:
        tables["the noise of the labels: what one measurement tells of its repeat"] = _noise(noise)
    tables["rows per cell line and drug"] = [_long_tail(dataset, kind) for kind in EntityKind]
    tables["coverage"] = _coverage(dataset, workspace, progress)
    if dataset.graph is not None:
        tables["knowledge graph"] = _graph_nodes(dataset)
        tables["relations"] = [
            {"source": source, "relation": name, "target": target, "edges": pairs.shape[1]}
            for (source, name, target), pairs in dataset.graph.forward()
        ]
    return tables


def _noise(noise: dict[str, Any]) -> Rows:
    words = {
        "correlation": "correlation of the scores",
        "label_agreement": "labels agree",
        "auroc_first_from_second": "AUROC, first label from second score",
        "auroc_second_from_first": "AUROC, second label from first score",
    }
    rows: Rows = [
        {
            "what": f"triples measured twice, of {noise['pairs']} drug pairs",
            "value": noise["triples"],
            "95% interval": "",
        },
        {"what": "of these with identical scores", "value": noise["identical_scores"], "95% interval": ""},
    ]
    if noise["identical_scores"] == noise["triples"]:
        return [*rows, {"what": "copies, which tell nothing of the noise", "value": "", "95% interval": ""}]
    for key, what in words.items():
        if noise[key] is None:
            continue
        low, high = noise.get(f"{key}_interval", (None, None))
        rows.append(
            {"what": what, "value": noise[key], "95% interval": "" if low is None else f"{low:.3f} to {high:.3f}"}
        )
    return rows


def _long_tail(dataset: DataSet, kind: EntityKind) -> dict[str, Any]:
    triples = dataset.triples
    if kind is EntityKind.drug:
        column = np.concatenate([triples.drug_a, triples.drug_b])
    else:
        column = triples.cell_line
    counts = np.bincount(column, minlength=len(dataset.entities(kind)))
    used = counts[counts > 0]
    return {
        "kind": kind.value.replace("_", " "),
        "known": len(counts),
        "with rows": len(used),
        "fewest": int(used.min()),
        "median": float(np.median(used)),
        "most": int(used.max()),
        "with at most 100": int(np.sum(used <= 100)),
        "rows of these": int(used[used <= 100].sum()),
    }


def _coverage(dataset: DataSet, workspace: Workspace, progress: Progress) -> Rows:
    """Share of entities and of rows that have a profile, SMILES, expression, graph edges: rows whose members are all
    known, of the kinds that it is about."""
    triples = dataset.triples
    rows: Rows = []
    for what, drugs, cells in _known(dataset, workspace, progress):
        row: dict[str, Any] = {"what": what, "drugs": None, "cell lines": None}
        covered = np.ones(len(triples), dtype=bool)
        if drugs is not None:
            row["drugs"] = f"{int(drugs.sum())} of {len(drugs)}"
            covered &= drugs[triples.drug_a] & drugs[triples.drug_b]
        if cells is not None:
            row["cell lines"] = f"{int(cells.sum())} of {len(cells)}"
            covered &= cells[triples.cell_line]
        rows.append({**row, "share of triples": round(float(covered.mean()), 4)})
    return rows


def _known(dataset: DataSet, workspace: Workspace, progress: Progress) -> list[tuple[str, Any, Any]]:
    from l2aco.data.features.molecules import molecule
    from l2aco.profiles.sets import list_profile_sets

    def has(kind: EntityKind, test: Any) -> Any:
        return np.array([bool(test(entity)) for entity in dataset.entities(kind)], dtype=bool)

    found: list[tuple[str, Any, Any]] = []
    for profiles in list_profile_sets(workspace, progress=progress):
        both = [has(kind, profiles.find) if kind in profiles.schemas else None for kind in EntityKind]
        found.append((f"profile set {profiles.name}", both[0], both[1]))
    found.append(("SMILES", has(EntityKind.drug, molecule), None))
    found.append(("tissue", None, has(EntityKind.cell_line, lambda entity: entity.facts.get("tissue"))))
    for name in brought_features(dataset):
        table = table_in(dataset, name)
        drug = table.kind is EntityKind.drug
        found.append((name, table.mask if drug else None, None if drug else table.mask))
    if dataset.graph is not None:
        found.append(("graph edges", dataset.graph.degree("drug") > 0, dataset.graph.degree("cell_line") > 0))
    return found


def _graph_nodes(dataset: DataSet) -> Rows:
    graph = dataset.graph
    assert graph is not None
    rows: Rows = []
    for kind, ids in graph.nodes.items():
        degree = graph.degree(kind)
        rows.append(
            {
                "nodes": kind,
                "count": len(ids),
                "isolated": int(np.sum(degree == 0)),
                "median degree": float(np.median(degree)) if len(degree) else 0.0,
                "highest degree": int(degree.max(initial=0)),
            }
        )
    return [*rows, {"nodes": "all", "count": graph.num_nodes, "isolated": sum(row["isolated"] for row in rows)}]


def split_rows(name: str, options: dict[str, Any], fold: int | None, workspace: Workspace, *, check: bool) -> Rows:
    """One row for each fold: sizes, what is held out, hash, and with `check` the promises kept."""
    dataset = open_or_simulate(name, workspace)
    spec = checked_spec(SplitSpec, {**options, "fold": fold or 0})
    folds = [spec.fold] if fold is not None else range(num_folds(dataset, spec))
    rows: Rows = []
    for number in folds:
        split = make_split(dataset, spec.model_copy(update={"fold": number}))
        row: dict[str, Any] = {
            "fold": number,
            "train": len(split.train),
            "valid": len(split.valid),
            "test": len(split.test),
            "left out": len(dataset.triples) - len(split.train) - len(split.valid) - len(split.test),
            "test positives": round(float(dataset.triples.label[split.test].mean()), 4),
            "held out": len(split.held_out),
            "hash": split.hash[:16],
        }
        row |= _held_out_edges(dataset, split)
        rows.append(row | ({"checked": "; ".join(check_split(dataset, split))} if check else {}))
    return rows


def _held_out_edges(dataset: DataSet, split: Split) -> dict[str, Any]:
    """How well the graph knows the held-out drugs or cell lines: the median of their edges, and how many have none."""
    kind = setting_of(split.spec).held_out
    if kind is None or dataset.graph is None or not split.held_out:
        return {}
    held = np.isin([entity.id for entity in dataset.entities(kind)], split.held_out)
    degree = dataset.graph.degree(kind.value)[held]
    return {"median edges of these": float(np.median(degree)), "isolated": int(np.sum(degree == 0))}
