"""Writing a store: stage new files beside the old, then move the one pointer.

Every function takes the writer's lock, reads the committed generation again, and commits the next. Killed or
out of disk at any moment, it leaves the committed generation as it was; what it staged is swept by the next
writer.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.embeddings.encoders.table import EncoderSpec
from l2aco.embeddings.store.index import build_index, check_choice, is_due, kind_for
from l2aco.embeddings.store.manifest import MANIFEST, FileInfo, Manifest, commit, sweep
from l2aco.embeddings.store.segments import (
    HEAVY,
    IDENTITY,
    LIGHT,
    StoreRecord,
    checked_vectors,
    records_frame,
    schema,
    write_segment,
)
from l2aco.errors import L2aCoError, UsageError
from l2aco.files import WriterLock, atomic_path
from l2aco.progress import Advance, Progress

if TYPE_CHECKING:
    import polars as pl

    from l2aco.embeddings.store.store import EmbeddingStore

MANY_SEGMENTS = 16
"""More than so many pieces are joined after a series of writes."""
PIECE_ROWS = 65_536


@dataclass(frozen=True)
class UpsertReport:
    """How many records were new, and how many took the place of an older one."""

    added: int
    replaced: int


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """The one writer's lock; a full disk becomes a clear error."""
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


def create(path: Path, encoder: EncoderSpec, index: str) -> None:
    """Commit generation 1, empty."""
    check_choice(index)
    with writing(path):
        if (path / MANIFEST).exists():
            raise UsageError("exists already", where=path, remedy="Open it, or choose another name.")
        first = Manifest(
            generation=1,
            created_at=_now(),
            encoder=encoder,
            fingerprint=encoder.fingerprint,
            dimension=encoder.dimension,
            index_choice=index,
            counts={"records": 0},
        )
        commit(path, first)


def upsert(store: EmbeddingStore, records: Sequence[StoreRecord], vectors: np.ndarray, precision: str) -> UpsertReport:
    """See `EmbeddingStore.upsert`. Everything is checked before the first byte is written."""
    frame = records_frame(records)
    checked = checked_vectors(vectors, frame.height, store.dimension)
    if not frame.height:
        return UpsertReport(0, 0)
    with writing(store.path):
        store.reload()
        old = _rows_of(store, frame)
        manifest = store.manifest
        number = manifest.generation + 1
        segment = write_segment(
            store.path, f"{number:08d}-0", [(frame, checked)], frame.height, store.dimension, precision
        )
        _next(store, {"segments": (*manifest.segments, segment)}, dead=_also_dead(store, old) if len(old) else None)
    return UpsertReport(added=frame.height - len(old), replaced=len(old))


def delete(store: EmbeddingStore, kind: str | None, where: Mapping[str, Any] | None) -> int:
    """See `EmbeddingStore.delete`."""
    if kind is None and not where:
        raise UsageError("what is to be deleted?", remedy="Give a kind or a condition.")
    with writing(store.path):
        store.reload()
        if not store.segments:
            return 0
        rows = np.flatnonzero(store.matching(kind, where))
        if len(rows):
            _next(store, {}, dead=_also_dead(store, rows))
        return len(rows)


def delete_records(store: EmbeddingStore, identities: Iterable[tuple[Any, ...]]) -> int:
    """See `EmbeddingStore.delete_records`."""
    import polars as pl

    gone = pl.DataFrame(list(identities), schema=schema(IDENTITY), orient="row")
    with writing(store.path):
        store.reload()
        rows = _rows_of(store, gone)
        if len(rows):
            _next(store, {}, dead=_also_dead(store, rows))
        return len(rows)


def _rows_of(store: EmbeddingStore, records: pl.DataFrame) -> np.ndarray:
    """The numbers of the live rows that hold these identities now."""
    return store.narrow.join(records.select(IDENTITY), on=IDENTITY, how="semi")["row"].to_numpy()


def _also_dead(store: EmbeddingStore, rows: np.ndarray) -> np.ndarray:
    return np.union1d(np.flatnonzero(~store.alive), rows)


def optimise(store: EmbeddingStore, choice: str | None, progress: Progress) -> None:
    """See `EmbeddingStore.optimise`."""
    with writing(store.path):
        store.reload()
        manifest = store.manifest
        if choice is not None and choice != manifest.index_choice:
            check_choice(choice)
            _next(store, {"index_choice": choice})
        if len(manifest.segments) > MANY_SEGMENTS:
            large = [number for number, item in enumerate(manifest.segments) if item.rows >= manifest.total / 8]
            _join(store, large[-1] + 1 if large and large[-1] + 1 < len(manifest.segments) else 0, progress)
        _index(store, progress)


def compact(store: EmbeddingStore, progress: Progress) -> None:
    """See `EmbeddingStore.compact`."""
    with writing(store.path):
        store.reload()
        _join(store, 0, progress)
        _index(store, progress)


def _join(store: EmbeddingStore, first: int, progress: Progress) -> None:
    """Rewrite the live rows of the segments from number `first` on as one segment."""
    manifest = store.manifest
    start = store.segments[first].start if store.segments else 0
    rows = np.flatnonzero(store.alive[start:]) + start
    changes: dict[str, Any] = {"segments": manifest.segments[:first]}
    if len(rows):
        precisions = {segment.precision for segment in manifest.segments[first:]}
        precision = precisions.pop() if len(precisions) == 1 else "mixed"
        with progress.task("joining segments", total=len(rows), unit="rows") as advance:
            pieces = _pieces(store, rows, advance)
            name = f"{manifest.generation + 1:08d}-0"
            joined = write_segment(store.path, name, pieces, len(rows), store.dimension, precision)
        changes["segments"] += (joined,)
    before = np.flatnonzero(~store.alive[:start])
    if manifest.index is not None and manifest.index.rows > start:
        changes["index"] = None
    _next(store, changes, dead=before)


def _pieces(store: EmbeddingStore, rows: np.ndarray, advance: Advance) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    for first in range(0, len(rows), PIECE_ROWS):
        part = rows[first : first + PIECE_ROWS]
        yield store.take(part, (*LIGHT, *HEAVY)), store.rows(part)
        advance(len(part))


def _index(store: EmbeddingStore, progress: Progress) -> None:
    """Build, replace or drop the index, as the size of the store and the user's choice ask for."""
    kind = kind_for(store.manifest.index_choice, len(store))
    if kind == "flat" and store.manifest.index is not None:
        _next(store, {"index": None})
    elif is_due(store, kind):
        file = f"{store.manifest.generation + 1:08d}.faiss"
        _next(store, {"index": build_index(store, kind, file, progress)})


def _next(store: EmbeddingStore, changes: dict[str, Any], dead: np.ndarray | None = None) -> None:
    """Commit the generation after the store's with `changes`, and move the store on to it.

    `dead` are all rows that no longer count, in the numbering after the changes; None leaves them as they are.
    """
    manifest = store.manifest
    number = manifest.generation + 1
    if dead is not None:
        changes |= {"dead": write_dead(store.path, number, dead), "dead_rows": len(dead)}
    staged = manifest.model_copy(update={**changes, "generation": number, "created_at": _now()})
    try:
        store.look_through(staged)
        staged = staged.model_copy(update={"counts": count_records(store.narrow)})
        commit(store.path, staged)
    except BaseException:
        store.look_through(manifest)
        raise
    store.look_through(staged)
    sweep(store.path, staged)


def write_dead(root: Path, generation: int, rows: np.ndarray) -> FileInfo | None:
    """Write the list of rows that no longer count; None where there are none."""
    if not len(rows):
        return None
    path = root / "dead" / f"{generation:08d}.npy"
    with atomic_path(path) as partial:
        with partial.open("wb") as stream:
            np.save(stream, rows.astype(np.int64), allow_pickle=False)
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
