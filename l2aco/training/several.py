"""Several runs, one after another or in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from l2aco.errors import L2aCoError
from l2aco.progress import Progress, Silent
from l2aco.runs.run import Run
from l2aco.training.callbacks import Callback
from l2aco.training.choose import choose_dataset
from l2aco.training.train import train
from l2aco.workspace import Workspace

if TYPE_CHECKING:
    from l2aco.runs.spec import TrainSpec


def train_all(
    specs: Sequence[TrainSpec],
    workspace: Workspace,
    progress: Progress = Silent(),
    *,
    jobs: int = 1,
    callbacks: Sequence[Callback] = (),
    again: bool = False,
) -> list[Run]:
    """The runs of `specs`, in their order; those that are there already are taken, unless they are trained `again`.

    `jobs` processes train at the same time, with the same numbers as one after another; `callbacks` then see nothing.
    Raises what `train` raises, at the first run that fails; runs that are done stay.
    """
    once = _Once(progress)
    if jobs == 1 or len(specs) == 1:
        return [train(spec, workspace, once, callbacks=callbacks, reuse=not again) for spec in specs]
    choose_dataset(specs[0].dataset, workspace)  # simulates the demo once, not in every process
    progress.say(f"training {len(specs)} runs, {min(jobs, len(specs))} at a time")
    found: dict[int, Run] = {}
    with progress.task("training", total=len(specs), unit="runs") as advance:
        for number, result in train_each(specs, workspace, once, jobs=jobs, again=again):
            if isinstance(result, L2aCoError):
                raise result
            found[number] = result
            advance(1)
    return [found[number] for number in range(len(specs))]


def train_each(
    specs: Sequence[TrainSpec],
    workspace: Workspace,
    progress: Progress = Silent(),
    *,
    jobs: int = 1,
    again: bool = False,
) -> Iterator[tuple[int, Run | L2aCoError]]:
    """The number of each spec and its run, or why there is none, as they are done; those that are there are taken, or
    trained `again`."""
    if jobs == 1 or len(specs) < 2:
        for number, spec in enumerate(specs):
            yield number, _run_or_error(partial(train, spec, workspace, progress, reuse=not again))
        return
    with ProcessPoolExecutor(min(jobs, len(specs)), mp_context=get_context("spawn")) as pool:
        numbers = {pool.submit(_train_one, spec, workspace.root, again): number for number, spec in enumerate(specs)}
        try:
            for future in as_completed(numbers):
                result = _run_or_error(partial(_told, future, workspace, progress))
                yield numbers[future], result
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_or_error(make: Callable[[], Run]) -> Run | L2aCoError:
    try:
        return make()
    except BrokenProcessPool:
        return L2aCoError(
            "a process that trained was ended from outside, perhaps for want of memory",
            remedy="Give the command again with fewer --jobs: runs that are done are kept.",
        )
    except L2aCoError as error:
        return error


def _told(done: Future[tuple[str, list[str]]], workspace: Workspace, progress: Progress) -> Run:
    name, lines = done.result()
    for line in lines:
        progress.say(line)
    return Run(workspace.runs / name, workspace)


class _Once:
    """Says what concerns all runs, such as which entities have no vector, for the first of them."""

    def __init__(self, progress: Progress) -> None:
        self._said: set[str] = set()
        self._progress = progress
        self.task = progress.task

    def say(self, text: str) -> None:
        if text not in self._said:
            self._progress.say(text)
        self._said.add(text)


class _Lines(Silent):
    """Keeps what is said, for the process that asked."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def _train_one(spec: TrainSpec, root: Path, again: bool) -> tuple[str, list[str]]:
    lines = _Lines()
    return train(spec, Workspace(root), lines, reuse=not again).id, lines.said
