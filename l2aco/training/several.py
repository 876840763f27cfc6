"""Several runs, one after another or in processes of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from l2aco.errors import L2aCoError
from l2aco.progress import Progress, Silent
from l2aco.runs.run import Run
from l2aco.training.callbacks import Callback
from l2aco.training.choose import choose_dataset
from l2aco.training.train import train
from l2aco.workspace import Workspace

if TYPE_CHECKING:
    from l2aco.runs.spec import TrainSpec

Told = tuple[str, list[str]]
"""The id of a run and what was said while it was trained."""
Call = Callable[["TrainSpec", Path], Told]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


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
    specs: Iterable[TrainSpec],
    workspace: Workspace,
    progress: Progress = Silent(),
    *,
    jobs: int = 1,
    again: bool = False,
    suite: str | None = None,
    pool: Callable[[int], AbstractContextManager[Pool]] | None = None,
) -> Iterator[tuple[int, Run | L2aCoError]]:
    """The number of each spec and its run, or why there is none, as they are done; those that are there are taken, or
    trained `again`. `suite`: what they are trained for.

    Of several jobs each trains in a process of its own, and the next spec is asked for when one of them is free. `pool`
    makes what they are given to, `processes` where it is None.
    """
    if jobs == 1 and pool is None:
        for number, spec in enumerate(specs):
            yield number, _run_or_error(partial(train, spec, workspace, progress, reuse=not again, suite=suite))
        return
    call = partial(_train_one, again=again, suite=suite)
    with (pool or processes)(jobs) as opened:
        left, numbers = enumerate(specs), dict[Future[Told], int]()
        while True:
            for number, spec in islice(left, jobs - len(numbers)):
                numbers[_submitted(opened, call, spec, workspace.root)] = number
            if not numbers:
                return
            for future in wait(numbers, return_when=FIRST_COMPLETED).done:
                yield numbers.pop(future), _run_or_error(partial(_told, future, workspace, progress))


def _submitted(pool: Pool, call: Call, spec: TrainSpec, root: Path) -> Future[Told]:
    """What a pool that has broken says of it, it says of every run that it is given."""
    try:
        return pool.submit(call, spec, root)
    except BrokenProcessPool as error:
        broken: Future[Told] = Future()
        broken.set_exception(error)
        return broken


class Pool(Protocol):
    """What runs are given to."""

    def submit(self, call: Call, spec: TrainSpec, root: Path, /) -> Future[Told]: ...


@contextmanager
def processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes of this machine, which share its cores: a library that would take them all gets its part."""
    with (
        _environment(threads=max(1, (os.cpu_count() or 1) // jobs)),
        ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool,
    ):
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """What is started within has so many threads, unless the user has said otherwise."""
    names = [name for name in THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]


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


def _told(done: Future[Told], workspace: Workspace, progress: Progress) -> Run:
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


def _train_one(spec: TrainSpec, root: Path, again: bool, suite: str | None) -> Told:
    lines = _Lines()
    return train(spec, Workspace(root), lines, reuse=not again, suite=suite).id, lines.said
