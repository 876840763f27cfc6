"""Scores of a pair of drugs in a cell line from three vectors."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from l2aco.models.dropout import Dropout


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
        of_drugs = mapped(self.drug, drug, torch.cat([a, b])).view(2, len(a), self.drug.out_features)
        of_cells = mapped(self.cell, cell, c)
        block = 2 * self.hidden
        if not self.symmetric:
            first, second = of_drugs[0, :, :block], of_drugs[1, :, block:]
            return self.out(self.dropout(_residual(first + second + of_cells))).squeeze(-1)
        first, second, pair = of_drugs.split([block, block, self.hidden], dim=-1)
        line, context = of_cells.split([block, self.hidden], dim=-1)
        hidden = _residual(first + second.flip(0) + line)
        joint = pair[0] * pair[1] * (1 + torch.tanh(context))
        return self.out(self.dropout(torch.cat([hidden.mean(0), joint], dim=1))).squeeze(-1)


def _residual(x: Tensor) -> Tensor:
    gate, skip = torch.chunk(x, 2, dim=-1)
    return F.relu(gate) + skip


def mapped(layer: nn.Linear, table: Tensor, rows: Tensor) -> Tensor:
    """The layer's output for rows of table (n, d): gathered first where that maps fewer vectors."""
    if len(rows) < len(table):
        return layer(table.index_select(0, rows))  # type: ignore[no-any-return]
    return layer(table).index_select(0, rows)  # type: ignore[no-any-return]
