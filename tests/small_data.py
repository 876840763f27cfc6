"""The example of `l2aco.testing`, and models over it."""

from __future__ import annotations

from typing import Any

import numpy as np

from l2aco.data.features.table import FeatureTable, GraphTable, Table
from l2aco.data.graph import KnowledgeGraph
from l2aco.models import assemble
from l2aco.models.assemble import with_vectors
from l2aco.models.backbones import backbones
from l2aco.models.spec import AlignSpec
from l2aco.models.vectors import Knowledge
from l2aco.testing import CELLS, DRUGS, Example
from l2aco.testing import example as small_data

__all__ = ["CELLS", "DRUGS", "build_model", "knowledge", "permuted", "small_data", "vectors"]


def build_model(
    name: str,
    config: dict[str, Any],
    data: Example,
    align: AlignSpec,
    *,
    seed: int = 0,
    train_drugs: np.ndarray | None = None,
    train_cells: np.ndarray | None = None,
    **given: np.ndarray,
) -> Any:
    """A model over `data`; `given`: its vectors and masks, as `knowledge` takes them."""
    inputs = data.inputs(backbones.load(name), train_drugs=train_drugs, train_cells=train_cells)
    known = [knowledge(**given)] if given and align.active else []
    return assemble.build_model(name, config, with_vectors(inputs, align, known, seed=seed), align, seed=seed)


def knowledge(
    drug_vectors: np.ndarray,
    cell_vectors: np.ndarray,
    drug_mask: np.ndarray | None = None,
    cell_mask: np.ndarray | None = None,
) -> Knowledge:
    """A store of these vectors; no mask: all are known."""
    masks = [
        np.ones(len(vectors), dtype=bool) if mask is None else mask
        for vectors, mask in ((drug_vectors, drug_mask), (cell_vectors, cell_mask))
    ]
    return Knowledge("store", "encoder", drug_vectors, masks[0], cell_vectors, masks[1])


def permuted(data: Example, seed: int = 1) -> tuple[Example, dict[str, np.ndarray]]:
    """The same data set with the entities of every type in another order, and new row by old row for each type."""
    draw = np.random.default_rng(seed)
    assert data.graph is not None
    place = {kind: draw.permutation(len(ids)) for kind, ids in data.graph.nodes.items()}
    order = {kind: np.argsort(rows) for kind, rows in place.items()}
    edges = {
        relation: np.stack([place[relation[0]][pairs[0]], place[relation[2]][pairs[1]]])
        for relation, pairs in data.graph.edges.items()
    }
    nodes: dict[str, Any] = {kind: [ids[row] for row in order[kind]] for kind, ids in data.graph.nodes.items()}
    features = {name: reordered(table, order[table.kind.value]) for name, table in data.features.items()}
    moved = Example(
        KnowledgeGraph(nodes, edges),
        [data.drugs[row] for row in order["drug"]],
        [data.cell_lines[row] for row in order["cell_line"]],
        features,
    )
    return moved, place


def reordered(table: Table, rows: np.ndarray) -> Table:
    """The feature of the entities at these rows."""
    if isinstance(table, FeatureTable):
        return FeatureTable(table.kind, table.values[rows], table.mask[rows], table.columns)
    atoms, bonds, owner = table.batch(rows)
    start = np.searchsorted(owner, np.arange(len(rows) + 1))
    return GraphTable(table.kind, atoms, bonds, start, table.mask[rows])


def vectors(width: int = 9, seed: int = 2) -> dict[str, np.ndarray]:
    """Keyword arguments of `build_model`."""
    draw = np.random.default_rng(seed)
    return {
        "drug_vectors": draw.normal(size=(DRUGS, width)).astype(np.float32),
        "cell_vectors": draw.normal(size=(CELLS, width)).astype(np.float32),
        "train_drugs": np.arange(8),
        "train_cells": np.arange(4),
    }
