"""PyTorch Geometric's layers on blocks: its parameters, initialisation and semantics, our kernels.

Each layer is the PyG layer of the same name. `engine="pyg"` runs PyG's own forward, edge by edge; the default
runs the same mathematics with `kernels`. Both read the same parameters, so a checkpoint fits either.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn import GATConv, GCNConv

from l2aco.models.graph import kernels
from l2aco.models.graph.blocks import Block


class BlockGCNConv(GCNConv):
    """Graph convolution (Kipf and Welling 2017); the normalisation stands in the block's weights."""

    def __init__(self, source: int, width: int, engine: str) -> None:
        super().__init__(source, width, normalize=False, add_self_loops=False)
        self.engine = engine

    def forward(self, x: Tensor, block: Block) -> Tensor:
        """(num_dst, width) from x (num_src, source); the targets are the first of the sources."""
        if self.engine == "pyg":
            return super().forward(x, block.edge_index, block.weight)[: block.num_dst]
        return summed_then_mapped(block, x, self.lin.weight) + self.bias


class BlockGATConv(GATConv):
    """Graph attention (Velickovic et al. 2018) with one map for sources and targets, heads concatenated."""

    def __init__(self, source: int, width: int, heads: int, engine: str, dropout: float = 0.0) -> None:
        super().__init__(source, width // heads, heads, dropout=dropout, add_self_loops=False)
        self.engine = engine

    def forward(self, x: Tensor, target: Tensor, block: Block) -> Tensor:
        """(num_dst, width) from x (num_src, source) and the targets' own inputs (num_dst, source)."""
        if self.engine == "pyg":
            return super().forward((x, target), block.edge_index, size=(block.num_src, block.num_dst))
        shape = (-1, self.heads, self.out_channels)
        mapped = self.lin(x).view(shape)
        source_logit = (mapped * self.att_src).sum(-1)
        # a . (W x) = (W^T a) . x: the targets' logits need no map of their own
        by_head = self.lin.weight.view(self.heads, self.out_channels, -1)
        target_logit = target @ torch.einsum("hdk,hd->kh", by_head, self.att_dst[0])
        dropout = self.dropout if self.training else 0.0
        out = kernels.attention_sum(
            block, mapped, source_logit, target_logit, slope=self.negative_slope, dropout=dropout
        )
        return out.reshape(block.num_dst, -1) + self.bias


def summed_then_mapped(block: Block, x: Tensor, weight: Tensor) -> Tensor:
    """(A x) W^T in the cheaper of its two orders, (num_dst, out) from x (num_src, in) and W (out, in)."""
    width_out, width_in = weight.shape
    first_sum = block.num_edges * width_in + block.num_dst * width_in * width_out
    first_map = block.num_edges * width_out + block.num_src * width_in * width_out
    if first_sum <= first_map:
        return kernels.weighted_sum(block, x) @ weight.T
    return kernels.weighted_sum(block, x @ weight.T)
