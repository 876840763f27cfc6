"""The two primitives of message passing on a CPU, compiled: the counterpart of `kernels` for what torch does in many
passes over memory.

Sources are read in their order, once, and what leads to a step's targets stays in the cache. Targets that a step does
not ask for are passed over: `place` is -1 for them, and no block of their own is made for a step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from l2aco.models.compiled.compile import array, compiled
from l2aco.models.kg.blocks import Edges, Merger


def weighted_sum(block: Edges, x: Tensor) -> Tensor:
    """See `kernels.weighted_sum`."""
    return _WeightedSum.apply(x, block)  # type: ignore[no-any-return]


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, block: Edges) -> Tensor:  # type: ignore[override]
        whole = block.whole
        weight = x.new_ones(whole.num_edges) if whole.weight_t is None else whole.weight_t.to(x.dtype)
        ctx.merger = whole.merger
        ctx.edges = (whole.host("rowptr_t"), whole.host("row_t"), array(weight), block.place)
        ctx.table = x if x.is_leaf else None
        out = x.new_zeros(block.num_dst, x.shape[1])
        _sum_to_targets(*ctx.edges, array(x), out.numpy())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gradient = Unwritten(ctx.edges, ctx.merger, array(grad))
        unwritten = getattr(ctx.table, "unwritten", None)
        if unwritten is None:
            return gradient.written(), None
        unwritten.append(gradient)
        return None, None


class Unwritten(NamedTuple):
    """The gradient of a table by a weighted sum, as what it is made of: the edges, and the gradient of the sums.

    A parameter that has a list `unwritten` gets it there instead of in `grad`, for an optimiser that makes each row
    where it uses it (`training.optim.TableAdam`): the whole of it is as large as the table, and to write and read it
    takes half as long as the update.
    """

    edges: tuple[np.ndarray, ...]
    """By source: pointers, targets, weights, and where each target stands in `grad`."""
    merger: Merger
    grad: np.ndarray

    @classmethod
    def total(cls, parts: Sequence[Unwritten], grad: Tensor | None) -> Unwritten:
        """The sum of several for one parameter, and of what stands in its `grad`."""
        if len(parts) == 1 and grad is None:
            return parts[0]
        written = [part.written() for part in parts] + ([] if grad is None else [grad])
        total = torch.stack(written).sum(0).numpy()
        rows = np.arange(len(total) + 1)
        return cls((rows, rows[:-1], np.ones_like(total[:, 0]), rows[:-1]), parts[0].merger, total)

    def written(self) -> Tensor:
        """(num_src, d)."""
        out = np.empty((len(self.edges[0]) - 1, self.grad.shape[1]), self.grad.dtype)
        _sum_to_sources(*self.edges, self.grad, out)
        return torch.from_numpy(out)

    def adam(
        self,
        table: Tensor,
        mean: Tensor,
        square: Tensor,
        betas: tuple[float, float],
        eps: float,
        rate: float,
        step: int,
    ) -> None:
        """One step of Adam (Kingma and Ba 2015) on the table and its two moments, in place.

        A row that stands for several nodes moves as the mean of theirs would: the gradient of a node is its share of
        the row's, and Adam takes gradients alike whatever their scale, but for `eps`.
        """
        kind = self.grad.dtype.type
        corrected = rate / (1 - betas[0] ** step), 1 / math.sqrt(1 - betas[1] ** step)
        tables = (x.detach().numpy() for x in (table, mean, square))  # never a copy: they are written to
        starts, share, together = self.merger.members
        factors = map(kind, (*betas, *corrected))
        _adam(*self.edges, self.grad, *tables, *factors, starts, (eps / share).astype(kind), together.astype(kind))


@compiled
def _sum_to_targets(rowptr_t: Any, row_t: Any, weight: Any, place: Any, x: Any, out: Any) -> None:
    for source in range(len(x)):
        values = x[source]
        for edge in range(rowptr_t[source], rowptr_t[source + 1]):
            target = place[row_t[edge]]
            if target >= 0:
                own, factor = out[target], weight[edge]
                for j in range(len(own)):
                    own[j] += factor * values[j]


@compiled
def _sum_to_sources(rowptr_t: Any, row_t: Any, weight: Any, place: Any, grad: Any, out: Any) -> None:
    for source in range(len(rowptr_t) - 1):
        own = out[source]
        own[:] = 0
        for edge in range(rowptr_t[source], rowptr_t[source + 1]):
            target = place[row_t[edge]]
            if target >= 0:
                values, factor = grad[target], weight[edge]
                for j in range(len(own)):
                    own[j] += factor * values[j]


@compiled
def _adam(
    rowptr_t: Any,
    row_t: Any,
    weight: Any,
    place: Any,
    grad: Any,
    table: Any,
    mean: Any,
    square: Any,
    beta1: Any,
    beta2: Any,
    rate: Any,
    scale: Any,
    starts: Any,
    eps: Any,
    together: Any,
) -> None:
    """Adam on every row: its gradient is summed as in `_sum_to_sources` (a call would slow the update) and never leaves
    the cache."""
    one, row = grad.dtype.type(1), np.empty(grad.shape[1], grad.dtype)
    for source in range(len(table)):
        row[:] = 0
        for edge in range(rowptr_t[source], rowptr_t[source + 1]):
            target = place[row_t[edge]]
            if target >= 0:
                values, factor = grad[target], weight[edge]
                for j in range(len(row)):
                    row[j] += factor * values[j]
        own, first, second = table[source], mean[source], square[source]
        for j in range(len(row)):
            first[j] = beta1 * first[j] + (one - beta1) * row[j]
            second[j] = beta2 * second[j] + (one - beta2) * row[j] * row[j]
        for member in range(starts[source], starts[source + 1]):
            part, least = rate * together[member], eps[member]
            for j in range(len(row)):
                own[j] -= part * first[j] / (math.sqrt(second[j]) * scale + least)


class AttentionSum(torch.autograd.Function):
    """`kernels.attention_sum`, or with `mapped` `kernels.input_attention_sum` of x (num_src, 1, D)."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        source: Tensor,
        target_logit: Tensor,
        mask: Tensor | None,
        slope: float,
        block: Edges,
        mapped: bool,
    ) -> Tensor:
        whole, heads = block.whole, target_logit.shape[1]
        inputs = array(x)
        if mapped:
            source_map = array(source.T)
            source_logit = np.empty((whole.num_src * whole.kinds, heads), inputs.dtype)
            _map_inputs(whole.host("slotptr"), inputs[:, 0], source_map, source_logit)
        else:
            source_map, source_logit = None, array(source)
        raw = np.empty((whole.num_edges, heads), inputs.dtype)
        share = np.zeros_like(raw)  # not empty: edges of other targets are multiplied by the mask, too
        into = whole.host("rowptr"), block.targets
        slope = inputs.dtype.type(slope)
        _shares(*into, whole.host("slot"), source_logit, array(target_logit), slope, raw, share)
        used = share if mask is None else share * array(mask)
        out = x.new_zeros(block.num_dst, heads, x.shape[2])
        if len(inputs) * inputs.shape[1] < len(out) * heads:  # what is read at random is the smaller of the two tables
            _mix_by_target(*into, whole.host("col"), used, inputs, out.numpy())
        else:
            _mix_by_source(*_leaving(block), used, inputs, out.numpy())
        ctx.block, ctx.given = block, (inputs, source_map, raw, share, used, mask, slope)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        block, (inputs, source_map, raw, share, used, mask, slope) = ctx.block, ctx.given
        whole, leaving = block.whole, _leaving(block)
        to_share, to_inputs = np.zeros_like(share), np.empty_like(inputs)
        _back_to_sources(*leaving, used, inputs, array(grad), to_share, to_inputs)
        if mask is not None:
            to_share *= array(mask)
        to_target = grad.new_zeros(block.num_dst, share.shape[1])
        _back_to_logits(whole.host("rowptr"), block.targets, raw, share, slope, to_share, to_target.numpy())
        if source_map is None:
            to_source = np.empty((whole.num_src * whole.kinds, share.shape[1]), share.dtype)
            _back_to_slots(whole.host("slotptr"), *leaving[1:], to_share, to_source)
            return torch.from_numpy(to_inputs), torch.from_numpy(to_source), to_target, *[None] * 4
        to_map = np.zeros_like(source_map)
        _back_to_map(whole.host("slotptr"), *leaving[1:], to_share, inputs[:, 0], source_map, to_inputs[:, 0], to_map)
        return torch.from_numpy(to_inputs), torch.from_numpy(to_map).T, to_target, *[None] * 4


def _leaving(block: Edges) -> tuple[np.ndarray, ...]:
    """The edges by source: pointers, targets, numbers of the edges, and where each target stands in the result."""
    return *map(block.whole.host, ("rowptr_t", "row_t", "perm")), block.place


@compiled
def _map_inputs(slotptr: Any, x: Any, source_map: Any, logits: Any) -> None:
    """Logits (slots, H) of the slots that have edges: x (num_src, D) times source_map (kinds * H, D)."""
    heads = logits.shape[1]
    kinds = len(source_map) // heads
    for slot in range(len(logits)):
        if slotptr[slot] < slotptr[slot + 1]:
            values, first = x[slot // kinds], slot % kinds * heads
            for head in range(heads):
                weights, total = source_map[first + head], x.dtype.type(0)
                for j in range(len(values)):
                    total += weights[j] * values[j]
                logits[slot, head] = total


@compiled
def _shares(
    rowptr: Any, targets: Any, slot: Any, source_logit: Any, target_logit: Any, slope: Any, raw: Any, share: Any
) -> None:
    """Raw logits and softmax (E, H) of the edges into the targets."""
    zero = raw.dtype.type(0)
    for place in range(len(targets)):
        first, last = rowptr[targets[place]], rowptr[targets[place] + 1]
        for head in range(raw.shape[1]):
            own, top, total = target_logit[place, head], raw.dtype.type(-np.inf), zero
            for edge in range(first, last):
                logit = source_logit[slot[edge], head] + own
                raw[edge, head] = logit
                logit = logit if logit > zero else logit * slope
                share[edge, head] = logit
                top = max(top, logit)
            for edge in range(first, last):
                share[edge, head] = math.exp(share[edge, head] - top)
                total += share[edge, head]
            for edge in range(first, last):
                share[edge, head] /= total


@compiled
def _mix_by_target(rowptr: Any, targets: Any, col: Any, used: Any, x: Any, out: Any) -> None:
    for place in range(len(targets)):
        for edge in range(rowptr[targets[place]], rowptr[targets[place] + 1]):
            for head in range(used.shape[1]):
                own, values, factor = out[place, head], x[col[edge], head % x.shape[1]], used[edge, head]
                for j in range(len(own)):
                    own[j] += factor * values[j]


@compiled
def _mix_by_source(rowptr_t: Any, row_t: Any, perm: Any, place: Any, used: Any, x: Any, out: Any) -> None:
    for source in range(len(rowptr_t) - 1):
        for k in range(rowptr_t[source], rowptr_t[source + 1]):
            target, edge = place[row_t[k]], perm[k]
            if target >= 0:
                for head in range(used.shape[1]):
                    own, values, factor = out[target, head], x[source, head % x.shape[1]], used[edge, head]
                    for j in range(len(own)):
                        own[j] += factor * values[j]


@compiled
def _back_to_sources(
    rowptr_t: Any, row_t: Any, perm: Any, place: Any, used: Any, x: Any, grad: Any, to_used: Any, to_x: Any
) -> None:
    """Gradients of `used` (E, H) and of x, of the latter only what does not come by the logits."""
    zero = x.dtype.type(0)
    for source in range(len(rowptr_t) - 1):
        to_x[source] = zero
        for k in range(rowptr_t[source], rowptr_t[source + 1]):
            target, edge = place[row_t[k]], perm[k]
            if target >= 0:
                for head in range(used.shape[1]):
                    own, values = to_x[source, head % x.shape[1]], x[source, head % x.shape[1]]
                    arriving, factor, product = grad[target, head], used[edge, head], zero
                    for j in range(len(own)):
                        product += arriving[j] * values[j]
                    for j in range(len(own)):
                        own[j] += factor * arriving[j]
                    to_used[edge, head] = product


@compiled
def _back_to_logits(rowptr: Any, targets: Any, raw: Any, share: Any, slope: Any, to_share: Any, to_target: Any) -> None:
    """Through softmax and LeakyReLU: `to_share` (E, H) becomes the gradient of the raw logits, summed by target."""
    zero = raw.dtype.type(0)
    for place in range(len(targets)):
        first, last = rowptr[targets[place]], rowptr[targets[place] + 1]
        for head in range(raw.shape[1]):
            mean, total = zero, zero
            for edge in range(first, last):
                mean += share[edge, head] * to_share[edge, head]
            for edge in range(first, last):
                flow = share[edge, head] * (to_share[edge, head] - mean)
                flow = flow if raw[edge, head] > zero else flow * slope
                to_share[edge, head] = flow
                total += flow
            to_target[place, head] = total


@compiled
def _back_to_slots(slotptr: Any, row_t: Any, perm: Any, place: Any, to_raw: Any, to_slots: Any) -> None:
    for slot in range(len(to_slots)):
        to_slots[slot] = 0
        for k in range(slotptr[slot], slotptr[slot + 1]):
            if place[row_t[k]] >= 0:
                to_slots[slot] += to_raw[perm[k]]


@compiled
def _back_to_map(
    slotptr: Any, row_t: Any, perm: Any, place: Any, to_raw: Any, x: Any, source_map: Any, to_x: Any, to_map: Any
) -> None:
    """Gradients of x (num_src, D) and of source_map (kinds * H, D) by the logits; the former is added."""
    heads, zero = to_raw.shape[1], x.dtype.type(0)
    kinds = len(source_map) // heads
    to_slot = np.empty(heads, x.dtype)
    for slot in range(len(slotptr) - 1):
        reached = False
        to_slot[:] = zero
        for k in range(slotptr[slot], slotptr[slot + 1]):
            if place[row_t[k]] >= 0:
                reached = True
                for head in range(heads):
                    to_slot[head] += to_raw[perm[k], head]
        if reached:
            values, own, first = x[slot // kinds], to_x[slot // kinds], slot % kinds * heads
            for head in range(heads):
                weights, to_weights, flow = source_map[first + head], to_map[first + head], to_slot[head]
                for j in range(len(values)):
                    own[j] += flow * weights[j]
                for j in range(len(values)):
                    to_weights[j] += flow * values[j]
