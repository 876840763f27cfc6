"""RGCN: relational graph convolution (Schlichtkrull et al., ESWC 2018).

h_i = root x_i + sum over relations of the mean of W_r x_j over i's neighbours. Follows the paper, without basis
decomposition (the graph has few relations). The head does not depend on the order of the drugs, except with
`faithful`.

Shapes: embeddings (n, 128) a node type -> two layers (n, 64) -> (Nd + Nc, 64) -> ReLU, dropout -> linear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import Tensor, nn
from torch_geometric.nn import RGCNConv

from l2aco.models.inputs import Inputs
from l2aco.models.kg.backbone import GraphBackbone, StackConfig
from l2aco.models.kg.blocks import mean_weights
from l2aco.models.kg.field import Messages
from l2aco.models.kg.sums import weighted_sum


class RGCN(GraphBackbone):
    """See the module."""

    citation = "Schlichtkrull et al. Modeling relational data with graph convolutional networks. ESWC 2018."

    class Config(StackConfig):
        layers: int = Field(default=2, ge=1)

    config: Config

    def __init__(self, inputs: Inputs, config: Config) -> None:
        super().__init__(inputs, config)
        relations = self.graph.edges
        self.number = {relation: number for number, relation in enumerate(relations)}
        counts = {kind: len(ids) for kind, ids in self.graph.nodes.items()}
        weights = {relation: mean_weights(pairs, counts[relation[2]]) for relation, pairs in relations.items()}
        self.field = self.typed_field(relations, weights)
        self.convs = nn.ModuleList(RGCNConv(*widths, len(relations)) for widths in self.widths())

    def layer(self, number: int, x: Mapping[str, Tensor], messages: Messages) -> dict[str, Tensor]:
        conv: Any = self.convs[number]
        out = {kind: messages.pick(kind, own) @ conv.root + conv.bias for kind, own in messages.own(x).items()}
        for group in messages.groups:
            means = weighted_sum(group.block, x[group.source], messages.rows(group))
            for relation, mean in messages.by_relation(group, means):
                out[relation[2]] = out[relation[2]] + mean @ conv.weight[self.number[relation]]
        return out
