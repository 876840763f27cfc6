"""Attention over the in-edges of a block and its gradient; `kg.sums` says what they compute.

Arrays are those of a `Block`, by target (`rowptr`, `slot`) and by source (`rowptr_t`, `slotptr`, `row_t`, `perm`).
`x` (num_src, 1 or H, D) are the sources' inputs; `place` (num_dst) says where each target stands in the result, -1 for
those that are not asked for. Sources are read in their order, once, and what leads to the targets stays in the cache.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from l2aco.models.compiled.compile import compiled


@compiled
def map_inputs(slotptr: Any, x: Any, source_map: Any, logits: Any) -> None:
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
def attention_shares(
    rowptr: Any, slot: Any, place: Any, source_logit: Any, target_logit: Any, slope: Any, raw: Any, share: Any
) -> None:
    """Raw logits and their softmax (E, H) over the edges into each target."""
    zero = raw.dtype.type(0)
    for target in range(len(place)):
        if place[target] < 0:
            continue
        first, last = rowptr[target], rowptr[target + 1]
        for head in range(raw.shape[1]):
            own, top, total = target_logit[target, head], raw.dtype.type(-np.inf), zero
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
def mix(rowptr_t: Any, row_t: Any, perm: Any, place: Any, used: Any, x: Any, out: Any) -> None:
    """Add to `out` (num_dst, H, D) the inputs by the weights `used` (E, H)."""
    for source in range(len(x)):
        for k in range(rowptr_t[source], rowptr_t[source + 1]):
            target, edge = place[row_t[k]], perm[k]
            if target >= 0:
                for head in range(used.shape[1]):
                    own, values, factor = out[target, head], x[source, head % x.shape[1]], used[edge, head]
                    for j in range(len(own)):
                        own[j] += factor * values[j]


@compiled
def mix_gradients(
    rowptr_t: Any, row_t: Any, perm: Any, place: Any, used: Any, x: Any, grad: Any, to_used: Any, to_x: Any
) -> None:
    """Gradients of `used` (E, H), zero before, and of x, of the latter only what does not come by the logits."""
    zero = x.dtype.type(0)
    for source in range(len(x)):
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
def share_gradients(rowptr: Any, place: Any, raw: Any, share: Any, slope: Any, to_share: Any, to_target: Any) -> None:
    """Through softmax and LeakyReLU: `to_share` (E, H) becomes the gradient of the raw logits, summed by target."""
    zero = raw.dtype.type(0)
    for target in range(len(place)):
        if place[target] < 0:
            continue
        first, last = rowptr[target], rowptr[target + 1]
        for head in range(raw.shape[1]):
            mean, total = zero, zero
            for edge in range(first, last):
                mean += share[edge, head] * to_share[edge, head]
            for edge in range(first, last):
                flow = share[edge, head] * (to_share[edge, head] - mean)
                flow = flow if raw[edge, head] > zero else flow * slope
                to_share[edge, head] = flow
                total += flow
            to_target[target, head] = total


@compiled
def slot_gradients(slotptr: Any, perm: Any, to_raw: Any, to_slots: Any) -> None:
    """The gradient of the raw logits (E, H), summed by slot."""
    for slot in range(len(to_slots)):
        to_slots[slot] = 0
        for k in range(slotptr[slot], slotptr[slot + 1]):
            to_slots[slot] += to_raw[perm[k]]


@compiled
def map_gradients(slotptr: Any, to_slots: Any, x: Any, source_map: Any, to_x: Any, to_map: Any) -> None:
    """Add to the gradients of x (num_src, D) and of source_map (kinds * H, D) what comes by the logits."""
    heads = to_slots.shape[1]
    kinds = len(source_map) // heads
    for slot in range(len(to_slots)):
        if slotptr[slot] < slotptr[slot + 1]:
            values, own, first = x[slot // kinds], to_x[slot // kinds], slot % kinds * heads
            for head in range(heads):
                weights, to_weights, flow = source_map[first + head], to_map[first + head], to_slots[slot, head]
                if flow != 0:  # most are where few targets are asked for
                    for j in range(len(values)):
                        own[j] += flow * weights[j]
                    for j in range(len(values)):
                        to_weights[j] += flow * values[j]
