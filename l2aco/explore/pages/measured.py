"""What was measured of an entity: how often in each data set, and where its scores are highest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.entities import Entity, EntityIndex, EntityKind
from l2aco.errors import L2aCoError
from l2aco.explore.catalogue import Catalogue
from l2aco.explore.page import Part, bar, cell, grid
from l2aco.explore.site import Notes, Site

HIGHEST = 10


def measured(site: Site, entity: Entity, everybody: Catalogue, notes: Notes) -> Iterator[Part]:
    """How often it was measured in each data set, and where its scores are highest."""
    summary, tables = [], []
    for key, dataset in site.datasets(notes).items():
        try:
            found = _record(dataset, entity)
        except L2aCoError as error:
            notes.say(f"{dataset.name}: {error}")
            continue
        if found is not None:
            row, highest = found
            summary.append({"data set": cell(dataset.name, f"data/{key}.html"), **row})
            tables += grid(
                f"{dataset.name}: the {len(highest)} highest scores{' (SIMULATED)' if dataset.simulated else ''}",
                [_linked(row, everybody) for row in highest],
                folded=True,
            )
    yield from grid("Triples that hold it", summary)
    yield from tables


def _linked(row: Mapping[str, Any], everybody: Catalogue) -> dict[str, Any]:
    return {
        name: cell(value.name, everybody.path_of(value)) if isinstance(value, Entity) else value
        for name, value in row.items()
    }


def _record(dataset: DataSet, entity: Entity) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    entities = dataset.entities(entity.kind)
    found = EntityIndex(entity.kind, entities).match(entity)
    if found is None:
        return None
    number, triples = entities.index(found), dataset.triples
    if entity.kind is EntityKind.drug:
        rows = np.flatnonzero((triples.drug_a == number) | (triples.drug_b == number))
    else:
        rows = np.flatnonzero(triples.cell_line == number)
    known = rows[~np.isnan(triples.score[rows])]
    share = float(triples.label[rows].mean()) if len(rows) else float("nan")
    summary = {
        "triples": len(rows),
        "synergistic": bar(share, 0, 1, f"{share:.0%}"),
        "mean score": float(triples.score[known].mean()) if len(known) else None,
        "data": "SIMULATED" if dataset.simulated else "measured",
    }
    highest = [
        {
            "drug": dataset.drugs[triples.drug_a[row]],
            "with": dataset.drugs[triples.drug_b[row]],
            "in": dataset.cell_lines[triples.cell_line[row]],
            "score": float(triples.score[row]),
            "synergistic": bool(triples.label[row]),
        }
        for row in known[np.argsort(-triples.score[known], kind="stable")][:HIGHEST]
    ]
    return summary, highest
