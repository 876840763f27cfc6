"""A store in the paper's layout, a folder a language model:

    drug_embed_all.npy, cell_embed_all.npy      float32, rows x D (`*_embed_bge.npy` is read, too)
    drug_map.tsv, cell_map.tsv                  row <tab> name

or, in its feature part, the folder DeepDDS/data/LLM_DATA:

    5_l_drug_embeddings.npy, 5_l_cell_embeddings.npy
    drug_map_with_smiles.csv, cell_map.csv      with the columns name and index

Beside them an export writes drug_ids.tsv and cell_ids.tsv (row <tab> id <tab> LLM), which the paper's code does
not look at, so that an import gives back the same entities.
"""

from __future__ import annotations

import csv
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
_NUMBER = re.compile("[0-9]{1,12}")
FEATURE_PART = "LLM_DATA"
"""What the folder of the feature part's layout is called."""
_FEATURES = {
    "drug": ("5_l_drug_embeddings.npy", "drug_map_with_smiles.csv"),
    "cell": ("5_l_cell_embeddings.npy", "cell_map.csv"),
}
_COLUMNS = {"drug": ("name", "processed_smiles", "index"), "cell": ("name", "index")}
_GRAPH = {prefix: (f"{prefix}_embed_all.npy", f"{prefix}_map.tsv") for prefix in _PREFIX.values()}
_IDS = {prefix: f"{prefix}_ids.tsv" for prefix in _PREFIX.values()}
_FILES = {*_IDS.values(), *(name for part in (_GRAPH, _FEATURES) for names in part.values() for name in names)}


def write_paper(store: EmbeddingStore, target: Path, force: bool) -> None:
    """In the layout of the feature part where the folder is called LLM_DATA. Raises UsageError where the target is
    there, and `force` is not given or it holds anything but an export."""
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
    features = target.name == FEATURE_PART
    with atomic_folder(target, replace=force) as folder:
        for kind, prefix in _PREFIX.items():
            part = frame.filter(kind=kind)
            names = part["name"].to_list()
            if features and not names:
                continue
            for name in names:
                if "\t" in name or "\n" in name:
                    raise InputError(f"the name {name!r} cannot stand in a tab-separated file", where=store.path)
            vectors, named = (_FEATURES if features else _GRAPH)[prefix]
            write_array(folder / vectors, store.rows(part["row"].to_numpy()))
            if features:
                _write_map(folder / named, _COLUMNS[prefix], names)
            else:
                _write_lines(folder / named, [f"{row}\t{name}" for row, name in enumerate(names)])
            known = zip(part["id"], part["llm"].fill_null(""), strict=True)
            _write_lines(folder / _IDS[prefix], [f"{row}\t{id_}\t{llm}" for row, (id_, llm) in enumerate(known)])


def _check_is_export(folder: Path) -> None:
    """Raise UsageError where replacing a folder would take more with it than an earlier export."""
    found = list(folder.iterdir()) if folder.is_dir() else []
    if others := sorted(path.name for path in found if path.name not in _FILES or path.is_dir()):
        raise UsageError(
            f"holds '{others[0]}', which is not of an export, and --force would remove it",
            where=folder,
            remedy="Name another folder.",
        )
    if found and not {path.name for path in found} & {*_IDS.values()}:
        raise UsageError("was not exported from here", where=folder, remedy="Name another folder.")


def _write_map(path: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    """A store knows no SMILES: that column stays empty."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({"name": name, "index": row} for row, name in enumerate(names))


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
        looked = " nor ".join(sorted(name for name in _FILES if name.endswith(".npy")))
        raise InputError(f"holds neither {looked}", where=source)
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
    (graph, graph_map), (feature, feature_map) = _GRAPH[prefix], _FEATURES[prefix]
    maps = {graph: graph_map, f"{prefix}_embed_bge.npy": graph_map, feature: feature_map}
    path = next((source / name for name in maps if (source / name).exists()), None)
    if path is None:
        return None
    named = source / maps[path.name]
    try:
        vectors = read_array(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as an array ({error})", where=path) from None
    is_table = vectors.ndim == 2 and np.issubdtype(vectors.dtype, np.floating)
    if not is_table or not 0 < vectors.shape[1] <= MOST_DIMENSIONS:
        raise InputError(f"holds {vectors.dtype} {vectors.shape}, not rows of floats", where=path)
    names = dict(_in_table(named, len(vectors)) if named.suffix == ".csv" else _mapped(named, len(vectors), 2))
    if len(names) < len(vectors):
        missing = next(row for row in range(len(vectors)) if row not in names)
        raise InputError(f"names no row {missing} of {path.name}", where=named)
    ids = source / _IDS[prefix]
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
    seen: set[int] = set()
    for number, line in enumerate(_lines(path), start=1):
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != columns or not _NUMBER.fullmatch(parts[0]) or not parts[1]:
            raise InputError(f"is not {columns} columns, a row number first", where=f"{path}:{number}")
        yield _once(int(parts[0]), rows, seen, f"{path}:{number}"), tuple(parts[1:])


def _in_table(path: Path, rows: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The same of a comma-separated map with the columns name and index, and perhaps others. Names are no data: NA is
    one."""
    seen: set[int] = set()
    reader = csv.DictReader(_lines(path))
    try:
        if not {"name", "index"} <= {*(reader.fieldnames or ())}:
            raise InputError("has no columns name and index", where=path)
        for line in reader:
            name, index = ((line[column] or "").strip() for column in ("name", "index"))
            where = f"{path}:{reader.line_num}"
            if not name or not _NUMBER.fullmatch(index):
                raise InputError("does not give a name and the number of a row", where=where)
            yield _once(int(index), rows, seen, where), (name,)
    except csv.Error as error:
        raise InputError(f"is no table ({error})", where=f"{path}:{reader.line_num}") from None


def _once(row: int, rows: int, seen: set[int], where: str) -> int:
    """A row that is among the `rows` and not yet `seen`."""
    if row >= rows or row in seen:
        what = "stands twice" if row in seen else f"is beyond the {rows:,} vectors"
        raise InputError(f"row {row} {what}", where=where)
    seen.add(row)
    return row


def _lines(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8", newline="\n") as stream:
            return stream.readlines()
    except FileNotFoundError:
        raise InputError("is missing", where=path) from None
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text (byte {error.start})", where=path) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path) from None
