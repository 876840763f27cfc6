"""The embedding store: vectors and what they stand for, searched in milliseconds, added to for years.

    store = EmbeddingStore.open("embeddings/reference--minilm")
    vectors, known = store.vectors("cell_line", ["A375", "MCF7"])
    hits = store.search(vectors[0], k=5, kind="drug", where={"llm": "reference"})

A store is read through one generation, and this is the only place that holds the current one. A write makes the
next and moves one pointer, so that a reader never sees half of it; `reload` moves a reader on. docs/design/store.md
tells the format and why.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.embeddings.encoders.fields import unscaled
from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.embeddings.store import write
from l2aco.embeddings.store.generation import Generation
from l2aco.embeddings.store.index import search
from l2aco.embeddings.store.manifest import Manifest, Part
from l2aco.embeddings.store.segments import HEAVY, LIGHT, StoreRecord
from l2aco.embeddings.store.write import UpsertReport
from l2aco.entities import Entity, EntityIndex, EntityKind, parse_kind
from l2aco.errors import DamagedError, InputError, UnknownNameError, UsageError
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace, names_in

if TYPE_CHECKING:
    import polars as pl


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
    """A store on disk, seen through the generation that was current when it was opened, reloaded or written to."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation

    @classmethod
    def open(cls, path: str | Path) -> EmbeddingStore:
        """Open the committed generation. Vectors are mapped; nothing large is read.

        Raises DamagedError where files do not match the manifest, InputError where there is no store.
        """
        return cls(Generation.committed(Path(path)))

    @classmethod
    def create(
        cls, path: str | Path, encoder: EncoderSpec, *, index: str = "auto", part: Part | None = None
    ) -> EmbeddingStore:
        """Make an empty store for the vectors of `encoder`, perhaps of one part of a set; raises UsageError where one
        is."""
        write.create(Path(path), encoder, index, part)
        return cls.open(path)

    def reload(self) -> None:
        """Move on to the generation that is committed now."""
        self.generation = self.generation.newest()

    @property
    def path(self) -> Path:
        return self.generation.root

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def manifest(self) -> Manifest:
        """What the current generation consists of."""
        return self.generation.manifest

    @property
    def dimension(self) -> int:
        return self.manifest.dimension

    @property
    def encoder(self) -> EncoderSpec:
        return self.manifest.encoder

    def __len__(self) -> int:
        return len(self.generation)

    def __repr__(self) -> str:
        return f"EmbeddingStore({str(self.path)!r}, {len(self):,} x {self.dimension}, {self.encoder.name})"

    def records(self, *, text: bool = False) -> pl.DataFrame:
        """One row a record: row, key, kind, id, name, set, llm, prompt, sample, text_sha256, long, hash.

        With `text` also the embedded text and the profile's `fields` as JSON.
        """
        light = self.generation.light
        if not text:
            return light
        return self.take(light["row"].to_numpy(), (*LIGHT, *HEAVY)).insert_column(0, light["row"])

    def take(self, rows: np.ndarray, columns: Sequence[str]) -> pl.DataFrame:
        """Some columns of the records of some rows, in that order."""
        return self.generation.take(rows, columns)

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """float32 (n, D): the vectors of some rows, in that order."""
        return self.generation.rows(rows)

    def vectors(
        self, kind: str, ids: Sequence[str], *, where: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """float32 (n, D) in the order of `ids`, and bool (n,): False where the store has no such entity.

        Such a row is zero. What is no id here is looked for as a name or an alias; a name of several is nobody's.
        Several samples of one profile are averaged (of numbers, the numbers) and normalised again. Raises InputError
        for a kind that is none, and where an id has profiles of several sets or LLMs and `where` does not choose one.
        """
        of = parse_kind(kind)
        known = set(self.generation.narrow.filter(kind=of.value)["id"])
        if any(name not in known for name in ids):
            index = EntityIndex(of, stored_entities(self, of))
            called = {name: index.match(Entity(name, of, name)) for name in {*ids} - known}
            ids = [name if (entity := called.get(name)) is None else entity.id for name in ids]
        return self.vectors_of_ids(of, ids, where=where)

    def vectors_of_ids(
        self, kind: str, ids: Sequence[str], *, where: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `vectors`, by ids alone."""
        import polars as pl

        wanted = pl.DataFrame({"id": list(ids)}, schema={"id": pl.String}).with_row_index("place")
        frame = self.generation.narrow.filter(pl.col("kind") == str(kind))
        if where:
            frame = frame.filter(pl.col("row").is_in(np.flatnonzero(self.generation.matching(None, where))))
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
        rows, numbers = self.rows(found["row"].to_numpy()), bool(self.encoder.columns)
        np.add.at(table, places, unscaled(rows) if numbers else rows)
        mask[places] = True
        changed = np.bincount(places, minlength=len(ids)) > (0 if numbers else 1)
        table[changed] /= np.linalg.norm(table[changed], axis=1, keepdims=True)
        return table, mask

    def search(
        self,
        vector: np.ndarray,
        k: int = 10,
        kind: str | None = None,
        where: Mapping[str, Any] | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """The `k` records with the highest cosine to `vector` (D,), best first.

        `kind` and `where` restrict the search before ranking, so that k records come back if there are k. Raises
        InputError for a kind that is none.
        """
        kind = None if kind is None else parse_kind(kind).value
        allowed = self.generation.matching(kind, where) if kind is not None or where else None
        scores, rows = self.search_rows(np.asarray(vector)[None], k, allowed, exact)
        return self.hits(rows[0], scores[0])

    def search_rows(
        self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores float32 (n, k) and row numbers int64 (n, k) for query vectors (n, D); -1 where there are fewer.

        `allowed` bool (rows on disk,) takes the place of the live rows.
        """
        if allowed is None and self.manifest.dead is not None:
            allowed = self.generation.alive
        return search(self.generation, vectors, k, allowed, exact)

    def hits(self, rows: np.ndarray, scores: np.ndarray) -> list[Hit]:
        """The records of found rows; -1 is left out."""
        kept = rows >= 0
        frame = self.take(rows[kept], ("id", "name", "kind", "text", "set", "llm"))
        found = zip(frame.iter_rows(named=True), rows[kept].tolist(), scores[kept].tolist(), strict=True)
        return [Hit(row=row, score=score, **record) for record, row, score in found]

    def upsert(self, records: Sequence[StoreRecord], vectors: np.ndarray, *, precision: str = "fp32") -> UpsertReport:
        """Add records, or replace those of the same kind, id, set and sample; vectors are (n, D)."""
        self.generation, report = write.upsert(self.generation, records, vectors, precision)
        return report

    def adopt(self, other: EmbeddingStore | str) -> UpsertReport:
        """Add the records of another store of this encoder, or replace with them, as `upsert` does.

        Its segments are linked, or copied where they cannot be; neither its vectors nor its texts are read.
        """
        self.generation, report = write.adopt(self.generation, open_store(other).generation)
        return report

    def delete(self, kind: str | None = None, where: Mapping[str, Any] | None = None) -> int:
        """Delete the matching records and return how many; the space is freed by `compact`."""
        self.generation, count = write.delete(self.generation, kind, where)
        return count

    def delete_records(self, identities: Iterable[tuple[Any, ...]]) -> int:
        """Delete records by (kind, id, set, sample), as `StoreRecord.identity` gives it, and return how many."""
        self.generation, count = write.delete_records(self.generation, identities)
        return count

    def optimise(self, index: str | None = None, progress: Progress | None = None) -> None:
        """After a series of writes: join small pieces, and build the index that the size, or `index`, asks for.

        `index` is auto, flat, hnsw or ivfpq, and is remembered.
        """
        self.generation = write.optimise(self.generation, index, progress or Silent())

    def compact(self, progress: Progress | None = None) -> None:
        """Rewrite the live rows as one segment, free the space of the others, and build the index anew."""
        self.generation = write.compact(self.generation, progress or Silent())


def stored_entities(store: EmbeddingStore, kind: EntityKind, ids: Collection[str] | None = None) -> list[Entity]:
    """The drugs or cell lines that have a vector in the store, of `ids` where these are given."""
    import polars as pl

    frame = store.records().filter(kind=kind.value).select("id", "name", "aliases").unique("id", maintain_order=True)
    if ids is not None:
        frame = frame.filter(pl.col("id").is_in(list(ids)))
    return [
        Entity(row["id"], kind, row["name"], tuple(filter(None, row["aliases"].split("|"))))
        for row in frame.iter_rows(named=True)
    ]


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
    known = names_in(folder)
    if name is None and len(known) == 1:
        return folder / known[0]
    for found in known:
        if name is not None and found.casefold() == name.casefold():
            return folder / found
    if name is None and known:
        raise UsageError("there are several stores", remedy=f"Name one of {', '.join(known)}.")
    raise UnknownNameError("embedding store", name or "", known, remedy="`l2aco embed` makes one.")


def open_store(name: str | EmbeddingStore, workspace: Workspace | str | Path | None = None) -> EmbeddingStore:
    """The workspace's store called `name`, a store being itself; raises UnknownNameError with the nearest names."""
    return EmbeddingStore.open(find_store(name, Workspace.at(workspace))) if isinstance(name, str) else name
