"""Runs as things that are kept: deleted, moved to another workspace as one archive, and told apart in a list."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

from l2aco.bounds import check_bytes
from l2aco.errors import DamagedError, InputError, L2aCoError, UsageError
from l2aco.files import atomic_folder, atomic_path, is_name, require_there, sha256_bytes, sha256_file
from l2aco.runs.compare import flatten
from l2aco.runs.ensemble import MEMBERS, Member, open_member, read_members
from l2aco.runs.run import Run, list_runs, open_run
from l2aco.workspace import Workspace

IN_THE_NAME = ("dataset", "backbone", "split.setting", "split.fold", "seed", "offset")
"""Settings that a run's id says."""


def members_of(run: Run) -> list[Member]:
    """What an ensemble is made of; nothing of another run."""
    return read_members(run) if MEMBERS in run.manifest["files"] else []


def _needs(run: Run) -> set[str]:
    """The names of the runs without which this one cannot predict; a damaged ensemble cannot anyway."""
    try:
        return {member.run for member in members_of(run)}
    except DamagedError:
        return set()


def delete_runs(runs: Sequence[Run], workspace: Workspace) -> None:
    """Remove runs for good. Raises UsageError where another run needs one of them; then all stay."""
    going = {run.id for run in runs}
    for other in list_runs(workspace):
        if other.id not in going and (needed := going & _needs(other)):
            raise UsageError(
                f"the ensemble {other.id} needs {', '.join(sorted(needed))}", remedy=f"Delete {other.id} too, or first."
            )
    for run in runs:
        gone = workspace.runs / f".deleted-{run.id}"
        _remove(gone)  # of a process that was killed
        run.path.rename(gone)  # at once: half a run is none
        _remove(gone)


def _remove(path: Path) -> None:
    """A folder with all that is in it; of a link to one, the link."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def export_run(run: Run | str, path: str | Path, *, replace: bool = False) -> list[str]:
    """Write a run, and the members of an ensemble, as one zip archive; returns the names of the runs in it.

    Raises UsageError where the file is there already, DamagedError where a file of the run is not as it was written.
    """
    run, path = open_run(run), Path(path)
    if path.exists() and not replace:
        raise UsageError("exists already", where=path, remedy="Name another file, or pass --force to replace it.")
    together = _with_members(run)
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in together:
            archive.write(one.path / "manifest.json", f"{one.id}/manifest.json")
            for name in one.manifest["files"]:
                archive.write(one.file(name), f"{one.id}/{name}")
    return [one.id for one in together]


def _with_members(run: Run) -> list[Run]:
    """The run and all that it is made of, each once."""
    found, waiting = {run.id: run}, [run]
    while waiting:
        one = waiting.pop()
        parts = [open_member(one, member) for member in members_of(one)]
        waiting += [part for part in parts if part.id not in found]
        found |= {part.id: part for part in parts}
    return list(found.values())


def import_runs(path: str | Path, workspace: Workspace | str | Path | None = None) -> list[Run]:
    """The runs of an archive that `export_run` wrote, the exported one first, checked against their manifests.

    Raises InputError for a file that is no such archive, DamagedError for files that are not as they were written,
    UsageError where the run, or another of its name, is there already; then nothing is written.
    """
    path, workspace = Path(path), Workspace.at(workspace)
    require_there(path)
    try:
        with zipfile.ZipFile(path) as archive, ExitStack() as stack:
            check_bytes(path, sum(member.file_size for member in archive.infolist()))
            names = [name for name in _runs_in(archive, path) if not _there(archive, name, workspace)]
            if not names:
                raise UsageError("its runs are here already", where=path)
            for name in names:
                _unpack(archive, name, stack.enter_context(atomic_folder(workspace.runs / name)), workspace)
    except L2aCoError:
        raise
    except Exception as error:  # whatever zipfile and zlib find wrong with bytes
        raise InputError(f"is no archive of a run ({error})", where=path, remedy=_WRITER) from None
    return [Run(workspace.runs / name, workspace) for name in names]


_WRITER = "`l2aco runs export` writes one."


def _runs_in(archive: zipfile.ZipFile, path: Path) -> list[str]:
    """The names of the runs, the exported one first; raises InputError where an entry is no file of a run."""
    names: dict[str, set[str]] = {}
    for entry in archive.namelist():
        parts = PurePosixPath(entry).parts
        if len(parts) != 2 or not all(map(is_name, parts)) or "\\" in entry:
            raise InputError(f"holds '{entry}', which is no file of a run", where=path, remedy=_WRITER)
        names.setdefault(parts[0], set()).add(parts[1])
    if not names or any("manifest.json" not in files for files in names.values()):
        raise InputError("holds no run, or a run without its manifest", where=path, remedy=_WRITER)
    return list(names)


def _there(archive: zipfile.ZipFile, name: str, workspace: Workspace) -> bool:
    """Whether the workspace has this very run; raises UsageError where it has another of its name."""
    here = workspace.runs / name
    if not here.exists():
        return False
    if sha256_bytes(archive.read(f"{name}/manifest.json")) != sha256_file(here / "manifest.json"):
        raise UsageError("there is another run of this name", where=here, remedy="Delete one: l2aco runs delete.")
    return True


def _unpack(archive: zipfile.ZipFile, name: str, folder: Path, workspace: Workspace) -> None:
    for entry in archive.namelist():
        if entry.startswith(f"{name}/"):
            with archive.open(entry) as source, (folder / PurePosixPath(entry).name).open("wb") as target:
                shutil.copyfileobj(source, target)
    try:
        run = Run(folder, workspace)
        for file in run.manifest["files"]:
            run.file(file)
    except DamagedError as error:  # it speaks of a folder that will not be there
        place = f"{name}/{Path(error.where or '').name}"
        raise DamagedError(error.message, where=place, remedy="Export it again where it comes from.") from None
    strangers = {item.name for item in folder.iterdir()} - {"manifest.json", *run.manifest["files"]}
    if strangers:
        raise DamagedError(f"holds {', '.join(sorted(strangers))}, which its manifest does not name", where=name)


def what_differs(runs: Sequence[Run]) -> dict[str, str]:
    """By run: the settings in which it differs from others of its backbone and data set, its id apart."""
    told: dict[str, dict[str, Any]] = {}
    for run in runs:
        try:
            told[run.id] = flatten(run.spec.model_dump(mode="json"))
        except L2aCoError:
            continue
    found = {}
    for name, spec in told.items():
        alike = [other for other in told.values() if all(other[key] == spec[key] for key in ("dataset", "backbone"))]
        said = {*IN_THE_NAME, *(["split.seed"] if spec["split.seed"] == spec["seed"] else [])}
        keys = [key for key in spec if key not in said and not key.startswith("align.")]
        differing = [key for key in keys if any(repr(other.get(key)) != repr(spec[key]) for other in alike)]
        told_of = [(key.removeprefix("config."), spec[key]) for key in differing if spec[key] is not None]
        found[name] = ", ".join(f"{key}={_short(value)}" for key, value in told_of)
    return found


def _short(value: Any) -> str:
    return "+".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
