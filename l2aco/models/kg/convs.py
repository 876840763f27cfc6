"""PyTorch Geometric's layers on blocks: its parameters, initialisation and semantics, our kernels.

Each layer is the PyG layer of the same name. `engine="pyg"` runs PyG's own forward, edge by edge; "fast" runs the
same mathematics with `kernels`, "dgl" with DGL's. All read the same parameters, so a checkpoint fits each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import GATConv, GCNConv, HANConv, SAGEConv
from torch_geometric.nn.conv import han_conv

from l2aco.models.kg import sums as kernels
from l2aco.models.kg.blocks import Edges, Relation
from l2aco.models.kg.relational import Group


class BlockGCNConv(GCNConv):
    """Graph convolution (Kipf and Welling 2017); the normalisation stands in the block's weights."""

    def __init__(self, source: int, width: int, engine: str) -> None:
        super().__init__(source, width, normalize=False, add_self_loops=False)
        self.engine = engine

    def forward(self, x: Tensor, block: Edges) -> Tensor:
        """(num_dst, width) from x (num_src, source)."""
        if self.engine == "pyg":
            return super().forward(x, block.whole.edge_index(), block.whole.weight)[: block.num_dst]
        return summed_then_mapped(block, x, self.lin.weight, self.bias, self.engine)


class BlockSAGEConv(SAGEConv):
    """GraphSAGE with the mean of the neighbours (Hamilton et al. 2017); 1 / in-degree stands in the weights."""

    def __init__(self, source: int, width: int, engine: str) -> None:
        super().__init__(source, width, aggr="mean")
        self.engine = engine

    def forward(self, x: Tensor, block: Edges) -> Tensor:
        """(num_dst, width) from x (num_src, source)."""
        target = block.of_targets(x)
        if self.engine == "pyg":
            return super().forward((x, target), block.whole.edge_index(), size=(block.num_src, block.num_dst))
        return summed_then_mapped(block, x, self.lin_l.weight, self.lin_l.bias, self.engine) + self.lin_r(target)


class BlockGATConv(GATConv):
    """Graph attention (Velickovic et al. 2018) with one map for sources and targets, heads concatenated."""

    def __init__(self, source: int, width: int, heads: int, engine: str, dropout: float = 0.0) -> None:
        super().__init__(source, width // heads, heads, dropout=dropout, add_self_loops=False)
        self.engine = engine

    def forward(self, x: Tensor, block: Edges) -> Tensor:
        """(num_dst, width) from x (num_src, source)."""
        target = block.of_targets(x)
        if self.engine == "pyg":
            return super().forward((x, target), block.whole.edge_index(), size=(block.num_src, block.num_dst))
        engine = kernels.of_engine(self.engine)
        source_map, target_logit = self.logit_map(self.att_src), target @ self.logit_map(self.att_dst)
        if self._sum_first(block):
            return self.mapped(engine.input_attention_sum(block, x, source_map, target_logit, **self.options()))
        mapped = self.lin(x).view(-1, self.heads, self.out_channels)
        out = engine.attention_sum(block, mapped, x @ source_map, target_logit, **self.options())
        return out.reshape(block.num_dst, -1) + self.bias

    def options(self) -> dict[str, Any]:
        """Slope and dropout of the attention weights, as now in force."""
        return {"slope": self.negative_slope, "dropout": self.dropout if self.training else 0.0}

    def logit_map(self, attention: Tensor) -> Tensor:
        """(source, H): a . (W x) = (W^T a) . x, so that a logit needs no mapped vector."""
        return torch.matmul(attention[0].unsqueeze(1), self._by_head()).squeeze(1).T

    def mapped(self, mixed: Tensor) -> Tensor:
        """The layer's output (num_dst, width) from attention-weighted sums of its inputs (num_dst, H, source)."""
        by_head = torch.bmm(mixed.transpose(0, 1), self._by_head().transpose(1, 2))
        return by_head.transpose(0, 1).flatten(1) + self.bias

    def _by_head(self) -> Tensor:
        return self.lin.weight.view(self.heads, self.out_channels, -1)

    def _sum_first(self, block: Edges) -> bool:
        """Whether mixing inputs and then mapping the targets takes fewer products than mapping all sources."""
        width, source = self.lin.weight.shape
        sum_first = block.num_edges * self.heads * source + block.num_dst * source * width
        map_first = block.num_edges * width + block.num_src * source * width
        return sum_first < map_first


class BlockHANConv(HANConv):
    """Attention within every relation, then between the relations into a type (Wang et al. 2019).

    The second averages over all targets of a type, so that types must be whole.
    """

    def __init__(
        self, source: int, width: int, metadata: tuple[list[str], list[Relation]], heads: int, engine: str
    ) -> None:
        super().__init__(source, width, metadata, heads)
        self.engine = engine

    def forward(
        self, x: Mapping[str, Tensor], groups: Sequence[Group], targets: Mapping[str, int]
    ) -> dict[str, Tensor]:
        """(targets, width) by type from inputs (sources, source) by type; zero where no relation leads."""
        found = self._by_pyg(x, groups) if self.engine == "pyg" else self._by_blocks(x, groups)
        nothing = next(iter(x.values()))
        return {
            kind: nothing.new_zeros(count, self.out_channels) if found.get(kind) is None else found[kind]
            for kind, count in targets.items()
        }

    def _by_pyg(self, x: Mapping[str, Tensor], groups: Sequence[Group]) -> dict[str, Tensor]:
        edges = {
            part.relation: group.block.edge_index(part.start, part.stop) for group in groups for part in group.parts
        }
        return super().forward(x, edges)

    def _by_blocks(self, x: Mapping[str, Tensor], groups: Sequence[Group]) -> dict[str, Tensor]:
        inputs = {kind: self.proj[kind](values).view(len(values), self.heads, -1) for kind, values in x.items()}
        found: dict[str, list[Tensor]] = {}
        dropout = self.dropout if self.training else 0.0
        for group in groups:
            keys = ["__".join(part.relation) for part in group.parts]
            source = inputs[group.source]
            source_logit = torch.stack([(source * self.lin_src[key]).sum(-1) for key in keys], dim=1).flatten(0, 1)
            target_logit = torch.cat(
                [
                    (inputs[part.target][: part.stop - part.start] * self.lin_dst[key]).sum(-1)
                    for part, key in zip(group.parts, keys, strict=True)
                ]
            )
            options = {"slope": self.negative_slope, "dropout": dropout}
            out = F.relu(
                kernels.of_engine(self.engine)
                .attention_sum(group.block, source, source_logit, target_logit, **options)
                .flatten(1)
            )
            for part, own in zip(group.parts, out.split([part.stop - part.start for part in group.parts]), strict=True):
                found.setdefault(part.target, []).append(own)
        return {kind: han_conv.group(parts, self.q, self.k_lin)[0] for kind, parts in found.items()}


def summed_then_mapped(block: Edges, x: Tensor, weight: Tensor, bias: Tensor, engine: str) -> Tensor:
    """A x W^T + b in the cheaper of its two orders, (num_dst, out) from x (num_src, in), W (out, in) and b (out)."""
    weighted_sum = kernels.of_engine(engine).weighted_sum
    width_out, width_in = weight.shape
    first_sum = block.num_edges * width_in + block.num_dst * width_in * width_out
    first_map = block.num_edges * width_out + block.num_src * width_in * width_out
    if first_sum <= first_map:
        return F.linear(weighted_sum(block, x), weight, bias)
    return weighted_sum(block, x @ weight.T) + bias
