"""HGAT: graph attention per relation, summed over relations (Velickovic et al., ICLR 2018, made relational).

Differs from the published code: the graph has inverse relations (without them no message reaches a drug or a
cell line, and all drugs share one vector), every node adds a linear map of its own embedding, and the head does
not depend on the order of the drugs. `faithful` restores all three.

Shapes: embeddings (n, 128) a node type -> one GATConv a relation, 4 heads x 16 -> sum (Nd + Nc, 64) -> ReLU,
dropout -> linear (Nd + Nc, 64).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from l2aco.data.graph import INVERSE
from l2aco.models.base import Inputs
from l2aco.models.graph.backbone import CELL, DRUG, GraphBackbone, GraphConfig
from l2aco.models.graph.convs import BlockGATConv
from l2aco.models.graph.relational import RelationalField


class HGAT(GraphBackbone):
    """See the module."""

    citation = "Velickovic et al. Graph attention networks. ICLR 2018. One GATConv for each relation."

    class Config(GraphConfig):
        layers: int = Field(default=1, ge=1)
        heads: int = Field(default=4, ge=1)
        attention_dropout: float = Field(default=0.0, ge=0, lt=1)

    config: Config

    def __init__(self, inputs: Inputs, config: Config) -> None:
        super().__init__(inputs, config)
        relations = {
            relation: pairs
            for relation, pairs in self.graph.edges.items()
            if not (config.faithful and relation[1].startswith(INVERSE))
        }
        self.field = RelationalField(self.graph, relations, config.layers, config.embedding)
        widths = [config.embedding] + [config.hidden] * config.layers
        self.convs = nn.ModuleList()
        self.own = nn.ModuleList()
        for layer, (source, width) in zip(self.field.layers, pairwise(widths), strict=True):
            self.convs.append(
                nn.ModuleDict(
                    {
                        self.field.name(relation): BlockGATConv(
                            source, width, config.heads, config.engine, config.attention_dropout
                        )
                        for relation in layer.blocks
                    }
                )
            )
            kinds = () if config.faithful else [kind for kind, count in layer.targets.items() if count]
            self.own.append(nn.ModuleDict({kind: nn.Linear(source, width, bias=False) for kind in kinds}))

    def propagate(self) -> tuple[Tensor, Tensor]:
        x = dict(self.field.embeddings.items())
        for number, layer in enumerate(self.field.layers):
            if number:
                x = {kind: self.drop(F.relu(values)) for kind, values in x.items()}
            x = self._layer(number, layer.targets, x)
        return x[DRUG], x[CELL]

    def _layer(self, number: int, targets: dict[str, int], x: dict[str, Tensor]) -> dict[str, Tensor]:
        convs: Any = self.convs[number]
        own: Any = self.own[number]
        parts: dict[str, list[Tensor]] = {kind: [] for kind, count in targets.items() if count}
        for kind, linear in own.items():
            parts[kind].append(linear(x[kind][: targets[kind]]))
        for relation, block in self.field.blocks(number):
            source, _, target = relation
            conv = convs[self.field.name(relation)]
            parts[target].append(conv(x[source], x[target][: targets[target]], block))
        width = self.config.hidden
        return {
            kind: torch.stack(found).sum(0) if found else x[kind].new_zeros(targets[kind], width)
            for kind, found in parts.items()
        }
