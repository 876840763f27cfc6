"""HAN: hierarchical attention over a heterogeneous graph, and five fields that interact (HANSynergy).

Node types are projected to one width; two HANConv layers attend within every relation and between relations. A
triple is five fields: two drugs, their two fingerprints, the cell line. They pass through multi-head attention,
three residual convolutions over fields, a layer norm and a linear map. Two stochastic passes are held together by
a symmetric KL divergence (R-drop).

Differs from the published code: every node adds a linear map of its own input to what its neighbours send
(HANConv alone forgets the node itself), dropout stands behind the graph layers, so that both passes share them,
and the logit is the mean over the two orders of the drugs. `faithful` restores the first and the last.

Shapes: embeddings (n, 128) a type -> (n, 64) -> drug (Nd, 2, 64): graph and fingerprint view, cell (Nc, 64);
fields (B, 5, 64).
"""

from __future__ import annotations

from typing import Any, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from l2aco.models.base import Tables
from l2aco.models.dropout import Dropout
from l2aco.models.inputs import Inputs
from l2aco.models.kg.backbone import CELL, DRUG, GraphBackbone, GraphConfig
from l2aco.models.kg.blocks import picked
from l2aco.models.kg.convs import BlockHANConv
from l2aco.models.recipe import Recipe

FIELDS = 5
"""First drug, second drug, their fingerprints, cell line."""
SWAPPED = [1, 0, 3, 2, 4]
"""The fields with the drugs in the other order."""


class HAN(GraphBackbone):
    """See the module."""

    citation = "HANSynergy, after Wang et al. Heterogeneous graph attention network. WWW 2019."
    requires = frozenset({"graph", "morgan"})
    recipe = Recipe(optimiser="adamw", schedule="one-cycle", batch_size=2048, learning_rate=4e-3, epochs=30)
    recipe_faithful = Recipe(optimiser="adamw", schedule="one-cycle", batch_size=128, epochs=30)
    stochastic_encode = False
    passes = 2

    class Config(GraphConfig):
        layers: int = Field(default=2, ge=1)
        heads: int = Field(default=4, ge=1)
        r_drop: float = Field(default=5.0, ge=0)
        """Weight of the divergence between the two passes."""

        @model_validator(mode="after")
        def _heads_share_the_widths(self) -> Self:
            if self.hidden % self.heads or self.out % self.heads:
                raise ValueError(f"heads = {self.heads} do not divide hidden = {self.hidden} and out = {self.out}")
            return self

    config: Config
    fingerprints: Tensor
    has_fingerprint: Tensor

    def __init__(self, inputs: Inputs, config: Config) -> None:
        super().__init__(inputs, config)
        self.consistency_weight = config.r_drop
        self.field = self.typed_field(self.graph.edges, whole_types=True)
        metadata = (list(self.graph.nodes), list(self.graph.edges))
        self.convs = nn.ModuleList(BlockHANConv(*widths, metadata, config.heads) for widths in self.widths())
        self.own = nn.ModuleList(
            nn.ModuleDict({kind: nn.Linear(*widths) for kind in (() if config.faithful else messages.targets)})
            for widths, messages in zip(self.widths(), self.field.layers, strict=True)
        )
        morgan = inputs.features["morgan"]
        values = torch.as_tensor(morgan.values).to(torch.get_default_dtype())
        self.register_buffer("fingerprints", values, persistent=False)
        self.register_buffer("has_fingerprint", torch.as_tensor(morgan.mask), persistent=False)
        self.of_fingerprint = nn.Linear(values.shape[1], config.out)
        self.no_fingerprint = nn.Parameter(torch.zeros(config.out))

    def measured(self) -> tuple[Tensor, Tensor]:
        """Drugs that have an edge or a fingerprint, and cell lines that have an edge."""
        drugs, cells = super().measured()
        return drugs | self.has_fingerprint.cpu(), cells

    def make_head(self, config: Any) -> nn.Module:
        return FieldHead(config.out, config.heads, config.dropout, symmetric=not config.faithful)

    def hidden(self, drugs: Tensor | None, cells: Tensor | None) -> Tensor:
        x, layers = self.field.messages(self.asked(drugs, cells))
        for conv, kept, messages in zip(self.convs, self.own, layers, strict=True):
            own: Any = kept
            received = conv(x, messages)
            x = {
                kind: messages.pick(kind, received[kind] + (own[kind](rows) if own else 0))
                for kind, rows in messages.own(x).items()
            }
        return torch.cat([x[DRUG], x[CELL]])

    def encode(self, drugs: Tensor | None = None, cells: Tensor | None = None) -> Tables:
        drug, cell = self.by_kind(self.linear(F.relu(self.hidden(drugs, cells))), drugs)
        view = self._read(picked(self.fingerprints, drugs), picked(self.has_fingerprint, drugs))
        return Tables(torch.stack([drug, view], dim=1), cell)

    def newcomers(self, inputs: Inputs, usual: Tables) -> tuple[Tables, Tensor, Tensor]:
        tables, _, cells_read = super().newcomers(inputs, usual)
        morgan = inputs.features["morgan"]
        known = torch.as_tensor(morgan.mask).to(self.has_fingerprint.device)
        fingerprint = self._read(torch.as_tensor(morgan.values).to(self.fingerprints), known)
        return Tables(torch.stack([tables.drug[:, 0], fingerprint], dim=1), tables.cell), known, cells_read

    def _read(self, fingerprints: Tensor, known: Tensor) -> Tensor:
        """The fingerprint view (n, out)."""
        return torch.where(known.unsqueeze(1), F.relu(self.of_fingerprint(fingerprints)), self.no_fingerprint)


class FieldHead(nn.Module):
    """Five fields -> attention -> three residual convolutions -> layer norm -> logit.

    With `symmetric` the logit is the mean over the two orders of the drugs. Attention does not see the order of the
    fields, so that it runs once.
    """

    def __init__(self, width: int, heads: int, dropout: float, *, symmetric: bool) -> None:
        super().__init__()
        self.symmetric = symmetric
        self.dropout = Dropout(dropout)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.convolutions = nn.ModuleList(nn.Conv1d(FIELDS, FIELDS, 3, padding=1) for _ in range(3))
        self.norm = nn.LayerNorm(FIELDS * width)
        self.out = nn.Linear(FIELDS * width, 1)

    def forward(self, drug: Tensor, cell: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Logits (B,) from drug (Nd, 2, d), cell (Nc, d) and rows a, b, c (B,)."""
        drug, cell = self.dropout(drug), self.dropout(cell)
        first, second = drug[a], drug[b]
        fields = torch.stack([first[:, 0], second[:, 0], first[:, 1], second[:, 1], cell[c]], dim=1)
        x = fields + self.attention(fields, fields, fields, need_weights=False)[0]
        return (self._ordered(x) + self._ordered(x[:, SWAPPED])) / 2 if self.symmetric else self._ordered(x)

    def _ordered(self, x: Tensor) -> Tensor:
        for convolution in self.convolutions:
            x = x + F.gelu(convolution(x))
        return self.out(self.dropout(self.norm(x.flatten(1)))).squeeze(-1)
