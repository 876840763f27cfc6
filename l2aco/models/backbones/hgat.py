"""HGAT: graph attention per relation, summed over relations (Velickovic et al., ICLR 2018, made relational).

Differs from the published code: the graph has inverse relations (without them no message reaches a drug or a
cell line, and all drugs share one vector), every node adds a linear map of its own embedding, and the head does
not depend on the order of the drugs. `faithful` restores all three.

Shapes: embeddings (n, 128) a node type -> one GATConv a relation, 4 heads x 16 -> sum (Nd + Nc, 64) -> ReLU,
dropout -> linear (Nd + Nc, 64).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from l2aco.data.graph import INVERSE
from l2aco.models.inputs import Inputs
from l2aco.models.kg.backbone import AttentionConfig, GraphBackbone
from l2aco.models.kg.blocks import Relation
from l2aco.models.kg.convs import BlockGATConv, attended_inputs
from l2aco.models.kg.field import Messages


class HGAT(GraphBackbone):
    """See the module."""

    citation = "Velickovic et al. Graph attention networks. ICLR 2018. One GATConv for each relation."

    Config = AttentionConfig
    config: AttentionConfig

    def __init__(self, inputs: Inputs, config: AttentionConfig) -> None:
        super().__init__(inputs, config)
        self.field = self.typed_field(
            {
                relation: pairs
                for relation, pairs in self.graph.edges.items()
                if not (config.faithful and relation[1].startswith(INVERSE))
            }
        )
        self.convs = nn.ModuleList()
        self.own = nn.ModuleList()
        for widths, messages in zip(self.widths(), self.field.layers, strict=True):
            options = (*widths, config.heads, config.attention_dropout)
            relations = [relation for group in messages.groups for relation in group.relations]
            self.convs.append(nn.ModuleDict({key(relation): BlockGATConv(*options) for relation in relations}))
            kinds = () if config.faithful else messages.targets
            self.own.append(nn.ModuleDict({kind: nn.Linear(*widths, bias=False) for kind in kinds}))

    def layer(self, number: int, x: Mapping[str, Tensor], messages: Messages) -> dict[str, Tensor]:
        targets = messages.own(x)
        own, convs = cast(Any, (self.own[number], self.convs[number]))
        found = {kind: [linear(messages.pick(kind, targets[kind]))] for kind, linear in own.items()}
        for group in messages.groups:
            layers = {relation: convs[key(relation)] for relation in group.relations}
            inputs = [targets[relation[2]] for relation in group.relations]
            given = group.block, x[group.source], inputs, messages.rows(group)
            mixed = attended_inputs(list(layers.values()), *given)
            for relation, part in messages.by_relation(group, mixed):
                found.setdefault(relation[2], []).append(layers[relation].mapped(part))
        nothing = {
            kind: inputs.new_zeros(len(messages.pick(kind, inputs)), self.config.hidden)
            for kind, inputs in targets.items()
        }
        return nothing | {kind: torch.stack(parts).sum(0) for kind, parts in found.items()}


def key(relation: Relation) -> str:
    """The relation as a key of a module dictionary."""
    return "-".join(relation).replace(".", "_")
