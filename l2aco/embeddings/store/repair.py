"""Checking a store in full, and mending what can be mended.

The index is built again from the vectors. A manifest that is gone comes back from its copy. A segment whose
vectors or records are damaged is taken out, so that the next `l2aco embed` encodes just its records again. A
damaged list of dead rows is worked out again from the records: the last row of an entity counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.embeddings.store.generation import Generation
from l2aco.embeddings.store.manifest import (
    MANIFEST,
    Manifest,
    SegmentInfo,
    check_file,
    commit,
    kept_generations,
    parse_manifest,
)
from l2aco.embeddings.store.segments import IDENTITY, Segment
from l2aco.embeddings.store.write import count_records, optimise, write_dead, writing
from l2aco.errors import DamagedError
from l2aco.progress import Progress, Silent


@dataclass(frozen=True)
class Problem:
    """One file that is not as it was written."""

    path: str
    message: str


def verify(root: Path, progress: Progress | None = None) -> list[Problem]:
    """Compare every byte with its checksum, and the manifest with its copy; an empty list is a sound store."""
    try:
        manifest = parse_manifest(root / MANIFEST)
    except DamagedError as error:
        return [Problem(MANIFEST, error.message)]
    problems = []
    files = manifest.files()
    with (progress or Silent()).task("verifying", total=sum(file.bytes for file in files), unit="bytes") as advance:
        for file in files:
            if message := check_file(root, file, content=True):
                problems.append(Problem(file.path, message))
            advance(file.bytes)
    copy = root / "generations" / f"{manifest.generation:08d}.json"
    if not copy.exists() or copy.read_bytes() != (root / MANIFEST).read_bytes():
        problems.append(Problem(copy.relative_to(root).as_posix(), "is not the copy of manifest.json"))
    return problems


def repair(root: Path, progress: Progress | None = None) -> list[str]:
    """Mend a store; one line for each thing done, none where the store is sound.

    Raises DamagedError where no manifest is left: then the store must be embedded again.
    """
    progress = progress or Silent()
    with writing(root):
        done: list[str] = []
        manifest = _manifest(root, done)
        bad = {problem.path: problem.message for problem in _data_problems(root, manifest)}
        if bad:
            manifest = _without_damaged(root, manifest, bad, done)
        elif not done and verify(root):
            done.append("wrote the copy of manifest.json again")
        if done:
            commit(root, manifest)
    mended = Generation.committed(root)
    if any("index" in line for line in done):
        optimise(mended, None, progress)
    return done


def _data_problems(root: Path, manifest: Manifest) -> list[Problem]:
    found = [(file.path, check_file(root, file, content=True)) for file in manifest.files()]
    return [Problem(path, message) for path, message in found if message]


def _manifest(root: Path, done: list[str]) -> Manifest:
    try:
        return parse_manifest(root / MANIFEST)
    except DamagedError:
        pass
    for copy in kept_generations(root):
        try:
            found = parse_manifest(copy)
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
    dead = _dead_rows(root, manifest, bad)
    start = 0
    for info in manifest.segments:
        mask = np.ones(info.rows, dtype=bool)
        if dead is not None:
            mask[dead[(dead >= start) & (dead < start + info.rows)] - start] = False
        start += info.rows
        damaged = [file.path for file in (info.vectors, info.records) if file.path in bad]
        if not damaged:
            kept.append(info)
            alive.append(mask)
            continue
        lost += int(mask.sum())
        done.append(f"took out segment {info.name}: {damaged[0]} {bad[damaged[0]]}")
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


def _dead_rows(root: Path, manifest: Manifest, bad: dict[str, str]) -> np.ndarray | None:
    """The rows that no longer count; None where their list is damaged."""
    if manifest.dead is None:
        return np.zeros(0, dtype=np.int64)
    return None if manifest.dead.path in bad else np.load(root / manifest.dead.path, allow_pickle=False)


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
