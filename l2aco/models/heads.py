"""Scores of a pair of drugs in a cell line from three vectors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PairHead(nn.Module):
    """Concatenation of drug, drug and cell line, a residual linear block, a linear logit.

    x = [h_a, h_b, h_c]; block(x) = ReLU(W x + w) + S x; logit = v . dropout(block(x)) + u. A linear map of a
    concatenation is a sum of maps of its parts, so each part is mapped once an entity and gathered, not once a
    triple. With `symmetric` the block is averaged over the two orders of the drugs, which is exact.
    """

    def __init__(self, drug_width: int, cell_width: int, hidden: int, dropout: float, *, symmetric: bool) -> None:
        super().__init__()
        self.symmetric = symmetric
        self.drug_width = drug_width
        # W and S together: the first `hidden` rows are W
        self.inner = nn.Linear(2 * drug_width + cell_width, 2 * hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, 1)

    def forward(self, drug: Tensor, cell: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Logits (B,) from tables drug (Nd, d), cell (Nc, d) and rows a, b, c (B,)."""
        first, second, third = self.inner.weight.split([self.drug_width, self.drug_width, cell.shape[1]], dim=1)
        as_first, as_second = drug @ first.T, drug @ second.T
        of_cell = (cell @ third.T + self.inner.bias).index_select(0, c)
        hidden = self._block(as_first.index_select(0, a) + as_second.index_select(0, b) + of_cell)
        if self.symmetric:
            other = self._block(as_first.index_select(0, b) + as_second.index_select(0, a) + of_cell)
            hidden = (hidden + other) / 2
        return self.out(self.dropout(hidden)).squeeze(-1)

    @staticmethod
    def _block(x: Tensor) -> Tensor:
        gate, skip = torch.chunk(x, 2, dim=-1)
        return F.relu(gate) + skip
