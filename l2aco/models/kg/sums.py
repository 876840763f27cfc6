"""The two sums of message passing over a block, weighted and weighted by attention, by the kernels that it names.

Both take `rows`, int64: those of the targets that are asked for, of which alone the sums are returned (None: all).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from l2aco.models.kg import dgl_sums, torch_sums
from l2aco.models.kg.blocks import Attention, Block


def weighted_sum(block: Block, x: Tensor, rows: Tensor | None = None) -> Tensor:
    """(num_dst, d): the block's weighted sum (plain where it has no weights) of x (num_src, d)."""
    return _kernels(block).weighted_sum(block, _full(x), rows)  # type: ignore[no-any-return]


def attention_sum(
    block: Block,
    x: Tensor,
    source: Tensor,
    target_logit: Tensor,
    rows: Tensor | None = None,
    *,
    slope: float,
    dropout: float = 0.0,
) -> Tensor:
    """Attention over in-edges (Velickovic et al. 2018), (num_dst, H, D).

    The weight of edge j -> i is the softmax over i's in-edges of LeakyReLU(source logit of j + target_logit[i]). `x`
    (num_src, H, D) comes with logits `source` (num_src * kinds, H); inputs (num_src, D) that all heads share with the
    map `source` (D, kinds * H) from them to their logits: one pass over x then, and one over its gradient.
    `target_logit` (num_dst, H). `dropout` drops attention weights.
    """
    x, source, target_logit = map(_full, (x, source, target_logit))
    mask = F.dropout(target_logit.new_ones(block.num_edges, target_logit.shape[1]), dropout) if dropout else None
    with torch.autocast(x.device.type, enabled=False):
        return _kernels(block).attention_sum(block, Attention(x, source, target_logit, mask, slope), rows)  # type: ignore[no-any-return]


def _full(x: Tensor) -> Tensor:
    """Sums over many edges are made in single precision at least, also under autocast."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _kernels(block: Block) -> Any:
    return dgl_sums if block.kernels == "dgl" else torch_sums
