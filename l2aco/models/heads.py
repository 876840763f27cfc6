"""Scores of a pair of drugs in a cell line from three vectors."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from l2aco.models.compiled.compile import for_cpu
from l2aco.models.compiled.dropout import Dropout
from l2aco.models.compiled.pairs import PairLogits


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
        drug, a, b = needed(drug, a, b)
        cell, c = needed(cell, c)
        if self.symmetric and for_cpu(drug, cell, self.out.weight) and not torch.is_autocast_enabled("cpu"):
            maps = self.drug.weight, self.cell.weight, self.cell.bias, self.out.weight, self.out.bias
            rate = self.dropout.p if self.training else 0.0
            return PairLogits.apply(drug, cell, *maps, a, b, c, rate)  # type: ignore[no-any-return]
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


def _residual(x: Tensor) -> Tensor:
    gate, skip = torch.chunk(x, 2, dim=-1)
    return F.relu(gate) + skip


def needed(table: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
    """A table (n, d) and rows of it: just these rows, and where each stands in them, where they are fewer than all."""
    asked = sum(map(len, rows))
    if asked < len(table):
        places = torch.arange(asked, device=table.device).split([len(some) for some in rows])
        return table.index_select(0, torch.cat(rows)), *places
    return table, *rows
