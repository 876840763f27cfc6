"""Scores of a pair of drugs in a cell line from three vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from l2aco.models.compiled.compile import array, for_cpu
from l2aco.models.compiled.pairs import pair_gradients, pair_logits
from l2aco.models.dropout import Dropout, byte_cut, random_bytes


class PairHead(nn.Module):
    """Concatenation of drug, drug and cell line, a residual linear block, a linear logit, and what pairs do.

    x = [h_a, h_b, h_c]; block(x) = ReLU(W x + w) + S x; logit = v . dropout(block(x)) + u. A linear map of a
    concatenation is a sum of maps of its parts, so each part is mapped once an entity and gathered, not once a
    triple. With `symmetric` the block is averaged over the two orders of the drugs, which is exact, and a term
    z . dropout(P h_a * P h_b * (1 + tanh(Q h_c))) is added: what two drugs do together, which a sum over drugs
    cannot hold, and how the cell line changes it.

    `drug` holds the rows of (W, S) for the first drug, then for the second, then P; `cell` those of (W, S), then Q;
    `out` v, then z.
    """

    def __init__(self, drug_width: int, cell_width: int, hidden: int, dropout: float, *, symmetric: bool) -> None:
        super().__init__()
        self.symmetric, self.hidden = symmetric, hidden
        parts = 2 if symmetric else 1
        self.drug = nn.Linear(drug_width, (3 + parts) * hidden, bias=False)
        self.cell = nn.Linear(cell_width, (1 + parts) * hidden)
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(parts * hidden, 1)
        # every map starts as a linear layer of its own would: the residual block's input is the concatenation
        block = 1 / math.sqrt(2 * drug_width + cell_width)
        with torch.no_grad():
            for values in (
                self.drug.weight[: 4 * hidden],
                self.cell.weight[: 2 * hidden],
                self.cell.bias[: 2 * hidden],
            ):
                values.uniform_(-block, block)
            for values in self.out.parameters():
                values.uniform_(-1 / math.sqrt(hidden), 1 / math.sqrt(hidden))

    def forward(self, drug: Tensor, cell: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Logits (B,) from tables drug (Nd, d), cell (Nc, c) and rows a, b, c (B,)."""
        if self.symmetric and for_cpu(drug, cell, self.out.weight) and not torch.is_autocast_enabled("cpu"):
            maps = self.drug.weight, self.cell.weight, self.cell.bias, self.out.weight, self.out.bias
            rate = self.dropout.p if self.training else 0.0
            return _PairLogits.apply(drug, cell, *maps, a, b, c, rate)  # type: ignore[no-any-return]
        hidden = self._hidden(self.drug(drug), self.cell(cell), a, b, c)
        return self.out(self.dropout(hidden)).squeeze(-1)

    def _hidden(self, of_drugs: Tensor, of_cells: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Hidden units (B, h), or (B, 2h) of a symmetric head, from the mapped tables."""
        of_pairs = of_drugs.index_select(0, torch.cat([a, b])).view(2, len(a), -1)
        of_lines, block = of_cells.index_select(0, c), 2 * self.hidden
        if not self.symmetric:
            return _residual(of_pairs[0, :, :block] + of_pairs[1, :, block : 2 * block] + of_lines[:, :block])
        first, second, pair = of_pairs.split([block, block, self.hidden], dim=-1)
        line, context = of_lines.split([block, self.hidden], dim=-1)
        hidden = _residual(first + second.flip(0) + line)
        joint = pair[0] * pair[1] * (1 + torch.tanh(context))
        return torch.cat([hidden.mean(0), joint], dim=1)


class _PairLogits(torch.autograd.Function):
    """Logits (B,) of the symmetric head for rows a, b, c (B,) of the tables drug (Nd, d) and cell (Nc, c).

    The weights are those of `PairHead`: `of_drug` maps a drug to gate and skip as the first, gate and skip as the
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
        if not pair_logits(*given, logits.numpy()):
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
        pair_gradients(*ctx.given, array(grad), *grads)
        to_drugs, to_cells, to_out = map(torch.from_numpy, grads)
        weights = to_drugs.T @ drug, to_cells.T @ cell, to_cells.sum(0), to_out.unsqueeze(0) * ctx.scale
        return to_drugs @ of_drug, to_cells @ of_cell, *weights, grad.sum(0, keepdim=True), *[None] * 4


def _residual(x: Tensor) -> Tensor:
    gate, skip = torch.chunk(x, 2, dim=-1)
    return F.relu(gate) + skip
