"""The pair head over triples on a CPU, in one pass forward and one back; `heads.PairHead` says what it computes.

No intermediate of a triple is stored: the backward pass computes it again from the tables, which stay in the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from l2aco.models.compiled.compile import array, compiled
from l2aco.models.compiled.dropout import byte_cut, random_bytes


class PairLogits(torch.autograd.Function):
    """Logits (B,) of the symmetric head for rows a, b, c (B,) of the tables drug (Nd, d) and cell (Nc, c).

    The weights are `heads.PairHead`'s: `of_drug` maps a drug to gate and skip as the first, gate and skip as the
    second, and the pair's factor (5h); `of_cell` a cell line to gate, skip and context (3h); `out` weighs the hidden
    units, what drugs do alone, then together (2h). A hidden unit is dropped with probability `rate`. Raises IndexError
    for rows outside the tables.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        drug: Tensor,
        cell: Tensor,
        of_drug: Tensor,
        of_cell: Tensor,
        cell_bias: Tensor,
        out: Tensor,
        out_bias: Tensor,
        a: Tensor,
        b: Tensor,
        c: Tensor,
        rate: float,
    ) -> Tensor:
        width = out.shape[1]
        cut, scale = byte_cut(rate) if rate else (0, 1.0)
        drawn = random_bytes(len(a), width) if rate else torch.zeros(1, width, dtype=torch.uint8)
        drugs, cells = array(drug @ of_drug.T), array(torch.addmm(cell_bias, cell, of_cell.T))
        given = (drugs, cells, np.tanh(cells[:, width:]), array(out)[0] * scale, *map(array, (a, b, c, drawn)), cut)
        logits = drug.new_empty(len(a))
        if not _forward(*given, logits.numpy()):
            raise IndexError(f"rows outside the tables of {len(drug)} drugs and {len(cell)} cell lines")
        ctx.save_for_backward(drug, cell, of_drug, of_cell)
        ctx.given, ctx.scale = given, scale
        return logits.add_(out_bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        drug, cell, of_drug, of_cell = ctx.saved_tensors
        drugs, cells, _, out = ctx.given[:4]
        grads = np.zeros_like(drugs), np.zeros_like(cells), np.zeros_like(out)
        _backward(*ctx.given, array(grad), *grads)
        to_drugs, to_cells, to_out = map(torch.from_numpy, grads)
        weights = to_drugs.T @ drug, to_cells.T @ cell, to_cells.sum(0), to_out.unsqueeze(0) * ctx.scale
        return to_drugs @ of_drug, to_cells @ of_cell, *weights, grad.sum(0, keepdim=True), *[None] * 4


@compiled
def _forward(
    drugs: Any, cells: Any, context: Any, out: Any, a: Any, b: Any, c: Any, drawn: Any, cut: int, logits: Any
) -> bool:
    zero, half, one = out.dtype.type(0), out.dtype.type(0.5), out.dtype.type(1)
    width = context.shape[1]
    for triple in range(len(a)):
        lowest, drug = min(a[triple], b[triple], c[triple]), max(a[triple], b[triple])
        if lowest < 0 or drug >= len(drugs) or c[triple] >= len(cells):
            return False
        u, v, line, tanh = drugs[a[triple]], drugs[b[triple]], cells[c[triple]], context[c[triple]]
        noise = drawn[triple if len(drawn) > 1 else 0]
        logit = zero
        for j in range(width):
            gates = max(u[j] + v[2 * width + j] + line[j], zero) + max(v[j] + u[2 * width + j] + line[j], zero)
            skips = u[width + j] + u[3 * width + j] + v[width + j] + v[3 * width + j] + 2 * line[width + j]
            logit += half * (gates + skips) * (out[j] if noise[j] >= cut else zero)
        for j in range(width):
            joint = u[4 * width + j] * v[4 * width + j] * (one + tanh[j])
            logit += joint * (out[width + j] if noise[width + j] >= cut else zero)
        logits[triple] = logit
    return True


@compiled
def _backward(
    drugs: Any,
    cells: Any,
    context: Any,
    out: Any,
    a: Any,
    b: Any,
    c: Any,
    drawn: Any,
    cut: int,
    grad: Any,
    to_drugs: Any,
    to_cells: Any,
    to_out: Any,
) -> None:
    zero, half, one = out.dtype.type(0), out.dtype.type(0.5), out.dtype.type(1)
    width = context.shape[1]
    # what one triple sends back; apart from the tables, so that the loops that compute it run as vector code
    first, second, both = np.empty(width, out.dtype), np.empty(width, out.dtype), np.empty(width, out.dtype)
    for triple in range(len(a)):
        u, v, line, tanh = drugs[a[triple]], drugs[b[triple]], cells[c[triple]], context[c[triple]]
        to_u, to_v, to_line = to_drugs[a[triple]], to_drugs[b[triple]], to_cells[c[triple]]
        noise = drawn[triple if len(drawn) > 1 else 0]
        for j in range(width):
            kept = half * (grad[triple] if noise[j] >= cut else zero)
            one_way, other_way = u[j] + v[2 * width + j] + line[j], v[j] + u[2 * width + j] + line[j]
            skips = u[width + j] + u[3 * width + j] + v[width + j] + v[3 * width + j] + 2 * line[width + j]
            to_out[j] += kept * (max(one_way, zero) + max(other_way, zero) + skips)
            both[j] = kept * out[j]
            first[j] = both[j] if one_way > zero else zero
            second[j] = both[j] if other_way > zero else zero
        for j in range(width):
            to_u[j] += first[j]
            to_u[2 * width + j] += second[j]
        for j in range(width):
            to_v[j] += second[j]
            to_v[2 * width + j] += first[j]
        for j in range(width):
            to_u[width + j] += both[j]
            to_u[3 * width + j] += both[j]
        for j in range(width):
            to_v[width + j] += both[j]
            to_v[3 * width + j] += both[j]
        for j in range(width):
            to_line[j] += first[j] + second[j]
            to_line[width + j] += 2 * both[j]
        for j in range(width):
            kept = grad[triple] if noise[width + j] >= cut else zero
            x, y, factor = u[4 * width + j], v[4 * width + j], one + tanh[j]
            to_out[width + j] += kept * x * y * factor
            kept *= out[width + j]
            first[j], second[j] = kept * y * factor, kept * x * factor
            both[j] = kept * x * y * (one - tanh[j] * tanh[j])
        for j in range(width):
            to_u[4 * width + j] += first[j]
        for j in range(width):
            to_v[4 * width + j] += second[j]
        for j in range(width):
            to_line[2 * width + j] += both[j]
