"""Running a suite: what is there already is taken, what fails is listed and stops nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np

from l2aco.bench.outside import brought
from l2aco.bench.suite import Budget, Cell, Suite, cells
from l2aco.errors import InputError, L2aCoError, PartlyDoneError, UsageError
from l2aco.files import read_json, stable_hash, write_json
from l2aco.progress import Progress, Silent
from l2aco.runs.inputs import check_features
from l2aco.runs.run import FORMAT, Run
from l2aco.runs.spec import TrainSpec
from l2aco.training.choose import complete, read_by
from l2aco.training.several import train_each
from l2aco.workspace import Workspace


@dataclass
class Outcome:
    """What became of a suite: the run of every cell that has one, and the message of every cell that failed."""

    suite: Suite
    runs: list[tuple[Cell, Run]] = field(default_factory=list)
    failed: list[tuple[Cell, str]] = field(default_factory=list)
    unfinished: list[Cell] = field(default_factory=list)
    """Those that were not begun before the budget was spent."""
    brought: dict[str, dict[tuple[int, int], np.ndarray]] = field(default_factory=dict)
    """What models from elsewhere say, by arm and by seed and fold."""

    @property
    def cells(self) -> int:
        """How many the suite has."""
        return len(self.runs) + len(self.failed) + len(self.unfinished)


def run_suite(
    suite: Suite, workspace: Workspace, progress: Progress = Silent(), *, jobs: int = 1, pool: Any = None
) -> Outcome:
    """Train every cell that has no run yet, as long as the budget lasts; `jobs` and `pool` as `train_each` takes them.

    Which run is whose is written down after each one, so that an interrupted suite goes on where it stood, and a cell
    that was changed is trained again alone. Raises what a wrong suite raises, before anything is trained.
    """
    outcome = Outcome(suite)
    index = Index(workspace)
    missing = []
    asked = cells(suite, workspace)
    outcome.brought = brought(suite, asked, workspace)
    for cell in asked:
        run = index.find(cell)
        if run is None:
            missing.append(cell)
        else:
            outcome.runs.append((cell, run))
    _refuse_wrong_settings(missing, index)
    begun = _within(suite.budget, [cell.spec for cell in missing])
    done = set[int]()
    with progress.task(suite.name, total=len(missing), unit="runs") as advance:
        at_once = min(jobs, max(1, len(missing)))
        for number, result in train_each(begun, workspace, jobs=at_once, suite=suite.name, pool=pool):
            cell = missing[number]
            done.add(number)
            if isinstance(result, Run):
                index.keep(cell, result)
                outcome.runs.append((cell, result))
            else:
                outcome.failed.append((cell, result.message))
                progress.say(f"{describe(cell)} failed: {result.message}")
            advance(1, f"done: {describe(cell)}")
    outcome.unfinished = [cell for number, cell in enumerate(missing) if number not in done]
    order = {describe(cell): at for at, cell in enumerate(asked)}
    for found in (outcome.runs, outcome.failed):
        found.sort(key=lambda item: order[describe(item[0])])
    return outcome


def refuse_failures(outcome: Outcome) -> None:
    """Raises PartlyDoneError where cells failed."""
    if outcome.failed:
        raise PartlyDoneError(
            f"{len(outcome.failed):,} of {outcome.cells:,} runs failed",
            remedy="Why stands above, and in the report. The same command tries them again, and nothing else.",
        )


def _refuse_wrong_settings(asked: Iterable[Cell], index: Index) -> None:
    """Raises InputError for an arm that asks for what its backbone does not have."""
    for cell in asked:
        try:
            index.complete(cell.spec)
        except UsageError as error:
            raise InputError(f"arm '{cell.arm}': {error.message}", remedy=error.remedy) from None
        except L2aCoError:
            continue  # what is not there, or damaged, is the matter of its cells alone


def _within(budget: Budget, specs: list[TrainSpec]) -> Iterator[TrainSpec]:
    """As many as may be begun, asked for one after another."""
    start = monotonic()
    for spec in specs[: budget.cells]:
        if budget.hours is not None and monotonic() - start >= budget.hours * 3600:
            return
        yield spec


def describe(cell: Cell) -> str:
    """A cell in words."""
    dataset, setting, seed, fold = cell.where
    draw = f", draw {cell.draw}" if cell.draw else ""
    return f"{cell.arm}{draw} on {dataset}, {setting}, seed {seed}, fold {fold}"


class Index:
    """Which run belongs to which cell of any suite; a run that is gone, or is of other data, belongs to none."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._folder = workspace.runs / ".cells"
        self._same: dict[str, tuple[TrainSpec, list[Any]]] = {}

    def find(self, cell: Cell) -> Run | None:
        """The run of a cell, if it is whole and reads what its backbone reads today."""
        with suppress(L2aCoError):
            name = str(read_json(self._folder / f"{self._key(cell)}.json"))
            run = Run(self._workspace.child(self._workspace.runs, name), self._workspace)
            run.file("metrics.json"), run.file("predictions.parquet")
            check_features(run.file("inputs.npz"))
            return run
        return None

    def keep(self, cell: Cell, run: Run) -> None:
        """Write down whose run this is."""
        write_json(self._folder / f"{self._key(cell)}.json", run.id)

    def _key(self, cell: Cell) -> str:
        spec, of = self.complete(cell.spec)
        same: Any = {"device": True, "threads": True}
        return stable_hash([FORMAT, spec.model_dump(mode="json", exclude=same), *of], 32)

    def complete(self, spec: TrainSpec) -> tuple[TrainSpec, list[Any]]:
        """The spec with its choices made, and hashes of the data and the stores: read once for all splits of an arm."""
        of_split = {"seed": spec.seed, "split": spec.split}
        key = spec.model_dump_json(exclude={*of_split})
        if key not in self._same:
            found = complete(spec, self._workspace)
            self._same[key] = found, read_by(found, self._workspace)
        found, of = self._same[key]
        return found.model_copy(update=of_split), of
