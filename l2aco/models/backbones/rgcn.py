"""RGCN: relational graph convolution (Schlichtkrull et al., ESWC 2018).

h_i = root x_i + sum over relations of the mean of W_r x_j over i's neighbours. Follows the paper, without basis
decomposition (the graph has few relations). The head does not depend on the order of the drugs, except with
`faithful`.

Shapes: embeddings (n, 128) a node type -> two layers (n, 64) -> (Nd + Nc, 64) -> ReLU, dropout -> linear.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch_geometric.nn import RGCNConv

from l2aco.models.inputs import Inputs
from l2aco.models.kg import sums as kernels
from l2aco.models.kg.backbone import CELL, DRUG, GraphBackbone, Reach, StackConfig
from l2aco.models.kg.blocks import mean_weights
from l2aco.models.kg.relational import Messages, RelationalField


class RGCN(GraphBackbone):
    """See the module."""

    citation = "Schlichtkrull et al. Modeling relational data with graph convolutional networks. ESWC 2018."

    class Config(StackConfig):
        layers: int = Field(default=2, ge=1)

    config: Config

    def __init__(self, inputs: Inputs, config: Config) -> None:
        super().__init__(inputs, config)
        relations = self.graph.edges
        self.number = {relation: place for place, relation in enumerate(relations)}
        weights = {
            relation: mean_weights(pairs, len(self.graph.nodes[relation[2]])) for relation, pairs in relations.items()
        }
        self.field = RelationalField(self.graph, relations, config.layers, config.embedding, weights)
        widths = [config.embedding] + [config.hidden] * config.layers
        self.convs = nn.ModuleList(RGCNConv(*pair, len(relations)) for pair in pairwise(widths))

    def reach(self, drugs: Tensor | None, cells: Tensor | None) -> Reach:
        return self.field.reach(drugs, cells, self.config.neighbours if self.training else None)

    def propagate(self, reach: Reach) -> Tensor:
        x = self.field.inputs(reach)
        for number, messages in enumerate(reach.layers):
            if number:
                x = {kind: self.relu_drop(values) for kind, values in x.items()}
            x = (self._pyg_layer if self.config.engine == "pyg" else self._layer)(number, x, messages)
        return torch.cat([x[DRUG], x[CELL]])

    def _layer(self, number: int, x: dict[str, Tensor], messages: Messages) -> dict[str, Tensor]:
        conv: Any = self.convs[number]
        out = {kind: own @ conv.root + conv.bias for kind, own in messages.own(x).items()}
        for group in messages.groups:
            means = kernels.of_engine(self.config.engine).weighted_sum(group.block, x[group.source])
            for part in group.parts:
                mapped = means[part.start : part.stop] @ conv.weight[self.number[part.relation]]
                out[part.target] = out[part.target] + mapped
        return out

    def _pyg_layer(self, number: int, x: dict[str, Tensor], messages: Messages) -> dict[str, Tensor]:
        """The same by PyG's own forward, over all types stacked."""
        start = dict(
            zip(x, torch.tensor([0, *(len(values) for values in x.values())]).cumsum(0).tolist(), strict=False)
        )
        nothing = x[DRUG].new_empty(2, 0, dtype=torch.int64)
        pairs, kinds = [nothing], [nothing[0]]
        for group in messages.groups:
            for part in group.parts:
                index = group.block.whole.edge_index(part.start, part.stop)
                pairs.append(index + index.new_tensor([[start[group.source]], [start[part.target]]]))
                kinds.append(index.new_full((index.shape[1],), self.number[part.relation]))
        out = self.convs[number](torch.cat(list(x.values())), torch.cat(pairs, dim=1), torch.cat(kinds))
        return {kind: out[start[kind] : start[kind] + len(own)] for kind, own in messages.own(x).items()}
