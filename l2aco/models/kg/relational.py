"""The receptive field of a graph with typed nodes and relations, as a module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from l2aco.data.graph import KnowledgeGraph
from l2aco.models.kg.backbone import CELL, DRUG, Reach, embedding_rows
from l2aco.models.kg.blocks import Block, Edges, Layer, Relation, Restricted, receptive_field
from l2aco.models.kg.sampling import sample


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


class Messages(NamedTuple):
    """What one layer passes on in one step: its groups, and its targets by node type, as rows of the layer's inputs
    or as a number of them, from the first."""

    groups: Sequence[Group | SubGroup]
    targets: Mapping[str, Tensor | int]

    def own(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The targets' own inputs by node type."""
        return {
            kind: x[kind][:rows] if isinstance(rows, int) else x[kind].index_select(0, rows)
            for kind, rows in self.targets.items()
        }


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
        """The messages to these targets: rows, ascending, by node type."""
        kept = torch.cat([part.start + rows[part.target] for part in self.parts])
        return SubGroup(self.source, self._parts_of(rows), Restricted(self.block, kept))

    def sampled(self, rows: Mapping[str, np.ndarray], neighbours: int) -> tuple[SubGroup, np.ndarray]:
        """The messages to the targets at `rows`, from at most `neighbours` a relation, and the rows of the sources."""
        kept = np.concatenate([part.start + rows[part.target] for part in self.parts])
        own = rows.get(self.source, np.empty(0, dtype=np.int64))
        block, sources = sample(self.block, kept, own, neighbours)
        return SubGroup(self.source, self._parts_of(rows), block), sources

    def _parts_of(self, rows: Mapping[str, Sized]) -> list[Part]:
        parts, start = [], 0
        for part in self.parts:
            parts.append(Part(part.relation, start, start + len(rows[part.target])))
            start = parts[-1].stop
        return parts


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

    def reach(self, drugs: Tensor | None, cells: Tensor | None, neighbours: int | None = None) -> Reach:
        """See `GraphBackbone.reach`; the layers are `Messages`. `neighbours`: in-edges drawn for each node, relation
        and layer."""
        rows = None if drugs is None or cells is None else {DRUG: drugs, CELL: cells}
        if neighbours is not None:
            return self._sampled(rows, neighbours)
        *first, last = (Messages(self.layer_groups(number), targets) for number, targets in enumerate(self.targets))
        if rows is None:
            return Reach([*first, last], self.targets[-1][DRUG])
        groups = [group.restricted(rows) for group in self.layer_groups(len(first))]
        return Reach([*first, Messages(groups, rows)], len(rows[DRUG]))

    def inputs(self, reach: Reach) -> dict[str, Tensor]:
        """The first layer's inputs by node type."""
        if reach.rows is None:
            return dict(self.embeddings.items())
        return {kind: self.embeddings[kind].index_select(0, rows) for kind, rows in reach.rows.items()}

    def _sampled(self, choice: Mapping[str, Tensor] | None, neighbours: int) -> Reach:
        rows = {kind: np.arange(count) for kind, count in self.targets[-1].items()}
        if choice is not None:
            rows = {kind: of_kind.cpu().numpy() for kind, of_kind in choice.items()}
        drugs = len(rows[DRUG])
        found = []
        for number in reversed(range(len(self.targets))):
            targets = {kind: rows.get(kind, np.empty(0, dtype=np.int64)) for kind in self.targets[number]}
            rows, groups = dict(targets), []
            for group in self.layer_groups(number):
                sampled, rows[group.source] = group.sampled(targets, neighbours)
                groups.append(sampled)
            found.append(Messages(groups, {kind: len(of_kind) for kind, of_kind in targets.items()}))
        inputs = {kind: torch.from_numpy(of_kind).to(self.embeddings[kind].device) for kind, of_kind in rows.items()}
        return Reach(found[::-1], drugs, inputs)


def _groups(layer: Layer) -> list[Group]:
    by_source: dict[str, list[Relation]] = {}
    for relation in layer.edges:
        by_source.setdefault(relation[0], []).append(relation)
    return [Group(source, relations, layer) for source, relations in by_source.items()]
