"""The workspace as the pages see it: everything by the slug in its address, read again when it has changed.

An address is looked up among what is there; no path is ever made of it. Nothing is written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.data.catalog import list_datasets
from l2aco.data.dataset import DataSet
from l2aco.errors import DamagedError, L2aCoError, UnknownNameError
from l2aco.explore.catalogue import Catalogue, gather
from l2aco.explore.page import Note, slug
from l2aco.files import stable_hash
from l2aco.profiles.sets import ProfileSet, list_profile_sets
from l2aco.progress import Silent
from l2aco.runs.run import Run, newest_first
from l2aco.workspace import Workspace, names_in

if TYPE_CHECKING:
    from l2aco.embeddings.store.store import EmbeddingStore

MOST_SAID = 3
CONTROL = {"vectors", "draw"}
"""The settings of alignment in which a control differs from its run."""


class Notes(Silent):
    """Keeps what was left out, for the page that would have shown it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        if text not in self.lines:
            self.lines.append(text)

    def shown(self) -> list[Note]:
        """The first of them, and how many more there are."""
        more = len(self.lines) - MOST_SAID
        return [*map(Note, self.lines[:MOST_SAID]), *([Note(f"And {more:,} more like these.")] if more > 0 else [])]


class Site:
    """What a workspace holds, by slug. `live`: pages may ask the server something."""

    def __init__(self, workspace: Workspace, *, live: bool = True) -> None:
        self.workspace, self.live = workspace, live
        self.heavy = threading.Lock()
        """Held by what takes seconds of a processor: one at a time."""
        self._kept: dict[Hashable, tuple[Any, Any]] = {}

    def kept(self, key: Hashable, stamp: Any, make: Callable[[], Any]) -> Any:
        """What `make` made when the stamp was last this one."""
        found = self._kept.get(key)
        if found is None or found[0] != stamp:
            found = self._kept[key] = (stamp, make())
        return found[1]

    def sets(self, notes: Notes) -> dict[str, ProfileSet]:
        """The workspace's profile sets and the bundled ones."""
        found = {}
        for one in list_profile_sets(self.workspace, progress=notes):
            stamp = [_state(one.path / name) for name in ("manifest.json", "records.jsonl", "journal.jsonl")]
            found[slug("set", one.name)] = self.kept(("set", one.path), stamp, partial(_itself, one))
        return found

    def stores(self, notes: Notes) -> dict[str, EmbeddingStore]:
        """The embedding stores."""
        from l2aco.embeddings.store.store import EmbeddingStore

        found = {}
        for name in names_in(self.workspace.embeddings):
            path = self.workspace.embeddings / name
            try:
                opened = partial(EmbeddingStore.open, path)
                found[slug("store", name)] = self.kept(("store", path), _state(path / "manifest.json"), opened)
            except DamagedError as error:
                notes.say(f"Left out: {error}")
        return found

    def datasets(self, notes: Notes) -> dict[str, DataSet]:
        """The data sets that were imported or simulated."""
        return {
            slug("data", one.name): self.kept(
                ("data", one.path), _state(one.path / "manifest.json"), partial(_itself, one)
            )
            for one in list_datasets(self.workspace, notes)
        }

    def runs(self) -> dict[str, Path]:
        """The folders of finished runs."""
        return {slug("run", name): self.workspace.runs / name for name in names_in(self.workspace.runs)}

    def suites(self) -> dict[str, Path]:
        """The folders of finished suites that lie inside the workspace; a link that leads out of it is none."""
        folder = self.workspace.bench
        return {
            slug("suite", name): folder / name
            for name in names_in(folder, "report.html")
            if (report := (folder / name / "report.html").resolve()).is_relative_to(folder.resolve())
            and report.is_file()
        }

    def run_row(self, path: Path) -> dict[str, Any]:
        """`Run.summary` with `simulated`, what alignment reads (`vectors`), and `family`, which a run and its controls
        share. Raises DamagedError, also where the run was damaged when it was last asked for."""

        def made() -> dict[str, Any] | L2aCoError:
            try:
                run = Run(path, self.workspace)
                spec = run.spec.model_dump(mode="json")
                align = {name: value for name, value in spec["align"].items() if name not in CONTROL}
                family = stable_hash([{**spec, "align": align}, run.manifest.get("dataset_hash")], 32)
                vectors = f"{run.spec.align.vectors}{run.spec.align.draw or ''}"
                return {**run.summary(), "simulated": run.simulated, "vectors": vectors, "family": family}
            except L2aCoError as error:
                return error

        found = self.kept(("run", path), _state(path / "manifest.json"), made)
        if isinstance(found, L2aCoError):
            raise found
        return dict(found)

    def run_rows(self, notes: Notes) -> list[dict[str, Any]]:
        """`run_row` of every run, `newest_first`."""
        rows = []
        for path in self.runs().values():
            try:
                rows.append(self.run_row(path))
            except L2aCoError as error:
                notes.say(f"Left out: {path.name}: {error.message}")
        return newest_first(rows, lambda row: (row["created"], row["run"]))

    def catalogue(self, notes: Notes) -> Catalogue:
        """Every drug and cell line of data sets, profile sets and stores."""
        with self.heavy:
            sources: list[DataSet | ProfileSet | EmbeddingStore] = [
                *self.datasets(notes).values(),
                *self.sets(notes).values(),
                *self.stores(notes).values(),
            ]
            stamp = [id(source) for source in sources]  # each is kept as long as it is what is on disk
            found: Catalogue = self.kept("catalogue", stamp, partial(gather, sources, notes))
            return found


def found_in(what: str, known: dict[str, Any], wanted: str) -> Any:
    """What has this slug; raises UnknownNameError."""
    if wanted not in known:
        raise UnknownNameError(what, wanted[:80], ())
    return known[wanted]


def _itself(one: Any) -> Any:
    return one


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
