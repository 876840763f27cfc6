"""A store as one Parquet file, with the encoder, and a checksum of all that an import reads.

Its metadata hold `l2aco.encoder` (JSON) and `l2aco.sha256`: the hash of the encoder, of every record and of every
vector, in their order. A file without the checksum is of an earlier version; it is read, and that is said.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.embeddings.store.segments import HEAVY, LIGHT, NULLABLE, StoreRecord, schema
from l2aco.embeddings.store.store import EmbeddingStore
from l2aco.entities import EntityKind
from l2aco.errors import DamagedError, InputError, MismatchError
from l2aco.files import atomic_folder, atomic_path, describe_validation
from l2aco.parquet import frame_of, open_parquet, require
from l2aco.progress import Progress

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

PIECE_ROWS = 16_384
PIECE_BYTES = 2**28
"""A row group holds vectors of at most so many bytes."""
MOST_TEXT_BYTES = 2**30
"""Of one column in a piece: a file of some kilobytes can claim any number."""
_COLUMNS = ("kind", "id", "name", "text", "set", "key", "llm", "prompt", "sample", "long", "aliases", "fields")
_ENCODER, _CHECKSUM = b"l2aco.encoder", b"l2aco.sha256"


def write_parquet(store: EmbeddingStore, target: Path, progress: Progress) -> None:
    """One file with everything that a store holds."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = store.records()["row"].to_numpy().astype(np.int64)
    encoder = store.encoder.model_dump_json().encode()
    checksum = _Checksum(encoder)
    size = _piece_rows(store.dimension)
    with atomic_path(target) as partial, progress.task("exporting", total=len(rows), unit="rows") as advance:
        writer = None
        try:
            for start in range(0, max(len(rows), 1), size):
                part = rows[start : start + size]
                frame, vectors = store.take(part, (*LIGHT, *HEAVY)), store.rows(part)
                checksum.add(frame, vectors)
                flat = pa.array(vectors.ravel(), type=pa.float32())
                vector = pa.FixedSizeListArray.from_arrays(flat, store.dimension)
                table = frame.to_arrow().append_column("vector", vector)
                writer = writer or pq.ParquetWriter(partial, table.schema, compression="zstd", write_page_checksum=True)
                writer.write_table(table)
                advance(len(part))
            assert writer is not None
            writer.add_key_value_metadata({_ENCODER: encoder, _CHECKSUM: checksum.value})
        finally:
            if writer is not None:
                writer.close()


def import_parquet(source: Path, target: Path, encoder: EncoderSpec | None, progress: Progress) -> EmbeddingStore:
    """See `import_store`. What the file says of its encoder is kept, and believed by nobody."""
    file, spec = _open(source)
    facts = file.metadata.metadata
    if encoder is not None and encoder.fingerprint != spec.fingerprint:
        raise MismatchError(f"holds vectors of {spec.name} ({spec.model}), not of {encoder.name}", where=source)
    checksum = _Checksum(facts[_ENCODER])
    with atomic_folder(target) as folder:
        store = EmbeddingStore.create(folder, spec)
        with progress.task("importing", total=file.metadata.num_rows, unit="rows") as advance:
            for frame, vectors in _pieces(file, source, spec.dimension):
                checksum.add(frame, vectors)
                records = [_record(row, source) for row in frame.iter_rows(named=True)]
                if store.upsert(records, vectors).replaced:
                    raise InputError("holds a record twice", where=source)
                advance(len(vectors))
        if _CHECKSUM not in facts:
            progress.say(f"{source} carries no checksum, so nobody knows whether it is as it was written.")
        elif facts[_CHECKSUM] != checksum.value:
            raise DamagedError("does not match its checksum", where=source, remedy="Copy or export it again.")
        store.optimise(None, progress)
    return EmbeddingStore.open(target)


class _Checksum:
    """The hash of everything that an import reads, whatever pieces it comes in."""

    def __init__(self, encoder: bytes) -> None:
        self._records, self._vectors = hashlib.sha256(encoder), hashlib.sha256()

    def add(self, frame: pl.DataFrame, vectors: np.ndarray) -> None:
        for row in frame.select(_COLUMNS).iter_rows():
            self._records.update(json.dumps(row).encode())
        self._vectors.update(np.ascontiguousarray(vectors, dtype="<f4").data)

    @property
    def value(self) -> bytes:
        return hashlib.sha256(self._records.digest() + self._vectors.digest()).hexdigest().encode()


def _piece_rows(dimension: int) -> int:
    return max(min(PIECE_ROWS, PIECE_BYTES // (4 * dimension)), 1)


def _open(source: Path) -> tuple[pq.ParquetFile, EncoderSpec]:
    import polars as pl

    columns = schema(_COLUMNS)
    texts = [name for name, kind in columns.items() if kind == pl.String]
    try:
        facts = open_parquet(source)
        said = (facts.metadata.metadata or {}).get(_ENCODER)
        if said is None:
            raise InputError("was not exported by `l2aco store export`: it names no encoder", where=source)
        spec = EncoderSpec.model_validate_json(said)
        require(facts, columns)
        return open_parquet(source, page_checksum_verification=True, read_dictionary=texts), spec
    except ValidationError as error:
        raise InputError(f"names a broken encoder: {describe_validation(error)[:400]}", where=source) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=source) from None


def _pieces(file: pq.ParquetFile, source: Path, dimension: int) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    """Records and float32 (n, D) vectors, piece by piece. Raises InputError."""
    import polars as pl
    import pyarrow as pa

    try:
        for batch in file.iter_batches(_piece_rows(dimension), columns=[*_COLUMNS, "vector"]):
            batch.validate(full=True)
            table = pa.table({name: _bounded(batch.column(name), name) for name in _COLUMNS})
            frame = frame_of(table).select(pl.col(name).cast(kind) for name, kind in schema(_COLUMNS).items())
            for name in _COLUMNS:
                if name not in NULLABLE and frame[name].null_count():
                    raise ValueError(f"a record without {name}")
            yield frame, _vectors(batch, dimension)
    except (OSError, ValueError, KeyError, MemoryError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        raise InputError(f"cannot be read: {str(error).splitlines()[0][:400]}", where=source) from None


def _bounded(column: pa.Array, name: str) -> pa.Array:
    """A column as plain values; raises ValueError before it would take too much memory."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return column
    lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
    if (pc.sum(lengths).as_py() or 0) > MOST_TEXT_BYTES:
        raise ValueError(f"the column {name} holds more than {MOST_TEXT_BYTES:,} bytes in {len(column):,} rows")
    return column.dictionary_decode()


def _vectors(batch: pa.RecordBatch, dimension: int) -> np.ndarray:
    import pyarrow as pa

    column = batch.column("vector")
    if not pa.types.is_fixed_size_list(column.type) or not pa.types.is_floating(column.type.value_type):
        raise ValueError(f"the column vector holds {column.type}")
    flat = column.flatten()
    if column.type.list_size != dimension or column.null_count or flat.null_count:
        raise ValueError(f"the column vector holds {column.type}, or none, where the encoder gives {dimension} numbers")
    return flat.to_numpy(zero_copy_only=False).reshape(-1, dimension).astype(np.float32, copy=False)


def _record(row: dict[str, Any], source: Path) -> StoreRecord:
    where = f"{source}: {row['kind']} {row['id']}"
    if row["kind"] not in set(EntityKind):
        raise InputError("is of no kind", where=where, remedy=f"There are {' and '.join(EntityKind)}.")
    try:
        fields = json.loads(row["fields"])
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise InputError("its fields are no JSON object", where=where)
    aliases = tuple(filter(None, row["aliases"].split("|")))
    return StoreRecord(**{**row, "aliases": aliases, "fields": fields})
