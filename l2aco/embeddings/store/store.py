"""The embedding store: vectors and what they stand for, searched in milliseconds, added to for years.

    store = EmbeddingStore.open("embeddings/reference--minilm")
    vectors, known = store.vectors("cell_line", ["A375", "MCF7"])
    hits = store.search(vectors[0], k=5, kind="drug", where={"llm": "reference"})

A store is read through one generation. A writer makes a new one and moves one pointer, so that a reader never
sees half a write; `reload` moves a reader on. docs/design/store.md tells the format and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.embeddings.encoders.table import EncoderSpec
from l2aco.embeddings.store.manifest import GENERATIONS, MANIFEST, REPAIR, Manifest, parse_manifest
from l2aco.embeddings.store.segments import HEAVY, LIGHT, NARROW, Segment, StoreRecord, schema
from l2aco.errors import DamagedError, InputError, UnknownNameError, UsageError
from l2aco.files import sha256_file
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace, names_in

if TYPE_CHECKING:
    import polars as pl

    from l2aco.embeddings.store.write import UpsertReport

CHECK_ON_OPEN = 64 * 2**20
"""A store of up to so many bytes is checked against its checksums whenever it is opened."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One found record; `score` is the cosine."""

    id: str
    name: str
    kind: str
    score: float
    text: str
    row: int
    set: str = ""
    llm: str | None = None


class EmbeddingStore:
    """One generation of a store on disk. Raises DamagedError where files do not match the manifest."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.segments: list[Segment] = []
        self.look_through(manifest)

    @classmethod
    def open(cls, path: str | Path) -> EmbeddingStore:
        """Open the committed generation. Vectors are mapped; nothing large is read."""
        root = Path(path)
        if not root.is_dir():
            raise InputError("there is no such store", where=root, remedy="`l2aco store list` shows all.")
        manifest = parse_manifest(root / MANIFEST)
        while True:
            try:
                return cls._checked(root, manifest)
            except DamagedError:
                # A writer may have moved on, and removed files, between the manifest and them.
                newer = parse_manifest(root / MANIFEST)
                if newer.generation == manifest.generation:
                    raise
                manifest = newer

    @classmethod
    def _checked(cls, root: Path, manifest: Manifest) -> EmbeddingStore:
        small = sum(file.bytes for file in manifest.files()) <= CHECK_ON_OPEN
        for file in manifest.files():
            message = check_file(root, file.path, file.bytes, file.sha256 if small else None)
            if message:
                raise DamagedError(message, where=root / file.path, remedy=REPAIR.format(name=root.name))
        return cls(root, manifest)

    @classmethod
    def create(cls, path: str | Path, encoder: EncoderSpec, *, index: str = "auto") -> EmbeddingStore:
        """Make an empty store for the vectors of `encoder`; raises UsageError where one is."""
        from l2aco.embeddings.store.write import create

        create(Path(path), encoder, index)
        return cls.open(path)

    def look_through(self, manifest: Manifest) -> None:
        """Move on to a generation, committed or not: what is open of it already stays open."""
        self.manifest = manifest
        """What this generation consists of."""
        opened = {segment.info: segment for segment in self.segments}
        self.segments = []
        start = 0
        for info in manifest.segments:
            segment = opened.get(info)
            if segment is None or segment.start != start:
                segment = Segment(self.path, info, start, manifest.dimension)
            self.segments.append(segment)
            start += info.rows
        self.alive = self._read_alive()
        for name in ("narrow", "_light", "approximate"):
            self.__dict__.pop(name, None)

    def reload(self) -> None:
        """Move on to the generation that is committed now."""
        self.look_through(parse_manifest(self.path / MANIFEST))

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def dimension(self) -> int:
        return self.manifest.dimension

    @property
    def encoder(self) -> EncoderSpec:
        return self.manifest.encoder

    def __len__(self) -> int:
        return self.manifest.rows

    def __repr__(self) -> str:
        return f"EmbeddingStore({str(self.path)!r}, {len(self):,} x {self.dimension}, {self.encoder.name})"

    def _read_alive(self) -> np.ndarray:
        mask = np.ones(self.manifest.total, dtype=bool)
        if self.manifest.dead is not None:
            path = self.path / self.manifest.dead.path
            try:
                mask[np.load(path, allow_pickle=False)] = False
            except (OSError, ValueError, IndexError) as error:
                raise DamagedError(str(error), where=path, remedy=REPAIR.format(name=self.name)) from None
        return mask

    @cached_property
    def approximate(self) -> Any:
        """The FAISS index of a large store."""
        from l2aco.embeddings.store.index import read_index

        assert self.manifest.index is not None
        return read_index(self, self.manifest.index)

    @cached_property
    def narrow(self) -> pl.DataFrame:
        """row, kind, id, set, sample, llm, long of every live record."""
        return self._live(NARROW, [segment.narrow for segment in self.segments])

    @cached_property
    def _light(self) -> pl.DataFrame:
        return self._live(LIGHT, [segment.light for segment in self.segments])

    def _live(self, columns: Sequence[str], frames: list[pl.DataFrame]) -> pl.DataFrame:
        import polars as pl

        if not frames:
            return pl.DataFrame(schema=schema(("row", *columns)))
        frame = pl.concat(frames)
        return frame if self.alive.all() else frame.filter(self.alive)

    def records(self, *, text: bool = False) -> pl.DataFrame:
        """One row a record: row, key, kind, id, name, set, llm, prompt, sample, text_sha256, long, hash.

        With `text` also the embedded text and the profile's `fields` as JSON.
        """
        if not text:
            return self._light
        return self.take(self._light["row"].to_numpy(), (*LIGHT, *HEAVY)).insert_column(0, self._light["row"])

    def take(self, rows: np.ndarray, columns: Sequence[str]) -> pl.DataFrame:
        """Some columns of the records of some rows, in that order."""
        import polars as pl

        pieces, order = [], []
        for segment, places, numbers in self._by_segment(np.asarray(rows, dtype=np.int64)):
            pieces.append(segment.take(numbers, columns))
            order.append(places)
        if not pieces:
            return pl.DataFrame(schema=schema(columns))
        return pl.concat(pieces)[np.argsort(np.concatenate(order), kind="stable")]

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """float32 (n, D): the vectors of some rows, in that order."""
        vectors = np.empty((len(rows), self.dimension), dtype=np.float32)
        for segment, places, numbers in self._by_segment(np.asarray(rows, dtype=np.int64)):
            vectors[places] = segment.vectors[numbers]
        return vectors

    def _by_segment(self, rows: np.ndarray) -> list[tuple[Segment, np.ndarray, np.ndarray]]:
        """(segment, places in `rows`, numbers within the segment) for each segment that is touched."""
        starts = np.array([segment.start for segment in self.segments], dtype=np.int64)
        owner = np.searchsorted(starts, rows, side="right") - 1
        found = []
        for number in np.unique(owner):
            places = np.flatnonzero(owner == number)
            segment = self.segments[number]
            found.append((segment, places, rows[places] - segment.start))
        return found

    def vectors(
        self, kind: str, ids: Sequence[str], *, where: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """float32 (n, D) in the order of `ids`, and bool (n,): False where the store has no such entity.

        Such a row is zero. Several samples of one profile are averaged and normalised again. Raises InputError
        where an id has profiles of several sets or LLMs and `where` does not choose one.
        """
        import polars as pl

        wanted = pl.DataFrame({"id": list(ids)}, schema={"id": pl.String}).with_row_index("place")
        frame = self.narrow.filter(pl.col("kind") == str(kind))
        if where:
            frame = frame.filter(pl.col("row").is_in(np.flatnonzero(self.matching(None, where))))
        found = wanted.join(frame.select("row", "id", "set", "llm"), on="id", how="inner")
        sources = found.select("set", "llm").unique()
        if sources.height > 1 and found.select("id", "set", "llm").unique()["id"].is_duplicated().any():
            names = ", ".join(sorted({str(name) for name in sources["set"]}))
            raise InputError(
                f"the store holds several profiles of one {kind} (sets: {names})",
                where=self.path,
                remedy="Choose with where={'set': ...} or where={'llm': ...}.",
            )
        table = np.zeros((len(ids), self.dimension), dtype=np.float32)
        mask = np.zeros(len(ids), dtype=bool)
        places = found["place"].to_numpy()
        np.add.at(table, places, self.rows(found["row"].to_numpy()))
        mask[places] = True
        several = np.bincount(places, minlength=len(ids)) > 1
        table[several] /= np.linalg.norm(table[several], axis=1, keepdims=True)
        return table, mask

    def matching(self, kind: str | None, where: Mapping[str, Any] | None) -> np.ndarray:
        """bool (rows on disk,): live rows of a kind whose columns or profile fields have the given values.

        A text matches without case, a list where one of its items does. Raises UnknownNameError for a name that
        is neither a column nor a field of any profile.
        """
        import polars as pl

        mask = self.alive
        if kind is not None:
            mask = mask & self._column_is("kind", str(kind))
        for name, value in (where or {}).items():
            if name in (*LIGHT, "text"):
                mask = mask & self._column_is(name, value)
                continue
            fields = pl.concat([segment.read(["fields"]) for segment in self.segments])["fields"]
            present = _field(fields, name)
            if present.null_count() == len(fields):
                known = set(LIGHT).union(*(set(_keys(item)) for item in fields.head(1000).unique()))
                raise UnknownNameError("field", name, known)
            items = pl.DataFrame({"value": present}).select(_is_or_holds(pl.col("value"), str(value)))
            mask = mask & items.to_series().fill_null(False).to_numpy()
        return mask

    def _column_is(self, name: str, value: Any) -> np.ndarray:
        import polars as pl

        pieces = (segment.narrow if name in NARROW else segment.read([name]) for segment in self.segments)
        frame = pl.concat([piece.select(name) for piece in pieces])
        column = frame[name].cast(pl.String).str.to_lowercase()
        return (column == str(value).casefold()).fill_null(False).to_numpy()

    def search(
        self,
        vector: np.ndarray,
        k: int = 10,
        kind: str | None = None,
        where: Mapping[str, Any] | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """The `k` records with the highest cosine to `vector` (D,), best first.

        `kind` and `where` restrict the search before ranking, so that k records come back if there are k.
        """
        scores, rows = self.search_rows(np.asarray(vector)[None], k, self._allowed(kind, where), exact)
        return self.hits(rows[0], scores[0])

    def _allowed(self, kind: str | None, where: Mapping[str, Any] | None) -> np.ndarray | None:
        if kind is None and not where:
            return None if self.manifest.dead is None else self.alive
        return self.matching(kind, where) if self.segments else None

    def search_rows(
        self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores float32 (n, k) and row numbers int64 (n, k) for query vectors (n, D); -1 where there are fewer."""
        from l2aco.embeddings.store.index import search

        return search(self, vectors, k, allowed, exact)

    def hits(self, rows: np.ndarray, scores: np.ndarray) -> list[Hit]:
        """The records of found rows; -1 is left out."""
        kept = rows >= 0
        frame = self.take(rows[kept], ("id", "name", "kind", "text", "set", "llm"))
        found = zip(frame.iter_rows(named=True), rows[kept].tolist(), scores[kept].tolist(), strict=True)
        return [Hit(row=row, score=score, **record) for record, row, score in found]

    def upsert(self, records: Sequence[StoreRecord], vectors: np.ndarray, *, precision: str = "fp32") -> UpsertReport:
        """Add records, or replace those of the same kind, id, set and sample; vectors are (n, D)."""
        from l2aco.embeddings.store.write import upsert

        report = upsert(self, records, vectors, precision)
        self.reload()
        return report

    def delete(self, kind: str | None = None, where: Mapping[str, Any] | None = None) -> int:
        """Delete the matching records and return how many; the space is freed by `compact`."""
        from l2aco.embeddings.store.write import delete

        count = delete(self, kind, where)
        self.reload()
        return count

    def delete_records(self, identities: Iterable[tuple[Any, ...]]) -> int:
        """Delete records by (kind, id, set, sample), as `StoreRecord.identity` gives it, and return how many."""
        from l2aco.embeddings.store.write import delete_records

        count = delete_records(self, identities)
        self.reload()
        return count

    def optimise(self, index: str | None = None, progress: Progress | None = None) -> None:
        """After a series of writes: join small pieces, and build the index that the size, or `index`, asks for.

        `index` is auto, flat, hnsw or ivfpq, and is remembered.
        """
        from l2aco.embeddings.store.write import optimise

        optimise(self, index, progress or Silent())
        self.reload()

    def compact(self, progress: Progress | None = None) -> None:
        """Rewrite the live rows as one segment, free the space of the others, and build the index anew."""
        from l2aco.embeddings.store.write import compact

        compact(self, progress or Silent())
        self.reload()


def _field(fields: pl.Series, name: str) -> pl.Series:
    """What each profile's `fields` hold under `name`, null where they do not."""
    import json

    import polars as pl

    try:
        return fields.str.json_path_match(f"$[{json.dumps(name, ensure_ascii=False)}]")
    except pl.exceptions.ComputeError:  # no JSON path can spell such a name
        return fields.clear(len(fields))


def _keys(text: str) -> list[str]:
    import json

    return list(json.loads(text))


def _is_or_holds(column: pl.Expr, value: str) -> pl.Expr:
    """A JSON value that is `value`, or a JSON list with `value` among its items, without case."""
    import json

    folded = column.str.to_lowercase()
    item = json.dumps(value.lower(), ensure_ascii=False)
    return (folded == value.lower()) | (folded.str.starts_with("[") & folded.str.contains(item, literal=True))


def check_file(root: Path, path: str, size: int, sha256: str | None) -> str | None:
    """What is wrong with a file of the store, or None; the content is compared where `sha256` is given."""
    file = root / path
    if not file.exists():
        return "is missing"
    if file.stat().st_size != size:
        return f"has {file.stat().st_size:,} bytes, not {size:,}"
    if sha256 is not None and sha256_file(file) != sha256:
        return "does not match its checksum"
    return None


def list_stores(workspace: Workspace, progress: Progress | None = None) -> list[EmbeddingStore]:
    """The workspace's stores by name; one that is damaged is named to `progress` and left out.

    Raises its DamagedError where there is nobody to tell.
    """
    stores = []
    for name in names_in(workspace.embeddings):
        try:
            stores.append(EmbeddingStore.open(workspace.embeddings / name))
        except DamagedError as error:
            if progress is None:
                raise
            progress.say(f"left out: {error}")
    return stores


def find_store(name: str | None, workspace: Workspace) -> Path:
    """The folder of the store called `name`, also where its manifest is gone; None: the only one.

    Raises UnknownNameError with the nearest names.
    """
    folder = workspace.embeddings
    known = sorted({*names_in(folder), *names_in(folder, GENERATIONS)})
    if name is None and len(known) == 1:
        return folder / known[0]
    for found in known:
        if name is not None and found.casefold() == name.casefold():
            return folder / found
    if name is None and known:
        raise UsageError("there are several stores", remedy=f"Name one of {', '.join(known)}.")
    raise UnknownNameError("embedding store", name or "", known, remedy="`l2aco embed` makes one.")


def open_store(name: str, workspace: Workspace) -> EmbeddingStore:
    """The workspace's store called `name`; raises UnknownNameError with the nearest names."""
    return EmbeddingStore.open(find_store(name, workspace))
