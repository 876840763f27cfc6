"""DFFNDDS: five views of two drugs and a cell line, which interact bit by bit and vector by vector (Xu et al. 2023).

A drug is a vector of its SMILES and its atom-pair fingerprint, a cell line what `cell_features` names; each is
projected to one width. A highway network over the flattened views and multi-head attention between them, each with a
tail of its own, are added to the views. Two stochastic passes are held together by a symmetric KL divergence.

`drug_features` is the vector of the SMILES: RDKit's descriptors, `smiles_model:MODEL` (a chemical language model of
Hugging Face, or a folder), or any feature that the data set brings.

Differs from the paper and its code: both drugs share their projections, and the logit is the mean over both orders;
descriptors stand for a language model fine-tuned on SMILES; a quarter of the width; one logit.
`faithful` has projections for each place, one order and the published widths. The code also leaves the dropout of
attention on when it predicts; ours never does.

Shapes: views (B, 5, 64) -> highway and attention (B, 320) -> (B,).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from l2aco.entities import EntityKind
from l2aco.models.base import Backbone, Tables
from l2aco.models.config import CELL_FEATURES, DRUG_FEATURES, FeaturesConfig
from l2aco.models.dropout import Dropout, dropout
from l2aco.models.inputs import Inputs
from l2aco.models.reading import Reading, cell_reading, drug_reading
from l2aco.models.recipe import Recipe
from l2aco.models.towers import Read, Unread, stand_in

VIEWS = 5
"""SMILES of the first and second drug, cell line, fingerprints of the first and second."""
SWAPPED = [1, 0, 2, 4, 3]
"""The views with the drugs in the other order."""


class DFFNDDS(Backbone):
    """See the module."""

    citation = "Xu et al. DFFNDDS: prediction of synergistic drug combinations with dual feature fusion. 2023."
    requires = frozenset({"atom_pair"})
    uses = frozenset({*CELL_FEATURES, *DRUG_FEATURES})
    encodes_all = False
    stochastic_encode = False
    passes = 2
    recipe = Recipe(optimiser="adamw", schedule="one-cycle", batch_size=256, learning_rate=1e-3, epochs=60)

    class Config(FeaturesConfig):
        published: ClassVar[Mapping[str, Any]] = {"width": 256, "tail": 1024}
        width: int = Field(default=64, ge=1)
        """Of a view. The paper's 256, which `faithful` takes where no other is given, takes ten times as long."""
        tail: int = Field(default=256, ge=1)
        """Hidden units behind the highway and behind attention (paper: 1024)."""
        heads: int = Field(default=4, ge=1)
        dropout: float = Field(default=0.5, ge=0, lt=1)
        r_drop: float = Field(default=5.0, ge=0)
        """Weight of the divergence between the two passes."""

        @model_validator(mode="after")
        def _heads_share_the_width(self) -> Self:
            if self.width % self.heads:
                raise ValueError(f"heads = {self.heads} do not divide width = {self.width}")
            return self

    config: Config

    def __init__(self, inputs: Inputs, config: Config) -> None:
        super().__init__(inputs, config)
        self.consistency_weight = config.r_drop
        self.drug_width = self.cell_width = config.width
        places = 2 if config.faithful else 1
        self.read_smiles = Read(drug_reading(inputs, config), inputs)
        self.read_bits = Read(Reading.fit(inputs, EntityKind.drug, "atom_pair"), inputs)
        self.read_cell = Read(cell_reading(inputs, config), inputs)
        self.smiles = nn.ModuleList(_projection(self.read_smiles.width, config.width) for _ in range(places))
        self.bits = nn.ModuleList(_projection(self.read_bits.width, config.width) for _ in range(places))
        self.cell = _projection(self.read_cell.width, config.width)
        self.of_drugs = Unread(self.read_smiles.known | self.read_bits.known, config.width)
        self.of_cells = Unread(self.read_cell.known, config.width)
        self.interaction = DualInteraction(config)
        self.norm = nn.LayerNorm(VIEWS * config.width)
        self.out = nn.Linear(VIEWS * config.width, 1)

    def encode(self, drugs: Tensor | None = None, cells: Tensor | None = None) -> Tables:
        views = self._views(self.read_smiles(drugs), self.read_bits(drugs))
        return Tables(self.of_drugs(views, drugs), self.of_cells(self.cell(self.read_cell(cells)), cells))

    def score(self, tables: Tables, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        first, second = tables.drug[a].chunk(len(self.smiles), 1)[0], tables.drug[b].chunk(len(self.smiles), 1)[-1]
        views = torch.stack([first[:, 0], second[:, 0], tables.cell[c], first[:, 1], second[:, 1]], dim=1)
        views = dropout(views, self.config.dropout, self.training)
        attended = self.interaction.attended(views)
        logits = self._logits(views, attended)
        return logits if self.config.faithful else (logits + self._logits(views[:, SWAPPED], attended[:, SWAPPED])) / 2

    def measured(self) -> tuple[Tensor, Tensor]:
        """Drugs and cell lines of which something is read."""
        return self.of_drugs.known.cpu(), self.of_cells.known.cpu()

    def newcomers(self, inputs: Inputs, usual: Tables) -> tuple[Tables, Tensor, Tensor]:
        (smiles, smiles_known), (bits, bits_known) = (
            read.newcomers(inputs) for read in (self.read_smiles, self.read_bits)
        )
        values, cell_known = self.read_cell.newcomers(inputs)
        drug_known = smiles_known | bits_known
        drug = stand_in(drug_known, self._views(smiles, bits), usual.drug)
        return Tables(drug, stand_in(cell_known, self.cell(values), usual.cell)), drug_known, cell_known

    def _views(self, smiles: Tensor, bits: Tensor) -> Tensor:
        """(n, 2, width), or (n, 4, width) where each place has its projections."""
        places = zip(self.smiles, self.bits, strict=True)
        return torch.stack([view for of_s, of_b in places for view in (of_s(smiles), of_b(bits))], dim=1)

    def _logits(self, views: Tensor, attended: Tensor) -> Tensor:
        return self.out(self.norm(self.interaction(views, attended))).squeeze(-1)


def _projection(source: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(source, width), nn.ReLU(), nn.LayerNorm(width))


class DualInteraction(nn.Module):
    """What views do bit by bit (a highway network) and vector by vector (attention), beside the views themselves."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, flat = config.width, VIEWS * config.width
        self.heads, self.rate = config.heads, config.dropout
        self.attention = nn.Linear(width, 4 * width, bias=False)
        self.highway = nn.ModuleList(Highway(flat, config.dropout) for _ in range(2))
        self.tails = nn.ModuleList(_tail(flat, config.tail, config.dropout) for _ in range(2))

    def attended(self, views: Tensor) -> Tensor:
        """Views (B, 5, d) after attention between them, plus a map of themselves."""
        rows, fields, width = views.shape
        *by_head, own = self.attention(views).chunk(4, dim=-1)
        q, k, v = (x.view(rows, fields, self.heads, width // self.heads).transpose(1, 2) for x in by_head)
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=self.rate if self.training else 0.0)
        return F.relu(mixed.transpose(1, 2).reshape(rows, fields, width) + own)

    def forward(self, views: Tensor, attended: Tensor) -> Tensor:
        """(B, 5 d) from views and attended views (B, 5, d)."""
        bits = flat = views.flatten(1)
        for layer in self.highway:
            bits = layer(bits)
        return flat + self.tails[0](bits) + self.tails[1](attended.flatten(1))


class Highway(nn.Module):
    """A gate between a rectified and a linear map."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.maps = nn.Linear(width, 3 * width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        gate, bent, straight = self.maps(x).chunk(3, dim=-1)
        return self.dropout(straight + gate.sigmoid() * (F.relu(bent) - straight))


def _tail(width: int, hidden: int, dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width), Dropout(dropout)
    )
