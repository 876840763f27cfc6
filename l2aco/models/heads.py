"""Scores of a pair of drugs in a cell line from three vectors."""

from __future__ import annotations

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
    """

    def __init__(self, drug_width: int, cell_width: int, hidden: int, dropout: float, *, symmetric: bool) -> None:
        super().__init__()
        self.symmetric = symmetric
        self.drug_width = drug_width
        # W and S together: the first `hidden` rows are W
        self.inner = nn.Linear(2 * drug_width + cell_width, 2 * hidden)
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(hidden, 1)
        if symmetric:
            self.pair = nn.Linear(drug_width, hidden, bias=False)
            self.context = nn.Linear(cell_width, hidden)
            self.joint = nn.Linear(hidden, 1, bias=False)

    def forward(self, drug: Tensor, cell: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Logits (B,) from tables drug (Nd, d), cell (Nc, d) and rows a, b, c (B,)."""
        first, second, third = self.inner.weight.split([self.drug_width, self.drug_width, cell.shape[1]], dim=1)
        as_first, as_second = drug @ first.T, drug @ second.T
        of_cell = (cell @ third.T + self.inner.bias).index_select(0, c)
        hidden = self._block(as_first.index_select(0, a) + as_second.index_select(0, b) + of_cell)
        if not self.symmetric:
            return self.out(self.dropout(hidden)).squeeze(-1)
        other = self._block(as_first.index_select(0, b) + as_second.index_select(0, a) + of_cell)
        paired = self.pair(drug)
        context = 1 + torch.tanh(self.context(cell))
        joint = paired.index_select(0, a) * paired.index_select(0, b) * context.index_select(0, c)
        return (self.out(self.dropout((hidden + other) / 2)) + self.joint(self.dropout(joint))).squeeze(-1)

    @staticmethod
    def _block(x: Tensor) -> Tensor:
        gate, skip = torch.chunk(x, 2, dim=-1)
        return F.relu(gate) + skip
