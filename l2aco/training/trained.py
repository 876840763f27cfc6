"""What a training hands over, whichever kind of backbone it was, and how it becomes a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.splits.make import held_out_groups
from l2aco.entities import EntityKind
from l2aco.files import atomic_folder, sha256_file, write_json, write_toml
from l2aco.metrics import best_threshold
from l2aco.runs.breakdown import breakdown
from l2aco.runs.calibration import fit_calibration
from l2aco.runs.evaluate import Scored, naive_baselines, result_row, test_metrics
from l2aco.runs.inputs import save_inputs
from l2aco.runs.knowledge import combined_hash
from l2aco.runs.predictions import counts_frame, predictions_frame
from l2aco.runs.run import FORMAT, Run, free_path
from l2aco.training.prepare import Setup

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet
    from l2aco.data.splits.spec import Split
    from l2aco.workspace import Workspace


@dataclass(frozen=True)
class Trained:
    """valid, test: float64 probabilities of the split's rows. facts: `training` of metrics.json. write: puts the
    model's own files into a folder. beside: rows of the table (`runs.evaluate.result_row`) that stand with it."""

    valid: np.ndarray
    test: np.ndarray
    facts: dict[str, Any]
    environment: dict[str, Any]
    write: Callable[[Path], None]
    beside: Sequence[dict[str, Any]] = ()


def save_run(setup: Setup, trained: Trained, name: str, workspace: Workspace, suite: str | None = None) -> Run:
    """Evaluate on validation and test rows and write the run's folder, whole or not at all."""
    import polars as pl

    dataset, split = setup.dataset, setup.split
    valid, test = _scored(dataset, split.valid, trained.valid), _scored(dataset, split.test, trained.test)
    groups = held_out_groups(dataset, split, split.valid)
    calibration = fit_calibration(valid.label, valid.probability, groups)
    counts = counts_frame(dataset, split.train)
    of_lines = counts.filter(kind=EntityKind.cell_line.value)["triples"].to_numpy()
    metrics = test_metrics(dataset.cell_lines, of_lines, valid, test) | {
        "baselines": [*naive_baselines(dataset, split, setup.knowledge), *trained.beside],
        "calibration": {"slope": calibration.slope, "intercept": calibration.intercept},
        "training": trained.facts,
    }
    predictions = [
        predictions_frame(dataset, part, rows, found.probability, calibration.apply(found.probability))
        for part, rows, found in (("valid", split.valid, valid), ("test", split.test, test))
    ]
    path = free_path(workspace.runs, name)
    with atomic_folder(path) as folder:
        write_toml(folder / "spec.toml", setup.spec.model_dump(mode="json"))
        write_json(folder / "environment.json", trained.environment)
        write_json(folder / "metrics.json", metrics)
        pl.concat(predictions).write_parquet(folder / "predictions.parquet")
        counts.write_parquet(folder / "entities.parquet")
        save_inputs(setup.inputs, folder / "inputs.npz")
        trained.write(folder)
        write_json(folder / "manifest.json", describe_run(setup, folder, path.name, suite))
    return Run(path, workspace)


def _scored(dataset: DataSet, rows: np.ndarray, probabilities: np.ndarray) -> Scored:
    return Scored(dataset.triples.label[rows], probabilities, dataset.triples.cell_line[rows])


def row_beside(name: str, dataset: DataSet, split: Split, valid: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    """A row of the table for probabilities (n,) of validation rows, which choose its threshold, and of test rows."""
    of_valid, of_test = _scored(dataset, split.valid, valid), _scored(dataset, split.test, test)
    return result_row(name, breakdown(*of_test, threshold=best_threshold(of_valid.label, of_valid.probability)))


def describe_run(setup: Setup, folder: Path, name: str, suite: str | None) -> dict[str, Any]:
    """manifest.json: what the run was made from, and the checksums of its files in `folder`."""
    return {
        "format": FORMAT,
        "id": name,
        "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "suite": suite,
        "simulated": setup.dataset.simulated,
        "held_out": setup.split.held_out,
        "dataset_hash": setup.dataset.hash,
        "split_hash": setup.split.hash,
        "vectors_hash": combined_hash(setup.knowledge),
        "encoders": {known.store: known.encoder for known in setup.knowledge},
        "files": {file.name: sha256_file(file) for file in sorted(folder.iterdir())},
    }
