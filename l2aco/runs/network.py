"""A trained network as what a predictor asks: probabilities of rows, also of newcomers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from l2aco.entities import EntityKind
from l2aco.files import read_arrays
from l2aco.models.alignment import Aligner
from l2aco.models.assemble import build_model
from l2aco.models.base import Tables
from l2aco.models.estimator import Estimator
from l2aco.models.inputs import Inputs
from l2aco.models.offset import restore_offset
from l2aco.runs.device import choose_device, computing
from l2aco.runs.inputs import AGAIN
from l2aco.runs.scoring import Rows, score_rows
from l2aco.runs.weights import load_weights

if TYPE_CHECKING:
    from l2aco.runs.run import Run


@dataclass(frozen=True)
class Network:
    """A model in evaluation mode on its device."""

    model: Aligner
    device: torch.device
    threads: int
    offset: Estimator | None = None
    """The cheap model whose logits are added."""
    share: float = 1.0
    """How much of the network's logits is added to them."""
    newcomers: Inputs | None = None

    def admit(self, newcomers: Inputs) -> Self:
        """One that also scores these entities, whose rows stand behind the others."""
        offset = None if self.offset is None else self.offset.admit(newcomers.below[0])
        return replace(self, newcomers=newcomers, offset=offset)

    def reads(self, kind: EntityKind) -> bool:
        """Whether a feature, a profile vector or the offset tells newcomers of a kind apart."""
        own = self.newcomers is not None and self.newcomers.describe(kind)
        return own or (self.offset is not None and self.offset.reads(kind))

    @cached_property
    def _tables(self) -> Any:
        """The entities, encoded once: the weights no longer change."""
        with torch.inference_mode():
            known = self.model.tables()
            return known if self.newcomers is None else Tables.joined(known, self.model.newcomers(self.newcomers))

    def probabilities(self, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        """float64 (n,): of synergy, for int64 rows (n,), the offset's part included."""
        with computing(self.device, self.threads):
            on_a, on_b, on_c = (torch.as_tensor(rows, device=self.device) for rows in (a, b, c))
            below = None
            if self.offset is not None:
                below = torch.as_tensor(self.offset.logits(a, b, c), dtype=torch.float32, device=self.device)
            rows = Rows(on_a, on_b, on_c, torch.empty(len(a)), below)
            return score_rows(self.model, rows, self._tables, share=self.share)

    def learned(self) -> dict[EntityKind, np.ndarray]:
        """float32 (n, V * d) by kind: the representations that the score reads, a row an entity, its V views (as
        alignment sees them) one behind the other."""
        with computing(self.device, self.threads), torch.inference_mode():
            drug, cell = self.model.backbone.pool(self._tables)
        views = {EntityKind.drug: drug, EntityKind.cell_line: cell}
        return {kind: table.flatten(1).float().cpu().numpy() for kind, table in views.items()}


def load_network(run: Run, inputs: Inputs, device: str) -> Network:
    """The run's model with its weights; raises DamagedError for a corrupt file."""
    chosen = choose_device(run.workspace.settings.device if device == "auto" else device)
    spec = run.spec
    assert spec.backbone is not None
    with computing(chosen, spec.threads):
        model = build_model(spec.backbone, spec.config, inputs, spec.align, seed=spec.seed)
        load_weights(model, run.file("model.safetensors"))
        model.to(chosen).eval()
    offset, share = None, 1.0
    if spec.offset != "none":
        arrays = read_arrays(run.file("offset.npz"), remedy=AGAIN)
        offset = restore_offset(spec.offset, str(spec.split.setting), inputs.below[0], arrays)
        share = float(arrays.get("share_of_network", 1.0))
    return Network(model, chosen, spec.threads, offset, share)
