"""The receptive field of the scored nodes in a graph of typed nodes and relations, as a module."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from l2aco.models.base import START
from l2aco.models.kg.blocks import Block, Layer, Relation, receptive_field
from l2aco.models.kg.sampling import sample


class Group(NamedTuple):
    """All relations that leave one type of node, as one block whose targets stand one relation after another.

    The sources' inputs are then read once, and their gradient is written once, whatever the number of relations.
    `sizes`: how many targets each relation has.
    """

    source: str
    relations: Sequence[Relation]
    sizes: Sequence[int]
    block: Block


class Messages(NamedTuple):
    """What one layer passes on in one step: its groups; how many targets of each type it has, the first of its inputs;
    and the rows of those that are asked for, int64 by type (None: all)."""

    groups: Sequence[Group]
    targets: Mapping[str, int]
    asked: Mapping[str, Tensor] | None = None

    def own(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The targets' own inputs by type."""
        # a slice's gradient fills a table as large as x with zeros, even where the slice is all of x
        return {kind: x[kind] if count == len(x[kind]) else x[kind][:count] for kind, count in self.targets.items()}

    def pick(self, kind: str, values: Tensor) -> Tensor:
        """Of values (targets, ...) of a type, those that are asked for."""
        return values if self.asked is None else values.index_select(0, self.asked[kind])

    def rows(self, group: Group) -> Tensor | None:
        """Those of the targets of a group's block that are asked for."""
        if self.asked is None:
            return None
        starts = itertools.accumulate(group.sizes, initial=0)
        pairs = zip(group.relations, starts, strict=False)
        return torch.cat([self.asked[relation[2]] + start for relation, start in pairs])

    def by_relation(self, group: Group, values: Tensor) -> Iterator[tuple[Relation, Tensor]]:
        """Values for the targets of a group's block that are asked for, relation by relation."""
        asked = self.asked
        sizes = group.sizes if asked is None else [len(asked[relation[2]]) for relation in group.relations]
        # one split, not many slices: its gradient is written once
        return zip(group.relations, values.split(list(sizes)), strict=True)


class ReceptiveField(nn.Module):
    """What passes messages to the scored nodes, layer by layer, and a learned embedding of every node that is read.

    `scored`: the types that are scored; `nodes`: which nodes of each type the first layer reads, in the order of
    `embeddings`.
    """

    def __init__(
        self,
        num_nodes: Mapping[str, int],
        relations: Mapping[Relation, np.ndarray],
        targets: Mapping[str, np.ndarray],
        layers: int,
        width: int,
        weights: Mapping[Relation, np.ndarray] | None = None,
        *,
        whole_types: bool = False,
        kernels: str = "auto",
    ) -> None:
        """See `receptive_field`; `width`: of the embeddings; `kernels`: see `GraphConfig`."""
        super().__init__()
        self.scored = list(targets)
        found, self.nodes = receptive_field(num_nodes, relations, targets, layers, weights, whole_types=whole_types)
        groups = [_groups(layer, kernels) for layer in found]
        self.blocks = nn.ModuleList(group.block for layer in groups for group in layer)
        self.layers = [
            Messages(layer, {kind: count for kind, count in of_layer.targets.items() if count})
            for layer, of_layer in zip(groups, found, strict=True)
        ]
        self.embeddings = nn.ParameterDict(
            {kind: embedding_rows(num_nodes[kind], width, rows) for kind, rows in self.nodes.items() if len(rows)}
        )

    def messages(
        self, asked: Mapping[str, Tensor] | None, neighbours: int | None = None
    ) -> tuple[dict[str, Tensor], list[Messages]]:
        """The first layer's inputs by type, and what each layer passes on; `asked`: which scored nodes, rows by type;
        `neighbours`: in-edges drawn for each node, relation and layer."""
        if neighbours is not None:
            return self._sampled(asked, neighbours)
        *first, last = self.layers
        return dict(self.embeddings.items()), [*first, last._replace(asked=asked)]

    def _sampled(self, asked: Mapping[str, Tensor] | None, neighbours: int) -> tuple[dict[str, Tensor], list[Messages]]:
        rows = {kind: np.arange(count) for kind, count in self.layers[-1].targets.items()}
        if asked is not None:
            rows = {kind: of_kind.cpu().numpy() for kind, of_kind in asked.items()}
        found = []
        for layer in reversed(self.layers):
            targets = {kind: rows.get(kind, np.empty(0, dtype=np.int64)) for kind in layer.targets}
            rows, groups = dict(targets), []
            for group in layer.groups:
                sampled, rows[group.source] = _sampled_group(group, targets, neighbours)
                groups.append(sampled)
            found.append(Messages(groups, {kind: len(of_kind) for kind, of_kind in targets.items()}))
        inputs = {kind: torch.from_numpy(of_kind).to(self.embeddings[kind].device) for kind, of_kind in rows.items()}
        return {kind: self.embeddings[kind].index_select(0, of_kind) for kind, of_kind in inputs.items()}, found[::-1]


def _groups(layer: Layer, kernels: str) -> list[Group]:
    by_source: dict[str, list[Relation]] = {}
    for relation in layer.edges:
        by_source.setdefault(relation[0], []).append(relation)
    return [_group(source, relations, layer, kernels) for source, relations in by_source.items()]


def _group(source: str, relations: list[Relation], layer: Layer, kernels: str) -> Group:
    sizes = [layer.targets[relation[2]] for relation in relations]
    starts = np.cumsum([0, *sizes])
    edges = [layer.edges[relation] + [[0], [start]] for relation, start in zip(relations, starts, strict=False)]
    kinds = [np.full(pairs.shape[1], kind, dtype=np.int64) for kind, pairs in enumerate(edges)]
    weights = np.concatenate([layer.weights[relation] for relation in relations]) if layer.weights else None
    block = Block(
        np.concatenate(edges, axis=1),
        layer.sources[source],
        int(starts[-1]),
        weights,
        np.concatenate(kinds),
        len(relations),
        kernels,
    )
    return Group(source, relations, sizes, block)


def _sampled_group(group: Group, rows: Mapping[str, np.ndarray], neighbours: int) -> tuple[Group, np.ndarray]:
    """The messages to the targets at `rows`, from at most `neighbours` a relation, and the rows of the sources."""
    of_relation = [rows[relation[2]] for relation in group.relations]
    starts = np.cumsum([0, *group.sizes])
    kept = np.concatenate([targets + start for targets, start in zip(of_relation, starts, strict=False)])
    own = rows.get(group.source, np.empty(0, dtype=np.int64))
    block, sources = sample(group.block, kept, own, neighbours)
    return Group(group.source, group.relations, [len(targets) for targets in of_relation], block), sources


def embedding_rows(count: int, width: int, rows: np.ndarray) -> nn.Parameter:
    """Learned embeddings of the nodes `rows`, initialised as rows of a table over all `count` nodes.

    Rows outside the receptive field never get a gradient and are never read, so leaving them out changes
    nothing; drawing the whole table makes a node's start independent of what surrounds it. The start is small: a
    node that training never reaches then says next to nothing, instead of something random.
    """
    table = nn.init.normal_(torch.empty(count, width), std=START)
    return nn.Parameter(table[torch.from_numpy(rows)].clone())
