"""A store in the paper's layout, a folder a language model:

    drug_embed_all.npy, cell_embed_all.npy      float32, rows x D (`*_embed_bge.npy` is read, too)
    drug_map.tsv, cell_map.tsv                  row <tab> name

Beside them an export writes drug_ids.tsv and cell_ids.tsv (row <tab> id <tab> LLM), which the paper's code does
not look at, so that an import gives back the same entities.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from l2aco.embeddings.encoders.spec import MOST_DIMENSIONS, UNKNOWN, EncoderSpec
from l2aco.embeddings.store.segments import StoreRecord, read_array, write_array
from l2aco.embeddings.store.store import EmbeddingStore
from l2aco.entities import Entity, EntityIndex, EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.files import atomic_folder, sha256_file
from l2aco.profiles.sets import ProfileSet

_PREFIX = {"drug": "drug", "cell_line": "cell"}
_FILES = {f"{prefix}_{what}" for prefix in _PREFIX.values() for what in ("embed_all.npy", "map.tsv", "ids.tsv")}


def write_paper(store: EmbeddingStore, target: Path, force: bool) -> None:
    """Raises UsageError where the target is there, and `force` is not given or it holds anything but an export."""
    frame = store.records()
    sources = frame.select("set", "llm", "sample").unique()
    if sources.height > 1:
        raise InputError(
            "the paper's layout holds one profile an entity, and the store several",
            where=store.path,
            remedy="Export to Parquet, which keeps everything.",
        )
    if force:
        _check_is_export(target)
    with atomic_folder(target, replace=force) as folder:
        for kind, prefix in _PREFIX.items():
            part = frame.filter(kind=kind)
            names = part["name"].to_list()
            for name in names:
                if "\t" in name or "\n" in name:
                    raise InputError(f"the name {name!r} cannot stand in a tab-separated file", where=store.path)
            write_array(folder / f"{prefix}_embed_all.npy", store.rows(part["row"].to_numpy()))
            _write_lines(folder / f"{prefix}_map.tsv", [f"{row}\t{name}" for row, name in enumerate(names)])
            known = zip(part["id"], part["llm"].fill_null(""), strict=True)
            _write_lines(folder / f"{prefix}_ids.tsv", [f"{row}\t{id_}\t{llm}" for row, (id_, llm) in enumerate(known)])


def _check_is_export(folder: Path) -> None:
    """Raise UsageError where replacing a folder would take more with it than an earlier export."""
    found = list(folder.iterdir()) if folder.is_dir() else []
    if others := sorted(path.name for path in found if path.name not in _FILES or path.is_dir()):
        raise UsageError(
            f"holds '{others[0]}', which is not of an export, and --force would remove it",
            where=folder,
            remedy="Name another folder.",
        )


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def import_paper(
    source: Path, target: Path, encoder: EncoderSpec | None, profiles: ProfileSet | None, llm: str | None
) -> EmbeddingStore:
    """See `import_store`."""
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
        vectors = read_array(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as an array ({error})", where=path) from None
    is_table = vectors.ndim == 2 and np.issubdtype(vectors.dtype, np.floating)
    if not is_table or not 0 < vectors.shape[1] <= MOST_DIMENSIONS:
        raise InputError(f"holds {vectors.dtype} {vectors.shape}, not rows of floats", where=path)
    names = dict(_mapped(source / f"{prefix}_map.tsv", len(vectors), 2))
    if len(names) < len(vectors):
        missing = next(row for row in range(len(vectors)) if row not in names)
        raise InputError(f"names no row {missing} of {path.name}", where=source / f"{prefix}_map.tsv")
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


def _entities(profiles: ProfileSet, kind: EntityKind) -> Iterator[Entity]:
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
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path) from None
    seen: set[int] = set()
    for number, line in enumerate(lines, start=1):
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != columns or not re.fullmatch("[0-9]{1,12}", parts[0]) or not parts[1]:
            raise InputError(f"is not {columns} columns, a row number first", where=f"{path}:{number}")
        row = int(parts[0])
        if row >= rows or row in seen:
            what = "stands twice" if row in seen else f"is beyond the {rows:,} vectors"
            raise InputError(f"row {row} {what}", where=f"{path}:{number}")
        seen.add(row)
        yield row, tuple(parts[1:])
