"""What a suite asks for: models and their controls, on which splits, and what is claimed of them.

A suite is a TOML file. Every arm is a model that is trained on every split; an arm with `draws` is a control that is
drawn so many times, and its measures are means over the draws. A claim is that an arm is better than each of others.

    dataset = ["demo"]
    seeds = [0, 1]

    [spec]                      # of every arm; all that a run's spec.toml may hold
    backbone = "Mixed"

    [[arms]]
    name = "panel"
    profiles = ["reference-panel"]

    [[arms]]
    name = "panel, shuffled"
    profiles = ["reference-panel"]
    draws = 10
    spec.align.vectors = "shuffled"

    [[claims]]
    text = "the panel tells cell lines apart"
    arm = "panel"
    over = ["panel, shuffled", "pair mean"]

Where there are `[[models]]`, each a name and what its arms share, an arm called "{model}, aligned", and a claim of it,
are there for every model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from l2aco.bench.statistics import MEASURES
from l2aco.data.splits.make import num_folds
from l2aco.data.splits.spec import SplitSpec
from l2aco.embeddings.embed import store_of_set
from l2aco.errors import InputError, UnknownNameError, UsageError, in_file
from l2aco.files import describe_validation, is_name, read_toml, stable_hash
from l2aco.runs.naive import naive_predictors
from l2aco.runs.spec import TrainSpec
from l2aco.strict import Strict
from l2aco.workspace import Workspace, bundled, shipped_suites

LONG_TAIL = "long-tail"
MODEL = "{model}"
"""In the name of an arm, and in a claim: one of the suite's models."""
COLUMNS = ("dataset", "setting", "seed", "fold", "group", "cell_line", "line", "pair", "label", "score")
"""Of the predictions that a suite leaves behind, beside one an arm."""


class Arm(Strict):
    """A model of a suite. `profiles` names profile sets, whose newest store is taken; None leaves it to the spec.

    `predictions`: instead of a spec, a file of what a model from elsewhere says of the test rows (`bench.outside`).
    """

    name: str
    profiles: tuple[str, ...] | None = None
    encoder: str | None = None
    """Of the stores of `profiles`, where it is not the newest that is meant."""
    draws: int = Field(default=1, ge=1, le=1000)
    folds: tuple[int, ...] | None = None
    """The folds that it is trained on; None: all."""
    seeds: tuple[int, ...] | None = None
    spec: dict[str, Any] = Field(default_factory=dict)
    predictions: Path | None = None

    @model_validator(mode="after")
    def _trained_or_brought(self) -> Self:
        if self.predictions is not None and (more := self.model_fields_set - {"name", "predictions"}):
            raise UsageError(f"arm '{self.name}' has predictions, and so no {', '.join(sorted(more))}")
        return self


class Claim(Strict):
    """That `arm` is better than every one of `over`, by `measure`."""

    text: str
    arm: str
    over: tuple[str, ...] = Field(min_length=1)
    measure: str = "auroc"
    """A name of `statistics.MEASURES`."""


class _OfModels(BaseModel):
    """A suite that says what several models have in common once. A model is what its arms share."""

    models: tuple[Arm, ...] = Field(min_length=1)
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...] = ()

    def spelled_out(self) -> dict[str, Any]:
        """Arms and claims that speak of no model, then those of every model."""
        arms = [arm for arm in self.arms if MODEL not in arm.name]
        claims = [claim for claim in self.claims if MODEL not in claim.arm]
        if len(arms) == len(self.arms):
            raise UsageError(f"the suite has models, and no arm has {MODEL} in its name")
        for model in self.models:
            arms += [_arm_of(model, arm) for arm in self.arms if MODEL in arm.name]
            claims += [_claim_of(model, claim) for claim in self.claims if MODEL in claim.arm]
        return {"arms": arms, "claims": claims}


def _arm_of(model: Arm, arm: Arm) -> Arm:
    own = {"name": arm.name.replace(MODEL, model.name), "spec": _merged(model.spec, arm.spec)}
    return Arm.model_validate(model.model_dump(exclude_unset=True) | arm.model_dump(exclude_unset=True) | own)


def _claim_of(model: Arm, claim: Claim) -> Claim:
    text, arm, *over = (name.replace(MODEL, model.name) for name in (claim.text, claim.arm, *claim.over))
    return claim.model_copy(update={"text": text, "arm": arm, "over": tuple(over)})


class Budget(Strict):
    """After so many hours, or so many new runs, no other is begun; the same command goes on. None: no limit."""

    hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    cells: int | None = Field(default=None, ge=0)


class Suite(Strict):
    """See the module. `naive` names predictors of `runs.naive` that stand beside the arms."""

    name: str
    """Of the folder of its report."""
    title: str = ""
    dataset: tuple[str, ...] = Field(min_length=1)
    settings: tuple[str, ...] = ("novel-cell",)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Of the folds and of the models alike."""
    folds: int = Field(default=5, ge=2, le=1000)
    shots: tuple[int, ...] = Field(default=(20,), min_length=1)
    """Of the setting long-tail: measured rows of a rare line that train, one table for each."""
    naive: tuple[str, ...] = ("pair mean",)
    budget: Budget = Budget()
    spec: dict[str, Any] = Field(default_factory=dict)
    arms: tuple[Arm, ...] = Field(min_length=1)
    claims: tuple[Claim, ...] = ()
    _file: Path | None = None

    def origin(self, workspace: Workspace) -> str:
        """Which of the suites of this name it is: the path of its file in the workspace, a hash of one elsewhere, or
        that it is shipped."""
        if self._file is None:
            return "shipped"
        file, root = self._file.resolve(), workspace.root.resolve()
        if file.is_relative_to(bundled("benchmarks/suites").resolve()):
            return "shipped"
        return str(file.relative_to(root)) if file.is_relative_to(root) else stable_hash(str(file), 16)

    @model_validator(mode="after")
    def _names_lead_somewhere(self) -> Self:
        if not is_name(self.name):
            raise UsageError(f"'{self.name}' cannot be the name of a suite: it names the folder of its report")
        names = [arm.name for arm in self.arms]
        brought = [arm.name for arm in self.arms if arm.predictions is not None]
        if brought and (len(self.dataset) > 1 or len(self.settings) > 1 or len(self.shots) > 1):
            raise UsageError(f"predictions, as of '{brought[0]}', are of one data set and one setting")
        if len(brought) == len(names):
            raise UsageError(
                "no arm is trained", remedy="Add one: its splits are those of which predictions are judged."
            )
        for what, values in (
            ("dataset", self.dataset),
            ("settings", self.settings),
            ("seeds", self.seeds),
            ("shots", self.shots),
        ):
            if not values or len(set(values)) < len(values):
                raise UsageError(f"'{what}' must name something, and nothing twice")
        if min(*self.seeds, *self.shots) < 0:
            raise UsageError("a seed cannot be negative, nor shots")
        for given in (self.spec, *(arm.spec for arm in self.arms)):
            if own := sorted({"dataset", "seed", "split"} & {*given}):
                raise UsageError(f"spec.{own[0]} is the suite's to say, not a spec's", remedy="See docs/benchmarks.md.")
        if twice := sorted({name for name in names if names.count(name) > 1 or name in self.naive}):
            raise UsageError(f"the suite has several arms called {', '.join(twice)}")
        if columns := sorted({*names} & {*COLUMNS}):
            raise UsageError(f"no arm can be called {', '.join(columns)}: predictions.parquet has such a column")
        for name in self.naive:
            if name not in naive_predictors():
                raise UnknownNameError("naive predictor", name, naive_predictors())
        for claim in self.claims:
            if claim.measure not in MEASURES:
                raise UnknownNameError("measure", claim.measure, MEASURES)
            if claim.arm in claim.over:
                raise UsageError(f"the claim '{claim.text}' is over itself")
            for name in (claim.arm, *claim.over):
                if name not in (*names, *self.naive):
                    raise UnknownNameError("arm", name, (*names, *self.naive))
        return self


@dataclass(frozen=True)
class Cell:
    """One run of a suite."""

    arm: str
    draw: int
    spec: TrainSpec

    @property
    def where(self) -> tuple[str, str, int, int]:
        """Data set, setting (of a few-shot one with its shots), seed and fold."""
        split = self.spec.split
        setting = f"{split.setting}-{split.shots}-shots" if split.setting == LONG_TAIL else split.setting
        return str(self.spec.dataset), setting, split.seed, split.fold


def load_suite(name: str, **changes: Any) -> Suite:
    """A suite by the name of a shipped one or by its file; `changes` replace its values where they are not None.

    Raises UnknownNameError, InputError for what is wrong in the file, with its key, UsageError for wrong `changes`.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = bundled("benchmarks/suites") / f"{name}.toml"
        if name not in shipped_suites():
            raise UnknownNameError("suite", name, shipped_suites(), remedy="A file is named with its ending, .toml.")
    changes = {key: value for key, value in changes.items() if value}
    values = {"name": path.stem, **read_toml(path), **changes}
    try:
        if "models" in values:
            values |= _OfModels.model_validate(values).spelled_out()
            del values["models"]
        return _beside(path, Suite.model_validate(values))
    except ValidationError as error:
        raise InputError(describe_validation(error), where=path) from None
    except UsageError as error:
        if changes:
            load_suite(name)  # which is refused unless it is the changes that make no sense
            raise
        raise in_file(error, path) from None


def _beside(path: Path, suite: Suite) -> Suite:
    """The suite of this file; its predictions lie where it says, seen from its own folder."""
    arms = [
        arm.model_copy(update={"predictions": path.parent / arm.predictions}) if arm.predictions else arm
        for arm in suite.arms
    ]
    found = suite.model_copy(update={"arms": tuple(arms)})
    found._file = path
    return found


def cells(suite: Suite, workspace: Workspace) -> list[Cell]:
    """Every run of the suite, those of a split together. Raises what unknown names, stores and spec values raise."""
    from l2aco.data.catalog import open_or_simulate

    found: list[Cell] = []
    arms = [(arm, _values(arm, suite.spec, workspace)) for arm in suite.arms if arm.predictions is None]
    for dataset in suite.dataset:
        opened = open_or_simulate(dataset, workspace)
        for split in _splits(suite):
            for fold in range(num_folds(opened, split)):
                at = {"dataset": opened.name, "seed": split.seed, "split": {**split.model_dump(), "fold": fold}}
                found += [cell for arm, values in arms for cell in _of_arm(arm, values, at)]
    return found


def _splits(suite: Suite) -> Iterator[SplitSpec]:
    for setting in suite.settings:
        made = SplitSpec(setting=setting, folds=suite.folds)
        for shots in suite.shots if made.setting == LONG_TAIL else suite.shots[:1]:
            own = {"shots": shots} if made.setting == LONG_TAIL else {}
            yield from (made.model_copy(update={"seed": seed, **own}) for seed in suite.seeds)


def _values(arm: Arm, common: Mapping[str, Any], workspace: Workspace) -> dict[str, Any]:
    values = _merged(common, arm.spec)
    if arm.profiles is not None:
        values["store"] = [store_of_set(name, workspace, encoder=arm.encoder) for name in arm.profiles]
    return values


def _of_arm(arm: Arm, values: Mapping[str, Any], at: Mapping[str, Any]) -> list[Cell]:
    if arm.folds is not None and at["split"]["fold"] not in arm.folds:
        return []
    if arm.seeds is not None and at["seed"] not in arm.seeds:
        return []
    values = _merged(values, at)
    made = []
    for draw in range(arm.draws):
        drawn = _merged(values, {"align": {"draw": draw}}) if arm.draws > 1 else values
        try:
            made.append(Cell(arm.name, draw, TrainSpec.model_validate(drawn)))
        except ValidationError as error:
            raise InputError(f"arm '{arm.name}': {describe_validation(error)}") from None
    return made


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, tables within tables; `above` decides."""
    found = dict(below)
    for name, value in above.items():
        inner = found.get(name)
        found[name] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return found
