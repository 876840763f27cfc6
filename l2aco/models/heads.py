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
        if not self.symmetric:
            of_a, of_b = gathered(drug, first, a)[0], gathered(drug, second, b)[0]
            hidden = self._block(of_a + of_b + gathered(cell, third, c)[0] + self.inner.bias)
            return self.out(self.dropout(hidden)).squeeze(-1)
        double, single = first.shape[0], self.pair.out_features
        of_a, of_b = gathered(drug, torch.cat([first, second, self.pair.weight]), a, b)
        (of_c,) = gathered(cell, torch.cat([third, self.context.weight]), c)
        first_a, second_a, pair_a = of_a.split([double, double, single], dim=1)
        first_b, second_b, pair_b = of_b.split([double, double, single], dim=1)
        line, context = of_c.split([double, single], dim=1)
        line = line + self.inner.bias
        hidden = (self._block(first_a + second_b + line) + self._block(first_b + second_a + line)) / 2
        joint = pair_a * pair_b * (1 + torch.tanh(context + self.context.bias))
        return (self.out(self.dropout(hidden)) + self.joint(self.dropout(joint))).squeeze(-1)

    @staticmethod
    def _block(x: Tensor) -> Tensor:
        gate, skip = torch.chunk(x, 2, dim=-1)
        return F.relu(gate) + skip


def gathered(table: Tensor, weight: Tensor, *rows: Tensor) -> list[Tensor]:
    """The rows of table (n, d) mapped by weight (out, d): mapped before they are gathered where that is less work."""
    if sum(len(each) for each in rows) < len(table):
        return [table.index_select(0, each) @ weight.T for each in rows]
    mapped = table @ weight.T
    return [mapped.index_select(0, each) for each in rows]
