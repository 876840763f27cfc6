"""Profile sets: a folder of profile records with a manifest that says how they were made.

    profiles/<set>/manifest.json     what made the set: LLM, prompt, sampling, schemas, counts
    profiles/<set>/records.jsonl     the records, sorted by kind, id and sample
    profiles/<set>/journal.jsonl     what a run that is going on, or was killed, has finished since
    profiles/<set>/failures.jsonl    what failed, and why

A set reads its journal too, so nothing that was paid for is hidden while a run goes on. A record line may
leave out what is null, and `text` where it is the rendering of `fields` by the manifest's schema. What a later version
added to a line is passed over. The manifest holds the checksum of records.jsonl, which is compared before it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from l2aco.entities import Entity, EntityIndex, EntityKind, parse_kind, unknown_entity
from l2aco.errors import DamagedError, UnknownNameError, UsageError
from l2aco.files import describe_validation, parse_json, read_json
from l2aco.llm.asked import ASKED
from l2aco.llm.batch_ledger import FILES, LEDGER
from l2aco.llm.journal import FAILURES, JOURNAL, RECORDS
from l2aco.profiles.record import RECORD_FIELDS, Place, ProfileRecord, render_text
from l2aco.profiles.schema import check_fields
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace, names_in
from l2aco.workspace import bundled as bundled_folder

RESTORE = "Restore it, or move its folder away."
MANIFEST = "manifest.json"
BUNDLED = bundled_folder("profiles")


class ProfileSet:
    """The records of one folder, read as a stream. `manifest` is the parsed manifest.json; raises DamagedError where it
    is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.manifest = read_manifest(path)
        self._compared: tuple[int, ...] = ()

    @property
    def is_bundled(self) -> bool:
        return self.path.parent == BUNDLED

    @property
    def prompt_label(self) -> str | None:
        """`name@version` of the prompt, None where it is not known."""
        prompts = (self.manifest.get("identity") or {}).get("prompt") or {}
        return next((f"{name}@{version}" for name, version, _ in prompts.values()), None)

    @property
    def cost_usd(self) -> float | None:
        """What all runs of the set have cost together, paid failures included; None where that is not known."""
        spent = self.manifest.get("spent")
        usd = spent.get("usd") if isinstance(spent, Mapping) else None
        return float(usd) if isinstance(usd, int | float) and abs(usd) < 1e12 else None

    @property
    def schemas(self) -> Mapping[str, Any]:
        """The JSON schema of each kind's fields."""
        return self.manifest["schemas"]

    def records(self) -> Iterator[ProfileRecord]:
        """Every entity's record of each sample once, the last that was written: the finished ones in order, then those
        of the journal.

        The set may be written and compacted meanwhile. Raises DamagedError with file and line, or where records.jsonl
        is not what was written; a torn last line of the journal is a call that was not finished, and passed over.
        """
        with contextlib.ExitStack() as stack:
            written = self._checksum()
            # The journal is opened first: compaction replaces records.jsonl, and then puts a new journal in its place.
            opened = {name: _open(self.path / name, stack) for name in (JOURNAL, RECORDS)}
            self._compare(opened[RECORDS], written)
            newest = {record.place: number for number, record in self._parsed(JOURNAL, opened[JOURNAL])}
            held: ProfileRecord | None = None
            for _, record in self._parsed(RECORDS, opened[RECORDS]):
                if held is not None and held.place != record.place and held.place not in newest:
                    yield held
                held = record
            if held is not None and held.place not in newest:
                yield held
            if newest:
                for number, record in self._parsed(JOURNAL, opened[JOURNAL]):
                    if newest.get(record.place) == number:
                        yield record

    def _checksum(self) -> str | None:
        """What the manifest on disk says of records.jsonl; None while it is being replaced."""
        return read_manifest(self.path).get("sha256", {}).get(RECORDS)

    def _compare(self, stream: BufferedReader | None, written: str | None) -> None:
        """Raise DamagedError unless the file, once in each of its states, has the checksum that was written.

        The manifest was read before the file was opened. Where a writer replaced both, it says otherwise now."""
        found = "is missing"
        if stream is not None:
            status = os.fstat(stream.fileno())
            state = (status.st_ino, status.st_size, status.st_mtime_ns)
            if state == self._compared:
                return
            self._compared = state
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if written is None or found == written or self._checksum() != written:
            return
        self._compared = ()
        raise DamagedError(
            found if stream is None else "is not what was written: its checksum differs",
            where=self.path / RECORDS,
            remedy=f"Restore it from a copy. What you changed yourself becomes a set of its own: "
            f"l2aco profiles import {self.path / RECORDS} --name NAME",
        )

    def _parsed(self, name: str, stream: BufferedReader | None) -> Iterator[tuple[int, ProfileRecord]]:
        """The records of one of the files with the numbers of their lines, from the beginning."""
        if stream is None:
            return
        stream.seek(0)
        for number, line in enumerate(stream, start=1):
            if name == JOURNAL and not line.endswith(b"\n"):
                return  # it is being written
            if not line.strip():
                continue
            try:
                record = self._record(parse_json(line))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError, DamagedError) as error:
                raise DamagedError(
                    f"is not a profile record ({error})",
                    where=f"{self.path / name}:{number}",
                    remedy="Restore the file, or remove the line: its entity is then profiled again.",
                ) from None
            yield number, record

    def _record(self, value: dict[str, Any]) -> ProfileRecord:
        known = {name: item for name, item in value.items() if name in RECORD_FIELDS}
        if "text" not in known:
            known["text"] = render_text(known["fields"], self.schemas[known["kind"]])
        return ProfileRecord.from_json(known)

    def check(self) -> None:
        """Raise DamagedError where something of the set could not be read; what stands in records.jsonl is compared
        with its checksum, which says as much of it."""
        with contextlib.ExitStack() as stack:
            written = self._checksum()
            self._compare(_open(self.path / RECORDS, stack), written)
            for _ in self._parsed(JOURNAL, _open(self.path / JOURNAL, stack)):
                pass

    def failures(self) -> Iterator[dict[str, Any]]:
        """The recorded failures: key, entity, reason, message. A later one of an entity's sample counts."""
        latest: dict[Place, dict[str, Any]] = {}
        for line in _complete_lines(self.path / FAILURES):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                value = parse_json(line)
                latest[value["kind"], value["entity_id"], value["sample"]] = value
        if latest:
            for record in self.records():
                latest.pop(record.place, None)
        yield from latest.values()

    @cached_property
    def _by_entity(self) -> dict[tuple[str, str], ProfileRecord]:
        found: dict[tuple[str, str], ProfileRecord] = {}
        for record in self.records():
            first = found.setdefault((record.kind, record.entity_id), record)
            if record.sample < first.sample:
                found[record.kind, record.entity_id] = record
        return found

    def get(self, kind: str, entity_id: str) -> ProfileRecord | None:
        """The first sample of an entity's profile, or None. Reads the whole set into memory once."""
        return self._by_entity.get((str(kind), entity_id))

    @cached_property
    def _indexes(self) -> dict[EntityKind, EntityIndex]:
        known = [
            Entity(record.entity_id, EntityKind(record.kind), record.entity_name, record.aliases)
            for record in self._by_entity.values()
        ]
        return {kind: EntityIndex(kind, known) for kind in EntityKind}

    def resolve(self, name: str, kind: str | None = None) -> ProfileRecord:
        """The profile of what is called `name` (id, name or alias); raises UnknownNameError, UsageError."""
        kinds = [parse_kind(kind)] if kind else list(EntityKind)
        found = [entity for item in kinds if (entity := self._indexes[item].find(name)) is not None]
        if len(found) > 1:
            raise UsageError(f"'{name}' is a drug and a cell line", remedy="Say which with --kind.")
        if not found:
            known = [entity for kind in kinds for entity in self._indexes[kind].entities]
            raise unknown_entity(f"entity of profile set {self.name}", name, known)
        record = self.get(found[0].kind, found[0].id)
        assert record is not None
        return record

    def find(self, entity: Entity) -> ProfileRecord | None:
        """The profile of an entity by its id, else by its name, an alias or a synonym; None where there is none, or
        two, or where the profile of its id is of what is called otherwise."""
        known = self._indexes[entity.kind].match(entity)
        return None if known is None else self.get(known.kind, known.id)

    def misnamed(self, entity: Entity) -> str | None:
        """What the profile of the entity's id is of, where that is not what the entity is called."""
        return self._indexes[entity.kind].misnamed(entity)

    @cached_property
    def _count(self) -> int:
        return sum(1 for _ in self.records())

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"ProfileSet({str(self.path)!r})"


def _complete_lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as stream:
            yield from (line for line in stream if line.endswith(b"\n"))


def _open(path: Path, stack: contextlib.ExitStack) -> BufferedReader | None:
    return stack.enter_context(path.open("rb")) if path.exists() else None


class _Identity(BaseModel):
    prompt: dict[str, tuple[str, int, str]] | None = None


class _Manifest(BaseModel):
    """What of a manifest is read; everything else in it is for people."""

    format: Literal[1] = 1
    llm: str | None = None
    model: str | None = None
    records: int | None = None
    created_at: str | None = None
    origin: str | None = None
    coverage: str | None = None
    identity: _Identity | None = None
    schemas: dict[EntityKind, dict[str, Any]]
    sha256: dict[str, str] = {}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a profile set; raises DamagedError where it is missing or says something else."""
    value = read_json(folder / MANIFEST, RESTORE)
    try:
        for schema in _Manifest.model_validate(value).schemas.values():
            check_fields(schema)
    except ValueError as error:
        said = describe_validation(error) if isinstance(error, ValidationError) else str(error)
        raise DamagedError(
            f"is not the manifest of a profile set ({said[:300]})",
            where=folder / MANIFEST,
            remedy=RESTORE,
        ) from None
    return dict(value)


def refuse_foreign(folder: Path) -> None:
    """Raise UsageError where `folder` is there and holds what no profile set has: nothing of it may be touched."""
    if not folder.exists() or (folder / MANIFEST).exists():
        return
    if not folder.is_dir() or (others := sorted(path.name for path in folder.iterdir() if not _is_ours(path.name))):
        raise UsageError(
            "is no profile set" + (f", and holds {', '.join(others[:3])}" if folder.is_dir() else ""),
            where=folder,
            remedy="Move it away, or choose another name with --set.",
        )


def _is_ours(name: str) -> bool:
    """Whether a run that was killed before its manifest was written may have left it."""
    known = (JOURNAL, RECORDS, FAILURES, MANIFEST)
    return name in (*known, ASKED, LEDGER, FILES, "server.log", ".server.json") or name.startswith(
        (".writer.", *(f".{it}." for it in known))
    )


def list_profile_sets(workspace: Workspace, bundled: bool = True, progress: Progress | None = None) -> list[ProfileSet]:
    """The workspace's sets by name, then the bundled ones that it does not hold itself.

    With a `progress`, a damaged set is named to it and left out; without, its DamagedError is raised.
    """
    own = names_in(workspace.profiles)
    shipped = [name for name in names_in(BUNDLED) if name not in own] if bundled else []
    found = []
    for path in [*(workspace.profiles / name for name in own), *(BUNDLED / name for name in shipped)]:
        try:
            found.append(ProfileSet(path))
        except DamagedError as error:
            if progress is None:
                raise
            progress.say(f"Left out: {error}")
    return found


def open_profile_set(name: str | ProfileSet, workspace: Workspace | str | Path | None = None) -> ProfileSet:
    """The workspace's own set called `name`, else the bundled one, a set being itself; raises UnknownNameError."""
    if isinstance(name, ProfileSet):
        return name
    workspace = Workspace.at(workspace)
    for folder in (workspace.profiles, BUNDLED):
        if (found := opened(folder, name)) is not None:  # one that holds nothing yet is found too
            return found
    sets = [item.name for item in list_profile_sets(workspace, progress=Silent())]
    raise UnknownNameError("profile set", name, sets, remedy="`l2aco profiles list` shows all.")


def opened(folder: Path, name: str) -> ProfileSet | None:
    """The set called `name`, in any case, of one folder of sets, or None."""
    known = next((item for item in names_in(folder) if item.casefold() == name.casefold()), None)
    return ProfileSet(folder / known) if known else None
