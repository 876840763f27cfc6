"""Rows on disk: what a record is, how a segment is written, and how its rows are read back.

A segment is immutable. Its vectors are mapped, not loaded; of its records only the row groups are read that
hold what is asked for.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.embeddings.store.manifest import FileInfo, SegmentInfo, repair_words
from l2aco.errors import DamagedError, InputError
from l2aco.files import atomic_path, sha256_bytes, stable_hash
from l2aco.parquet import frame_of, open_parquet, require

if TYPE_CHECKING:
    import polars as pl

ROW_GROUP = 512
"""What one found record costs to read."""
IDENTITY = ("kind", "id", "set", "sample")
"""What makes two records the same: a later one replaces the earlier."""
LIGHT = ("key", "kind", "id", "name", "aliases", "set", "llm", "prompt", "sample", "text_sha256", "long", "hash")
HEAVY = ("text", "fields")
NULLABLE = ("llm", "prompt")
NARROW = ("kind", "id", "set", "sample", "llm", "long")
"""What writing and looking up need of every row: a third of the memory of LIGHT."""


@dataclass(frozen=True, slots=True)
class StoreRecord:
    """What a store keeps beside a vector. `fields` is searchable with `where`; `long`: beyond the window."""

    kind: str
    id: str
    name: str
    text: str
    aliases: tuple[str, ...] = ()
    set: str = ""
    key: str = ""
    llm: str | None = None
    prompt: str | None = None
    sample: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)
    long: bool = False

    @property
    def identity(self) -> tuple[Any, ...]:
        """The values of IDENTITY."""
        return tuple(getattr(self, name) for name in IDENTITY)

    @property
    def text_sha256(self) -> str:
        return sha256_bytes(self.text.encode("utf-8"))

    @property
    def hash(self) -> str:
        """Hash of everything but `long`: an equal one means that nothing is to be done."""
        value = [self.kind, self.id, self.name, self.text, self.aliases, self.set, self.key, self.llm, self.prompt]
        return stable_hash([*value, self.sample, dict(self.fields)], length=16)

    def marked_long(self) -> StoreRecord:
        """The same record, known to be longer than the encoder's window."""
        return replace(self, long=True)


def schema(columns: Sequence[str]) -> dict[str, Any]:
    """The polars type of each column."""
    import polars as pl

    special = {"row": pl.UInt32, "sample": pl.Int32, "long": pl.Boolean}
    return {name: special.get(name, pl.String) for name in columns}


def records_frame(records: Iterable[StoreRecord]) -> pl.DataFrame:
    """One row a record, with the columns LIGHT and HEAVY; raises InputError for an empty or broken text."""
    import polars as pl

    frame = pl.DataFrame([_row(record) for record in records], schema=schema((*LIGHT, *HEAVY)))
    doubled = frame.filter(frame.select(IDENTITY).is_duplicated())
    if doubled.height:
        first = doubled.row(0, named=True)
        raise InputError(
            f"{first['kind']} {first['id']} stands twice among the {frame.height:,} records",
            remedy="Give one record for each kind, id, set and sample.",
        )
    return frame


def _row(record: StoreRecord) -> dict[str, Any]:
    where = f"{record.kind} {record.id}".encode("utf-8", "replace").decode()
    if not record.id or not record.kind:
        raise InputError("a record needs a kind and an id", where=where)
    if not isinstance(record.text, str) or not record.text.strip():
        raise InputError("the profile is empty", where=where, remedy="Profile it again, or leave it out.")
    try:
        row = {
            **{name: getattr(record, name) for name in LIGHT if name != "aliases"},
            "aliases": "|".join(record.aliases),
            "text": record.text,
            "fields": json.dumps(dict(record.fields), ensure_ascii=False),
        }
        for value in row.values():
            str(value).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the profile is not valid Unicode text ({error.reason})", where=where) from None
    return row


def checked_vectors(vectors: np.ndarray, rows: int, dimension: int) -> np.ndarray:
    """float32 (rows, dimension) of unit length; raises InputError for another shape, NaN or zero rows."""
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.shape != (rows, dimension):
        raise InputError(f"vectors of shape {array.shape} where the store needs {(rows, dimension)}")
    norms = np.linalg.norm(array, axis=1)
    wrong = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if wrong.size:
        raise InputError(
            f"{wrong.size} of {rows} vectors are not finite or are zero",
            where=f"row {wrong[0]}",
            remedy="Encode again.",
        )
    if np.abs(norms - 1).max(initial=0) > 1e-5:
        array = array / norms[:, None]
    return array


def write_segment(
    root: Path,
    name: str,
    pieces: Iterable[tuple[pl.DataFrame, np.ndarray]],
    rows: int,
    dimension: int,
    precision: str,
) -> SegmentInfo:
    """Write and sync the two files of a segment, piece by piece: records with their vectors, `rows` in all."""
    import pyarrow.parquet as pq

    vectors, records = root / "segments" / f"{name}.npy", root / "segments" / f"{name}.parquet"
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dimension)}
    with atomic_path(vectors) as numbers, atomic_path(records) as table:
        with numbers.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            writer = None
            try:
                for frame, block in pieces:
                    stream.write(np.ascontiguousarray(block, dtype="<f4").data)
                    piece = frame.select(*LIGHT, *HEAVY).to_arrow()
                    writer = writer or pq.ParquetWriter(table, piece.schema, compression="zstd")
                    writer.write_table(piece, row_group_size=ROW_GROUP)
            finally:
                if writer is not None:
                    writer.close()
    return SegmentInfo(
        name=name,
        rows=rows,
        precision=precision,
        vectors=FileInfo.of(root, vectors),
        records=FileInfo.of(root, records),
    )


def link_segment(source: Path, info: SegmentInfo, root: Path, name: str) -> SegmentInfo:
    """The files of a segment of the store `source` under another name in the store `root`: linked, since they never
    change, else copied."""

    def linked(file: FileInfo) -> FileInfo:
        old = source / file.path
        new = root / "segments" / (name + old.suffix)
        with atomic_path(new) as partial:
            partial.unlink(missing_ok=True)
            try:
                os.link(old, partial)
            except OSError:
                shutil.copyfile(old, partial)
        return file.model_copy(update={"path": new.relative_to(root).as_posix()})

    return info.model_copy(update={"name": name, "vectors": linked(info.vectors), "records": linked(info.records)})


def write_array(path: Path, array: np.ndarray) -> None:
    """An .npy file; raises OSError with the system's cause, which `np.save` leaves out."""
    plain = np.ascontiguousarray(array)
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(plain))
        stream.write(plain.data)


def read_array(path: Path) -> np.ndarray:
    """The array of an .npy file, mapped, so that what its header claims takes no memory. Raises ValueError, OSError."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # numpy evaluates the header as a Python literal, with all that this can raise
        raise ValueError(
            f"is no array ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from None


class Segment:
    """A segment, opened for reading; `start` is the number of its first row in the store."""

    def __init__(self, root: Path, info: SegmentInfo, start: int, dimension: int) -> None:
        self.info = info
        self.start = start
        self.rows = info.rows
        self._root = root
        path = root / info.vectors.path
        try:
            self.vectors: np.ndarray = read_array(path)
        except (OSError, ValueError) as error:
            raise self._damaged(path, str(error)) from None
        wanted = self.vectors.shape == (info.rows, dimension) and self.vectors.dtype == np.float32
        if not wanted or not self.vectors.flags.c_contiguous:
            raise self._damaged(path, f"holds {self.vectors.dtype} {self.vectors.shape}")
        # Held open, so that a reader keeps its generation when a writer removes the file.
        self._file = self._open_records(root / info.records.path)

    def _open_records(self, path: Path) -> Any:
        try:
            found = open_parquet(path, memory_map=True)
            require(found, schema((*LIGHT, *HEAVY)))
            if found.metadata.num_rows != self.rows:
                raise ValueError(f"holds {found.metadata.num_rows:,} records, not {self.rows:,}")
            return found
        except (OSError, ValueError) as error:
            raise self._damaged(path, str(error)) from None

    def _damaged(self, path: Path, message: str) -> DamagedError:
        return DamagedError(message.splitlines()[0], where=path, remedy=repair_words(self._root))

    @cached_property
    def narrow(self) -> pl.DataFrame:
        """The columns NARROW of every row, with `row` numbers of the store."""
        return self.read(NARROW)

    @cached_property
    def light(self) -> pl.DataFrame:
        """The columns LIGHT of every row, with `row` numbers of the store."""
        return self.read(LIGHT)

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """Some columns of every row, with `row` numbers of the store."""
        frame = self._frame(self.rows, columns, lambda: self._file.read(list(columns)))
        return frame.with_row_index("row", offset=self.start)

    def take(self, rows: np.ndarray, columns: Sequence[str]) -> pl.DataFrame:
        """Some columns of some rows (numbers within the segment), in that order."""
        of_row = np.searchsorted(self._groups, rows, side="right") - 1
        groups = np.unique(of_row)
        before = np.concatenate([[0], np.diff(self._groups)[groups].cumsum()])
        read = partial(self._file.read_row_groups, groups.tolist(), list(columns))
        pieces = self._frame(int(before[-1]), columns, read)
        places = before[np.searchsorted(groups, of_row)] + rows - self._groups[of_row]
        return pieces[places]

    @cached_property
    def _groups(self) -> np.ndarray:
        """int64 (groups + 1): the first row of every row group, as the file says, and the number of rows."""
        facts = self._file.metadata
        sizes = [facts.row_group(number).num_rows for number in range(facts.num_row_groups)]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    def _frame(self, rows: int, columns: Sequence[str], read: Callable[[], Any]) -> pl.DataFrame:
        """What `read` reads, in our types. Raises DamagedError where it is not `rows` full rows."""
        import polars as pl
        import pyarrow as pa

        path = self._root / self.info.records.path
        try:
            frame = frame_of(read()).select(pl.col(name).cast(kind) for name, kind in schema(columns).items())
        except (OSError, ValueError, MemoryError, pa.ArrowException, pl.exceptions.PolarsError) as error:
            raise self._damaged(path, str(error)) from None
        empty = [name for name in columns if name not in NULLABLE and frame[name].null_count()]
        if frame.height != rows or empty:
            raise self._damaged(
                path, f"lacks {empty[0]} in some rows" if empty else f"holds {frame.height:,} rows here"
            )
        return frame
