"""The one way in from Python: `l2aco.open(what)`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from l2aco.errors import UnknownNameError
from l2aco.workspace import Workspace, names_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from l2aco.data.dataset import DataSet
    from l2aco.embeddings.store.store import EmbeddingStore
    from l2aco.profiles.sets import ProfileSet
    from l2aco.runs.run import Run

    Opened = Workspace | Run | DataSet | EmbeddingStore | ProfileSet


def open(what: str | Path = ".", workspace: str | Path | Workspace | None = None) -> Opened:
    """A workspace by its folder; a run, data set, store or profile set by its name in `workspace` (default: the current
    folder), a run also by a part of its name, or by its folder.

    `demo` is simulated on its first use. Raises UnknownNameError for a name that nothing answers to.
    """
    home = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
    path = Path(what).expanduser()
    if path.is_dir() and not (path / "manifest.json").exists():
        return Workspace(path)
    if path.is_dir():
        home, what = Workspace(path.resolve().parents[1]), path.resolve().name
    return _by_name(str(what), home)


def _by_name(name: str, home: Workspace) -> Opened:
    from l2aco.data.catalog import open_or_simulate
    from l2aco.embeddings.store.store import open_store
    from l2aco.profiles.sets import open_profile_set
    from l2aco.runs.run import open_run

    ways: list[Callable[[str, Workspace], Opened]] = [open_or_simulate, open_store, open_profile_set]
    for opened in (*ways, *([open_run] if names_in(home.runs) else [])):
        with suppress(UnknownNameError):
            return opened(name, home)
    kinds = (home.data, home.embeddings, home.profiles, home.runs)
    known = [found for folder in kinds for found in names_in(folder)]
    raise UnknownNameError("folder, data set, store, profile set or run", name, known)
