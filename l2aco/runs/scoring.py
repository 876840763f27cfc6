"""Rows of triples on a device, and their scores by a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from l2aco.models.base import ScoringModel

SCORE_ROWS = 16384
"""Rows scored at a time outside training."""


@dataclass(frozen=True)
class Rows:
    """Triples on the device: int64 (n,) rows of drugs and cell lines, and float32 (n,) labels of 0/1."""

    a: torch.Tensor
    b: torch.Tensor
    c: torch.Tensor
    y: torch.Tensor

    @classmethod
    def of(cls, triples: Any, rows: np.ndarray, device: torch.device) -> Rows:
        """The triples numbered `rows`, moved to `device` once."""

        def move(values: np.ndarray, kind: torch.dtype) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(values[rows])).to(device=device, dtype=kind)

        return cls(
            move(triples.drug_a, torch.int64),
            move(triples.drug_b, torch.int64),
            move(triples.cell_line, torch.int64),
            move(triples.label, torch.float32),
        )

    def batches(self, order: torch.Tensor, count: int) -> list[Rows]:
        """These rows in another order, in `count` batches of nearly equal size (no stray last row)."""
        parts = [torch.tensor_split(values[order], count) for values in (self.a, self.b, self.c, self.y)]
        return [Rows(*batch) for batch in zip(*parts, strict=True)]

    def __len__(self) -> int:
        return int(self.y.numel())


@torch.inference_mode()
def score_rows(model: ScoringModel, rows: Rows, tables: Any = None) -> np.ndarray:
    """Probabilities float64 (n,) of every row, in evaluation mode: entities encoded once, rows scored in pieces.

    `tables` spares the encoding where the weights have not changed since they were made.
    """
    model.eval()
    tables = model.tables() if tables is None else tables
    logits = [
        model.score(tables, rows.a[at : at + SCORE_ROWS], rows.b[at : at + SCORE_ROWS], rows.c[at : at + SCORE_ROWS])
        for at in range(0, len(rows), SCORE_ROWS)
    ]
    if not logits:
        return np.empty(0)
    return torch.sigmoid(torch.cat(logits).double()).cpu().numpy()
