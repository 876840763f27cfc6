"""The receptive field of a graph with typed nodes and relations, as a module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from l2aco.data.graph import KnowledgeGraph
from l2aco.models.graph.backbone import CELL, DRUG, embedding_rows
from l2aco.models.graph.blocks import Block, Edges, Layer, Relation, receptive_field

Rows = Mapping[str, Tensor] | None
"""Targets of the last layer by node type, ascending; None stands for all."""


def rows_of(drugs: Tensor | None, cells: Tensor | None) -> Rows:
    """Rows of drugs and cell lines by node type."""
    return None if drugs is None or cells is None else {DRUG: drugs, CELL: cells}


class Part(NamedTuple):
    """The targets of one relation: rows [start, stop) of its group's block."""

    relation: Relation
    start: int
    stop: int

    @property
    def target(self) -> str:
        return self.relation[2]

    @property
    def key(self) -> str:
        """The relation as a key of a module dictionary."""
        return "-".join(self.relation).replace(".", "_")


class SubGroup(NamedTuple):
    """Some targets of a group, for one step."""

    source: str
    parts: list[Part]
    block: Edges


class Group(nn.Module):
    """All relations that leave one type of node, as one block whose targets stand one relation after another.

    The sources' inputs are then read once, and their gradient is written once, whatever the number of relations.
    """

    def __init__(self, source: str, relations: list[Relation], layer: Layer) -> None:
        super().__init__()
        self.source = source
        self.parts: list[Part] = []
        edges, kinds, weights, start = [], [], [], 0
        for kind, relation in enumerate(relations):
            pairs = layer.edges[relation]
            edges.append(pairs + np.array([[0], [start]]))
            kinds.append(np.full(pairs.shape[1], kind, dtype=np.int64))
            weights += [layer.weights[relation]] if layer.weights else []
            self.parts.append(Part(relation, start, start + layer.targets[relation[2]]))
            start = self.parts[-1].stop
        self.block = Block(
            np.concatenate(edges, axis=1),
            layer.sources[source],
            start,
            np.concatenate(weights) if weights else None,
            np.concatenate(kinds),
            len(relations),
        )

    def restricted(self, rows: Mapping[str, Tensor]) -> SubGroup:
        """The messages to the targets at `rows` (ascending, by node type)."""
        parts, start = [], 0
        for part in self.parts:
            parts.append(Part(part.relation, start, start + len(rows[part.target])))
            start = parts[-1].stop
        kept = torch.cat([part.start + rows[part.target] for part in self.parts])
        return SubGroup(self.source, parts, self.block.restricted(kept))


class RelationalField(nn.Module):
    """Groups of relations by layer, and the learned embeddings of the first layer's inputs by node type."""

    def __init__(
        self,
        graph: KnowledgeGraph,
        relations: Mapping[Relation, np.ndarray],
        layers: int,
        width: int,
        weights: Mapping[Relation, np.ndarray] | None = None,
        *,
        whole_types: bool = False,
    ) -> None:
        super().__init__()
        counts = {kind: len(ids) for kind, ids in graph.nodes.items()}
        targets = {kind: np.arange(counts[kind]) for kind in (DRUG, CELL)}
        found, self.nodes = receptive_field(counts, relations, targets, layers, weights, whole_types=whole_types)
        self.targets = [{kind: count for kind, count in layer.targets.items() if count} for layer in found]
        self.groups = nn.ModuleList(nn.ModuleList(_groups(layer)) for layer in found)
        self.embeddings = nn.ParameterDict(
            {kind: embedding_rows(counts[kind], width, rows) for kind, rows in self.nodes.items() if len(rows)}
        )

    def parts(self, number: int) -> list[Part]:
        """The relations of one layer."""
        return [part for group in self.layer_groups(number) for part in group.parts]

    def layer_groups(self, number: int) -> list[Group]:
        """The groups of one layer."""
        return list(self.groups[number])  # type: ignore[call-overload]

    def targets_of(self, number: int, x: Mapping[str, Tensor], rows: Rows) -> dict[str, Tensor]:
        """The targets' own inputs of a layer, by node type: those at `rows`, or all."""
        if rows is None:
            return {kind: x[kind][:count] for kind, count in self.targets[number].items()}
        return {kind: x[kind].index_select(0, chosen) for kind, chosen in rows.items()}

    def groups_of(self, number: int, rows: Rows) -> Sequence[Group | SubGroup]:
        """The messages of a layer to the targets at `rows`, or to all."""
        groups = self.layer_groups(number)
        return groups if rows is None else [group.restricted(rows) for group in groups]


def _groups(layer: Layer) -> list[Group]:
    by_source: dict[str, list[Relation]] = {}
    for relation in layer.edges:
        by_source.setdefault(relation[0], []).append(relation)
    return [Group(source, relations, layer) for source, relations in by_source.items()]
