"""Layers over features of one kind of entity."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from l2aco.data.features.table import FeatureTable
from l2aco.models.base import START
from l2aco.models.dropout import Dropout


class Tower(nn.Module):
    """The features of one kind of entity through two layers, plus a learned embedding of each entity."""

    def __init__(self, features: list[FeatureTable], config: Any) -> None:
        super().__init__()
        values, self.known = side_by_side(features)
        self.register_buffer("values", values, persistent=False)
        self.own = nn.Embedding(len(values), config.out)
        nn.init.normal_(self.own.weight, std=START)
        widths = values.shape[1], config.hidden, config.out
        self.layers = (
            nn.Sequential(nn.Linear(*widths[:2]), nn.ReLU(), Dropout(config.dropout), nn.Linear(*widths[1:]))
            if values.shape[1]
            else None
        )

    def forward(self, rows: Tensor | None) -> Tensor:
        """(n, out) of the entities at `rows`; None: of all."""
        own = self.own.weight if rows is None else self.own(rows)
        if self.layers is None:
            return own
        values: Any = self.values
        return own + self.layers(values if rows is None else values[rows])

    def newcomers(self, features: list[FeatureTable]) -> tuple[Tensor, Tensor]:
        """(n, out) of entities without an embedding of their own, by these features of them alone, and bool (n,): who
        has any."""
        values, known = side_by_side(features)
        own = self.own.weight.new_zeros(len(values), self.own.embedding_dim)
        return own if self.layers is None else own + self.layers(values.to(own)), known


def side_by_side(features: list[FeatureTable]) -> tuple[Tensor, Tensor]:
    """The features of the same entities as one table (n, F), and bool (n,): who has any of them."""
    values = np.concatenate([table.values.astype(np.float32) for table in features], axis=1)
    known = np.logical_or.reduce([table.mask for table in features])
    return torch.from_numpy(values).to(torch.get_default_dtype()), torch.from_numpy(known)
