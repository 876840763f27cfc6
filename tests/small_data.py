"""A small data set in memory, with everything that can be odd about a graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from l2aco.data.features.base import Listed
from l2aco.data.features.table import FeatureTable
from l2aco.data.graph import KnowledgeGraph
from l2aco.entities import Entity, EntityKind
from l2aco.models import assemble
from l2aco.models.assemble import with_vectors
from l2aco.models.backbones import backbones
from l2aco.models.base import Backbone
from l2aco.models.inputs import Inputs
from l2aco.models.spec import AlignSpec
from l2aco.models.vectors import Knowledge

DRUGS, CELLS, PROTEINS = 12, 7, 30
LONELY_DRUG, LONELY_CELL = 11, 6
"""Entities without an edge."""


@dataclass
class SmallData:
    """Entities, graph and features, to be changed by a test before a model is built of them."""

    graph: KnowledgeGraph | None
    drugs: list[Entity]
    cell_lines: list[Entity]
    features: dict[str, FeatureTable] = field(default_factory=dict)
    name: str = "small"

    def inputs(self, backbone: type[Backbone], **train: np.ndarray | None) -> Inputs:
        """What `backbone` is built from; `train_drugs` and `train_cells` may be given."""
        names = (backbone.requires - {"graph"}) | (backbone.uses & self.features.keys())
        ids = {EntityKind.drug: self.drugs, EntityKind.cell_line: self.cell_lines}
        features = {name: self.features[name] for name in sorted(names)}
        fitted = {
            name: Listed(name, [entity.id for entity in ids[table.kind]], table) for name, table in features.items()
        }
        graph = self.graph if "graph" in backbone.requires else None
        return Inputs(self.drugs, self.cell_lines, graph, features, fitted, **train)


def build_model(
    name: str,
    config: dict[str, Any],
    data: SmallData,
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


def small_data(seed: int = 0) -> SmallData:
    """Random edges; one drug and one cell line without any, a relation and a type of nodes without any, a disease and a
    protein that lead nowhere else, two drugs and a cell line without a feature."""
    draw = np.random.default_rng(seed)
    nodes = {
        "drug": [f"D{number:02d}" for number in range(DRUGS)],
        "cell_line": [f"C{number}" for number in range(CELLS)],
        "protein": [f"P{number}" for number in range(PROTEINS + 1)],
        "tissue": ["lung", "skin"],
        "disease": ["E0", "E1"],
        "pathway": ["W0"],
    }
    relations = {
        ("drug", "targets", "protein"): np.stack([draw.integers(0, LONELY_DRUG, 40), draw.integers(0, PROTEINS, 40)]),
        ("cell_line", "overexpresses", "protein"): np.stack(
            [draw.integers(0, LONELY_CELL, 40), draw.integers(0, PROTEINS, 40)]
        ),
        ("protein", "interacts", "protein"): draw.integers(0, PROTEINS, (2, 60)),
        ("cell_line", "from_tissue", "tissue"): np.stack([np.arange(LONELY_CELL), np.arange(LONELY_CELL) % 2]),
        ("drug", "never_seen", "tissue"): np.zeros((2, 0), dtype=np.int64),
        ("disease", "linked_to", "protein"): np.array([[0], [PROTEINS]]),
        ("pathway", "holds", "drug"): np.zeros((2, 0), dtype=np.int64),
    }
    return SmallData(
        graph=KnowledgeGraph.build(nodes, relations),
        drugs=[Entity(key, EntityKind.drug, f"drug {key}") for key in nodes["drug"]],
        cell_lines=[Entity(key, EntityKind.cell_line, f"line {key}") for key in nodes["cell_line"]],
        features=small_features(draw),
    )


def small_features(draw: np.random.Generator) -> dict[str, FeatureTable]:
    known = np.ones(DRUGS, dtype=bool)
    known[[3, LONELY_DRUG]] = False
    bits = draw.integers(0, 2, (DRUGS, 32)).astype(np.float32) * known[:, None]
    lines = np.arange(CELLS) != LONELY_CELL
    tissues = np.eye(2, dtype=np.float32)[np.arange(CELLS) % 2] * lines[:, None]
    levels = draw.gamma(1.0, size=(CELLS, 6)).astype(np.float32) * lines[:, None]
    return {
        "morgan": FeatureTable(EntityKind.drug, bits, known),
        "tissue": FeatureTable(EntityKind.cell_line, tissues, lines, ("lung", "skin")),
        "expression": FeatureTable(EntityKind.cell_line, levels, lines),
    }


def permuted(data: SmallData, seed: int = 1) -> tuple[SmallData, dict[str, np.ndarray]]:
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
    features = {
        name: FeatureTable(table.kind, table.values[order[table.kind.value]], table.mask[order[table.kind.value]])
        for name, table in data.features.items()
    }
    moved = SmallData(
        KnowledgeGraph(nodes, edges),
        [data.drugs[row] for row in order["drug"]],
        [data.cell_lines[row] for row in order["cell_line"]],
        features,
    )
    return moved, place


def vectors(width: int = 9, seed: int = 2) -> dict[str, np.ndarray]:
    """Keyword arguments of `build_model`."""
    draw = np.random.default_rng(seed)
    return {
        "drug_vectors": draw.normal(size=(DRUGS, width)).astype(np.float32),
        "cell_vectors": draw.normal(size=(CELLS, width)).astype(np.float32),
        "train_drugs": np.arange(8),
        "train_cells": np.arange(4),
    }
