"""The two sums of message passing over a block, weighted and weighted by attention, by the kernels that it names.

Both take `rows`, int64: those of the targets that are asked for, of which alone the sums are returned (None: all).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from l2aco.models.kg import dgl_sums, torch_sums
from l2aco.models.kg.blocks import Block


def weighted_sum(block: Block, x: Tensor, rows: Tensor | None = None) -> Tensor:
    """(num_dst, d): the block's weighted sum (plain where it has no weights) of x (num_src, d)."""
    return _kernels(block).weighted_sum(block, _full(x), rows)  # type: ignore[no-any-return]


def attention_sum(
    block: Block,
    x: Tensor,
    source_logit: Tensor,
    target_logit: Tensor,
    rows: Tensor | None = None,
    *,
    slope: float,
    dropout: float = 0.0,
) -> Tensor:
    """Attention over in-edges (Velickovic et al. 2018), (num_dst, H, D).

    The weight of edge j -> i is the softmax over i's in-edges of LeakyReLU(source_logit[j] + target_logit[i]);
    `x` (num_src, H, D); logits (num_src * kinds, H) and (num_dst, H). `dropout` drops attention weights.
    """
    return _attention(block, x, source_logit, target_logit, rows, slope, dropout, mapped=False)


def input_attention_sum(
    block: Block,
    x: Tensor,
    source_map: Tensor,
    target_logit: Tensor,
    rows: Tensor | None = None,
    *,
    slope: float,
    dropout: float = 0.0,
) -> Tensor:
    """`attention_sum` of inputs that all heads share: (num_dst, H, D) from x (num_src, D), whose logits are
    x @ source_map (D, kinds * H). One pass over x, and one over its gradient.
    """
    return _attention(block, x.unsqueeze(1), source_map, target_logit, rows, slope, dropout, mapped=True)


def _attention(
    block: Block,
    x: Tensor,
    source: Tensor,
    target_logit: Tensor,
    rows: Tensor | None,
    slope: float,
    dropout: float,
    *,
    mapped: bool,
) -> Tensor:
    x, source, target_logit = map(_full, (x, source, target_logit))
    mask = F.dropout(target_logit.new_ones(block.num_edges, target_logit.shape[1]), dropout) if dropout else None
    with torch.autocast(x.device.type, enabled=False):
        given = block, x, source, target_logit, mask, slope, rows
        return _kernels(block).attention_sum(*given, mapped=mapped)  # type: ignore[no-any-return]


def _full(x: Tensor) -> Tensor:
    """Sums over many edges are made in single precision at least, also under autocast."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _kernels(block: Block) -> Any:
    return dgl_sums if block.kernels == "dgl" else torch_sums
