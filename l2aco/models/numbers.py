"""Known numbers as an auxiliary target: a linear map from a kind's representations to the columns of its stores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from l2aco.models.losses import chosen_entities
from l2aco.models.moments import moments
from l2aco.models.spec import AlignSpec
from l2aco.models.vectors import Vectors


class NumbersHead(nn.Module):
    """One kind of entity: its numbers, and what predicts them from a view h (d) of its representation.

    Read are the stores of numbers alone: a store of text has no columns. Columns are standardised on the training
    entities; one that is the same for all of them is left out. The score never reads the numbers: they only teach.
    """

    targets: Tensor
    """(n, D), NaN where unknown."""
    within: Tensor
    """Bool (n,): which entities the loss is over, where they are encoded."""

    def __init__(self, spec: AlignSpec, vectors: Mapping[str, Vectors], width: int, train: np.ndarray | None) -> None:
        super().__init__()
        self.spec = spec
        targets = _standardised(vectors, train)
        within = ~np.isnan(targets).all(axis=1)
        if spec.scope == "train":
            if train is None:
                raise ValueError("scope train needs the rows of the entities in training")
            within &= np.isin(np.arange(len(within)), train)
        self.register_buffer("targets", torch.from_numpy(targets), persistent=False)
        self.register_buffer("within", torch.from_numpy(within), persistent=False)
        self.head = nn.Linear(width, targets.shape[1])

    @staticmethod
    def can_learn(vectors: Mapping[str, Vectors], train: np.ndarray | None) -> bool:
        """Whether any store tells the training entities of this kind apart by numbers."""
        return _standardised(vectors, train).shape[1] > 0

    def loss(self, views: Tensor, rows: Tensor | None, seen: Tensor) -> Tensor:
        """Mean squared error over the known numbers of the entities at `rows` (None: all), from every view of views
        (n, V, d); `seen`: local rows of the batch."""
        views, at = chosen_entities(views, rows, seen, self.within, self.spec.scope)
        target = self.targets[at].unsqueeze(1)
        known = ~target.isnan()
        error = torch.where(known, self.head(views) - target.nan_to_num(), 0.0)
        return error.square().sum() / (known.sum() * views.shape[1]).clamp_min(1)


def _standardised(vectors: Mapping[str, Vectors], train: np.ndarray | None) -> np.ndarray:
    """float32 (n, D): the columns of all stores of numbers that differ among the training entities."""
    found = []
    for known in vectors.values():
        if not known.columns:
            continue
        values = known.with_gaps
        mean, sd = moments(values if train is None else values[train])
        telling = sd > 1e-6
        found.append(((values - mean) / np.where(telling, sd, 1.0))[:, telling])
    rows = len(next(iter(vectors.values())).values) if vectors else 0
    return np.concatenate([np.zeros((rows, 0)), *found], axis=1).astype(np.float32)
