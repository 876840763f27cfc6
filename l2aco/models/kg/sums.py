"""The two primitives of message passing on a block: a weighted sum, and an attention-weighted sum.

Both run on CSR with a stored transpose, so that neither direction materialises a message an edge. On a CPU, sums into
few targets run in compiled `loops`; other weighted sums are `embedding_bag`, which beats the sparse matrix product of
torch several times over on such blocks.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from l2aco.models.compiled import sums as loops
from l2aco.models.compiled.compile import for_cpu
from l2aco.models.kg.blocks import Block, Edges, Restricted

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")


def of_engine(engine: str) -> Any:
    """The module whose `weighted_sum` and `attention_sum` run an engine: this one, or the one on DGL."""
    return importlib.import_module("l2aco.models.kg.dgl_sums" if engine == "dgl" else __name__)


def segment_sum(x: Tensor, index: Tensor, pointers: Tensor, weight: Tensor | None = None) -> Tensor:
    """(n, d), without a gradient: row i sums weight[k] * x[index[k]] over k in [pointers[i], pointers[i + 1])."""
    if not index.numel():
        return x.new_zeros(pointers.numel() - 1, x.shape[1])
    # detached: a table that asks for gradients makes embedding_bag prepare a backward pass of its own
    table = x.detach().contiguous()
    return torch.embedding_bag(table, index, pointers, False, 0, False, weight, True)[0]


def by_loops(block: Edges, *tensors: Tensor) -> bool:
    """Whether a sum runs in the compiled loops: on a CPU where targets are few, so that what leads to them stays in the
    cache, or edges are. A sum over a whole graph is faster by torch."""
    if isinstance(block, Restricted):
        return True
    few = 4 * block.num_dst < block.num_src or block.num_edges < 2**14
    return few and for_cpu(*tensors)


def weighted_sum(block: Edges, x: Tensor) -> Tensor:
    """(num_dst, d): the block's weighted sum (plain where it has no weights) of x (num_src, d)."""
    if by_loops(block, x):
        return loops.weighted_sum(block, full(x))
    whole = block.whole
    edges = whole.weight, whole.weight_t, whole.col, whole.rowptr, whole.row_t, whole.rowptr_t
    return _WeightedSum.apply(x, *edges)  # type: ignore[no-any-return]


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        weight_t: Tensor | None,
        col: Tensor,
        rowptr: Tensor,
        row_t: Tensor,
        rowptr_t: Tensor,
    ) -> Tensor:
        ctx.transpose = (row_t, rowptr_t, weight_t)
        return segment_sum(x, col, rowptr, _as(weight, x))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        row_t, rowptr_t, weight_t = ctx.transpose
        return segment_sum(grad, row_t, rowptr_t, _as(weight_t, grad)), *[None] * 6


def attention_sum(
    block: Edges,
    x: Tensor,
    source_logit: Tensor,
    target_logit: Tensor,
    *,
    slope: float,
    dropout: float = 0.0,
) -> Tensor:
    """Attention over in-edges (Velickovic et al. 2018), (num_dst, H, D).

    The weight of edge j -> i is the softmax over i's in-edges of LeakyReLU(source_logit[j] + target_logit[i]);
    `x` (num_src, H, D); logits (num_src * kinds, H) and (num_dst, H). `dropout` drops attention weights.
    """
    return _attention(block, x, source_logit, target_logit, slope, dropout, mapped=False)


def input_attention_sum(
    block: Edges, x: Tensor, source_map: Tensor, target_logit: Tensor, *, slope: float, dropout: float = 0.0
) -> Tensor:
    """`attention_sum` of inputs that all heads share: (num_dst, H, D) from x (num_src, D), whose logits are
    x @ source_map (D, kinds * H). One pass over x, and one over its gradient.
    """
    return _attention(block, x.unsqueeze(1), source_map, target_logit, slope, dropout, mapped=True)


def _attention(
    block: Edges, x: Tensor, source: Tensor, target_logit: Tensor, slope: float, dropout: float, *, mapped: bool
) -> Tensor:
    x, source, target_logit = full(x), full(source), full(target_logit)
    mask = F.dropout(target_logit.new_ones(block.whole.num_edges, target_logit.shape[1]), dropout) if dropout else None
    with torch.autocast(x.device.type, enabled=False):
        if by_loops(block, x, source, target_logit):
            return loops.AttentionSum.apply(x, source, target_logit, mask, slope, block, mapped)  # type: ignore[no-any-return]
        return _AttentionSum.apply(x, source, target_logit, mask, slope, block, mapped)  # type: ignore[no-any-return]


def full(x: Tensor) -> Tensor:
    """Sums over many edges are made in single precision at least, also under autocast."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class _AttentionSum(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        source: Tensor,
        target_logit: Tensor,
        mask: Tensor | None,
        slope: float,
        block: Block,
        mapped: bool,
    ) -> Tensor:
        source_logit = (x[:, 0] @ source).view(-1, target_logit.shape[1]) if mapped else source
        raw = source_logit.index_select(0, block.slot) + target_logit.index_select(0, block.row)
        share = segment_softmax(F.leaky_relu(raw, slope), block)
        used = share if mask is None else share * mask
        inputs = x.transpose(0, 1).contiguous()
        out = x.new_empty(used.shape[1], block.num_dst, inputs.shape[2])
        for head, weights in enumerate(used.T.contiguous()):
            out[head] = segment_sum(inputs[head % len(inputs)], block.col, block.rowptr, weights)
        ctx.save_for_backward(inputs, raw, share, used, mask, source if mapped else None)
        ctx.slope, ctx.block = slope, block
        return out.transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        inputs, raw, share, used, mask, source_map = ctx.saved_tensors
        block, slope = ctx.block, ctx.slope
        grads = grad.transpose(0, 1).contiguous()
        grad_share = torch.stack(
            [edge_products(block, grads[head], inputs[head % len(inputs)]) for head in range(len(grads))], dim=1
        )
        grad_x = _to_sources(block, grads, used.index_select(0, block.perm), shared=len(inputs) == 1)
        if mask is not None:
            grad_share = grad_share * mask
        flow = share * grad_share
        total = segment_sum(flow, _edges(block), block.rowptr)
        grad_raw = flow - share * total.index_select(0, block.row)
        grad_raw = torch.where(raw > 0, grad_raw, grad_raw * slope)
        to_source = segment_sum(grad_raw, block.perm, block.slotptr)
        to_target = segment_sum(grad_raw, _edges(block), block.rowptr)
        if source_map is not None:
            by_source = to_source.view(block.num_src, -1)
            grad_x[:, 0].addmm_(by_source, source_map.T)
            to_source = (by_source.T @ inputs[0]).T
        return grad_x, to_source, to_target, *[None] * 4


def _to_sources(block: Block, grads: Tensor, weights: Tensor, *, shared: bool) -> Tensor:
    """Messages back along the edges: (num_src, 1 or H, D) from (H, num_dst, D) and weights (E, H) by source."""
    if shared:
        heads = torch.arange(len(grads), device=grads.device)
        index = (block.row_t.unsqueeze(1) + heads * block.num_dst).flatten()
        return segment_sum(grads.flatten(0, 1), index, block.rowptr_t * len(grads), weights.flatten()).unsqueeze(1)
    parts = zip(grads, weights.T.contiguous(), strict=True)
    return torch.stack([segment_sum(part, block.row_t, block.rowptr_t, weight) for part, weight in parts], dim=1)


def segment_softmax(logits: Tensor, block: Block) -> Tensor:
    """Softmax of (E, H) over the in-edges of every target."""
    if not block.num_edges:
        return logits
    top = torch.segment_reduce(logits, "max", offsets=block.rowptr, axis=0, unsafe=True)
    exp = (logits - top.index_select(0, block.row)).exp_()
    total = segment_sum(exp, _edges(block), block.rowptr)
    return exp.div_(total.index_select(0, block.row))


def edge_products(block: Block, target: Tensor, source: Tensor) -> Tensor:
    """(E,): the inner product of target[row] and source[col] at every edge."""
    if not block.num_edges:
        return target.new_zeros(0)
    shape = (block.num_dst, block.num_src)
    zeros = target.new_zeros(block.num_edges)
    pattern = torch.sparse_csr_tensor(block.rowptr, block.col, zeros, shape, check_invariants=False)
    return torch.sparse.sampled_addmm(pattern, target, source.T, beta=0.0).values()


def _edges(block: Block) -> Tensor:
    return torch.arange(block.num_edges, device=block.col.device)


def _as(weight: Tensor | None, x: Tensor) -> Tensor | None:
    return weight if weight is None or weight.dtype == x.dtype else weight.to(x.dtype)
