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
        values = np.concatenate([table.values.astype(np.float32) for table in features], axis=1)
        self.register_buffer("values", torch.from_numpy(values).to(torch.get_default_dtype()), persistent=False)
        self.known = torch.from_numpy(np.logical_or.reduce([table.mask for table in features]))
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
