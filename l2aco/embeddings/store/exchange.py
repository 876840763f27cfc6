"""Moving a store: to and from one Parquet file, the paper's layout, and to a plain FAISS index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.embeddings.store.exchange_paper import import_paper, write_paper
from l2aco.embeddings.store.exchange_parquet import PIECE_ROWS, import_parquet, write_parquet
from l2aco.embeddings.store.index_file import write_index
from l2aco.embeddings.store.store import EmbeddingStore
from l2aco.errors import InputError, UsageError
from l2aco.files import atomic_path, require_there
from l2aco.profiles.sets import ProfileSet
from l2aco.progress import Progress, Silent


def export_store(store: EmbeddingStore, target: Path, progress: Progress | None = None, *, force: bool = False) -> str:
    """Write a store to `x.parquet`, `x.faiss` (IndexFlatIP, rows as in x.records.tsv), or a folder in the paper's
    layout; returns what was written. Raises UsageError where the target exists and `force` is not given, or where it
    is a folder with anything else in it than such an export."""
    progress = progress or Silent()
    if target.suffix == ".parquet":
        _refuse_existing([target], force)
        write_parquet(store, target, progress)
        return "one Parquet file"
    if target.suffix == ".faiss":
        records = target.with_suffix(".records.tsv")
        _refuse_existing([target, records], force)
        _write_faiss(store, target, records)
        return "a FAISS index and its rows"
    write_paper(store, target, force)
    return "the paper's layout"


def import_store(
    source: Path,
    target: Path,
    *,
    encoder: EncoderSpec | None = None,
    profiles: ProfileSet | None = None,
    llm: str | None = None,
    progress: Progress | None = None,
) -> EmbeddingStore:
    """Make the store `target` from a Parquet file that was exported, or from a folder in the paper's layout.

    `encoder` says what made vectors that do not say it themselves. `profiles` gives the records of a paper folder
    their ids and texts, by name; without it the name is both. Raises InputError with file and line, MismatchError
    where `encoder` is another than the file's, UsageError where the target exists, LockedError where another process
    is making it; nothing is half-imported.
    """
    require_there(source)
    if source.is_dir():
        return import_paper(source, target, encoder, profiles, llm)
    if source.suffix == ".parquet" and source.is_file():
        return import_parquet(source, target, encoder, progress or Silent())
    raise InputError("is neither a Parquet file nor a folder in the paper's layout", where=source)


def _refuse_existing(paths: Sequence[Path], force: bool) -> None:
    for path in paths:
        if path.exists() and not force:
            raise UsageError("exists already", where=path, remedy="Choose another name, or pass --force to replace it.")


def _write_faiss(store: EmbeddingStore, target: Path, records: Path) -> None:
    import faiss

    rows = store.records()["row"].to_numpy().astype(np.int64)
    index = faiss.IndexFlatIP(store.dimension)
    for start in range(0, len(rows), PIECE_ROWS):
        index.add(store.rows(rows[start : start + PIECE_ROWS]))
    with atomic_path(records) as partial:
        store.records().select("kind", "id", "name", "set", "llm").write_csv(partial, separator="\t")
        write_index(index, target)
