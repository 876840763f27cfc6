"""Moving a store: to and from one Parquet file, the paper's layout, and a plain FAISS index.

The paper's layout is a folder a language model:

    drug_embed_all.npy, cell_embed_all.npy      float32, rows x D (`*_embed_bge.npy` is read, too)
    drug_map.tsv, cell_map.tsv                  row <tab> name

Beside them an export writes drug_ids.tsv and cell_ids.tsv (row <tab> id <tab> LLM), which the paper's code does
not look at, so that an import gives back the same entities. Parquet keeps everything, the encoder included.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from l2aco.embeddings.encoders.spec import UNKNOWN, EncoderSpec
from l2aco.embeddings.store.segments import HEAVY, LIGHT, StoreRecord
from l2aco.embeddings.store.store import EmbeddingStore
from l2aco.entities import EntityIndex, EntityKind
from l2aco.errors import InputError, MismatchError, UsageError
from l2aco.files import atomic_folder, atomic_path, describe_validation, sha256_file
from l2aco.progress import Progress, Silent

if TYPE_CHECKING:
    from l2aco.profiles.sets import ProfileSet

PIECE_ROWS = 16_384
_PREFIX = {"drug": "drug", "cell_line": "cell"}
_PAPER_FILES = {f"{prefix}_{what}" for prefix in _PREFIX.values() for what in ("embed_all.npy", "map.tsv", "ids.tsv")}
_ENCODER = b"l2aco.encoder"


def export_store(store: EmbeddingStore, target: Path, progress: Progress | None = None, *, force: bool = False) -> str:
    """Write a store to `x.parquet`, `x.faiss` (IndexFlatIP, rows as in x.records.tsv), or a folder in the paper's
    layout; returns what was written. Raises UsageError where the target exists and `force` is not given, or where it
    is a folder with anything else in it than such an export."""
    if target.exists() and not force:
        raise UsageError("exists already", where=target, remedy="Choose another name, or pass --force to replace it.")
    progress = progress or Silent()
    if target.suffix == ".parquet":
        _write_parquet(store, target, progress)
        return "one Parquet file"
    if target.suffix == ".faiss":
        _write_faiss(store, target)
        return "a FAISS index and its rows"
    _write_paper(store, target, force)
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
    where `encoder` is another than the file's; nothing is half-imported.
    """
    if target.exists():
        raise UsageError("exists already", where=target, remedy="Choose another name with --name.")
    progress = progress or Silent()
    if source.is_dir():
        return _import_paper(source, target, encoder, profiles, llm)
    if source.suffix == ".parquet" and source.is_file():
        return _import_parquet(source, target, encoder, progress)
    raise InputError("is neither a Parquet file nor a folder in the paper's layout", where=source)


def _write_parquet(store: EmbeddingStore, target: Path, progress: Progress) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = store.records()["row"].to_numpy().astype(np.int64)
    facts = {_ENCODER: store.encoder.model_dump_json().encode()}
    with atomic_path(target) as partial, progress.task("exporting", total=len(rows), unit="rows") as advance:
        writer = None
        try:
            for start in range(0, max(len(rows), 1), PIECE_ROWS):
                part = rows[start : start + PIECE_ROWS]
                table = store.take(part, (*LIGHT, *HEAVY)).to_arrow()
                flat = pa.array(store.rows(part).ravel(), type=pa.float32())
                table = table.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, store.dimension))
                writer = writer or pq.ParquetWriter(partial, table.schema.with_metadata(facts), compression="zstd")
                writer.write_table(table.replace_schema_metadata(facts))
                advance(len(part))
        finally:
            if writer is not None:
                writer.close()


def _write_faiss(store: EmbeddingStore, target: Path) -> None:
    import faiss

    rows = store.records()["row"].to_numpy().astype(np.int64)
    index = faiss.IndexFlatIP(store.dimension)
    for start in range(0, len(rows), PIECE_ROWS):
        index.add(store.rows(rows[start : start + PIECE_ROWS]))
    with atomic_path(target) as partial:
        faiss.write_index(index, str(partial))
    with atomic_path(target.with_suffix(".records.tsv")) as partial:
        store.records().select("kind", "id", "name", "set", "llm").write_csv(partial, separator="\t")


def _write_paper(store: EmbeddingStore, target: Path, force: bool) -> None:
    frame = store.records()
    sources = frame.select("set", "llm", "sample").unique()
    if sources.height > 1:
        raise InputError(
            "the paper's layout holds one profile an entity, and the store several",
            where=store.path,
            remedy="Export to Parquet, which keeps everything.",
        )
    _check_is_export(target)
    with atomic_folder(target, replace=force) as folder:
        for kind, prefix in _PREFIX.items():
            part = frame.filter(kind=kind)
            names = part["name"].to_list()
            for name in names:
                if "\t" in name or "\n" in name:
                    raise InputError(f"the name {name!r} cannot stand in a tab-separated file", where=store.path)
            np.save(folder / f"{prefix}_embed_all.npy", store.rows(part["row"].to_numpy()), allow_pickle=False)
            _write_lines(folder / f"{prefix}_map.tsv", [f"{row}\t{name}" for row, name in enumerate(names)])
            known = zip(part["id"], part["llm"].fill_null(""), strict=True)
            _write_lines(folder / f"{prefix}_ids.tsv", [f"{row}\t{id_}\t{llm}" for row, (id_, llm) in enumerate(known)])


def _check_is_export(folder: Path) -> None:
    """Raise UsageError where replacing a folder would take more with it than an earlier export."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if others := sorted(names - _PAPER_FILES):
        raise UsageError(
            f"holds '{others[0]}', which is not of an export, and --force would remove it",
            where=folder,
            remedy="Name another folder.",
        )


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _import_parquet(source: Path, target: Path, encoder: EncoderSpec | None, progress: Progress) -> EmbeddingStore:
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(source)
        spec = EncoderSpec.model_validate_json((file.schema_arrow.metadata or {})[_ENCODER])
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot be read ({str(error).splitlines()[0]})", where=source) from None
    except KeyError:
        raise InputError("was not exported by `l2aco store export`: it names no encoder", where=source) from None
    except ValidationError as error:
        raise InputError(f"names a broken encoder: {describe_validation(error)}", where=source) from None
    if encoder is not None and encoder.fingerprint != spec.fingerprint:
        raise MismatchError(f"holds vectors of {spec.name} ({spec.model}), not of {encoder.name}", where=source)
    with atomic_folder(target) as folder:
        store = EmbeddingStore.create(folder, spec)
        with progress.task("importing", total=file.metadata.num_rows, unit="rows") as advance:
            for batch in file.iter_batches(PIECE_ROWS):
                frame = pl.from_arrow(batch.drop_columns(["vector"]))
                assert isinstance(frame, pl.DataFrame)
                vectors = batch.column("vector").flatten().to_numpy().reshape(-1, spec.dimension)
                store.upsert([_record(row) for row in frame.iter_rows(named=True)], vectors)
                advance(len(vectors))
        store.optimise(None, progress)
        (folder / ".writer.lock").unlink(missing_ok=True)
    return EmbeddingStore.open(target)


def _record(row: dict[str, Any]) -> StoreRecord:
    kept = ("kind", "id", "name", "text", "set", "key", "llm", "prompt", "sample", "long")
    aliases = tuple(filter(None, row["aliases"].split("|")))
    return StoreRecord(**{name: row[name] for name in kept}, aliases=aliases, fields=json.loads(row["fields"]))


def _import_paper(
    source: Path, target: Path, encoder: EncoderSpec | None, profiles: ProfileSet | None, llm: str | None
) -> EmbeddingStore:
    records: list[StoreRecord] = []
    tables: list[np.ndarray] = []
    hashes: list[str] = []
    for kind in EntityKind:
        found = _read_kind(source, kind, profiles, llm)
        if found is not None:
            records += found[0]
            tables.append(found[1])
            hashes.append(found[2])
    if not tables:
        raise InputError("holds neither drug_embed_all.npy nor cell_embed_all.npy", where=source)
    sizes = {table.shape[1] for table in tables}
    if len(sizes) > 1:
        raise InputError(f"drugs and cell lines have vectors of different sizes {sorted(sizes)}", where=source)
    spec = encoder or EncoderSpec(
        name="imported",
        runtime=UNKNOWN,
        model="unknown",
        revision="sha256:" + "-".join(item[:16] for item in hashes),
        dimension=sizes.pop(),
        window=512,
        summary="not said by the imported files",
    )
    with atomic_folder(target) as folder:
        EmbeddingStore.create(folder, spec).upsert(records, np.concatenate(tables))
        (folder / ".writer.lock").unlink(missing_ok=True)
    return EmbeddingStore.open(target)


def _read_kind(
    source: Path, kind: EntityKind, profiles: ProfileSet | None, llm: str | None
) -> tuple[list[StoreRecord], np.ndarray, str] | None:
    prefix = _PREFIX[kind.value]
    paths = [source / f"{prefix}_embed_{name}.npy" for name in ("all", "bge")]
    path = next((item for item in paths if item.exists()), None)
    if path is None:
        return None
    try:
        vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as an array ({error})", where=path) from None
    if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.floating):
        raise InputError(f"holds {vectors.dtype} {vectors.shape}, not rows of floats", where=path)
    names = dict(_mapped(source / f"{prefix}_map.tsv", len(vectors), 2))
    missing = sorted(set(range(len(vectors))) - set(names))
    if missing:
        raise InputError(f"names no row {missing[0]} of {path.name}", where=source / f"{prefix}_map.tsv")
    ids = source / f"{prefix}_ids.tsv"
    known = dict(_mapped(ids, len(vectors), 3)) if ids.exists() else {}
    index = EntityIndex(kind, _entities(profiles, kind)) if profiles is not None else None
    records = []
    for row in range(len(vectors)):
        (name,) = names[row]
        id_, own = known.get(row, (None, ""))
        entity = index.find(id_ or name) if index is not None else None
        profile = profiles.get(kind.value, entity.id) if profiles is not None and entity is not None else None
        records.append(
            StoreRecord(
                kind=kind.value,
                id=id_ or (entity.id if entity else name),
                name=name,
                text=profile.text if profile else name,
                set=profiles.name if profiles is not None else source.name,
                llm=own or llm,
                fields=profile.fields if profile else {},
            )
        )
    return records, vectors.astype(np.float32), sha256_file(path)


def _entities(profiles: ProfileSet, kind: EntityKind) -> Iterator[Any]:
    from l2aco.entities import Entity

    for record in profiles.records():
        if record.kind == kind.value and record.sample == 0:
            yield Entity(record.entity_id, kind, record.entity_name, tuple(record.aliases))


def _mapped(path: Path, rows: int, columns: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(row, the other columns) of a tab-separated map; raises InputError with the line that is wrong."""
    try:
        with path.open(encoding="utf-8", newline="\n") as stream:
            lines = stream.readlines()
    except FileNotFoundError:
        raise InputError("is missing", where=path) from None
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text (byte {error.start})", where=path) from None
    seen: set[int] = set()
    for number, line in enumerate(lines, start=1):
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != columns or not parts[0].isdigit() or not parts[1]:
            raise InputError(f"is not {columns} columns, a row number first", where=f"{path}:{number}")
        row = int(parts[0])
        if row >= rows or row in seen:
            what = "stands twice" if row in seen else f"is beyond the {rows:,} vectors"
            raise InputError(f"row {row} {what}", where=f"{path}:{number}")
        seen.add(row)
        yield row, tuple(parts[1:])
