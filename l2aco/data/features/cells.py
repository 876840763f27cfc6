"""Features of cell lines that the knowledge graph and the entity table give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from l2aco.data.features.table import FeatureTable
from l2aco.entities import EntityKind
from l2aco.errors import InputError

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

SIGNS = {"overexpresses": 1, "underexpresses": -1}


def tissue(dataset: DataSet) -> FeatureTable:
    """float32 (lines, tissues): one-hot, from the fact `tissue`."""
    known = [str(line.facts.get("tissue") or "").strip().casefold() for line in dataset.cell_lines]
    columns = sorted(set(known) - {""})
    values = np.array([[name == column for column in columns] for name in known], dtype=np.float32)
    return FeatureTable(
        EntityKind.cell_line,
        values.reshape(len(known), len(columns)),
        np.array([name != "" for name in known], dtype=bool),
        tuple(columns),
    )


def cell_proteins(dataset: DataSet) -> FeatureTable:
    """int8 (lines, proteins that any line over- or under-expresses): 1, -1 or 0, from the graph's signed relations."""
    graph = dataset.graph
    if graph is None:
        raise InputError(f"'{dataset.name}' has no knowledge graph to read cell proteins from", where=dataset.path)
    dense = np.zeros((len(dataset.cell_lines), len(graph.nodes.get("protein", []))), dtype=np.int8)
    for name, sign in SIGNS.items():
        pairs = graph.edges.get(("cell_line", name, "protein"))
        if pairs is not None:
            dense[pairs[0], pairs[1]] = sign
    used = np.flatnonzero(np.any(dense != 0, axis=0))
    values = dense[:, used]
    columns = tuple(graph.nodes["protein"][row] for row in used) if len(used) else ()
    return FeatureTable(EntityKind.cell_line, values, np.any(values != 0, axis=1), columns)
