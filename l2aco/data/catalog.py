"""The data sets of a workspace, by name."""

from __future__ import annotations

import contextlib
from pathlib import Path

from l2aco.data.dataset import DataSet
from l2aco.data.sources.demo import DEMO, write_demo
from l2aco.data.write import refuse_but_for_case
from l2aco.errors import DamagedError, UnknownNameError, UsageError
from l2aco.progress import Progress
from l2aco.workspace import Workspace, names_in


def open_dataset(name: str | DataSet, workspace: Workspace | str | Path | None = None) -> DataSet:
    """The data set called `name` in the workspace, case apart where none is called exactly so; a data set is itself.

    Nothing is written. Raises UnknownNameError with the nearest names.
    """
    if isinstance(name, DataSet):
        return name
    workspace = Workspace.at(workspace)
    found = _called(name, workspace)
    if found is None:
        known = {*names_in(workspace.data), DEMO} - {name.casefold()}
        ways = "`l2aco data import PATH --name NAME` makes one, `l2aco data info demo` the simulated one."
        raise UnknownNameError("data set", name, known, remedy=ways)
    return DataSet(workspace.data / found)


def open_or_simulate(name: str | DataSet, workspace: Workspace | str | Path | None = None) -> DataSet:
    """`open_dataset` for a name that a user gave: the demo is there for everybody, and simulated on its first use."""
    if isinstance(name, DataSet):
        return name
    workspace = Workspace.at(workspace)
    if name.casefold() == DEMO and _called(name, workspace) is None:
        with contextlib.suppress(UsageError):  # another process has simulated it meanwhile
            return write_demo(workspace)
    return open_dataset(name, workspace)


def check_new_name(name: str, workspace: Workspace, *, replace: bool) -> None:
    """Raises UsageError where no data set of real measurements may be written under this name."""
    target = workspace.child(workspace.data, name)
    if name.casefold() == DEMO:
        raise UsageError(f"'{name}' is the simulated data set's name", remedy="Choose another --name.")
    refuse_but_for_case(name, workspace)
    if target.exists() and not replace:
        raise UsageError("exists already", where=target, remedy="Choose another --name, or pass --force to replace it.")


def _called(name: str, workspace: Workspace) -> str | None:
    known = names_in(workspace.data)
    return name if name in known else next((item for item in known if item.casefold() == name.casefold()), None)


def list_datasets(workspace: Workspace, progress: Progress | None = None) -> list[DataSet]:
    """The data sets of the workspace, by name; one that is damaged is named to `progress` and left out.

    Raises its DamagedError where there is nobody to tell.
    """
    found = []
    for name in names_in(workspace.data):
        try:
            found.append(DataSet(workspace.data / name))
        except DamagedError as error:
            if progress is None:
                raise
            progress.say(f"Left out: {error}")
    return found
