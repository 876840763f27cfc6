"""The data sets of a workspace, by name."""

from __future__ import annotations

from collections.abc import Iterable

from l2aco.data.dataset import DataSet
from l2aco.errors import UnknownNameError, UsageError
from l2aco.workspace import Workspace, names_in

DEMO = "demo"


def open_dataset(name: str, workspace: Workspace) -> DataSet:
    """The data set called `name` in the workspace, case apart where none is called exactly so; `demo` is simulated on
    first use.

    Raises UnknownNameError with the nearest names.
    """
    known = names_in(workspace.data)
    found = name if name in known else _but_for_case(name, known)
    if found is not None:
        return DataSet(workspace.data / found)
    if name.casefold() == DEMO:
        from l2aco.data.sources.demo import write_demo

        return write_demo(workspace)
    raise UnknownNameError("data set", name, [*known, DEMO], remedy="`l2aco data import PATH --name NAME` makes one.")


def check_new_name(name: str, workspace: Workspace, *, replace: bool) -> None:
    """Raises UsageError where no data set of real measurements may be written under this name."""
    target = workspace.child(workspace.data, name)
    if name.casefold() == DEMO:
        raise UsageError(f"'{name}' is the simulated data set's name", remedy="Choose another --name.")
    known = names_in(workspace.data)
    if name not in known and (other := _but_for_case(name, known)):
        raise UsageError(f"'{other}' differs from '{name}' in case only", remedy="Choose another --name.")
    if target.exists() and not replace:
        raise UsageError("exists already", where=target, remedy="Choose another --name, or pass --force to replace it.")


def _but_for_case(name: str, known: Iterable[str]) -> str | None:
    return next((item for item in known if item.casefold() == name.casefold()), None)


def list_datasets(workspace: Workspace) -> list[DataSet]:
    """The data sets of the workspace, by name."""
    return [DataSet(workspace.data / name) for name in names_in(workspace.data)]
