"""What a shell completes: values of a parameter by its name, read from folders and tables alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from l2aco.workspace import Workspace

Values = Callable[["Workspace"], Iterable[str]]


def _backbones(workspace: Workspace) -> Iterable[str]:
    from l2aco.models.backbones import backbones

    return (entry.name for entry in backbones)


def _settings(workspace: Workspace) -> Iterable[str]:
    from l2aco.data.splits import SETTINGS

    return (entry.name for entry in SETTINGS)


def _encoders(workspace: Workspace) -> Iterable[str]:
    from l2aco.embeddings.encoders.table import ENCODERS

    return [*(entry.name for entry in ENCODERS), *workspace.settings.encoders]


def _llms(workspace: Workspace) -> Iterable[str]:
    from l2aco.llm.catalog import load_catalog

    return load_catalog(workspace.settings)


def _datasets(workspace: Workspace) -> Iterable[str]:
    from l2aco.workspace import names_in

    return {*names_in(workspace.data), "demo"}


def _runs(workspace: Workspace) -> Iterable[str]:
    from l2aco.workspace import names_in

    return names_in(workspace.runs)


def _stores(workspace: Workspace) -> Iterable[str]:
    from l2aco.workspace import names_in

    return names_in(workspace.embeddings)


def _sets(workspace: Workspace) -> Iterable[str]:
    from l2aco.workspace import bundled, names_in

    return {*names_in(workspace.profiles), *names_in(bundled("profiles"))}


def _suites(workspace: Workspace) -> Iterable[str]:
    from l2aco.workspace import shipped_suites

    return shipped_suites()


def _public(workspace: Workspace) -> Iterable[str]:
    from l2aco.data.fetch import public_datasets

    return public_datasets()


def _entities(kind: str) -> Values:
    def names(workspace: Workspace) -> Iterable[str]:
        """Of the data sets; where there is none, of the bundled profiles."""
        from l2aco.workspace import bundled, names_in

        tables = [workspace.data / name / "entities.parquet" for name in names_in(workspace.data)]
        if not tables:
            return _profiled(bundled("profiles") / "reference" / "records.jsonl", kind)
        from l2aco.tables import read_binary

        frames = map(read_binary, tables)
        return {name for frame in frames for name in frame.filter(kind=kind)["name"]}

    return names


def _profiled(records: Path, kind: str) -> list[str]:
    return re.findall(rf'"entity_name":"([^"\\]+)","kind":"{kind}"', records.read_text(encoding="utf-8"))


VALUES: dict[str, Values] = {
    "backbone": _backbones,
    "setting": _settings,
    "encoder": _encoders,
    "llm": _llms,
    "dataset": _datasets,
    "store": _stores,
    "stores": _stores,
    "run": _runs,
    "runs": _runs,
    "first": _runs,
    "second": _runs,
    "set_name": _sets,
    "sets": _sets,
    "against": _sets,
    "suite": _suites,
    "public": _public,
    "cell": _entities("cell_line"),
    "drug": _entities("drug"),
    "drug_a": _entities("drug"),
    "drug_b": _entities("drug"),
    "kind": lambda workspace: ("drug", "cell_line"),
    "device": lambda workspace: ("auto", "cpu", "cuda:0"),
    "track": lambda workspace: ("tensorboard", "wandb"),
}
"""By the name of a verb's parameter: every parameter that is called so completes so."""


def completer(name: str) -> Callable[[typer.Context, str], list[str]]:
    """What typer asks when a value of the parameter `name` is to be completed."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        from l2aco.workspace import Workspace

        try:
            values = sorted(VALUES[name](Workspace(ctx.params.get("workspace"))), key=str.casefold)
        except Exception:  # whoever presses a key is told no errors
            return []
        return [value for value in values if value.casefold().startswith(incomplete.casefold())]

    return complete
