"""GCN: graph convolution over the knowledge graph (Kipf and Welling, ICLR 2017).

Differs from the published code: every node has a self-loop (without it a drug is only the weighted sum of its
targets, and drugs with the same targets are one), and the head does not depend on the order of the drugs.
`faithful` restores both. One layer by default, as published; weights D^-1/2 (A + I) D^-1/2 of the whole graph.

Shapes: node embeddings (N, 128) -> convolution (Nd + Nc, 64) -> ReLU, dropout -> linear (Nd + Nc, 64).
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from l2aco.models.base import Inputs
from l2aco.models.graph.backbone import GraphBackbone, GraphConfig, embedding_rows, scored_nodes
from l2aco.models.graph.blocks import (
    distinct,
    receptive_field,
    symmetric_normalisation,
    with_self_loops,
)
from l2aco.models.graph.convs import BlockGCNConv


class GCN(GraphBackbone):
    """See the module."""

    citation = "Kipf and Welling. Semi-supervised classification with graph convolutional networks. ICLR 2017."

    class Config(GraphConfig):
        layers: int = Field(default=1, ge=1)

    config: Config

    def __init__(self, inputs: Inputs, config: Config) -> None:
        super().__init__(inputs, config)
        count = self.graph.num_nodes
        edges = self.graph.edge_index()
        edges = distinct(edges, count) if config.faithful else with_self_loops(edges, count)
        relation = ("node", "edge", "node")
        layers, rows = receptive_field(
            {"node": count},
            {relation: edges},
            {"node": scored_nodes(self.graph)},
            config.layers,
            {relation: symmetric_normalisation(edges, count)},
        )
        self.blocks = nn.ModuleList(layer.block(relation) for layer in layers)
        self.nodes = rows["node"]
        self.embedding = embedding_rows(count, config.embedding, self.nodes)
        widths = [config.embedding] + [config.hidden] * config.layers
        self.convs = nn.ModuleList(BlockGCNConv(source, width, config.engine) for source, width in pairwise(widths))

    def propagate(self) -> tuple[Tensor, Tensor]:
        x: Tensor = self.embedding
        for number, (conv, block) in enumerate(zip(self.convs, self.blocks, strict=True)):
            x = conv(x if number == 0 else self.drop(F.relu(x)), block)
        return x[: self.num_drugs], x[self.num_drugs :]
