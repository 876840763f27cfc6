"""What all graph backbones share: learned node embeddings over the receptive field, an output map, the head."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from l2aco.models.base import Backbone, Tables
from l2aco.models.config import BackboneConfig
from l2aco.models.dropout import dropout
from l2aco.models.heads import PairHead
from l2aco.models.inputs import Inputs
from l2aco.models.kg.blocks import Relation, distinct
from l2aco.models.kg.field import Messages, ReceptiveField
from l2aco.models.recipe import Recipe

DRUG, CELL = "drug", "cell_line"


class GraphConfig(BackboneConfig):
    """Hyper-parameters of every graph backbone; the widths are those of the paper's code."""

    published: ClassVar[Mapping[str, Any]] = {"dropout": 0.5}
    embedding: int = Field(default=128, ge=1)
    """Width of the learned embedding of a node."""
    hidden: int = Field(default=64, ge=1)
    """Width of the graph layers."""
    out: int = Field(default=64, ge=1)
    """Width of the representations that are aligned and scored."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Of hidden units. The paper's 0.5, which `faithful` takes where no other is given, costs up to 0.04 AUROC."""
    same_numbers: ClassVar[frozenset[str]] = frozenset({"kernels"})
    kernels: Literal["auto", "torch", "dgl"] = "auto"
    """What passes the messages: torch, helped by compiled loops on a CPU (auto) or alone, or DGL (extra: dgl). Outputs
    and gradients are the same."""


class StackConfig(GraphConfig):
    """A stack of layers of message passing."""

    layers: int = Field(default=1, ge=1)
    """Graph layers; each reaches one step further."""
    neighbours: int | None = Field(default=None, ge=1)
    """In-edges drawn for each node, relation and layer in a training step, for graphs that do not fit; None: all."""


class AttentionConfig(StackConfig):
    """A stack of layers of multi-head attention."""

    heads: int = Field(default=4, ge=1)
    attention_dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"heads = {self.heads} do not divide hidden = {self.hidden}")
        return self


class GraphBackbone(Backbone):
    """A stack of layers over the receptive field of the drugs and cell lines, ReLU and dropout between them.

    A subclass makes its `field` and says what a `layer` does.
    """

    requires = frozenset({"graph"})
    recipe = Recipe(batch_size=2048, learning_rate=3e-3, epochs=120)
    recipe_faithful: ClassVar[Recipe | None] = Recipe(batch_size=128)
    config: Any
    field: ReceptiveField

    def __init__(self, inputs: Inputs, config: GraphConfig) -> None:
        super().__init__(inputs, config)
        if inputs.graph is None:
            raise ValueError(f"{type(self).__name__} needs Inputs.graph")
        self.graph = inputs.graph
        self.drug_width = self.cell_width = config.out
        self.linear = nn.Linear(config.hidden, config.out)
        self.head = self.make_head(config)
        known = [torch.from_numpy(self.graph.degree(kind) > 0) for kind in (DRUG, CELL)]
        self._measured = (known[0], known[1])

    def typed_field(
        self,
        relations: Mapping[Relation, np.ndarray],
        weights: Mapping[Relation, np.ndarray] | None = None,
        *,
        whole_types: bool = False,
    ) -> ReceptiveField:
        """The field over these relations of the graph, with its types."""
        counts = {kind: len(ids) for kind, ids in self.graph.nodes.items()}
        given = counts, relations, {kind: np.arange(counts[kind]) for kind in (DRUG, CELL)}
        sizes, kernels = (self.config.layers, self.config.embedding), self.config.kernels
        return ReceptiveField(*given, *sizes, weights, whole_types=whole_types, kernels=kernels)

    def widths(self) -> list[tuple[int, int]]:
        """Width in and out of every layer."""
        return list(pairwise([self.config.embedding] + [self.config.hidden] * self.config.layers))

    def layer(self, number: int, x: Mapping[str, Tensor], messages: Messages) -> dict[str, Tensor]:
        """The hidden vectors (targets asked for, hidden) by type that a layer makes of its inputs by type."""
        raise TypeError(f"{type(self).__name__} does not define layer")

    def make_head(self, config: Any) -> nn.Module:
        """What scores the tables: called with drug and cell tables and rows a, b, c."""
        return PairHead(config.out, config.out, config.hidden, config.dropout, symmetric=not config.faithful)

    def encode(self, drugs: Tensor | None = None, cells: Tensor | None = None) -> Tables:
        return Tables(*self.by_kind(self.linear(self.relu_drop(self.hidden(drugs, cells))), drugs))

    def hidden(self, drugs: Tensor | None, cells: Tensor | None) -> Tensor:
        """Hidden vectors (n, hidden) of the drugs, then of the cell lines, at these rows (None: all)."""
        neighbours = self.config.neighbours if self.training else None
        x, layers = self.field.messages(self.asked(drugs, cells), neighbours)
        for number, messages in enumerate(layers):
            if number:
                x = {kind: self.relu_drop(values) for kind, values in x.items()}
            x = self.layer(number, x, messages)
        return torch.cat([x[kind] for kind in self.field.scored])

    def asked(self, drugs: Tensor | None, cells: Tensor | None) -> dict[str, Tensor] | None:
        """Rows of the scored nodes by type."""
        return None if drugs is None or cells is None else {DRUG: drugs, CELL: cells}

    def by_kind(self, joined: Tensor, drugs: Tensor | None) -> tuple[Tensor, Tensor]:
        """The drugs' and the cell lines' rows of what is made of `hidden`."""
        count = self.num_drugs if drugs is None else len(drugs)
        drug, cell = joined.split([count, len(joined) - count])  # slices would write two gradients and add them
        return drug, cell

    def score(self, tables: Tables, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return self.head(tables.drug, tables.cell, a, b, c)

    def measured(self) -> tuple[Tensor, Tensor]:
        """Drugs and cell lines that have an edge."""
        return self._measured

    def relu_drop(self, x: Tensor) -> Tensor:
        return dropout(F.relu(x), self.config.dropout, self.training)


class HomogeneousBackbone(GraphBackbone):
    """A stack of one kind of layer over all nodes alike: a subclass says which edges, weights and layer.

    Edges are distinct, in both directions, in global node numbers.
    """

    def __init__(self, inputs: Inputs, config: StackConfig) -> None:
        super().__init__(inputs, config)
        graph, relation = self.graph, ("node", "edge", "node")
        edges, weights = self.edges(distinct(graph.edge_index(), graph.num_nodes), graph.num_nodes)
        scored = np.concatenate([graph.offset(kind) + np.arange(len(graph.nodes[kind])) for kind in (DRUG, CELL)])
        given = {"node": graph.num_nodes}, {relation: edges}, {"node": scored}
        of_edges = None if weights is None else {relation: weights}
        self.field = ReceptiveField(*given, config.layers, config.embedding, of_edges, kernels=config.kernels)
        self.convs = nn.ModuleList(self.conv(*widths) for widths in self.widths())

    def edges(self, edges: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The edges (2, E) that carry messages, and their weights (E)."""
        return edges, None

    def conv(self, source: int, width: int) -> nn.Module:
        """A layer: called with inputs (num_src, source), a block and rows of its targets, returns (rows, width)."""
        raise TypeError(f"{type(self).__name__} does not define conv")

    def layer(self, number: int, x: Mapping[str, Tensor], messages: Messages) -> dict[str, Tensor]:
        rows = None if messages.asked is None else messages.asked["node"]
        return {"node": self.convs[number](x["node"], messages.groups[0].block, rows)}

    def asked(self, drugs: Tensor | None, cells: Tensor | None) -> dict[str, Tensor] | None:
        return None if drugs is None or cells is None else {"node": torch.cat([drugs, cells + self.num_drugs])}
