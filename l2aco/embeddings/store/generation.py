"""One state of a store, opened for reading. It never changes: a write makes the next one.

Searching, writing and mending take a generation; only `EmbeddingStore` knows which is the current one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.embeddings.store.index_file import read_index
from l2aco.embeddings.store.manifest import MANIFEST, Manifest, check_file, parse_manifest, repair_words
from l2aco.embeddings.store.segments import LIGHT, NARROW, Segment, read_array, schema
from l2aco.errors import DamagedError, InputError, UnknownNameError

if TYPE_CHECKING:
    import polars as pl

CHECK_ON_OPEN = 64 * 2**20
"""A store of up to so many bytes is checked against its checksums whenever it is opened."""


@dataclass(frozen=True, eq=False)
class Generation:
    """The rows of one manifest, committed or about to be, numbered through its segments.

    `alive` bool (rows on disk,): False where a later write replaced or deleted a row. What is open stays readable
    whatever writers do.
    """

    root: Path
    manifest: Manifest
    segments: tuple[Segment, ...]
    alive: np.ndarray

    @classmethod
    def of(cls, root: Path, manifest: Manifest, near: Generation | None = None) -> Generation:
        """The generation of `manifest`; segments that `near` has open are shared. Raises DamagedError."""
        opened = {(item.info, item.start): item for item in near.segments} if near else {}
        segments: list[Segment] = []
        start = 0
        for info in manifest.segments:
            segments.append(opened.get((info, start)) or Segment(root, info, start, manifest.dimension))
            start += info.rows
        alive = np.ones(manifest.total, dtype=bool)
        alive[read_dead(root, manifest)] = False
        alive.setflags(write=False)
        return cls(root, manifest, tuple(segments), alive)

    @classmethod
    def committed(cls, root: Path) -> Generation:
        """The state that is committed now, its files checked. Raises InputError, DamagedError."""
        if not root.is_dir():
            raise InputError("there is no such store", where=root, remedy="`l2aco store list` shows all.")
        manifest = parse_manifest(root / MANIFEST)
        while True:
            try:
                _check_files(root, manifest)
                return cls.of(root, manifest)
            except DamagedError:
                # A writer may have moved on, and removed files, between the manifest and them.
                newer = parse_manifest(root / MANIFEST)
                if newer.generation == manifest.generation:
                    raise
                manifest = newer

    def newest(self) -> Generation:
        """The generation that is committed now."""
        manifest = parse_manifest(self.root / MANIFEST)
        return self if manifest == self.manifest else Generation.of(self.root, manifest, self)

    @property
    def dimension(self) -> int:
        return self.manifest.dimension

    def __len__(self) -> int:
        return self.manifest.rows

    @cached_property
    def narrow(self) -> pl.DataFrame:
        """row, kind, id, set, sample, llm, long of every live record."""
        return self._live(NARROW, [segment.narrow for segment in self.segments])

    @cached_property
    def light(self) -> pl.DataFrame:
        """row and the columns LIGHT of every live record."""
        return self._live(LIGHT, [segment.light for segment in self.segments])

    def _live(self, columns: Sequence[str], frames: list[pl.DataFrame]) -> pl.DataFrame:
        import polars as pl

        if not frames:
            return pl.DataFrame(schema=schema(("row", *columns)))
        frame = pl.concat(frames)
        return frame if self.alive.all() else frame.filter(self.alive)

    @cached_property
    def approximate(self) -> Any:
        """The FAISS index of a large store."""
        assert self.manifest.index is not None
        return read_index(self.root, self.manifest.index, self.dimension)

    def take(self, rows: np.ndarray, columns: Sequence[str]) -> pl.DataFrame:
        """Some columns of the records of some rows, in that order."""
        import polars as pl

        pieces, order = [], []
        for segment, places, numbers in self._by_segment(rows):
            pieces.append(segment.take(numbers, columns))
            order.append(places)
        if not pieces:
            return pl.DataFrame(schema=schema(columns))
        return pl.concat(pieces)[np.argsort(np.concatenate(order), kind="stable")]

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """float32 (n, D): the vectors of some rows, in that order."""
        vectors = np.empty((len(rows), self.dimension), dtype=np.float32)
        for segment, places, numbers in self._by_segment(rows):
            vectors[places] = segment.vectors[numbers]
        return vectors

    def _by_segment(self, rows: np.ndarray) -> Iterable[tuple[Segment, np.ndarray, np.ndarray]]:
        """(segment, places in `rows`, numbers within the segment) for each segment that is touched."""
        rows = np.asarray(rows, dtype=np.int64)
        starts = np.array([segment.start for segment in self.segments], dtype=np.int64)
        owner = np.searchsorted(starts, rows, side="right") - 1
        for number in np.unique(owner):
            places = np.flatnonzero(owner == number)
            segment = self.segments[number]
            yield segment, places, rows[places] - segment.start

    def rows_of(self, records: pl.DataFrame, columns: Sequence[str]) -> np.ndarray:
        """The numbers of the live rows that agree with one of `records` in all of `columns`."""
        return self.narrow.join(records.select(columns), on=columns, how="semi")["row"].to_numpy()

    def matching(self, kind: str | None, where: Mapping[str, Any] | None) -> np.ndarray:
        """bool (rows on disk,): live rows of a kind whose columns or profile fields have the given values.

        A text matches without case, a list where one of its items does. Raises UnknownNameError for a name that
        is neither a column nor a field of any profile.
        """
        mask = self.alive
        if not self.segments:
            return mask
        if kind is not None:
            mask = mask & self._column_is("kind", str(kind))
        for name, value in (where or {}).items():
            test = self._column_is if name in (*LIGHT, "text") else self._field_is
            mask = mask & test(name, value)
        return mask

    def _column_is(self, name: str, value: Any) -> np.ndarray:
        import polars as pl

        pieces = (segment.narrow if name in NARROW else segment.read([name]) for segment in self.segments)
        frame = pl.concat([piece.select(name) for piece in pieces])
        column = frame[name].cast(pl.String).str.to_lowercase()
        return (column == str(value).casefold()).fill_null(False).to_numpy()

    def _field_is(self, name: str, value: Any) -> np.ndarray:
        import polars as pl

        fields = pl.concat([segment.read(["fields"]) for segment in self.segments])["fields"]
        present = _field(fields, name)
        if present.null_count() == len(fields):
            raise UnknownNameError("field", name, {*LIGHT, *_names(fields.head(1000).unique())})
        items = pl.DataFrame({"value": present}).select(_is_or_holds(pl.col("value"), str(value)))
        return items.to_series().fill_null(False).to_numpy()


def _check_files(root: Path, manifest: Manifest) -> None:
    small = manifest.bytes <= CHECK_ON_OPEN
    for file in manifest.files():
        if message := check_file(root, file, content=small):
            raise DamagedError(message, where=root / file.path, remedy=repair_words(root))


def read_dead(root: Path, manifest: Manifest) -> np.ndarray:
    """int64, ascending: the rows that no longer count. Raises DamagedError."""
    if manifest.dead is None:
        return np.zeros(0, dtype=np.int64)
    path = root / manifest.dead.path
    try:
        rows = np.asarray(read_array(path))
        if rows.dtype != np.int64 or rows.shape != (manifest.dead_rows,):
            raise ValueError(f"holds {rows.dtype} {rows.shape}, not {manifest.dead_rows:,} row numbers")
        if rows[0] < 0 or rows[-1] >= manifest.total or (np.diff(rows) <= 0).any():
            raise ValueError(f"holds no ascending numbers of {manifest.total:,} rows")
    except (OSError, ValueError) as error:
        raise DamagedError(str(error), where=path, remedy=repair_words(root)) from None
    return rows


def _field(fields: pl.Series, name: str) -> pl.Series:
    """What each profile's `fields` hold under `name`, null where they do not."""
    import polars as pl

    try:
        return fields.str.json_path_match(f"$[{json.dumps(name, ensure_ascii=False)}]")
    except pl.exceptions.ComputeError:  # no JSON path can spell such a name
        return fields.clear(len(fields))


def _names(fields: Iterable[str]) -> Iterator[str]:
    """What the fields of some profiles are called."""
    for text in fields:
        with suppress(ValueError, RecursionError):
            value = json.loads(text)
            yield from value if isinstance(value, dict) else ()


def _is_or_holds(column: pl.Expr, value: str) -> pl.Expr:
    """A JSON value that is `value`, or a JSON list with `value` among its items, without case."""
    folded = column.str.to_lowercase()
    item = json.dumps(value.lower(), ensure_ascii=False)
    return (folded == value.lower()) | (folded.str.starts_with("[") & folded.str.contains(item, literal=True))
