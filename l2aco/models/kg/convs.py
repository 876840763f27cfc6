"""PyTorch Geometric's layers on blocks: its parameters, initialisation and semantics, the two sums of `kg.sums`.

Each layer is the PyG layer of the same name, so that PyG's own forward, edge by edge, is the reference in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import GATConv, GCNConv, HANConv, SAGEConv
from torch_geometric.nn.conv import han_conv

from l2aco.models.kg.blocks import Block, picked
from l2aco.models.kg.field import Messages
from l2aco.models.kg.sums import attention_sum, weighted_sum


class BlockGCNConv(GCNConv):
    """Graph convolution (Kipf and Welling 2017); the normalisation stands in the block's weights."""

    def __init__(self, source: int, width: int) -> None:
        super().__init__(source, width, normalize=False, add_self_loops=False)

    def forward(self, x: Tensor, block: Block, rows: Tensor | None = None) -> Tensor:
        """(num_dst, width), or of these rows of the targets alone, from x (num_src, source)."""
        return summed_and_mapped(block, x, self.lin.weight, self.bias, rows)


class BlockSAGEConv(SAGEConv):
    """GraphSAGE with the mean of the neighbours (Hamilton et al. 2017); 1 / in-degree stands in the weights."""

    def forward(self, x: Tensor, block: Block, rows: Tensor | None = None) -> Tensor:
        """(num_dst, width), or of these rows of the targets alone, from x (num_src, source)."""
        own = picked(x[: block.num_dst], rows)
        return summed_and_mapped(block, x, self.lin_l.weight, self.lin_l.bias, rows) + self.lin_r(own)


class BlockGATConv(GATConv):
    """Graph attention (Velickovic et al. 2018) with one map for sources and targets, heads concatenated."""

    def __init__(self, source: int, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__(source, width // heads, heads, dropout=dropout, add_self_loops=False)

    def forward(self, x: Tensor, block: Block, rows: Tensor | None = None) -> Tensor:
        """(num_dst, width), or of these rows of the targets alone, from x (num_src, source)."""
        if self._sum_first(block):
            return self.mapped(attended_inputs([self], block, x, [x[: block.num_dst]], rows))
        inputs = self.lin(x).view(-1, self.heads, self.out_channels)
        logits = (inputs * self.att_src).sum(-1), (inputs[: block.num_dst] * self.att_dst).sum(-1)
        return attention_sum(block, inputs, *logits, rows, **self.options()).flatten(1) + self.bias

    def options(self) -> dict[str, Any]:
        """Slope and dropout of the attention weights, as now in force."""
        return {"slope": self.negative_slope, "dropout": self.dropout if self.training else 0.0}

    def mapped(self, mixed: Tensor) -> Tensor:
        """The layer's output (num_dst, width) from attention-weighted sums of its inputs (num_dst, H, source)."""
        by_head = self.lin.weight.view(self.heads, self.out_channels, -1)
        return torch.bmm(mixed.transpose(0, 1), by_head.transpose(1, 2)).transpose(0, 1).flatten(1) + self.bias

    def _sum_first(self, block: Block) -> bool:
        """Whether mixing inputs and then mapping the targets takes fewer products than mapping all sources."""
        width, source = self.lin.weight.shape
        sum_first = block.num_edges * self.heads * source + block.num_dst * source * width
        map_first = block.num_edges * width + block.num_src * source * width
        return sum_first < map_first


def attended_inputs(
    convs: Sequence[BlockGATConv], block: Block, x: Tensor, targets: Sequence[Tensor], rows: Tensor | None
) -> Tensor:
    """Attention-weighted sums (targets, H, source) of inputs x (num_src, source) by the layers of the block's kinds of
    edges, one after another, each over its `targets` (n, source); of the targets at `rows` alone.

    a . (W x) = (W^T a) . x, so that a logit needs no mapped vector: a source has one logit a layer and head, and what
    is summed is its input. All layers attend in one pass over the block.
    """
    # (layers, heads, width, source), so that all logit maps are two products
    weights = torch.stack([conv.lin.weight for conv in convs]).view(len(convs), convs[0].heads, -1, x.shape[1])
    of_source, of_target = (
        torch.matmul(torch.stack([getattr(conv, name)[0] for conv in convs]).unsqueeze(2), weights).squeeze(2)
        for name in ("att_src", "att_dst")
    )
    source_map = of_source.flatten(0, 1).T
    target_logit = torch.cat([own @ by_head.T for own, by_head in zip(targets, of_target, strict=True)])
    return attention_sum(block, x, source_map, target_logit, rows, **convs[0].options())


class BlockHANConv(HANConv):
    """Attention within every relation, then between the relations into a type (Wang et al. 2019).

    The second averages over all targets of a type, so that types must be whole.
    """

    def forward(self, x: Mapping[str, Tensor], messages: Messages) -> dict[str, Tensor]:
        """(targets, width) by type from inputs (sources, source) by type; zero where no relation leads."""
        inputs = {kind: self.proj[kind](values).view(len(values), self.heads, -1) for kind, values in x.items()}
        targets = messages.own(inputs)
        found: dict[str, list[Tensor]] = {}
        options = {"slope": self.negative_slope, "dropout": self.dropout if self.training else 0.0}
        for group in messages.groups:
            keys = {relation: "__".join(relation) for relation in group.relations}
            source = inputs[group.source]
            by_relation = [(source * self.lin_src[key]).sum(-1) for key in keys.values()]
            source_logit = torch.stack(by_relation, dim=1).flatten(0, 1)
            target_logit = torch.cat(
                [(targets[relation[2]] * self.lin_dst[key]).sum(-1) for relation, key in keys.items()]
            )
            out = F.relu(attention_sum(group.block, source, source_logit, target_logit, **options).flatten(1))
            for relation, own in zip(group.relations, out.split(list(group.sizes)), strict=True):
                found.setdefault(relation[2], []).append(own)
        mixed = {kind: han_conv.group(parts, self.q, self.k_lin)[0] for kind, parts in found.items()}
        nothing = {kind: own.new_zeros(len(own), self.out_channels) for kind, own in targets.items()}
        return nothing | mixed


def summed_and_mapped(block: Block, x: Tensor, weight: Tensor, bias: Tensor, rows: Tensor | None) -> Tensor:
    """A x W^T + b in the cheaper of its two orders, (num_dst, out) or `rows` of it, from x (num_src, in) and W
    (out, in)."""
    width_out, width_in = weight.shape
    first_sum = block.num_edges * width_in + block.num_dst * width_in * width_out
    first_map = block.num_edges * width_out + block.num_src * width_in * width_out
    if first_sum <= first_map:
        return F.linear(weighted_sum(block, x, rows), weight, bias)
    return weighted_sum(block, x @ weight.T, rows) + bias
