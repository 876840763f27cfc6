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
    """Triples on the device: int64 (n,) rows of drugs and cell lines, and float32 (n,) labels of 0/1.

    offset: float32 (n,) logits that are added to the model's; target: float32 (n,) what it learns beside the label, NaN
    where unknown. None: nothing of the kind.
    """

    a: torch.Tensor
    b: torch.Tensor
    c: torch.Tensor
    y: torch.Tensor
    offset: torch.Tensor | None = None
    target: torch.Tensor | None = None

    @classmethod
    def of(
        cls,
        triples: Any,
        rows: np.ndarray,
        device: torch.device,
        *,
        offset: np.ndarray | None = None,
        target: np.ndarray | None = None,
    ) -> Rows:
        """The triples numbered `rows`, with offset and target (n,) of these rows, moved to `device` once."""

        def move(values: np.ndarray, kind: torch.dtype) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(values)).to(device=device, dtype=kind)

        return cls(
            move(triples.drug_a[rows], torch.int64),
            move(triples.drug_b[rows], torch.int64),
            move(triples.cell_line[rows], torch.int64),
            move(triples.label[rows], torch.float32),
            *(None if values is None else move(values, torch.float32) for values in (offset, target)),
        )

    def batches(self, order: torch.Tensor, count: int) -> list[Rows]:
        """These rows in another order, in `count` batches of nearly equal size (no stray last row)."""
        given = {name: values for name, values in vars(self).items() if values is not None}
        parts = [torch.tensor_split(values[order], count) for values in given.values()]
        return [Rows(**dict(zip(given, batch, strict=True))) for batch in zip(*parts, strict=True)]

    def __len__(self) -> int:
        return int(self.y.numel())


@torch.inference_mode()
def score_rows(model: ScoringModel, rows: Rows, tables: Any = None, *, share: float = 1.0) -> np.ndarray:
    """Probabilities float64 (n,) of every row, in evaluation mode: entities encoded once, rows scored in pieces.

    `tables` spares the encoding where the weights have not changed since they were made. share: how much of the model's
    logits is added to the rows' offset, where they have one.
    """
    model.eval()
    tables = model.tables() if tables is None else tables
    logits = [
        model.score(tables, rows.a[at : at + SCORE_ROWS], rows.b[at : at + SCORE_ROWS], rows.c[at : at + SCORE_ROWS])
        for at in range(0, len(rows), SCORE_ROWS)
    ]
    if not logits:
        return np.empty(0)
    found = torch.cat(logits).double()
    return torch.sigmoid(found if rows.offset is None else share * found + rows.offset).cpu().numpy()
