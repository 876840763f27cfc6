"""`train(spec, workspace)`: prepare, fit, evaluate on test rows, and save the run."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.entities import EntityKind
from l2aco.errors import DamagedError
from l2aco.files import WriterLock, atomic_folder, sha256_file, stable_hash, write_json, write_toml
from l2aco.progress import Progress, Silent
from l2aco.runs.calibration import fit_calibration
from l2aco.runs.device import choose_device, computing, describe_environment
from l2aco.runs.evaluate import Scored, naive_baselines, test_metrics
from l2aco.runs.inputs import save_inputs
from l2aco.runs.run import FORMAT, UNFINISHED, Run, free_path, run_id
from l2aco.runs.scoring import Rows, score_rows
from l2aco.runs.spec import TrainSpec
from l2aco.runs.weights import save_weights
from l2aco.training.callbacks import Callback
from l2aco.training.checkpoint import load_state, save_state
from l2aco.training.loop import Fit, Record
from l2aco.training.plot import plot_history
from l2aco.training.prepare import Setup, prepare
from l2aco.workspace import names_in

if TYPE_CHECKING:
    import numpy as np
    import torch

    from l2aco.workspace import Workspace

STATE_SECONDS = 20.0
STATE = "state.pt"


def train(
    spec: TrainSpec,
    workspace: Workspace,
    progress: Progress = Silent(),
    *,
    callbacks: Sequence[Callback] = (),
    state_seconds: float = STATE_SECONDS,
    reuse: bool = False,
) -> Run:
    """Train one model and save it as a run; with `reuse`, an identical run that is there already is returned.

    The state of training is saved at the end of an epoch at most every `state_seconds`; the same spec on the same
    data goes on from it after an interruption, with identical results. The same seed gives the same numbers on the
    same machine. Raises L2aCoError where names are unknown, vectors are missing, the rows hold one class only, or
    the loss stops being a number.
    """
    device = choose_device(workspace.settings.device if spec.device == "auto" else spec.device)
    with ExitStack() as stack:
        stack.enter_context(computing(device, spec.threads))
        setup = prepare(spec, workspace, progress)
        name = run_id(setup.spec, stable_hash(identity(setup), 7))
        if reuse and (same := _finished(name, workspace)) is not None:
            progress.say(f"{same.id} is there already")
            return same
        unfinished = workspace.runs / UNFINISHED / name
        stack.enter_context(WriterLock(unfinished, f"the run {name}"))
        progress.say(describe_choice(setup))
        fit = make_fit(setup, device)
        if (unfinished / STATE).exists():
            load_state(fit, unfinished / STATE)
            progress.say(f"going on after epoch {fit.state.epoch} of the run that was interrupted")
        for callback in callbacks:
            stack.enter_context(callback.watching(name, setup.spec))
        started = time.perf_counter()
        _fit(fit, progress, callbacks, unfinished / STATE, state_seconds)
        run = save_run(setup, fit, device, name, workspace, time.perf_counter() - started)
        for callback in callbacks:
            callback.end(run.metrics)
    shutil.rmtree(unfinished, ignore_errors=True)
    return run


def _finished(name: str, workspace: Workspace) -> Run | None:
    """The run of this name, or of this name and a number, whose spec and metrics can be read."""
    for found in names_in(workspace.runs):
        if found == name or re.fullmatch(re.escape(name) + r"-\d+", found):
            with suppress(DamagedError):
                run = Run(workspace.runs / found, workspace)
                run.file("spec.toml"), run.file("metrics.json")
                return run
    return None


def identity(setup: Setup) -> dict[str, Any]:
    """What the numbers of a run depend on: the complete spec, the data, the vectors, and the models' format."""
    return {
        "format": FORMAT,
        "spec": setup.spec.model_dump(mode="json", exclude={"device", "threads"}),
        "dataset": setup.dataset.hash,
        "split": setup.split.hash,
        "vectors": setup.knowledge.hash if setup.knowledge is not None else None,
    }


def describe_choice(setup: Setup) -> str:
    """One line: what is trained on what."""
    spec, split = setup.spec, setup.split
    simulated = ", SIMULATED" if setup.dataset.simulated else ""
    vectors = f"store {spec.store}" if spec.store else "no profile vectors"
    used = len(split.train) + len(split.valid) + len(split.test)
    left_out = len(setup.dataset.triples) - used
    rows = f"{len(split.train):,} / {len(split.valid):,} / {len(split.test):,} rows"
    rows += f", {left_out:,} left out" if left_out else ""
    return (
        f"training {spec.backbone} on {spec.dataset} ({len(setup.dataset.triples):,} triples{simulated}), setting "
        f"{spec.split.setting} fold {spec.split.fold} ({rows}), "
        f"align {spec.align.loss}, fusion {spec.align.fusion}, {vectors}, seed {spec.seed}"
    )


def make_fit(setup: Setup, device: torch.device) -> Fit:
    """The fit at its beginning, model and rows on the device."""
    setup.model.to(device)
    train_rows = Rows.of(setup.dataset.triples, setup.split.train, device)
    valid_rows = Rows.of(setup.dataset.triples, setup.split.valid, device)
    return Fit(setup.model, train_rows, valid_rows, setup.recipe, setup.spec.seed)


def _fit(fit: Fit, progress: Progress, callbacks: Sequence[Callback], state: Path, state_seconds: float) -> None:
    with progress.task("training", total=fit.recipe.epochs, unit="epochs") as advance:
        advance(fit.state.epoch)
        fit.run(_after_epoch(fit, advance, callbacks, state, state_seconds))


def _after_epoch(
    fit: Fit, advance: Any, callbacks: Sequence[Callback], state: Path, state_seconds: float
) -> Callable[[Record], None]:
    saved = time.monotonic()

    def after(record: Record) -> None:
        nonlocal saved
        metric = fit.metric
        advance(
            1,
            f"loss {record['loss']:.3f}  {metric.title} {record[f'valid_{metric.name}']:.3f}"
            f"  best {fit.state.best_value:.3f} (epoch {fit.state.best_epoch})",
        )
        for callback in callbacks:
            callback.epoch(record)
        if time.monotonic() - saved >= state_seconds:
            save_state(fit, state)
            saved = time.monotonic()

    return after


def save_run(setup: Setup, fit: Fit, device: torch.device, name: str, workspace: Workspace, seconds: float) -> Run:
    """Evaluate the fitted model on the test rows and write the run's folder, whole or not at all."""
    import polars as pl

    from l2aco.runs.predictions import counts_frame, predictions_frame

    dataset, split, spec = setup.dataset, setup.split, setup.spec
    triples = dataset.triples

    def scored(rows: np.ndarray) -> Scored:
        probability = score_rows(fit.model, Rows.of(triples, rows, device))
        return Scored(triples.label[rows], probability, triples.cell_line[rows])

    valid, test = scored(split.valid), scored(split.test)
    calibration = fit_calibration(valid.label, valid.probability)
    counts = counts_frame(dataset, split.train)
    of_lines = counts.filter(kind=EntityKind.cell_line.value)["triples"].to_numpy()
    metrics = test_metrics(dataset.cell_lines, of_lines, valid, test) | {
        "baselines": naive_baselines(dataset, split, setup.knowledge),
        "calibration": {"slope": calibration.slope, "intercept": calibration.intercept},
        "training": training_facts(fit, seconds, setup.model.spread()),
    }
    predictions = [
        predictions_frame(dataset, part, rows, found.probability, calibration.apply(found.probability))
        for part, rows, found in (("valid", split.valid, valid), ("test", split.test, test))
    ]
    path = free_path(workspace.runs, name)
    with atomic_folder(path) as folder:
        write_toml(folder / "spec.toml", spec.model_dump(mode="json"))
        write_json(folder / "environment.json", describe_environment(device, spec.threads))
        write_json(folder / "metrics.json", metrics)
        pl.DataFrame(fit.state.history).write_csv(folder / "history.csv")
        pl.concat(predictions).write_parquet(folder / "predictions.parquet")
        counts.write_parquet(folder / "entities.parquet")
        save_inputs(setup.inputs, folder / "inputs.npz")
        save_weights(fit.model, folder / "model.safetensors")
        plot_history(fit.state.history, setup.recipe.metric, name, folder / "history.png")
        write_json(folder / "manifest.json", describe_run(setup, folder, path.name))
    return Run(path, workspace)


def describe_run(setup: Setup, folder: Path, name: str) -> dict[str, Any]:
    """manifest.json: what the run was made from, and the checksums of its files in `folder`."""
    knowledge = setup.knowledge
    return {
        "format": FORMAT,
        "id": name,
        "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "simulated": setup.dataset.simulated,
        "held_out": setup.split.held_out,
        "dataset_hash": setup.dataset.hash,
        "split_hash": setup.split.hash,
        "vectors_hash": knowledge.hash if knowledge is not None else None,
        "encoder": knowledge.encoder if knowledge is not None else None,
        "files": {file.name: sha256_file(file) for file in sorted(folder.iterdir())},
    }


def training_facts(fit: Fit, seconds: float, spread: dict[str, float]) -> dict[str, Any]:
    """How long training took and where it stopped."""
    state = fit.state
    return {
        "epochs": state.epoch,
        "best_epoch": state.best_epoch,
        "best_value": state.best_value,
        "metric": fit.metric.name,
        "seconds": round(seconds, 3),
        "seconds_per_epoch": round(sum(record["seconds"] for record in state.history) / len(state.history), 4),
        "steps_per_epoch": fit.batches,
        "parameters": sum(item.numel() for item in fit.model.parameters() if item.requires_grad),
        "adapter_spread": spread,
    }
