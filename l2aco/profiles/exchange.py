"""Profile sets out of L2aCo and in again: JSONL, Parquet, CSV, and the description files of the paper's release.

The paper's layout is one file a kind, `{drug,cell}_descripts_all_<llm>.jsonl`, with `name` and `response` (the
text) on each line. It keeps no ids: names are resolved against entities that the caller knows. So are those of a table
that somebody wrote by hand, with the columns kind, name and text.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import replace as with_changes
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from l2aco.bounds import check_size
from l2aco.entities import Entity, EntityIndex, EntityKind, parse_kind
from l2aco.errors import DamagedError, InputError, L2aCoError, UnknownNameError, UsageError
from l2aco.files import (
    atomic_folder,
    atomic_path,
    is_name,
    parse_json,
    require_there,
    sha256_file,
    stable_hash,
    write_json,
)
from l2aco.llm.journal import RECORDS
from l2aco.parquet import open_parquet
from l2aco.profiles.prompt import load_templates
from l2aco.profiles.record import RECORD_FIELDS, Place, ProfileRecord
from l2aco.profiles.schema import infer_schema, join_schemas
from l2aco.profiles.sets import MANIFEST, ProfileSet, opened
from l2aco.tables import read_raw, says_nothing
from l2aco.workspace import Workspace

Format = Literal["jsonl", "parquet", "csv", "paper"]
FORMATS: tuple[Format, ...] = ("jsonl", "parquet", "csv", "paper")
_NESTED = ("fields", "sampling", "usage", "aliases")
_NUMBERS: dict[str, Callable[[str], Any]] = {
    "prompt_version": int,
    "sample": int,
    "attempts": int,
    "cost_usd": float,
    "latency_s": float,
}
_PAPER = {EntityKind.drug: "drug", EntityKind.cell_line: "cell"}
_BATCH = 4096


def export_set(profiles: ProfileSet, target: Path, form: Format, *, replace: bool = False) -> list[Path]:
    """Write a set as one file (jsonl, parquet, csv) or as a folder (paper); returns the files.

    The paper's layout has room for one profile of an entity: the first sample. Raises UsageError where there is
    something already, unless it may be replaced.
    """
    if target.exists() and not replace:
        raise UsageError("exists already", where=target, remedy="Choose another name, or pass --force.")
    if form == "paper":
        return _export_paper(profiles, target)
    with atomic_path(target) as partial:
        if form == "jsonl":
            with partial.open("w", encoding="utf-8") as out:
                for record in profiles.records():
                    out.write(json.dumps(record.to_json(), ensure_ascii=False) + "\n")
        elif form == "csv":
            with partial.open("w", encoding="utf-8", newline="") as out:
                writer = csv.DictWriter(out, RECORD_FIELDS)
                writer.writeheader()
                writer.writerows(_flat(record) for record in profiles.records())
        else:
            _write_parquet(profiles.records(), partial)
    return [target]


def _flat(record: ProfileRecord) -> dict[str, Any]:
    row = record.to_json()
    return {
        **row,
        **{name: None if row[name] is None else json.dumps(row[name], ensure_ascii=False) for name in _NESTED},
    }


def _write_parquet(records: Iterable[ProfileRecord], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(name, kinds[_NUMBERS[name]] if name in _NUMBERS else pa.string()) for name in RECORD_FIELDS])  # type: ignore[index]
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for record in records:
            rows.append(_flat(record))
            if len(rows) == _BATCH:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, schema))


def _export_paper(profiles: ProfileSet, folder: Path) -> list[Path]:
    llm = profiles.manifest.get("llm") or profiles.name
    files = []
    for kind, word in _PAPER.items():
        name = f"{word}_descripts_all_{llm}.jsonl"
        path = Workspace.child(folder, name if is_name(name) else f"{word}_descripts_all_{profiles.name}.jsonl")
        with atomic_path(path) as partial, partial.open("w", encoding="utf-8") as out:
            for record in profiles.records():
                if record.kind == kind and record.sample == 0:
                    line = {"name": record.entity_name, "response": record.text}
                    out.write(json.dumps(line, ensure_ascii=False) + "\n")
        files.append(path)
    return files


@dataclass(frozen=True)
class Imported:
    """What an import came to. `unresolved` are names that no known entity has; their name became their id."""

    set: ProfileSet
    profiles: int
    repeated: int
    empty: int
    unresolved: tuple[str, ...]


def import_set(
    source: Path, name: str, workspace: Workspace, *, form: Format, entities: Callable[[], Iterable[Entity]] = tuple
) -> Imported:
    """Read a set into the workspace under `name`, whole or not at all.

    `entities` gives those that names without an id are resolved against. Raises InputError with file and line,
    UsageError where the set exists.
    """
    require_there(source)
    llm = _paper_llm(source) if form == "paper" else None
    readers: dict[Format, Callable[[], Iterator[ProfileRecord]]] = {
        "jsonl": lambda: _read_jsonl(source),
        "csv": lambda: _read_csv(source),
        "parquet": lambda: _read_parquet(source),
        "paper": lambda: _read_paper(source, llm or name),
    }
    target = Workspace.child(workspace.profiles, name)
    if (known := opened(workspace.profiles, name)) is not None:
        raise UsageError("exists already", where=known.path, remedy="Choose another name.")
    tally = _Tally(entities)
    with atomic_folder(target) as partial:
        try:
            with (partial / RECORDS).open("w", encoding="utf-8") as out:
                for record in tally.keep(readers[form]()):
                    out.write(json.dumps(record.to_json(), ensure_ascii=False, separators=(",", ":")) + "\n")
        except RecursionError:
            raise InputError("holds a profile that is nested too deep", where=source) from None
        if not tally.count:
            raise InputError("holds no profiles", where=source)
        _write_manifest(partial, name, source, form, tally, workspace)
    done = ProfileSet(target)
    return Imported(done, tally.count, tally.repeated, tally.empty, tuple(tally.unresolved))


class _Tally:
    """Lets each profile through once, resolves names, and remembers what the manifest will say."""

    def __init__(self, entities: Callable[[], Iterable[Entity]]) -> None:
        self._entities = entities
        self.count = 0
        self.schemas: dict[str, dict[str, Any]] = {}
        self.prompts: dict[str, set[tuple[Any, ...]]] = {}
        self.llms: set[str] = set()
        self.repeated = 0
        self.empty = 0
        self.unresolved: list[str] = []
        self._seen: set[str | Place] = set()

    def keep(self, records: Iterator[ProfileRecord]) -> Iterator[ProfileRecord]:
        for found in records:
            record = self._resolve(found)
            if says_nothing(record.text):
                self.empty += 1
            elif {record.key, record.place} & self._seen:
                self.repeated += 1
            else:
                self.count += 1
                self._seen |= {record.key, record.place}
                self.schemas[record.kind] = join_schemas(self.schemas.get(record.kind, {}), infer_schema(record.fields))
                made = (record.prompt_name, record.prompt_version, record.prompt_sha256)
                self.prompts.setdefault(record.kind, set()).add(made)
                self.llms |= {record.llm} if record.llm else set()
                yield record

    def schema(self, kind: str, workspace: Workspace) -> dict[str, Any]:
        """That of the prompt which all profiles of a kind were made with, where it is here; else what they hold."""
        (name, version, sha256), *others = self.prompts[kind]
        if name and not others:
            with contextlib.suppress(L2aCoError):
                template = load_templates(f"{name}@{version}", workspace).get(kind)
                if template is not None and template.sha256 == sha256:
                    return dict(template.schema)
        return self.schemas[kind]

    @cached_property
    def _indexes(self) -> dict[EntityKind, EntityIndex]:
        known = list(self._entities())
        return {kind: EntityIndex(kind, known) for kind in EntityKind}

    def _resolve(self, record: ProfileRecord) -> ProfileRecord:
        """A record without a key gets the id of the entity that it names, and a key."""
        if record.key:
            return record
        named = record.entity_id or record.entity_name
        entity = self._indexes[EntityKind(record.kind)].find(named)
        if entity is None and not record.entity_id:
            self.unresolved.append(named)
        found = Entity(named, EntityKind(record.kind), record.entity_name) if entity is None else entity
        key = stable_hash([record.llm, record.kind, found.id, record.text], 32)
        name = record.entity_name or found.name
        return with_changes(record, entity_id=found.id, entity_name=name, key=key, aliases=found.aliases)


def _write_manifest(folder: Path, name: str, source: Path, form: Format, tally: _Tally, workspace: Workspace) -> None:
    write_json(
        folder / MANIFEST,
        {
            "format": 1,
            "name": name,
            "llm": next(iter(tally.llms)) if len(tally.llms) == 1 else None,
            "model": None,
            "origin": f"Imported from {source.name} ({form}).",
            "records": tally.count,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "schemas": {kind: tally.schema(kind, workspace) for kind in tally.schemas},
            "sha256": {RECORDS: sha256_file(folder / RECORDS)},
        },
    )


def parse_format(written: str | None, path: Path) -> Format:
    """The format that was asked for, else the one that the path suggests; raises UsageError.

    A folder, a path without an ending and a `*_descripts_all_*.jsonl` are the paper's.
    """
    if written is not None:
        found = next((form for form in FORMATS if form == written.casefold()), None)
        if found is None:
            raise UnknownNameError("format", written, FORMATS)
        return found
    return _guess(path)


def _guess(source: Path) -> Format:
    if source.is_dir() or not source.suffix or "_descripts_all_" in source.name:
        return "paper"
    suffix = source.suffix.casefold().lstrip(".")
    if suffix not in ("jsonl", "parquet", "csv"):
        raise UsageError(f"cannot tell the format of {source.name}", remedy=f"Pass --format {' | '.join(FORMATS)}.")
    return suffix  # type: ignore[return-value]


def _read_jsonl(source: Path) -> Iterator[ProfileRecord]:
    for where, value in _json_lines(source):
        yield _record(value, where)


def _json_lines(source: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    try:
        with source.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    value = parse_json(line)
                    if not isinstance(value, dict):
                        raise InputError("is not a JSON object", where=f"{source}:{number}")
                    yield f"{source}:{number}", value
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=source) from None
    except UnicodeDecodeError as error:
        raise _not_utf8(source, error) from None
    except ValueError as error:
        raise InputError(f"is not JSON ({error})", where=f"{source}:{number}") from None


def _not_utf8(source: Path, error: UnicodeDecodeError) -> InputError:
    return InputError(f"is not UTF-8 text (byte {error.start})", where=source, remedy="Save it as UTF-8.")


def _record(value: dict[str, Any], where: str) -> ProfileRecord:
    if "key" not in value:
        return _written_by_hand(value, where)
    try:
        return ProfileRecord.from_json(value)
    except DamagedError as error:
        raise InputError(error.message, where=where) from None


def _written_by_hand(value: dict[str, Any], where: str) -> ProfileRecord:
    filled = ((name, item) for name, item in value.items() if isinstance(name, str) and item is not None)
    row = {name.strip().casefold(): "" if says_nothing(str(item)) else str(item).strip() for name, item in filled}
    name, given = row.get("name", ""), row.get("id", "")
    if "text" not in row or "kind" not in row or not (name or given):
        raise InputError(
            "is no profile: it has no text, or is of nobody",
            where=where,
            remedy=f"Needed: kind (drug or cell_line), name or id, and text. Found: {', '.join(row) or 'nothing'}.",
        )
    return ProfileRecord(
        key="",
        entity_id=given,
        entity_name=name,
        kind=parse_kind(row["kind"], where=where).value,
        fields={"description": row["text"]},
        text=row["text"],
        llm=row.get("llm") or None,
    )


def _read_csv(source: Path) -> Iterator[ProfileRecord]:
    table = read_raw(source)
    table.check_cells()
    for number, row in enumerate(table.frame.iter_rows(named=True)):
        if any(row.values()):
            yield _unflat({**row, "text": row["text"] or ""} if "text" in row else row, table.where(number))


def _read_parquet(source: Path) -> Iterator[ProfileRecord]:
    import pyarrow as pa

    try:
        with open_parquet(source) as file:
            check_size(source, file.metadata.num_rows, file.metadata.num_columns)
            row = 0
            for batch in file.iter_batches(_BATCH):
                for value in batch.to_pylist():
                    row += 1
                    yield _unflat(value, f"{source}:{row}")
    except (OSError, ValueError, RuntimeError, MemoryError, OverflowError, pa.ArrowException) as error:
        raise InputError(f"cannot be read: {error}", where=source) from None


def _unflat(row: Mapping[str, Any], where: str) -> ProfileRecord:
    value: dict[str, Any] = {}
    for name, written in row.items():
        if written is None or (written == "" and name != "text"):
            continue
        try:
            value[name] = parse_json(written) if name in _NESTED else _NUMBERS.get(name, str)(written)
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise InputError(f"column '{name}': {error}", where=where) from None
    return _record(value, where)


def _paper_files(source: Path) -> dict[EntityKind, Path]:
    files = sorted(source.glob("*_descripts_all_*.jsonl")) if source.is_dir() else [source]
    found: dict[EntityKind, Path] = {}
    for path in files:
        kind = next((kind for kind, word in _PAPER.items() if path.name.startswith(f"{word}_descripts_all_")), None)
        if kind is None or kind in found:
            raise InputError(
                "holds descriptions of more than one LLM, or under other names",
                where=path,
                remedy="Name one file, or a folder with one drug_descripts_all_LLM.jsonl and its cell_ sibling.",
            )
        found[kind] = path
    if not found:
        raise InputError("holds no *_descripts_all_*.jsonl", where=source)
    return found


def _paper_llm(source: Path) -> str:
    llms = {path.stem.partition("_descripts_all_")[2] for path in _paper_files(source).values()}
    if len(llms) > 1:
        raise InputError(f"mixes descriptions of {' and '.join(sorted(llms))}", where=source)
    return llms.pop()


def _read_paper(source: Path, llm: str) -> Iterator[ProfileRecord]:
    for kind, path in _paper_files(source).items():
        for where, value in _json_lines(path):
            if not {"name", "response"} <= value.keys():
                raise InputError("lacks 'name' or 'response'", where=where)
            said = {"kind": kind.value, "name": value["name"], "text": value["response"], "llm": llm}
            yield _written_by_hand(said, where)
