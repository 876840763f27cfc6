"""Writing a store: stage new files beside the old, then move the one pointer.

Every function takes a generation and returns the one after it: under the writer's lock it reads what is committed
again, and commits the next. Killed or out of disk at any moment, it leaves the committed generation as it was;
what it staged is swept by the next writer.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.embeddings.store.generation import Generation
from l2aco.embeddings.store.index import build_index, check_choice, is_due, kind_for
from l2aco.embeddings.store.manifest import FOLDERS, GENERATIONS, MANIFEST, FileInfo, Manifest, Part, commit, sweep
from l2aco.embeddings.store.segments import (
    HEAVY,
    IDENTITY,
    LIGHT,
    StoreRecord,
    checked_vectors,
    link_segment,
    records_frame,
    schema,
    write_array,
    write_segment,
)
from l2aco.errors import InputError, L2aCoError, UsageError
from l2aco.files import atomic_path
from l2aco.locks import WriterLock
from l2aco.progress import Advance, Progress, Silent

if TYPE_CHECKING:
    import polars as pl

MANY_SEGMENTS = 16
"""More than so many pieces are joined after a series of writes."""
MOST_SEGMENTS = 128
"""More are joined at once: each holds a file open."""
PIECE_ROWS = 65_536


@dataclass(frozen=True)
class UpsertReport:
    """How many records were new, and how many took the place of an older one."""

    added: int
    replaced: int


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """The one writer's lock, in folders of the store's own; a full disk becomes a clear error."""
    for folder in (GENERATIONS, *FOLDERS):
        if (path / folder).is_symlink():
            raise InputError(
                "is a link, and a store is written in its own folder only",
                where=path / folder,
                remedy="Put the folder that it leads to in its place.",
            )
    with WriterLock(path, "the embedding store"):
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise L2aCoError(
                    "the disk is full; the store is as it was before",
                    where=path,
                    remedy="Free some space and run the same command again.",
                ) from None
            raise


def create(path: Path, encoder: EncoderSpec, index: str, part: Part | None = None) -> None:
    """Commit generation 1, empty."""
    check_choice(index)
    with writing(path):
        if (path / MANIFEST).exists():
            raise UsageError("exists already", where=path, remedy="Open it, or choose another name.")
        ours = {GENERATIONS, *FOLDERS}
        if others := sorted(item.name for item in path.iterdir() if item.name not in ours and item.name[0] != "."):
            raise UsageError(
                f"holds '{others[0]}', which is not of a store", where=path, remedy="Move it away, or the folder."
            )
        first = Manifest(
            generation=1,
            created_at=_now(),
            encoder=encoder,
            fingerprint=encoder.fingerprint,
            dimension=encoder.dimension,
            index_choice=index,
            part=part,
            counts={"records": 0},
        )
        commit(path, first)


def upsert(
    before: Generation, records: Sequence[StoreRecord], vectors: np.ndarray, precision: str
) -> tuple[Generation, UpsertReport]:
    """See `EmbeddingStore.upsert`. Everything is checked before the first byte is written."""
    frame = records_frame(records)
    checked = checked_vectors(vectors, frame.height, before.dimension)
    if not frame.height:
        return before, UpsertReport(0, 0)
    with writing(before.root):
        now = before.newest()
        old = now.rows_of(frame, IDENTITY)
        name = f"{now.manifest.generation + 1:08d}-0"
        segment = write_segment(now.root, name, [(frame, checked)], frame.height, now.dimension, precision)
        dead = _also_dead(now, old) if len(old) else None
        after = _next(now, {"segments": (*now.manifest.segments, segment)}, dead=dead)
        after = _join_small(after, MOST_SEGMENTS, Silent())
    return after, UpsertReport(added=frame.height - len(old), replaced=len(old))


def adopt(before: Generation, other: Generation) -> tuple[Generation, UpsertReport]:
    """See `EmbeddingStore.adopt`."""
    if not len(other):
        return before, UpsertReport(0, 0)
    with writing(before.root):
        now = before.newest()
        old = now.rows_of(other.narrow, IDENTITY)
        names = (f"{now.manifest.generation + 1:08d}-{number}" for number in range(len(other.segments)))
        taken = tuple(
            link_segment(other.root, info, now.root, name)
            for info, name in zip(other.manifest.segments, names, strict=True)
        )
        dead = np.concatenate([_also_dead(now, old), np.flatnonzero(~other.alive) + now.manifest.total])
        after = _next(now, {"segments": (*now.manifest.segments, *taken)}, dead=dead)
        after = _join_small(after, MOST_SEGMENTS, Silent())
    return after, UpsertReport(added=len(other) - len(old), replaced=len(old))


def delete(before: Generation, kind: str | None, where: Mapping[str, Any] | None) -> tuple[Generation, int]:
    """See `EmbeddingStore.delete`."""
    if kind is None and not where:
        raise UsageError("what is to be deleted?", remedy="Give a kind or a condition.")
    with writing(before.root):
        now = before.newest()
        return _without(now, np.flatnonzero(now.matching(kind, where)))


def delete_records(before: Generation, identities: Iterable[tuple[Any, ...]]) -> tuple[Generation, int]:
    """See `EmbeddingStore.delete_records`."""
    import polars as pl

    gone = pl.DataFrame(list(identities), schema=schema(IDENTITY), orient="row")
    with writing(before.root):
        now = before.newest()
        return _without(now, now.rows_of(gone, IDENTITY))


def _without(now: Generation, rows: np.ndarray) -> tuple[Generation, int]:
    return (_next(now, {}, dead=_also_dead(now, rows)) if len(rows) else now), len(rows)


def _also_dead(now: Generation, rows: np.ndarray) -> np.ndarray:
    return np.union1d(np.flatnonzero(~now.alive), rows)


def optimise(before: Generation, choice: str | None, progress: Progress) -> Generation:
    """See `EmbeddingStore.optimise`."""
    with writing(before.root):
        now = before.newest()
        if choice is not None and choice != now.manifest.index_choice:
            check_choice(choice)
            now = _next(now, {"index_choice": choice})
        return _index(_join_small(now, MANY_SEGMENTS, progress), progress)


def compact(before: Generation, progress: Progress) -> Generation:
    """See `EmbeddingStore.compact`."""
    with writing(before.root):
        return _index(_join(before.newest(), 0, progress), progress)


def _join_small(now: Generation, most: int, progress: Progress) -> Generation:
    """Join what lies behind the last large segment, where there are more than `most` in all."""
    segments = now.manifest.segments
    if len(segments) <= most:
        return now
    large = [number for number, item in enumerate(segments) if item.rows >= now.manifest.total / 8]
    return _join(now, large[-1] + 1 if large and large[-1] + 1 < len(segments) else 0, progress)


def _join(now: Generation, first: int, progress: Progress) -> Generation:
    """Rewrite the live rows of the segments from number `first` on as one segment."""
    manifest = now.manifest
    start = now.segments[first].start if now.segments else 0
    rows = np.flatnonzero(now.alive[start:]) + start
    changes: dict[str, Any] = {"segments": manifest.segments[:first]}
    if len(rows):
        precisions = {segment.precision for segment in manifest.segments[first:]}
        precision = precisions.pop() if len(precisions) == 1 else "mixed"
        with progress.task("joining segments", total=len(rows), unit="rows") as advance:
            pieces = _pieces(now, rows, advance)
            name = f"{manifest.generation + 1:08d}-0"
            joined = write_segment(now.root, name, pieces, len(rows), now.dimension, precision)
        changes["segments"] += (joined,)
    if manifest.index is not None and manifest.index.rows > start:
        changes["index"] = None
    return _next(now, changes, dead=np.flatnonzero(~now.alive[:start]))


def _pieces(now: Generation, rows: np.ndarray, advance: Advance) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    for first in range(0, len(rows), PIECE_ROWS):
        part = rows[first : first + PIECE_ROWS]
        yield now.take(part, (*LIGHT, *HEAVY)), now.rows(part)
        advance(len(part))


def _index(now: Generation, progress: Progress) -> Generation:
    """Build, replace or drop the index, as the size of the store and the user's choice ask for."""
    kind = kind_for(now.manifest.index_choice, len(now))
    if kind == "flat" and now.manifest.index is not None:
        return _next(now, {"index": None})
    if is_due(now, kind):
        return _next(now, {"index": build_index(now, kind, f"{now.manifest.generation + 1:08d}.faiss", progress)})
    return now


def _next(now: Generation, changes: dict[str, Any], dead: np.ndarray | None = None) -> Generation:
    """Commit the generation after `now`, with `changes`.

    `dead` are all rows that no longer count, in the numbering after the changes; None leaves them as they are.
    """
    number = now.manifest.generation + 1
    if dead is not None:
        changes |= {"dead": write_dead(now.root, number, dead), "dead_rows": len(dead)}
    staged = now.manifest.model_copy(update={**changes, "generation": number, "created_at": _now()})
    after = Generation.of(now.root, staged, near=now)
    after = replace(after, manifest=staged.model_copy(update={"counts": count_records(after.narrow)}))
    commit(after.root, after.manifest)
    sweep(after.root, after.manifest)
    return after


def write_dead(root: Path, generation: int, rows: np.ndarray) -> FileInfo | None:
    """Write the list of rows that no longer count; None where there are none."""
    if not len(rows):
        return None
    path = root / "dead" / f"{generation:08d}.npy"
    with atomic_path(path) as partial:
        write_array(partial, rows.astype(np.int64))
    return FileInfo.of(root, path)


def count_records(frame: pl.DataFrame) -> dict[str, Any]:
    """Records by kind, set and LLM, and how many texts are longer than the encoder's window."""
    counts: dict[str, Any] = {"records": frame.height}
    if frame.height:
        for name in ("kind", "set", "llm"):
            values = frame[name].fill_null("unknown").value_counts().sort(name)
            counts[name] = dict(values.iter_rows())
        counts["long"] = int(frame["long"].sum())
    return counts


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
