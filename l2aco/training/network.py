"""Training a network: the loop from where it stands, its state on disk, and what comes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from l2aco.data.splits.make import held_out_groups
from l2aco.files import write_arrays
from l2aco.models.mixed.target import fit_target
from l2aco.progress import Progress
from l2aco.runs.calibration import logit
from l2aco.runs.device import choose_device, computing, describe_environment
from l2aco.runs.scoring import Rows, score_rows
from l2aco.runs.weights import save_weights
from l2aco.training.callbacks import Callback
from l2aco.training.checkpoint import load_state, save_state
from l2aco.training.loop import Fit, Record
from l2aco.training.offset import Offset, choose_share, make_offset
from l2aco.training.plot import best_naive, plot_history
from l2aco.training.prepare import Setup
from l2aco.training.trained import Trained, row_beside

if TYPE_CHECKING:
    from l2aco.workspace import Workspace

STATE = "state.pt"


def train_network(
    setup: Setup,
    unfinished: Path,
    workspace: Workspace,
    progress: Progress,
    *,
    name: str,
    callbacks: Sequence[Callback],
    state_seconds: float,
) -> Trained:
    """Train from the state in `unfinished`, or from the beginning, and score validation and test rows with the best
    weights."""
    device = choose_device(workspace.settings.device if setup.spec.device == "auto" else setup.spec.device)
    offset = make_offset(setup, progress)
    with ExitStack() as stack:
        stack.enter_context(computing(device, setup.spec.threads))
        fit = make_fit(setup, device, offset)
        if (unfinished / STATE).exists():
            load_state(fit, unfinished / STATE)
            progress.say(f"going on after epoch {fit.state.epoch} of the run that was interrupted")
        for callback in callbacks:
            stack.enter_context(callback.watching(name, setup.spec))
        started = time.perf_counter()
        _fit(fit, progress, callbacks, unfinished / STATE, state_seconds)
        seconds = time.perf_counter() - started
        share = 1.0 if offset is None else _share(setup, fit, offset)

        test_rows = Rows.of(
            setup.dataset.triples, setup.split.test, device, offset=None if offset is None else offset.test
        )

        def write(folder: Path) -> None:
            import polars as pl

            pl.DataFrame(fit.state.history).write_csv(folder / "history.csv")
            save_weights(fit.model, folder / "model.safetensors")
            if offset is not None:
                write_arrays(folder / "offset.npz", {**offset.model.arrays(), "share_of_network": np.array(share)})
            _plot(setup, fit, name, folder)

        return Trained(
            valid=score_rows(fit.model, fit.valid_rows, share=share),
            test=score_rows(fit.model, test_rows, share=share),
            facts={
                **training_facts(fit, seconds, setup.model.spread() if setup.model else {}),
                **({} if offset is None else {"share_of_network": share}),
            },
            environment=describe_environment(device, setup.spec.threads),
            beside=[] if offset is None else _of_offset(setup, offset),
            write=write,
        )


def _plot(setup: Setup, fit: Fit, name: str, folder: Path) -> None:
    plot_history(
        fit.state.history,
        fit.recipe.metric,
        name + (" (SIMULATED)" if setup.dataset.simulated else ""),
        folder / "history.png",
        best_epoch=fit.state.best_epoch,
        naive=best_naive(setup, fit.recipe.metric),
    )


def make_fit(setup: Setup, device: torch.device, offset: Offset | None = None) -> Fit:
    """The fit at its beginning, model and rows on the device."""
    assert setup.model is not None and setup.recipe is not None
    setup.model.to(device)
    triples, split = setup.dataset.triples, setup.split
    target = None
    if setup.recipe.target != "label":
        scores = triples.score[split.train]
        target = fit_target(setup.recipe.target, scores, None)(scores, None)
    train_rows = Rows.of(triples, split.train, device, offset=None if offset is None else offset.train, target=target)
    valid_rows = Rows.of(triples, split.valid, device, offset=None if offset is None else offset.valid)
    return Fit(setup.model, train_rows, valid_rows, setup.recipe, setup.spec.seed)


def _of_offset(setup: Setup, offset: Offset) -> list[dict[str, Any]]:
    valid, test = (1 / (1 + np.exp(-logits)) for logits in (offset.valid, offset.test))
    return [row_beside(f"offset ({setup.spec.offset})", setup.dataset, setup.split, valid, test)]


def _share(setup: Setup, fit: Fit, offset: Offset) -> float:
    """How much of the trained network is added to its offset."""
    alone = logit(score_rows(fit.model, replace(fit.valid_rows, offset=None)))
    split = setup.split
    groups = held_out_groups(setup.dataset, split, split.valid)
    return choose_share(setup.dataset.triples.label[split.valid], offset.valid, alone, groups)


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
