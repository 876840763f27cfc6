"""MatchMaker: each drug together with the cell line, then both together (Kuru et al. 2022).

A drug's network reads its descriptors beside what is read of the cell line; a second network reads what comes out for
both drugs. `drug_features` and `cell_features` choose what is read.

Differs from the paper and its code: one network for both drugs instead of two that see every pair in both orders; the
logit is the mean over both orders, as the code's last prediction is; a drug in a cell line goes through its network
once a step, however many rows hold it; RDKit's 2-D descriptors stand for those of ChemoPy; values go through tanh once
they are standardised, and are not standardised again; cross-entropy of labels instead of a weighted squared error of
scores; an eighth of the width. `faithful` has two networks, one order and the published widths (2048, 4096, 2048; 2048,
1024).

Shapes: descriptors (Nd, 215) -> (Nd, 1, 256), cell line (Nc, F) -> (Nc, 1, 256); their sum (pairs, 256) -> 512 -> 256;
both (B, 512) -> 256 -> 128 -> (B,).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from l2aco.models.base import Backbone, Tables
from l2aco.models.config import CELL_FEATURES, DRUG_FEATURES, FeaturesConfig
from l2aco.models.dropout import Dropout
from l2aco.models.inputs import Inputs
from l2aco.models.reading import cell_reading, drug_reading
from l2aco.models.recipe import Recipe
from l2aco.models.towers import Read, Unread, dense, stand_in


class MatchMaker(Backbone):
    """See the module."""

    citation = "Kuru et al. MatchMaker: a deep learning framework for drug synergy prediction. TCBB 2022."
    uses = frozenset({*CELL_FEATURES, *DRUG_FEATURES})
    encodes_all = False
    stochastic_encode = False
    recipe = Recipe(batch_size=512, learning_rate=1e-3, epochs=200)
    recipe_faithful = Recipe(batch_size=128, learning_rate=1e-4, epochs=1000, patience=100)

    class Config(FeaturesConfig):
        published: ClassVar[Mapping[str, Any]] = {"hidden": 2048}
        hidden: int = Field(default=256, ge=2)
        """Width of the representations that are aligned, and of the layers but one, which is twice as wide. The paper's
        2048, which `faithful` takes where no other is given, takes fifty times as long."""
        input_dropout: float = Field(default=0.2, ge=0, lt=1)
        """Behind the first layer."""
        dropout: float = Field(default=0.5, ge=0, lt=1)
        """Behind the others."""

    config: Config

    def __init__(self, inputs: Inputs, config: Config) -> None:
        super().__init__(inputs, config)
        width = config.hidden
        self.drug_width = self.cell_width = width
        self.networks = 2 if config.faithful else 1
        self.read_drug = Read(drug_reading(inputs, config), inputs)
        self.read_cell = Read(cell_reading(inputs, config), inputs)
        self.drug = nn.Linear(self.read_drug.width, self.networks * width, bias=False)
        self.cell = nn.Linear(self.read_cell.width, self.networks * width)
        self.of_drugs = Unread(self.read_drug.known, width)
        self.of_cells = Unread(self.read_cell.known, width)
        self.first = nn.Sequential(nn.ReLU(), Dropout(config.input_dropout))
        self.deeper = nn.ModuleList(dense((width, 2 * width, width), config.dropout) for _ in range(self.networks))
        self.pair = PairNetwork(width, config.dropout)

    def encode(self, drugs: Tensor | None = None, cells: Tensor | None = None) -> Tables:
        drug = self._mapped(self.drug, self.read_drug(drugs))
        cell = self._mapped(self.cell, self.read_cell(cells))
        return Tables(self.of_drugs(drug, drugs), self.of_cells(cell, cells))

    def score(self, tables: Tables, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        if self.config.faithful:
            first, second = (self._together(tables, drug, c, which) for which, drug in enumerate((a, b)))
            return self.pair(first, second)
        both, at = torch.cat([a * len(tables.cell) + c, b * len(tables.cell) + c]).unique(return_inverse=True)
        drug, cell = both // len(tables.cell), both % len(tables.cell)
        together = self._together(tables, drug, cell, 0)
        first, second = (together.index_select(0, rows) for rows in at.view(2, len(a)))
        return (self.pair(first, second) + self.pair(second, first)) / 2

    def measured(self) -> tuple[Tensor, Tensor]:
        """Drugs and cell lines of which something is read."""
        return self.of_drugs.known.cpu(), self.of_cells.known.cpu()

    def newcomers(self, inputs: Inputs, usual: Tables) -> tuple[Tables, Tensor, Tensor]:
        (drug, drug_known), (cell, cell_known) = self.read_drug.newcomers(inputs), self.read_cell.newcomers(inputs)
        tables = Tables(
            stand_in(drug_known, self._mapped(self.drug, drug), usual.drug),
            stand_in(cell_known, self._mapped(self.cell, cell), usual.cell),
        )
        return tables, drug_known, cell_known

    def _mapped(self, layer: nn.Linear, values: Tensor) -> Tensor:
        """(n, networks, hidden): an entity's part of the first layer."""
        return layer(torch.tanh(values)).view(len(values), self.networks, self.config.hidden)

    def _together(self, tables: Tables, drug: Tensor, cell: Tensor, which: int) -> Tensor:
        """(n, hidden): what a network makes of drugs in cell lines, rows (n,) of the tables."""
        h = tables.drug[:, which].index_select(0, drug) + tables.cell[:, which].index_select(0, cell)
        return self.deeper[which](self.first(h))


class PairNetwork(nn.Module):
    """Both drugs, each in the cell line, to a logit: layers of one and of half the width."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(2 * width, width)
        self.dropout = Dropout(dropout)
        self.rest = dense((width, width // 2, 1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits (B,) of two (B, width)."""
        hidden = F.relu(self.first(torch.cat([first, second], dim=1)))
        return self.rest(self.dropout(hidden)).squeeze(-1)
