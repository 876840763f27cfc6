"""From what a user asked for (options, `name=value` settings, a spec file) to one `TrainSpec`, or to several."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from l2aco.data.splits.spec import SplitSpec
from l2aco.errors import UnknownNameError, UsageError
from l2aco.files import checked_spec
from l2aco.models.recipe import Recipe
from l2aco.models.spec import AlignSpec
from l2aco.runs.ensemble import ENSEMBLE
from l2aco.runs.spec import TrainSpec
from l2aco.training.choose import READ_AT_ONCE, check_names, choose_backbone, choose_dataset
from l2aco.workspace import Workspace

SHORT = {"lr": "learning_rate"}


def make_spec(
    options: Mapping[str, Any], settings: Sequence[str], workspace: Workspace, base: TrainSpec | None = None
) -> TrainSpec:
    """`base`, overridden by `options` (dotted names, None is "not given"), overridden by `settings` (`name=value`).

    A setting's name is looked for among the values of training, the backbone's hyper-parameters, those of the
    aligner and those of the split; `config.x`, `align.x` and `split.x` say which. Raises UnknownNameError with
    suggestions, UsageError for values that make no sense.
    """
    if base is not None and base.backbone == ENSEMBLE:
        raise UsageError(
            "the spec is that of an ensemble, which is not trained",
            remedy=f"Make it again: l2aco ensemble {' '.join(base.config['members'])}",
        )
    given = {name: value for name, value in options.items() if value is not None}
    check_names(given, workspace)
    homes = {}
    if settings:
        before = base or TrainSpec()
        named = given.get("backbone") or before.backbone or workspace.settings.backbone
        dataset = given.get("dataset") or before.dataset
        homes = _homes(named or choose_backbone(None, choose_dataset(dataset, workspace), workspace))
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"'{setting}' sets nothing", remedy="Write name=value, for example --set epochs=50.")
        given[_locate(name.strip(), homes)] = _parse(text.strip())
    if any(name.startswith("align.") for name in given):
        _refuse_alignment(given, given.get("backbone") or (base or TrainSpec()).backbone or workspace.settings.backbone)
    values = (base or TrainSpec()).model_dump(mode="json", exclude_none=True)
    if base is not None:
        _make_room(values, given)
    for name, value in given.items():
        _put(values, name, value)
    return checked_spec(TrainSpec, values)


def _refuse_alignment(given: Mapping[str, Any], backbone: str | None) -> None:
    """Raises UsageError where something is asked of an aligner that the backbone does not have."""
    from l2aco.models.backbones import backbones
    from l2aco.models.estimator import Estimator

    if backbone is None or not issubclass(backbones.load(backbone), Estimator):
        return
    names = {f"align.{name}" for name in READ_AT_ONCE}
    asked = [name for name, value in given.items() if name.startswith("align.") and name not in names]
    if unread := [name for name in asked if (name, given[name]) != ("align.loss", "none")]:
        raise UsageError(
            f"{backbones.get(backbone).name} is fitted at once, aligned with nothing, and has no {', '.join(unread)}",
            remedy="Leave that out; what it reads is said by --store, --cell-features and --drug-features.",
        )


def plan(spec: TrainSpec, workspace: Workspace, *, seeds: int = 1, all_folds: bool = False) -> list[TrainSpec]:
    """The specs of `seeds` neighbouring seeds and, with `all_folds`, of every fold that the setting has."""
    if seeds < 1:
        raise UsageError("at least one seed is needed", remedy="Use --seeds 1 or more.")
    folds: Sequence[int] = (spec.split.fold,)
    if all_folds:
        from l2aco.data.catalog import open_dataset
        from l2aco.data.splits.make import num_folds

        folds = range(num_folds(open_dataset(choose_dataset(spec.dataset, workspace), workspace), spec.split))
    return [
        spec.model_copy(update={"seed": spec.seed + more, "split": spec.split.model_copy(update={"fold": fold})})
        for fold in folds
        for more in range(seeds)
    ]


def parse_folds(fold: str | None, folds: str | None) -> tuple[bool, int | None, int | None]:
    """(all folds?, the fold, the number of folds) from what --fold and --folds were given; None is the default."""
    every = "all" in (fold, folds)
    one = None if fold == "all" else _whole_number("--fold", fold)
    count = None if folds == "all" else _whole_number("--folds", folds)
    if every and one is not None:
        raise UsageError("--fold and --folds all contradict each other", remedy="Leave one of them out.")
    return every, one, count


def _whole_number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal():
        raise UsageError(f"{name} takes a number or 'all', not '{text}'")
    return int(text)


def _make_room(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Drop what a spec file chose for something that an option now replaces."""
    from l2aco.models.assemble import parse_config
    from l2aco.models.backbones import backbones
    from l2aco.models.estimator import Estimator

    if "store" not in given and ("llm" in given or "encoder" in given):
        values.pop("store", None)
    if "backbone" not in values:  # the file speaks of no model in particular
        return
    before = backbones.get(values["backbone"])
    other = "backbone" in given and backbones.get(given["backbone"]).name != before.name
    align = values.get("align", {})
    if (other or given.get("align.loss") == "none") and align.get("fusion") == backbones.load(before.name).fusion:
        align.pop("fusion")  # a run's file holds what its backbone does by default
    config, kind = values.get("config", {}), before.load()
    if "split.setting" in given and issubclass(kind, Estimator):
        for name, value in kind.defaults_for(values["split"]["setting"]).items():
            if config.get(name) == value:
                config.pop(name)  # the new setting has a default of its own
    if other:
        values.pop("config", None)
    else:
        faithful = config.get("faithful", False)
        usual, wanted = (
            parse_config(kind, {"faithful": value}) for value in (faithful, given.get("config.faithful", faithful))
        )
        if wanted == usual:
            return
        chosen = usual.model_dump(mode="json")
        values["config"] = {name: value for name, value in config.items() if value != chosen.get(name)}
    for name in Recipe.model_fields:  # another model has a recipe of its own
        values.pop(name, None)


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    *folder, last = name.split(".")
    for part in folder:
        values = values.setdefault(part, {})
    values[last] = value


def _homes(backbone: str) -> dict[str, dict[str, str]]:
    """For every home ("training", "config", "align", "split"): the settings in it, with their dotted names."""
    from l2aco.models.backbones import backbones
    from l2aco.models.estimator import Estimator

    kind = backbones.load(backbone)
    config: type[BaseModel] = kind.Config
    at_once = config.model_fields if issubclass(kind, Estimator) else ()  # one that has no recipe may use its names
    own = [*(name for name in Recipe.model_fields if name not in at_once), "seed", "device", "threads"]
    return {
        "training": {name: name for name in own},
        "config": {name: f"config.{name}" for name in config.model_fields},
        "align": {name: f"align.{name}" for name in AlignSpec.model_fields},
        "split": {name: f"split.{name}" for name in SplitSpec.model_fields if name != "seed"},
    }


def _locate(name: str, homes: Mapping[str, Mapping[str, str]]) -> str:
    name = SHORT.get(name, name)
    home, dot, inner = name.partition(".")
    if dot:
        if home not in homes:
            raise UnknownNameError("group of settings", home, homes)
        if home == "split" and inner == "seed":
            return name
        if inner not in homes[home]:
            raise UnknownNameError(f"setting of {home}", inner, homes[home])
        return homes[home][inner]
    found = [names[name] for names in homes.values() if name in names]
    if not found:
        known = [setting for names in homes.values() for setting in names]
        raise UnknownNameError("setting", name, known, remedy="`l2aco backbones` lists those of each backbone.")
    if len(found) > 1:
        raise UsageError(f"'{name}' may be {' or '.join(found)}", remedy="Write the longer name.")
    return found[0]


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
