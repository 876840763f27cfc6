"""Fetch public data sets: pinned to a commit, checked by SHA-256, resumed where a download broke off, cached."""

from __future__ import annotations

import csv
import shutil
import tomllib
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from l2aco.data.dataset import DataSet
from l2aco.data.download import download, told, under
from l2aco.data.importing import ImportSpec, import_dataset
from l2aco.data.sources.laco import find_datasets
from l2aco.errors import DamagedError, InputError, L2aCoError, UnavailableError, UnknownNameError
from l2aco.files import atomic_folder, atomic_path, sha256_file
from l2aco.locks import WriterLock
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace, user_cache

MAX_UNPACKED = 20 << 30
"""Bytes. An archive that unpacks to more is refused."""


class FetchSpec(BaseModel):
    """What to fetch. public: a name of `public_datasets()`. origin: a folder or URL to take the files from instead of
    the public place, with the same checks. name: of the data set that is made, by default that of the public one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    public: str
    origin: str | None = None
    name: str | None = None
    drugs: Path | None = None
    cell_lines: Path | None = None
    replace: bool = False


@cache
def public_datasets() -> Mapping[str, dict[str, Any]]:
    """The data sets that can be fetched: title, source, folder, terms, and files with their SHA-256."""
    return tomllib.loads((Path(__file__).parent / "sources" / "public.toml").read_text(encoding="utf-8"))


def public_dataset(name: str) -> tuple[str, dict[str, Any]]:
    """Name and entry of a public data set; raises UnknownNameError with the nearest names."""
    for known, entry in public_datasets().items():
        if known.casefold() == name.casefold():
            return known, entry
    raise UnknownNameError("public data set", name, public_datasets())


def fetch_dataset(spec: FetchSpec, workspace: Workspace, progress: Progress | None = None) -> list[DataSet]:
    """Fetch the files into the cache and import them; returns the data sets that were made.

    Files that are in the cache and whole are not fetched again. Raises UnavailableError where a place cannot be
    reached, DamagedError where a file is not the one that is pinned.
    """
    progress = progress or Silent()
    name, entry = public_dataset(spec.public)
    folder = user_cache() / "data" / name
    if "hub" in entry:
        folder = _from_hub(entry, spec.origin, folder)
    else:
        with WriterLock(folder, f"the cache of {name}"):
            for file, pinned in entry["files"].items():
                _bring(file, pinned, entry, spec.origin, folder, progress)
    own = spec.name or name
    places = [(own, folder)]
    if entry["source"] == "laco":
        places = [(f"{own}-{place.name}", place) for place in find_datasets(folder)]
        if not places:
            raise InputError("holds no datasets/<name>/S0 or S1 beside datasets/kg", where=folder)
    return [
        import_dataset(
            ImportSpec(
                path=place,
                name=made,
                source=entry["source"],
                drugs=spec.drugs,
                cell_lines=spec.cell_lines,
                replace=spec.replace,
            ),
            workspace,
            progress,
        )
        for made, place in places
    ]


def _bring(
    file: str,
    pinned: Mapping[str, Any],
    entry: Mapping[str, Any],
    origin: str | None,
    folder: Path,
    progress: Progress,
) -> None:
    """One file into the cache, checked; the caller holds the cache's lock."""
    target = folder / file
    if target.is_file() and sha256_file(target) == pinned["sha256"]:
        return
    if origin is not None and "://" not in origin:
        _copy(file, pinned["sha256"], entry, Path(origin).expanduser(), target)
        return
    cut = entry.get("cut", {}).get(file)
    whole = cut or {"file": file, "bytes": pinned["bytes"]}
    url = under(origin or entry["base"], whole["file"])
    part = target.with_name(f"{file}.part")
    download(url, part, whole["bytes"], progress)
    if cut:
        _cut(part, cut["columns"])
    _check(part, pinned["sha256"], told(url))
    part.replace(target)


def _copy(file: str, sha256: str, entry: Mapping[str, Any], origin: Path, target: Path) -> None:
    found = next((place for place in (origin / file, origin / entry["folder"] / file) if place.is_file()), None)
    if found is None:
        raise InputError(f"holds neither {file} nor {entry['folder']}/{file}", where=origin)
    if sha256_file(found) != sha256:
        raise DamagedError("is not the file that is pinned: its SHA-256 differs", where=found)
    with atomic_path(target) as partial:
        shutil.copyfile(found, partial)


def _check(part: Path, sha256: str, where: str) -> None:
    found = sha256_file(part)
    if found != sha256:
        part.unlink()
        raise DamagedError(
            f"is not the file that is pinned: its SHA-256 is {found[:16]}..., not {sha256[:16]}...",
            where=where,
            remedy="Try again; if it stays so, the public file was changed. Nothing was imported.",
        )


def _cut(path: Path, columns: list[str]) -> None:
    """Keep these columns of a CSV file, `name:new name`, in place."""
    wanted = [column.partition(":")[::2] for column in columns]
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
        lines = [[new for _, new in wanted], *([row[old] for old, _ in wanted] for row in rows)]
    except (KeyError, UnicodeDecodeError, csv.Error):
        lines = []  # another file than the one that is pinned: its checksum will say so
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(lines)


def _from_hub(entry: Mapping[str, Any], origin: str | None, folder: Path) -> Path:
    """The folder of the paper's release, its zip archives unpacked."""
    if origin is not None and "://" in origin:
        raise InputError("is an address, and this data set comes from its hub or from a folder", where=told(origin))
    if origin is not None:
        place = Path(origin).expanduser()
        found = next((item for item in (place / entry["folder"], place) if item.exists()), None)
        if found is None:
            raise InputError("no such folder", where=place)
    else:
        from huggingface_hub import snapshot_download

        try:
            patterns = ["datasets/**", "datasets*.zip"]
            found = Path(snapshot_download(entry["hub"], repo_type="dataset", allow_patterns=patterns))
        except Exception as error:  # the hub has a dozen kinds of errors, all of which mean the same here
            raise UnavailableError(
                f"cannot be fetched ({type(error).__name__})",
                where=entry["hub"],
                remedy="Give a local copy with --from.",
            ) from None
    archives = [found] if found.is_file() else sorted(found.glob("*.zip"))
    if not archives:
        return found
    with atomic_folder(folder, replace=True) as fresh:  # nothing of an earlier archive stays
        for archive in archives:
            unpack(archive, fresh)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip; raises InputError where a member leads out of the folder, or it would unpack to too much."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            for member in members:
                target = (folder / member.filename).resolve()
                if not target.is_relative_to(folder.resolve()):
                    raise InputError(f"holds a file that leads out of its folder, '{member.filename}'", where=archive)
            if sum(member.file_size for member in members) > MAX_UNPACKED:
                raise InputError(f"unpacks to more than {MAX_UNPACKED >> 30} GB", where=archive)
            opened.extractall(folder)
    except (L2aCoError, OSError):  # a full disk is no fault of the archive
        raise
    except Exception as error:  # whatever zipfile and zlib find wrong with bytes
        raise InputError(f"is not a zip archive that can be unpacked ({error})", where=archive) from None
