"""DeepDDS: graph convolutions or attention over molecules, dense layers over a cell line (Wang et al. 2022).

Both drugs share the encoder; a molecule is the maximum over its atoms. What is read of a cell line is chosen by
`cell_features`. A drug without a readable SMILES, and a line of which nothing is read, has a learned vector instead.

Differs from the paper and its code: each molecule is encoded once a step, however often the drug occurs; hidden units
of the first layer behind the concatenation are averaged over the two orders of the drugs; expression is brought to
zero mean and unit variance on training lines after a logarithm, instead of to rows of length one; one logit instead
of two. Behind the attention encoder the code is wider (cell line 2048, 512, 256; then 2048, 512, 128, of a
concatenation of length one), here both encoders have the widths of the convolutions. `faithful` restores all but the
first and the logit. The code also chooses the epoch by test rows.

Shapes: atoms (A, 78) -> drug (Nd, 128); cell line (Nc, F) -> (Nc, 128); concatenation (B, 384) -> 512 -> 128 -> (B,).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from l2aco.data.features.molecule_graphs import ATOM_FEATURES
from l2aco.models.base import Backbone, Tables
from l2aco.models.config import CELL_FEATURES, FeatureConfig
from l2aco.models.dropout import Dropout
from l2aco.models.inputs import Inputs
from l2aco.models.kg.convs import BlockGATConv, BlockGCNConv
from l2aco.models.molecules import MoleculeBatch, Molecules, batched
from l2aco.models.reading import cell_reading
from l2aco.models.recipe import Recipe
from l2aco.models.towers import Read, Unread, dense, stand_in


class DeepDDS(Backbone):
    """See the module."""

    citation = "Wang et al. DeepDDS: deep graph neural network with attention mechanism. Brief. Bioinform. 2022."
    requires = frozenset({"molecule_graphs"})
    uses = frozenset(CELL_FEATURES)
    encodes_all = False
    recipe = Recipe(batch_size=256, learning_rate=5e-4, epochs=200)
    recipe_faithful = Recipe(batch_size=128, learning_rate=5e-4, epochs=200)

    class Config(FeatureConfig):
        encoder: Literal["gat", "gcn"] = "gat"
        """Of molecules: attention, or convolutions."""
        out: int = Field(default=128, ge=1)
        """Width of the representations that are aligned and scored."""
        heads: int = Field(default=10, ge=1)
        """Of the first layer of attention, each `out` wide."""
        dropout: float = Field(default=0.2, ge=0, lt=1)

    config: Config

    def __init__(self, inputs: Inputs, config: Config) -> None:
        super().__init__(inputs, config)
        as_published = config.faithful and config.encoder == "gat"
        of_cells, of_triples = ((2048, 512), (2048, 512, 128)) if as_published else ((512, 256), (512, 128))
        self.drug_width, self.cell_width = config.out, (2 if as_published else 1) * config.out
        self.molecules = Molecules(inputs.features["molecule_graphs"])
        self.molecule = MoleculeAttention(config) if config.encoder == "gat" else MoleculeConvolutions(config)
        self.read = Read(cell_reading(inputs, config, unit=config.faithful), inputs)
        self.cell = dense((self.read.width, *of_cells, self.cell_width), config.dropout if as_published else 0.0)
        if as_published:
            self.cell.append(nn.ReLU())
        self.of_drugs = Unread(torch.from_numpy(self.molecules.table.mask), self.drug_width)
        self.of_cells = Unread(self.read.known, self.cell_width)
        self.head = TripleHead(
            config.out, self.cell_width, of_triples, config.dropout, symmetric=not config.faithful, unit=as_published
        )

    def encode(self, drugs: Tensor | None = None, cells: Tensor | None = None) -> Tables:
        batch = self.molecules.batch(drugs, self.read.values)
        return Tables(self.of_drugs(self.molecule(batch), drugs), self.of_cells(self.cell(self.read(cells)), cells))

    def score(self, tables: Tables, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return self.head(tables.drug, tables.cell, a, b, c)

    def measured(self) -> tuple[Tensor, Tensor]:
        """Drugs with a molecule, cell lines of which something is read."""
        return self.of_drugs.known.cpu(), self.of_cells.known.cpu()

    def newcomers(self, inputs: Inputs, usual: Tables) -> tuple[Tables, Tensor, Tensor]:
        table = inputs.features["molecule_graphs"]
        values, cell_known = self.read.newcomers(inputs)
        drug_known = torch.from_numpy(table.mask)
        drug = self.molecule(batched(table, np.arange(inputs.num_drugs), values))
        tables = Tables(stand_in(drug_known, drug, usual.drug), stand_in(cell_known, self.cell(values), usual.cell))
        return tables, drug_known, cell_known


class MoleculeConvolutions(nn.Module):
    """Three graph convolutions (78, 156, 312 wide), the maximum over atoms, dense layers."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = ATOM_FEATURES
        widths = ((width, width), (width, 2 * width), (2 * width, 4 * width))
        self.convs = nn.ModuleList(BlockGCNConv(*each) for each in widths)
        self.dense = dense((4 * width, 2 * width, config.out), config.dropout)
        self.dropout = Dropout(config.dropout)

    def forward(self, batch: MoleculeBatch) -> Tensor:
        x = batch.atoms
        for conv in self.convs:
            x = F.relu(conv(x, batch.bonds))
        return self.dropout(self.dense(batch.strongest(x)))


class MoleculeAttention(nn.Module):
    """Two layers of attention over bonds, the maximum over atoms, a dense layer."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        inner = config.heads * config.out
        self.convs = nn.ModuleList(
            (
                BlockGATConv(ATOM_FEATURES, inner, config.heads, config.dropout),
                BlockGATConv(inner, config.out, 1, config.dropout),
            )
        )
        self.dense = nn.Linear(config.out, config.out)
        self.dropout = Dropout(config.dropout)

    def forward(self, batch: MoleculeBatch) -> Tensor:
        x = batch.atoms
        for conv in self.convs:
            x = self.dropout(F.elu(conv(x, batch.bonds)))
        return F.relu(self.dense(batch.strongest(x)))


class TripleHead(nn.Module):
    """Dense layers over the concatenation of drug, drug and cell line, brought to length one with `unit`.

    The first maps each part once an entity. With `symmetric` its hidden units are averaged over both orders.
    """

    def __init__(
        self, drug: int, cell: int, widths: tuple[int, ...], dropout: float, *, symmetric: bool, unit: bool
    ) -> None:
        super().__init__()
        self.symmetric, self.unit = symmetric, unit
        self.parts = [drug, drug, cell]
        self.first = nn.Linear(sum(self.parts), widths[0])
        self.dropout = Dropout(dropout)
        self.rest = dense((*widths, 1), dropout)

    def forward(self, drug: Tensor, cell: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Logits (B,) from tables drug (Nd, d), cell (Nc, c) and rows a, b, c (B,)."""
        of_first, of_second, of_cell = self.first.weight.split(self.parts, dim=1)
        first, second, line = F.linear(drug, of_first), F.linear(drug, of_second), F.linear(cell, of_cell)[c]
        length = self._length(drug, cell, a, b, c)
        hidden = F.relu((first[a] + second[b] + line) / length + self.first.bias)
        if self.symmetric:
            hidden = (hidden + F.relu((first[b] + second[a] + line) / length + self.first.bias)) / 2
        return self.rest(self.dropout(hidden)).squeeze(-1)

    def _length(self, drug: Tensor, cell: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        if not self.unit:
            return drug.new_ones(1)
        squares = drug.square().sum(1), cell.square().sum(1)
        return (squares[0][a] + squares[0][b] + squares[1][c]).clamp_min(1e-24).sqrt().unsqueeze(1)
