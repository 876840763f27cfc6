"""What all graph backbones share: learned node embeddings over the receptive field, an output map, the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, ModelWrapValidatorHandler, model_validator
from torch import Tensor, nn

from l2aco.data.graph import KnowledgeGraph
from l2aco.models.base import START, Backbone, Tables
from l2aco.models.compiled.dropout import relu_dropout
from l2aco.models.config import BackboneConfig
from l2aco.models.heads import PairHead
from l2aco.models.inputs import Inputs
from l2aco.models.kg.blocks import Merger, Restricted, distinct, merged, receptive_field
from l2aco.models.kg.sampling import sample_blocks

DRUG, CELL = "drug", "cell_line"


class GraphConfig(BackboneConfig):
    """Hyper-parameters of every graph backbone; the widths are those of the paper's code."""

    embedding: int = Field(default=128, ge=1)
    """Width of the learned embedding of a node."""
    hidden: int = Field(default=64, ge=1)
    """Width of the graph layers."""
    out: int = Field(default=64, ge=1)
    """Width of the representations that are aligned and scored."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Of hidden units. The paper's 0.5, which `faithful` takes where no other is given, costs up to 0.04 AUROC."""
    engine: Literal["fast", "pyg", "dgl"] = "fast"
    """Which kernels pass the messages; outputs and gradients are the same."""

    @model_validator(mode="wrap")
    @classmethod
    def _published_dropout(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        config = handler(values)
        published = config.faithful and "dropout" not in config.model_fields_set
        return config.model_copy(update={"dropout": 0.5}) if published else config


@dataclass(frozen=True)
class Reach:
    """What passes messages to some drugs and cell lines, without any weights.

    `layers`: blocks or messages, first layer to last; `drugs`: how many of the targets are drugs; `rows`: which
    embeddings the first layer reads (None: all).
    """

    layers: Sequence[Any]
    drugs: int
    rows: Any = None


class GraphBackbone(Backbone):
    """A graph backbone: `reach` finds what leads to entities, `propagate` turns it into their hidden vectors."""

    requires = frozenset({"graph"})
    optimiser: ClassVar[Mapping[str, Any]] = {"batch_size": 2048, "learning_rate": 3e-3, "epochs": 120, "patience": 20}
    optimiser_faithful: ClassVar[Mapping[str, Any]] = {"batch_size": 128, "learning_rate": 1e-3, "epochs": 100}
    restricts: ClassVar[bool] = True
    """Whether `propagate` can leave out targets without changing the others."""
    config: GraphConfig

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

    def reach(self, drugs: Tensor | None, cells: Tensor | None) -> Reach:
        """What leads to these drugs and cell lines, rows ascending; None: to all entities."""
        raise TypeError(f"{type(self).__name__} does not define reach")

    def propagate(self, reach: Reach) -> Tensor:
        """Hidden vectors (n, hidden) of a reach's drugs, then of its cell lines."""
        raise TypeError(f"{type(self).__name__} does not define propagate")

    def make_head(self, config: Any) -> nn.Module:
        """What scores the tables: called with drug and cell tables and rows a, b, c."""
        return PairHead(config.out, config.out, config.hidden, config.dropout, symmetric=not config.faithful)

    def encode(self, drugs: Tensor | None = None, cells: Tensor | None = None) -> Tables:
        reach = self.reach(drugs, cells)
        joined = self.linear(self.relu_drop(self.propagate(reach)))
        return Tables(*self.by_kind(joined, reach))

    def by_kind(self, joined: Tensor, reach: Reach) -> tuple[Tensor, Tensor]:
        """The drugs' and the cell lines' rows of what `propagate` gave for a reach."""
        # one split: slices would write two gradients and add them
        drug, cell = joined.split([reach.drugs, len(joined) - reach.drugs])
        return drug, cell

    def encodes_rows(self, triples: int) -> bool:
        # A larger step meets most drugs, and finding out which costs more than it saves; on a GPU it would wait for the
        # device, and a compiled model would see another shape every step.
        plain = self.linear.weight.device.type == "cpu" and not torch.compiler.is_compiling()
        return self.restricts and plain and self.config.engine == "fast" and 2 * triples < self.num_drugs

    def score(self, tables: Tables, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return self.head(tables.drug, tables.cell, a, b, c)

    def measured(self) -> tuple[Tensor, Tensor]:
        """Drugs and cell lines that have an edge."""
        return self._measured

    def relu_drop(self, x: Tensor) -> Tensor:
        return relu_dropout(x, self.config.dropout, self.training)


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


class HomogeneousBackbone(GraphBackbone):
    """A stack of one kind of layer over all nodes alike: a subclass says which edges, weights and layer.

    Between layers stand ReLU and dropout. Edges are distinct, in both directions, in global node numbers. `nodes`:
    those that the first layer reads; several may share a row of `embedding`, see `merger`.
    """

    config: StackConfig
    merges: ClassVar[bool] = False
    """Whether the first layer reads its inputs through the weighted sum alone."""

    def __init__(self, inputs: Inputs, config: StackConfig) -> None:
        super().__init__(inputs, config)
        count = self.graph.num_nodes
        edges, weights = self.edges(distinct(self.graph.edge_index(), count), count)
        relation = ("node", "edge", "node")
        layers, rows = receptive_field(
            {"node": count},
            {relation: edges},
            {"node": scored_nodes(self.graph)},
            config.layers,
            None if weights is None else {relation: weights},
        )
        self.nodes = rows["node"]
        if self.merges and not config.faithful and config.neighbours is None:  # drawn edges should weigh alike
            layers[0] = merged(layers[0], relation)
        self.blocks = nn.ModuleList(layer.block(relation) for layer in layers)
        self.embedding = embedding_rows(count, config.embedding, self.nodes)
        if layers[0].merger is not None:
            self.embedding = nn.Parameter(layers[0].merger.means(self.embedding.detach()))
        widths = [config.embedding] + [config.hidden] * config.layers
        self.convs = nn.ModuleList(self.conv(source, width) for source, width in pairwise(widths))

    @property
    def merger(self) -> Merger:
        """Which row of `embedding` stands for each of `nodes`."""
        return self.blocks[0].merger  # type: ignore[return-value]

    def edges(self, edges: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The edges (2, E) that carry messages, and their weights (E)."""
        return edges, None

    def conv(self, source: int, width: int) -> nn.Module:
        """A layer: called with inputs (num_src, source) and a block, returns (num_dst, width)."""
        raise TypeError(f"{type(self).__name__} does not define conv")

    def reach(self, drugs: Tensor | None, cells: Tensor | None) -> Reach:
        blocks: list[Any] = list(self.blocks)
        *first, last = blocks
        rows = None if drugs is None or cells is None else torch.cat([drugs, cells + self.num_drugs])
        count = self.num_drugs if drugs is None else len(drugs)
        if self.training and self.config.neighbours is not None:
            targets = last.targets if rows is None else rows.cpu().numpy()
            sampled, inputs = sample_blocks(blocks, targets, self.config.neighbours)
            return Reach(sampled, count, inputs)
        return Reach([*first, last if rows is None else Restricted(last, rows)], count)

    def propagate(self, reach: Reach) -> Tensor:
        x: Tensor = self.embedding if reach.rows is None else self.embedding[reach.rows]
        for number, (conv, block) in enumerate(zip(self.convs, reach.layers, strict=True)):
            x = conv(x if number == 0 else self.relu_drop(x), block)
        return x


def scored_nodes(graph: KnowledgeGraph) -> np.ndarray:
    """Global numbers of all drugs, then all cell lines."""
    return np.concatenate([graph.offset(kind) + np.arange(len(graph.nodes[kind])) for kind in (DRUG, CELL)])


def embedding_rows(count: int, width: int, rows: np.ndarray) -> nn.Parameter:
    """Learned embeddings of the nodes `rows`, initialised as rows of a table over all `count` nodes.

    Rows outside the receptive field never get a gradient and are never read, so leaving them out changes
    nothing; drawing the whole table makes a node's start independent of what surrounds it. The start is small: a
    node that training never reaches then says next to nothing, instead of something random.
    """
    table = nn.init.normal_(torch.empty(count, width), std=START)
    return nn.Parameter(table[torch.from_numpy(rows)].clone())
