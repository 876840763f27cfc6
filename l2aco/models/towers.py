"""Layers over features of one kind of entity."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from l2aco.data.features.table import FeatureTable
from l2aco.models.base import START
from l2aco.models.dropout import Dropout
from l2aco.models.inputs import Inputs
from l2aco.models.reading import Reading


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


class Read(nn.Module):
    """What is read of the entities of one kind that a model knows, (n, F), and of whom anything is, bool (n,)."""

    values: Tensor

    def __init__(self, reading: Reading, inputs: Inputs) -> None:
        super().__init__()
        self.reading = reading
        values, self.known = side_by_side([reading.of(inputs)])
        self.width = values.shape[1]
        self.register_buffer("values", values, persistent=False)

    def forward(self, rows: Tensor | None) -> Tensor:
        """(n, F) of the entities at `rows`; None: of all."""
        return self.values if rows is None else self.values.index_select(0, rows)

    def newcomers(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """The same of other entities."""
        values, known = side_by_side([self.reading.of(inputs)])
        return values.to(self.values), known


class Unread(nn.Module):
    """A learned vector for every entity of whom nothing is read, in the place of what would be."""

    known: Tensor

    def __init__(self, known: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("known", known, persistent=False)
        self.own = nn.Embedding(len(known), width)
        nn.init.normal_(self.own.weight, std=START)

    def forward(self, h: Tensor, rows: Tensor | None) -> Tensor:
        """h (n, ..., d) of the entities at `rows` (None: of all) where something is read, else their own vectors."""
        if rows is None:
            return stand_in(self.known, h, self.own.weight)
        return stand_in(self.known.index_select(0, rows), h, self.own(rows))


def stand_in(known: Tensor, h: Tensor, other: Tensor) -> Tensor:
    """h (n, ..., d) where `known` (n,), else `other` (n, d) or (1, ..., d)."""
    alike = h.dim() == other.dim()
    other = other if alike else other.reshape(len(other), *[1] * (h.dim() - 2), h.shape[-1])
    return torch.where(known.to(h.device).reshape(-1, *[1] * (h.dim() - 1)), h, other)


def dense(widths: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers of these widths, input first, with ReLU and dropout behind each but the last."""
    layers: list[nn.Module] = []
    for source, width in pairwise(widths):
        layers += [nn.Linear(source, width), nn.ReLU(), Dropout(dropout)]
    return nn.Sequential(*layers[:-2])
