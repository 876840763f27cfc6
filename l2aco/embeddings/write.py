"""Writing a store: stage new files beside the old, then move the one pointer.

Every function takes the writer's lock, reads the committed generation again, and commits the next. Killed or
out of disk at any moment, it leaves the committed generation as it was; what it staged is swept by the next
writer.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.embeddings.encoders import EncoderSpec
from l2aco.embeddings.manifest import MANIFEST, FileInfo, Manifest, SegmentInfo, commit, sweep
from l2aco.embeddings.segments import (
    IDENTITY,
    StoreRecord,
    checked_vectors,
    records_frame,
    write_segment,
)
from l2aco.errors import L2aCoError, MismatchError, UsageError
from l2aco.progress import Progress
from l2aco.workspace import WriterLock, atomic_path

if TYPE_CHECKING:
    import polars as pl

    from l2aco.embeddings.store import EmbeddingStore

MANY_SEGMENTS = 16


@dataclass(frozen=True)
class UpsertReport:
    """How many records were new, and how many took the place of an older one."""

    added: int
    replaced: int


@contextmanager
def _writing(path: Path) -> Iterator[None]:
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
    from l2aco.embeddings.index import check_choice

    check_choice(index)
    with _writing(path):
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
    with _writing(store.path):
        store.reload()
        old = store.records().join(frame.select(IDENTITY), on=IDENTITY, how="semi")["row"].to_numpy()
        manifest = store.manifest
        number = manifest.generation + 1
        segment = write_segment(store.path, f"{number:08d}-0", frame, checked, precision)
        _next(store, {"segments": (*manifest.segments, segment)}, dying=old)
    return UpsertReport(added=frame.height - len(old), replaced=len(old))


def delete(store: EmbeddingStore, kind: str | None, where: Mapping[str, Any] | None) -> int:
    """See `EmbeddingStore.delete`."""
    if kind is None and not where:
        raise UsageError("what is to be deleted?", remedy="Give a kind or a condition.")
    with _writing(store.path):
        store.reload()
        if not store.segments:
            return 0
        rows = np.flatnonzero(store.matching(kind, where))
        if len(rows):
            _next(store, {}, dying=rows)
        return len(rows)


def delete_rows(store: EmbeddingStore, rows: np.ndarray) -> int:
    """See `EmbeddingStore.delete_rows`."""
    with _writing(store.path):
        generation = store.manifest.generation
        store.reload()
        if store.manifest.generation != generation:
            raise MismatchError("another process wrote to the store meanwhile", where=store.path, remedy="Try again.")
        living = np.intersect1d(rows, np.flatnonzero(store.alive))
        if len(living):
            _next(store, {}, dying=living)
        return len(living)


def settle(store: EmbeddingStore, index: str | None, progress: Progress) -> None:
    """See `EmbeddingStore.settle`."""
    if len(store.manifest.segments) > MANY_SEGMENTS:
        compact(store)
        store.reload()


def compact(store: EmbeddingStore) -> None:
    """See `EmbeddingStore.compact`."""
    with _writing(store.path):
        store.reload()
        rows = np.flatnonzero(store.alive)
        number = store.manifest.generation + 1
        segments: tuple[SegmentInfo, ...] = ()
        if len(rows):
            frame = store.records(text=True)
            precisions = {segment.precision for segment in store.manifest.segments}
            precision = precisions.pop() if len(precisions) == 1 else "mixed"
            segments = (write_segment(store.path, f"{number:08d}-0", frame, store.rows(rows), precision),)
        cleared = {"segments": segments, "dead": None, "dead_rows": 0, "index": None}
        _next(store, cleared, dying=np.zeros(0, dtype=np.int64))


def _next(store: EmbeddingStore, changes: dict[str, Any], dying: np.ndarray) -> None:
    """Commit the generation after the store's, with `changes` and without the rows `dying`."""
    from l2aco.embeddings.store import EmbeddingStore

    manifest = store.manifest
    number = manifest.generation + 1
    if len(dying):
        dead = np.union1d(np.flatnonzero(~store.alive), dying).astype(np.int64)
        path = store.path / "dead" / f"{number:08d}.npy"
        with atomic_path(path) as partial:
            with partial.open("wb") as stream:
                np.save(stream, dead, allow_pickle=False)
        changes |= {"dead": FileInfo.of(store.path, path), "dead_rows": len(dead)}
    staged = manifest.model_copy(update={**changes, "generation": number, "created_at": _now()})
    after = EmbeddingStore(store.path, staged)
    staged = staged.model_copy(update={"counts": _counts(after.records())})
    commit(store.path, staged)
    sweep(store.path, staged)


def _counts(frame: pl.DataFrame) -> dict[str, Any]:
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
