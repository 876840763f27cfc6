"""A trained model that predicts for any drugs and cell lines of its data set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from l2aco.data.catalog import open_dataset
from l2aco.data.dataset import DataSet
from l2aco.data.splits.spec import Split
from l2aco.errors import MismatchError, UsageError
from l2aco.models.alignment import Aligner
from l2aco.runs.calibration import Calibration
from l2aco.runs.device import choose_device, computing
from l2aco.runs.scoring import Rows, score_rows
from l2aco.runs.weights import load_weights
from l2aco.training.prepare import Setup, prepare

if TYPE_CHECKING:
    from l2aco.runs.run import Run


@dataclass(frozen=True)
class Predictor:
    """Predicts with the best weights of a run; nothing in it is changed by predicting."""

    dataset: DataSet
    split: Split
    model: Aligner
    device: torch.device
    threads: int
    calibration: Calibration
    threshold: float
    """The decision threshold, chosen on validation rows."""

    @cached_property
    def _tables(self) -> Any:
        """The entities, encoded once: the weights no longer change."""
        with torch.inference_mode():
            return self.model.tables()

    def predict(
        self, drug_a: np.ndarray, drug_b: np.ndarray, cell_line: np.ndarray, *, calibrated: bool = False
    ) -> np.ndarray:
        """Probabilities of synergy, float64 (n,), for int64 rows (n,) of the data set's drugs and cell lines.

        A pair is unordered: it is scored as the data set writes it, the drug of the lower row first.
        `calibrated` turns them into frequencies by the Platt scaling fitted on validation rows (the ranking
        stays). Raises UsageError for arrays of different lengths and rows that do not exist.
        """
        a, b, c = (np.asarray(rows, dtype=np.int64) for rows in (drug_a, drug_b, cell_line))
        if not a.shape == b.shape == c.shape or a.ndim != 1:
            raise UsageError(f"drugs and cell lines must be three arrays (n,), not {a.shape}, {b.shape}, {c.shape}")
        for rows, count, what in (
            (a, len(self.dataset.drugs), "drug"),
            (b, len(self.dataset.drugs), "drug"),
            (c, len(self.dataset.cell_lines), "cell line"),
        ):
            if len(rows) and (rows.min() < 0 or rows.max() >= count):
                raise UsageError(f"there are {count} {what}s; row {rows.max() if rows.max() >= count else rows.min()}")
        # A product may round a row by its place: each unordered triple is scored once, so that it has one probability.
        first, second = np.minimum(a, b), np.maximum(a, b)
        key = (first * len(self.dataset.drugs) + second) * len(self.dataset.cell_lines) + c
        _, places, inverse = np.unique(key, return_index=True, return_inverse=True)
        with computing(self.device, self.threads):
            on_a, on_b, on_c = (torch.as_tensor(rows[places], device=self.device) for rows in (first, second, c))
            distinct = score_rows(self.model, Rows(on_a, on_b, on_c, torch.empty(len(places))), self._tables)
        probabilities = distinct[inverse]
        return self.calibration.apply(probabilities) if calibrated else probabilities


def load_predictor(run: Run, *, device: str = "auto") -> Predictor:
    """Rebuild a run's model and load its weights.

    Raises DamagedError for a corrupt checkpoint, MismatchError where the data set, its split or the store's
    vectors are no longer those that the run was trained on.
    """
    weights = run.file("model.safetensors")
    chosen = choose_device(run.workspace.settings.device if device == "auto" else device)
    with computing(chosen, run.spec.threads):
        check_dataset(run)
        setup = prepare(run.spec, run.workspace)
        check_inputs(run, setup)
        load_weights(setup.model, weights, run.manifest["files"]["model.safetensors"])
        setup.model.to(chosen).eval()
    return Predictor(
        dataset=setup.dataset,
        split=setup.split,
        model=setup.model,
        device=chosen,
        threads=run.spec.threads,
        calibration=Calibration(**run.metrics["calibration"]),
        threshold=run.metrics["test"]["threshold"],
    )


def check_dataset(run: Run) -> None:
    """Raises MismatchError where the run's data set is not the one it was trained on."""
    assert run.spec.dataset is not None
    dataset = open_dataset(run.spec.dataset, run.workspace)
    if dataset.hash != run.manifest["dataset_hash"]:
        raise MismatchError(
            f"the data set {dataset.name} has changed since the run was trained",
            where=run.path,
            remedy=f"Import the old one again, or train anew: l2aco train --spec {run.path / 'spec.toml'}",
        )


def check_inputs(run: Run, setup: Setup) -> None:
    """Raises MismatchError where the split or the store's vectors are not those of the training."""
    again = f"Train anew: l2aco train --spec {run.path / 'spec.toml'}"
    if setup.split.hash != run.manifest["split_hash"]:
        raise MismatchError("the split has changed since the run was trained", where=run.path, remedy=again)
    if setup.knowledge is None:
        return
    trained, now = run.manifest["encoder"], setup.knowledge.encoder
    if now != trained:
        raise MismatchError(
            f"the run was trained on vectors of {trained}, the store {setup.knowledge.store} holds those of {now}",
            where=run.path,
            remedy=f"Embed again with `l2aco embed --encoder {trained}`. {again}",
        )
    if setup.knowledge.hash != run.manifest["vectors_hash"]:
        raise MismatchError(
            f"the vectors in the store {setup.knowledge.store} have changed since the run was trained",
            where=run.path,
            remedy=again,
        )
