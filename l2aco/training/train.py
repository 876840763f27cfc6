"""`train(spec, workspace)`: prepare, fit, evaluate on test rows, and save the run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from l2aco.data.features.base import Feature
from l2aco.errors import DamagedError, L2aCoError
from l2aco.files import stable_hash
from l2aco.locks import WriterLock
from l2aco.models.estimator import Estimator
from l2aco.progress import Progress, default
from l2aco.runs.knowledge import combined_hash
from l2aco.runs.run import FORMAT, UNFINISHED, Run, run_id
from l2aco.runs.spec import TrainSpec
from l2aco.training.callbacks import Callback
from l2aco.training.prepare import Setup, prepare, response_origin
from l2aco.training.trained import Trained, save_run
from l2aco.workspace import Workspace, names_in

STATE_SECONDS = 20.0
Made = TypeVar("Made")


def train(
    spec: TrainSpec,
    workspace: Workspace | str | Path | None = None,
    progress: Progress | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    state_seconds: float = STATE_SECONDS,
    reuse: bool = False,
    suite: str | None = None,
) -> Run:
    """Train one model and save it as a run; with `reuse`, an identical run that is there already is returned.

    The state of training is saved at the end of an epoch at most every `state_seconds`; the same spec on the same
    data goes on from it after an interruption, with identical results. The same seed gives the same numbers on the
    same machine. One that another process trains at this moment is waited for with `reuse`, and taken. `suite`: what
    it is trained for, where nobody asked for this very run. Raises LockedError without `reuse`, L2aCoError where names
    are unknown, vectors are missing, the rows hold one class only, the memory does not suffice, or the loss stops being
    a number.
    """
    workspace = Workspace.at(workspace)
    progress = progress or default()
    with ExitStack() as stack:
        setup = _in_memory(partial(prepare, spec, workspace, progress))
        name = run_id(setup.spec, stable_hash(identity(setup), 7))
        if reuse and (same := _finished(name, workspace, progress)) is not None:
            return same
        unfinished = workspace.runs / UNFINISHED / name
        waiting = partial(progress.say, f"waiting for another process, which trains {name}") if reuse else None
        stack.enter_context(WriterLock(unfinished, f"the run {name}", waiting))
        if reuse and (same := _finished(name, workspace, progress)) is not None:  # by the one that was waited for
            shutil.rmtree(unfinished, ignore_errors=True)
            return same
        progress.say(describe_choice(setup))
        if issubclass(setup.kind, Estimator):
            from l2aco.training.estimate import fit_estimator

            fit: Callable[[], Trained] = partial(fit_estimator, setup.kind, setup, progress)
        else:
            from l2aco.training.network import train_network

            fit = partial(
                train_network,
                setup,
                unfinished,
                workspace,
                progress,
                name=name,
                callbacks=callbacks,
                state_seconds=state_seconds,
            )
        run = save_run(setup, _in_memory(fit), name, workspace, suite)
        for callback in callbacks:
            callback.end(run.metrics)
        shutil.rmtree(unfinished, ignore_errors=True)
    return run


def _in_memory(make: Callable[[], Made]) -> Made:
    """What `make` gives; raises L2aCoError where the memory does not suffice. A GPU's error is told by its name, as
    what needs no torch does not import it; and nothing of what was tried is kept, as the next run may need its room."""
    try:
        return make()
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
            raise
        said = ": " + str(error).splitlines()[0] if str(error) else ""
    raise L2aCoError(
        f"the model ran out of memory{said}",
        remedy="Train it on less at a time: a smaller --set batch_size=N (networks), fewer --jobs, or, where a GPU's "
        "memory does not suffice, --device cpu.",
    )


def _finished(name: str, workspace: Workspace, progress: Progress) -> Run | None:
    """The run of this name, or of this name and a number, whose spec, metrics and predictions can be read."""
    for found in names_in(workspace.runs):
        if found == name or re.fullmatch(re.escape(name) + r"-\d+", found):
            with suppress(DamagedError):
                run = Run(workspace.runs / found, workspace)
                run.file("spec.toml"), run.file("metrics.json"), run.file("predictions.parquet")
                progress.say(f"{run.id} is there already, and shown (--again trains it anew)")
                return run
    return None


def identity(setup: Setup) -> dict[str, Any]:
    """What the numbers of a run depend on: the complete spec, the data, the vectors, the models' format, and versions
    of features whose numbers have changed."""
    same_numbers: Any = {"device": True, "threads": True, "config": setup.kind.Config.same_numbers}
    if setup.spec.offset == "none":
        same_numbers["offset"] = True
    if setup.recipe is not None and setup.recipe.target == "label":
        same_numbers |= {"target": True, "target_weight": True}
    fitted = setup.inputs.fitted
    versions = {name: found.version for name, found in fitted.items() if found.version != Feature.version}
    return {
        **({"features": versions} if versions else {}),
        "format": FORMAT,
        "spec": setup.spec.model_dump(mode="json", exclude=same_numbers),
        "dataset": setup.dataset.hash,
        "split": setup.split.hash,
        "vectors": combined_hash(setup.knowledge),
    }


def describe_choice(setup: Setup) -> str:
    """One line: what is trained on what."""
    spec, split = setup.spec, setup.split
    simulated = ", SIMULATED" if setup.dataset.simulated else ""
    vectors = f"store {', '.join(spec.store)}" if spec.store else "no profile vectors"
    if (screen := response_origin(setup)) is not None:
        vectors += f", response measured in {screen}"
    used = len(split.train) + len(split.valid) + len(split.test)
    left_out = len(setup.dataset.triples) - used
    rows = f"{len(split.train):,} / {len(split.valid):,} / {len(split.test):,} rows"
    rows += f", {left_out:,} left out" if left_out else ""
    align = f"align {spec.align.loss}, fusion {spec.align.fusion}, "
    offset = "" if spec.offset == "none" else f"on the offset {spec.offset}, "
    return (
        f"training {spec.backbone} on {spec.dataset} ({len(setup.dataset.triples):,} triples{simulated}), setting "
        f"{spec.split.setting} fold {spec.split.fold} ({rows}), "
        f"{'' if setup.model is None else align}{offset}{vectors}, seed {spec.seed}"
    )
