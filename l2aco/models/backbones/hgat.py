"""HGAT: graph attention per relation, summed over relations (Velickovic et al., ICLR 2018, made relational).

Differs from the published code: the graph has inverse relations (without them no message reaches a drug or a
cell line, and all drugs share one vector), every node adds a linear map of its own embedding, and the head does
not depend on the order of the drugs. `faithful` restores all three.

Shapes: embeddings (n, 128) a node type -> one GATConv a relation, 4 heads x 16 -> sum (Nd + Nc, 64) -> ReLU,
dropout -> linear (Nd + Nc, 64).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv

from l2aco.data.graph import INVERSE
from l2aco.models.inputs import Inputs
from l2aco.models.kg import sums as kernels
from l2aco.models.kg.backbone import CELL, DRUG, AttentionConfig, GraphBackbone, Reach
from l2aco.models.kg.convs import BlockGATConv
from l2aco.models.kg.relational import Group, Messages, Part, RelationalField, SubGroup


class HGAT(GraphBackbone):
    """See the module."""

    citation = "Velickovic et al. Graph attention networks. ICLR 2018. One GATConv for each relation."

    Config = AttentionConfig
    config: AttentionConfig

    def __init__(self, inputs: Inputs, config: AttentionConfig) -> None:
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
        for number, (source, width) in enumerate(pairwise(widths)):
            options = (source, width, config.heads, config.engine, config.attention_dropout)
            self.convs.append(nn.ModuleDict({part.key: BlockGATConv(*options) for part in self.field.parts(number)}))
            kinds = () if config.faithful else self.field.targets[number]
            self.own.append(nn.ModuleDict({kind: nn.Linear(source, width, bias=False) for kind in kinds}))

    def reach(self, drugs: Tensor | None, cells: Tensor | None) -> Reach:
        return self.field.reach(drugs, cells, self.config.neighbours if self.training else None)

    def propagate(self, reach: Reach) -> Tensor:
        x = self.field.inputs(reach)
        for number, messages in enumerate(reach.layers):
            if number:
                x = {kind: self.relu_drop(values) for kind, values in x.items()}
            x = self._layer(number, x, messages)
        return torch.cat([x[DRUG], x[CELL]])

    def _layer(self, number: int, x: dict[str, Tensor], messages: Messages) -> dict[str, Tensor]:
        targets = messages.own(x)
        own: Any = self.own[number]
        found = {kind: [linear(targets[kind])] for kind, linear in own.items()}
        for group in messages.groups:
            for part, out in relational_attention(group, self.convs[number], x[group.source], targets):
                found.setdefault(part.target, []).append(out)
        return {
            kind: torch.stack(found[kind]).sum(0)
            if kind in found
            else inputs.new_zeros(len(inputs), self.config.hidden)
            for kind, inputs in targets.items()
        }


def relational_attention(
    group: Group | SubGroup, convs: Any, source: Tensor, inputs: Mapping[str, Tensor]
) -> Iterator[tuple[Part, Tensor]]:
    """Each relation of a group with its layer's output (targets, width); `inputs`: the targets' own, by node type.

    All relations attend in one pass over the block: a source has one logit a relation and head, and what is
    summed is its input, which each relation maps afterwards.
    """
    block = group.block
    layers = [convs[part.key] for part in group.parts]
    heads = layers[0].heads
    targets = [inputs[part.target] for part in group.parts]
    if layers[0].engine == "pyg":
        for part, conv, target in zip(group.parts, layers, targets, strict=True):
            size = (block.num_src, len(target))
            yield (
                part,
                GATConv.forward(conv, (source, target), block.whole.edge_index(part.start, part.stop), size=size),
            )
        return
    # (relations, heads, width, input), so that all relations' logit maps are two products
    weights = torch.stack([conv.lin.weight for conv in layers]).view(len(layers), heads, -1, source.shape[1])
    of_source, of_target = (
        torch.matmul(torch.stack([getattr(conv, name)[0] for conv in layers]).unsqueeze(2), weights).squeeze(2)
        for name in ("att_src", "att_dst")
    )
    source_map = of_source.flatten(0, 1).T
    target_logit = torch.cat([target @ by_head.T for target, by_head in zip(targets, of_target, strict=True)])
    sums = kernels.of_engine(layers[0].engine).input_attention_sum
    mixed = sums(block, source, source_map, target_logit, **layers[0].options())
    # one split, not many slices: its gradient is written once
    for part, conv, own in zip(group.parts, layers, mixed.split([len(target) for target in targets]), strict=True):
        yield part, conv.mapped(own)
