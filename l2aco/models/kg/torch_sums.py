"""The two sums on CSR with a stored transpose, so that neither direction materialises a message an edge.

`embedding_bag` of torch beats its sparse matrix product several times over on such blocks. On a CPU, attention into few
targets runs in compiled loops.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from l2aco.models.compiled import attention as loops
from l2aco.models.compiled.compile import array, for_cpu
from l2aco.models.kg.blocks import Attention, Block, picked

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")


def segment_sum(x: Tensor, index: Tensor, pointers: Tensor, weight: Tensor | None = None) -> Tensor:
    """(n, d), without a gradient: row i sums weight[k] * x[index[k]] over k in [pointers[i], pointers[i + 1])."""
    if not index.numel():
        return x.new_zeros(pointers.numel() - 1, x.shape[1])
    # detached: a table that asks for gradients makes embedding_bag prepare a backward pass of its own
    table = x.detach().contiguous()
    return torch.embedding_bag(table, index, pointers, False, 0, False, weight, True)[0]


def weighted_sum(block: Block, x: Tensor, rows: Tensor | None) -> Tensor:
    """See `sums.weighted_sum`."""
    return picked(_WeightedSum.apply(x, block), rows)


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, block: Block) -> Tensor:  # type: ignore[override]
        ctx.block = block
        return segment_sum(x, block.col, block.rowptr, _as(block.weight, x))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        block = ctx.block
        return segment_sum(grad, block.row_t, block.rowptr_t, _as(block.weight_t, grad)), None


def attention_sum(block: Block, given: Attention, rows: Tensor | None) -> Tensor:
    """See `sums.attention_sum`."""
    if block.kernels == "auto" and few_targets(block) and for_cpu(*given[:3]):
        return _CompiledAttentionSum.apply(*given, block, rows)  # type: ignore[no-any-return]
    return picked(_AttentionSum.apply(*given.by_logits(), block), rows)


def few_targets(block: Block) -> bool:
    """Whether what leads to the targets stays in the cache; a sum over a whole graph is faster by torch."""
    return 4 * block.num_dst < block.num_src or block.num_edges < 2**14


class _AttentionSum(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, source: Tensor, target_logit: Tensor, mask: Tensor | None, slope: float, block: Block
    ) -> Tensor:
        raw = source.index_select(0, block.slot) + target_logit.index_select(0, block.row)
        share = segment_softmax(F.leaky_relu(raw, slope), block)
        used = share if mask is None else share * mask
        inputs = x.transpose(0, 1).contiguous()
        out = x.new_empty(used.shape[1], block.num_dst, inputs.shape[2])
        for head, weights in enumerate(used.T.contiguous()):
            out[head] = segment_sum(inputs[head % len(inputs)], block.col, block.rowptr, weights)
        ctx.save_for_backward(inputs, raw, share, used, mask)
        ctx.slope, ctx.block = slope, block
        return out.transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        inputs, raw, share, used, mask = ctx.saved_tensors
        block, slope = ctx.block, ctx.slope
        grads = grad.transpose(0, 1).contiguous()
        grad_share = torch.stack(
            [edge_products(block, grads[head], inputs[head % len(inputs)]) for head in range(len(grads))], dim=1
        )
        if mask is not None:
            grad_share = grad_share * mask
        flow = share * grad_share
        total = segment_sum(flow, _edges(block), block.rowptr)
        grad_raw = flow - share * total.index_select(0, block.row)
        grad_raw = torch.where(raw > 0, grad_raw, grad_raw * slope)
        to_source = segment_sum(grad_raw, block.perm, block.slotptr)
        to_target = segment_sum(grad_raw, _edges(block), block.rowptr)
        grad_x = _to_sources(block, grads, used.index_select(0, block.perm), shared=len(inputs) == 1)
        return grad_x, to_source, to_target, *[None] * 3


class _CompiledAttentionSum(torch.autograd.Function):
    """The same in loops over arrays, of the targets at `rows`."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        source: Tensor,
        target_logit: Tensor,
        mask: Tensor | None,
        slope: float,
        block: Block,
        rows: Tensor | None,
    ) -> Tensor:
        inputs, heads = array(x if x.dim() == 3 else x.unsqueeze(1)), target_logit.shape[1]
        slope = inputs.dtype.type(slope)
        source_map, source_logit = None, array(source)
        if x.dim() == 2:
            source_map = array(source.T)
            source_logit = np.empty((block.num_src * block.kinds, heads), inputs.dtype)
            loops.map_inputs(array(block.slotptr), inputs[:, 0], source_map, source_logit)
        asked = np.arange(block.num_dst) if rows is None else array(rows)
        place = np.full(block.num_dst, -1)
        place[asked] = np.arange(len(asked))
        raw, share = np.zeros((2, block.num_edges, heads), inputs.dtype)
        edges = array(block.rowptr), array(block.slot), place
        loops.attention_shares(*edges, source_logit, array(target_logit), slope, raw, share)
        used = share if mask is None else share * array(mask)
        out = x.new_zeros(len(asked), heads, x.shape[-1])
        loops.mix(*_leaving(block), place, used, inputs, out.numpy())
        ctx.block, ctx.given = block, (place, inputs, source_map, raw, share, used, mask, slope)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        block, (place, inputs, source_map, raw, share, used, mask, slope) = ctx.block, ctx.given
        to_share, to_inputs = np.zeros_like(share), np.empty_like(inputs)
        loops.mix_gradients(*_leaving(block), place, used, inputs, array(grad), to_share, to_inputs)
        if mask is not None:
            to_share *= array(mask)
        to_target = np.zeros((block.num_dst, share.shape[1]), share.dtype)
        loops.share_gradients(array(block.rowptr), place, raw, share, slope, to_share, to_target)
        to_slots = np.empty((block.num_src * block.kinds, share.shape[1]), share.dtype)
        loops.slot_gradients(array(block.slotptr), array(block.perm), to_share, to_slots)
        gradients = to_inputs, to_slots, to_target
        if source_map is not None:
            to_x, to_map = to_inputs[:, 0], np.zeros_like(source_map)
            loops.map_gradients(array(block.slotptr), to_slots, inputs[:, 0], source_map, to_x, to_map)
            gradients = to_x, to_map.T, to_target
        return *map(torch.from_numpy, gradients), *[None] * 4


def _leaving(block: Block) -> tuple[np.ndarray, ...]:
    """The edges by source: pointers, targets, numbers of the edges."""
    return array(block.rowptr_t), array(block.row_t), array(block.perm)


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
