"""`tune(spec, workspace)`: a search for settings that looks at validation rows alone. Test rows are never scored."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from l2aco.errors import DamagedError, L2aCoError, UnavailableError, UsageError
from l2aco.files import stable_hash, write_toml
from l2aco.locks import WriterLock
from l2aco.metrics import compute, get_metric
from l2aco.models.estimator import Estimator
from l2aco.models.recipe import Recipe
from l2aco.progress import Progress, default
from l2aco.runs.run import FORMAT
from l2aco.runs.spec import TrainSpec
from l2aco.shown import ShownSpec
from l2aco.training.choose import complete, read_by
from l2aco.training.request import make_spec
from l2aco.workspace import Workspace

if TYPE_CHECKING:
    import optuna

    from l2aco.training.prepare import Setup

USUAL = ("learning_rate=1e-4:1e-2:log", "weight_decay=1e-6:1e-2:log")
"""What is searched of a network where nobody says."""


LOG = "trials.log"
"""Of optuna's journal, a line an event."""


class TuneSpec(ShownSpec):
    """`base`: what every trial has in common. `space`: settings as `name=low:high`, `name=low:high:log` (whole numbers
    where both ends are), or `name=a,b,c`. trials: in all, of an interrupted search too; minutes: of this call.
    """

    base: TrainSpec = Field(default_factory=TrainSpec)
    space: tuple[str, ...] = ()
    trials: int = Field(default=20, ge=1, le=10_000)
    minutes: float | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**32)


@dataclass(frozen=True)
class Range:
    """The values that a setting may take: numbers between two ends, or some values."""

    name: str
    low: float = 0.0
    high: float = 0.0
    kind: Literal["whole", "float", "log", "choice"] = "choice"
    choices: tuple[str, ...] = ()

    def suggest(self, trial: optuna.Trial) -> str:
        if self.kind == "choice":
            return str(trial.suggest_categorical(self.name, list(self.choices)))
        if self.kind == "whole":
            return str(trial.suggest_int(self.name, int(self.low), int(self.high)))
        return repr(trial.suggest_float(self.name, self.low, self.high, log=self.kind == "log"))


@dataclass(frozen=True)
class Tuned:
    """The winner: its spec, also as a file that `train --spec` takes, and its value on validation rows. trials: one row
    each, best first."""

    spec: TrainSpec
    path: Path
    metric: str
    value: float
    trials: list[dict[str, Any]]


def tune(spec: TuneSpec, workspace: Workspace | str | Path | None = None, progress: Progress | None = None) -> Tuned:
    """Try settings, chosen by optuna's tree-structured Parzen estimator, and keep the best.

    A search is known by its base, its space, and the data set and stores as they are: the same call goes on where an
    interrupted one stopped, and with more trials goes further. Raises UnavailableError without optuna, what `train`
    raises for the base, and L2aCoError where no trial could be trained.
    """
    workspace = Workspace.at(workspace)
    progress = progress or default()
    optuna = _optuna()
    base = complete(spec.base, workspace)
    ranges = parse_space(spec.space or USUAL)
    _check(ranges, base, workspace)
    setting = str(base.split.setting)
    name = f"{base.dataset}-{base.backbone}-{setting}-{_hash(base, ranges, spec.seed, workspace)}"
    folder = workspace.root / "tune" / name
    with WriterLock(folder, f"the search {name}"):
        study = _study(optuna, folder / LOG, base.metric or Recipe().metric, spec.seed, ranges)
        _search(study, spec, base, ranges, workspace, progress)
        return _winner(study, base, workspace, folder)


def parse_space(texts: tuple[str, ...]) -> list[Range]:
    """The ranges that `texts` describe; raises UsageError for what is none."""
    found = {}
    for text in texts:
        name, equals, values = text.partition("=")
        parts = values.split(":")
        try:
            if not equals or not name.strip() or name in found:
                raise ValueError
            found[name] = _numbers(name, *parts) if len(parts) > 1 else Range(name, choices=tuple(values.split(",")))
            if not all(found[name].choices) or (len(parts) == 1 and not values):
                raise ValueError
        except (ValueError, TypeError):
            remedy = "Write name=low:high, name=low:high:log or name=a,b,c, each name once."
            raise UsageError(f"'{text}' is no range of a setting", remedy=remedy) from None
    return list(found.values())


def _numbers(name: str, low: str, high: str, scale: str = "") -> Range:
    ends = float(low), float(high)
    if not (all(map(math.isfinite, ends)) and ends[0] < ends[1] and scale in ("", "log")):
        raise ValueError
    if scale == "log" and ends[0] <= 0:
        raise ValueError
    whole = low.strip().isdecimal() and high.strip().isdecimal() and not scale
    return Range(name, *ends, kind="log" if scale else "whole" if whole else "float")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UnavailableError("optuna is not installed", remedy="Install it: pip install 'l2aco[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _check(ranges: list[Range], base: TrainSpec, workspace: Workspace) -> None:
    """Raises what `make_spec` does for a wrong name or value, before anything is trained."""
    for place in (0, -1):
        ends = [one.choices[place] if one.choices else repr([one.low, one.high][place]) for one in ranges]
        settings = [
            f"{one.name}={int(float(end)) if one.kind == 'whole' else end}"
            for one, end in zip(ranges, ends, strict=True)
        ]
        make_spec({}, settings, workspace, base)


def _hash(base: TrainSpec, ranges: list[Range], seed: int, workspace: Workspace) -> str:
    """Of all that the values of trials depend on."""
    asked = base.model_dump(mode="json", exclude={"device", "threads"})
    return stable_hash([FORMAT, asked, *read_by(base, workspace), sorted(map(str, ranges)), seed], 7)


def _study(optuna: Any, log: Path, metric: str, seed: int, ranges: list[Range]) -> Any:
    """The search that the log tells, or a new one. Raises DamagedError where it tells none, or of other settings."""
    from optuna.storages.journal import JournalFileBackend

    direction = "maximize" if get_metric(metric).higher else "minimize"
    _drop_torn_line(log)
    try:
        study = optuna.create_study(
            study_name=metric, storage=optuna.storages.JournalStorage(JournalFileBackend(str(log))),
            direction=direction, load_if_exists=True,
        )  # fmt: skip
        if study.direction.name.casefold() != direction:
            raise ValueError(f"{metric} is to {direction}")
        for trial in study.trials:
            _check_trial(trial, ranges)
    except Exception as error:  # whatever optuna finds wrong with its journal
        raise DamagedError(
            f"tells no search ({error or type(error).__name__})", where=log, remedy="Remove it: the search begins anew."
        ) from None
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))  # the same after an interruption
    return study


def _drop_torn_line(log: Path) -> None:
    """A process that was killed may have left half a line, to which the next would be joined."""
    if log.is_file() and (written := log.read_bytes()) and not written.endswith(b"\n"):
        os.truncate(log, written.rfind(b"\n") + 1)


def _check_trial(trial: Any, ranges: list[Range]) -> None:
    """Raises what is wrong with a trial that is read from a log."""
    if not trial.params.keys() <= {one.name for one in ranges}:
        raise ValueError(f"trial {trial.number} has other settings")
    if trial.value is not None and not math.isfinite(trial.value):
        raise ValueError(f"trial {trial.number} has no number as its value")


def _finished(study: Any) -> list[Any]:
    return [trial for trial in study.trials if trial.state.is_finished()]


def _search(
    study: Any, spec: TuneSpec, base: TrainSpec, ranges: list[Range], workspace: Workspace, progress: Progress
) -> None:
    from optuna.trial import TrialState

    ends = math.inf if spec.minutes is None else time.monotonic() + 60 * spec.minutes
    before = len(_finished(study))
    if before:
        progress.say(f"{before} trials are there already")
    with progress.task("tune", total=max(spec.trials, before), unit="trials") as advance:
        advance(before)
        for _ in range(spec.trials - before):
            if time.monotonic() > ends:
                progress.say("the minutes are over")
                break
            trial = study.ask()
            settings = [f"{one.name}={one.suggest(trial)}" for one in ranges]
            try:
                value = validation_value(make_spec({}, settings, workspace, base), study.study_name, workspace)
            except L2aCoError as error:
                progress.say(f"{', '.join(settings)}: {error.message}")
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, value)
            advance(1, ", ".join(settings))


def validation_value(spec: TrainSpec, metric: str, workspace: Workspace) -> float:
    """Train, and score the validation rows: of a network its best epoch. Nothing is saved, no test row is scored."""
    from l2aco.training.prepare import prepare

    setup = prepare(spec, workspace)
    value = _of_estimator(setup, metric) if issubclass(setup.kind, Estimator) else _of_network(setup, workspace)
    if not math.isfinite(value):
        raise L2aCoError(f"{metric} of the validation rows is not defined")
    return value


def _of_estimator(setup: Setup, metric: str) -> float:
    from l2aco.models.assemble import parse_config
    from l2aco.training.estimate import scored

    rows = setup.dataset.triples.take(setup.split.valid)
    kind: Any = setup.kind
    config = parse_config(kind, setup.spec.config)
    fitted = kind.fit(setup.inputs, config, setup.dataset.triples.take(setup.split.train), seed=setup.spec.seed)
    return float(compute(rows.label, scored(fitted, rows), names=[metric])[metric])


def _of_network(setup: Setup, workspace: Workspace) -> float:
    from l2aco.progress import Silent
    from l2aco.runs.device import choose_device, computing
    from l2aco.training.network import make_fit
    from l2aco.training.offset import make_offset

    device = choose_device(workspace.settings.device if setup.spec.device == "auto" else setup.spec.device)
    with computing(device, setup.spec.threads):
        return float(make_fit(setup, device, make_offset(setup, Silent())).run().best_value)


def _winner(study: Any, base: TrainSpec, workspace: Workspace, folder: Path) -> Tuned:
    done = [trial for trial in study.trials if trial.value is not None]
    if not done:
        raise L2aCoError("no trial could be trained", where=folder, remedy="Narrow the space, or mend the base.")
    higher = get_metric(study.study_name).higher
    done.sort(key=lambda trial: -trial.value if higher else trial.value)
    best = make_spec({}, [f"{name}={value}" for name, value in done[0].params.items()], workspace, base)
    path = folder / "best.toml"
    write_toml(path, best.model_dump(mode="json"))
    rows = [{"trial": trial.number, study.study_name: trial.value, **trial.params} for trial in done]
    return Tuned(best, path, study.study_name, done[0].value, rows)
