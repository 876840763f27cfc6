"""Checking a store in full, and mending what can be mended.

The index is built again from the vectors. A manifest that is gone comes back from its copy. A segment whose
vectors or records are damaged is taken out, so that the next `l2aco embed` encodes just its records again. A
damaged list of dead rows is worked out again from the records: the last row of an entity counts.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.embeddings.store.generation import Generation, read_dead
from l2aco.embeddings.store.index_file import read_index
from l2aco.embeddings.store.manifest import (
    GENERATIONS,
    MANIFEST,
    Manifest,
    OtherFormatError,
    SegmentInfo,
    check_file,
    commit,
    kept_generations,
    parse_manifest,
)
from l2aco.embeddings.store.segments import HEAVY, IDENTITY, LIGHT, Segment
from l2aco.embeddings.store.write import PIECE_ROWS, count_records, optimise, write_dead, writing
from l2aco.errors import DamagedError
from l2aco.progress import Advance, Progress, Silent


@dataclass(frozen=True)
class Problem:
    """One file that is not as it was written."""

    path: str
    message: str


def verify(root: Path, progress: Progress | None = None) -> list[Problem]:
    """Compare every byte with its checksum and the manifest with its copy, and read every file as all others do.

    An empty list is a sound store: nothing that it holds would be refused later.
    """
    try:
        manifest = parse_manifest(root / MANIFEST)
    except DamagedError as error:
        return [Problem(MANIFEST, error.message)]
    with (progress or Silent()).task("verifying", total=manifest.bytes, unit="bytes") as advance:
        problems = [Problem(path, message) for path, message in _damages(root, manifest, advance).items()]
    copy = root / GENERATIONS / f"{manifest.generation:08d}.json"
    if not copy.exists() or copy.read_bytes() != (root / MANIFEST).read_bytes():
        problems.append(Problem(copy.relative_to(root).as_posix(), "is not the copy of manifest.json"))
    return problems


def repair(root: Path, progress: Progress | None = None) -> list[str]:
    """Mend a store; one line for each thing done, none where the store is sound.

    Raises DamagedError where no manifest is left: then the store must be embedded again; OtherFormatError where the
    manifest is another version's.
    """
    progress = progress or Silent()
    with writing(root):
        done: list[str] = []
        manifest = _manifest(root, done)
        if bad := _damages(root, manifest):
            manifest = _without_damaged(root, manifest, bad, done)
        elif not done and verify(root):
            done.append("wrote the copy of manifest.json again")
        if done:
            commit(root, manifest)
    mended = Generation.committed(root)
    if any("index" in line for line in done):
        optimise(mended, None, progress)
    return done


def _damages(root: Path, manifest: Manifest, advance: Advance | None = None) -> dict[str, str]:
    """What is wrong with which file: its bytes, or, where these are right, what every reader of it would refuse."""
    found: dict[str, str] = {}
    for file in manifest.files():
        if message := check_file(root, file, content=True):
            found[file.path] = message
        if advance is not None:
            advance(file.bytes)
    for read in _readers(root, manifest, found):
        try:
            read()
        except DamagedError as error:
            found[Path(error.where or root).relative_to(root).as_posix()] = error.message
    return found


def _readers(root: Path, manifest: Manifest, bad: Container[str]) -> Iterator[Callable[[], object]]:
    start = 0
    for info in manifest.segments:
        if info.vectors.path not in bad and info.records.path not in bad:
            yield partial(_read_segment, root, info, start, manifest.dimension)
        start += info.rows
    if manifest.dead is not None and manifest.dead.path not in bad:
        yield partial(read_dead, root, manifest)
    if manifest.index is not None and manifest.index.file.path not in bad:
        yield partial(read_index, root, manifest.index, manifest.dimension)


def _read_segment(root: Path, info: SegmentInfo, start: int, dimension: int) -> None:
    segment = Segment(root, info, start, dimension)
    for first in range(0, info.rows, PIECE_ROWS):
        segment.take(np.arange(first, min(first + PIECE_ROWS, info.rows)), (*LIGHT, *HEAVY))


def _manifest(root: Path, done: list[str]) -> Manifest:
    try:
        return parse_manifest(root / MANIFEST)
    except OtherFormatError:
        raise
    except DamagedError:
        pass
    for copy in kept_generations(root):
        try:
            found = parse_manifest(copy)
        except OtherFormatError:
            raise
        except DamagedError:
            continue
        done.append(f"brought manifest.json back from the copy of generation {found.generation}")
        return found
    raise DamagedError(
        "no manifest is left, nor a copy of one",
        where=root,
        remedy="Move the folder away and run `l2aco embed` again.",
    )


def _without_damaged(root: Path, manifest: Manifest, bad: dict[str, str], done: list[str]) -> Manifest:
    """The next generation, without what is damaged; what is left keeps its order."""
    changes: dict[str, Any] = {"generation": manifest.generation + 1}
    if manifest.index is not None and manifest.index.file.path in bad:
        done.append("took the damaged index out, to build it again from the vectors")
        changes["index"] = None
    kept: list[SegmentInfo] = []
    lost = 0
    alive = []
    dead = None if manifest.dead is not None and manifest.dead.path in bad else read_dead(root, manifest)
    start = 0
    for info in manifest.segments:
        own = (
            np.zeros(0, dtype=np.int64) if dead is None else dead[(dead >= start) & (dead < start + info.rows)] - start
        )
        start += info.rows
        damaged = [file.path for file in (info.vectors, info.records) if file.path in bad]
        if damaged:
            lost += info.rows - len(own)
            done.append(f"took out segment {info.name}: {damaged[0]} {bad[damaged[0]]}")
            continue
        kept.append(info)
        alive.append(np.ones(info.rows, dtype=bool))
        alive[-1][own] = False
    mask = np.concatenate(alive) if alive else np.zeros(0, dtype=bool)
    if dead is None:
        mask = _newest(root, manifest, kept)
        done.append("worked the replaced rows out again; deleted records are back until the next `l2aco embed`")
    if len(kept) < len(manifest.segments):
        done.append(f"{lost:,} records must be embedded again: run `l2aco embed`")
        if manifest.index is not None:
            changes["index"] = None
            done.append("took the index out, to build it again over the rows that are left")
    gone = np.flatnonzero(~mask)
    changes |= {"segments": tuple(kept), "dead": write_dead(root, changes["generation"], gone), "dead_rows": len(gone)}
    staged = manifest.model_copy(update=changes)
    return staged.model_copy(update={"counts": count_records(Generation.of(root, staged).narrow)})


def _newest(root: Path, manifest: Manifest, kept: list[SegmentInfo]) -> np.ndarray:
    """bool (rows of the kept segments,): True for the last row of each entity."""
    import polars as pl

    start, frames = 0, []
    for info in kept:
        frames.append(Segment(root, info, start, manifest.dimension).light)
        start += info.rows
    mask = np.zeros(start, dtype=bool)
    if frames:
        rows = pl.concat(frames).unique(IDENTITY, keep="last")["row"].to_numpy()
        mask[rows] = True
    return mask
