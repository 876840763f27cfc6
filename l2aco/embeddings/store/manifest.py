"""The manifest of a store: the one file whose replacement commits a write.

    embeddings/<store>/manifest.json            the committed generation; a write ends by replacing it
    embeddings/<store>/generations/<n>.json     a copy of each generation that can still be gone back to
    embeddings/<store>/segments/<n>-<i>.npy     float32 vectors, never changed once written
    embeddings/<store>/segments/<n>-<i>.parquet the records of the same rows, in the same order
    embeddings/<store>/dead/<n>.npy             int64 numbers of the rows that a later write replaced or deleted
    embeddings/<store>/index/<n>.faiss          an approximate index over the first rows, where one pays

Rows are numbered through the segments in the manifest's order. A manifest may come from anybody: its files are plain
names in these folders, and its numbers are bounded.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.errors import DamagedError
from l2aco.files import describe_validation, read_json, sha256_file, stable_hash, write_json

MANIFEST = "manifest.json"
GENERATIONS = "generations"
FORMAT = 1
SHARDS = ".shards"
"""Ends the name of the folder of a store's parts, beside the store."""
FOLDERS = ("segments", "dead", "index")
MOST_ROWS = 2**32 - 1
"""Rows are numbered with 32 bits."""
EFFORT = {"hnsw": "efSearch", "ivfpq": "nprobe"}
"""Which parameter makes a kind of index try harder."""
CANDIDATES = "candidates"
PART_FOLDER = re.compile(r"([0-9]{5})-of-([0-9]{5})")
Count = Annotated[int, Field(ge=0, le=MOST_ROWS)]


class FileInfo(BaseModel):
    """A file of the store, by its path inside the store, with what it must weigh and hash to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(pattern=rf"^({'|'.join(FOLDERS)})/[A-Za-z0-9_-][A-Za-z0-9_.-]*$")
    bytes: int = Field(ge=0)
    sha256: str

    @classmethod
    def of(cls, root: Path, path: Path) -> FileInfo:
        return cls(path=path.relative_to(root).as_posix(), bytes=path.stat().st_size, sha256=sha256_file(path))


class SegmentInfo(BaseModel):
    """Consecutive rows: a file of vectors and a file of records."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    rows: int = Field(gt=0, le=MOST_ROWS)
    precision: str
    vectors: FileInfo
    records: FileInfo


class IndexInfo(BaseModel):
    """An approximate index over rows 0 to `rows`; later rows are searched exactly.

    `recall_at_10` against exact search, over `queries` rows of the store itself, when the index was built.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = Field(pattern="^(hnsw|ivfpq)$")
    rows: Count
    parameters: dict[str, Annotated[int, Field(gt=0, le=2**20)]]
    recall_at_10: float = Field(ge=0, le=1)
    queries: int
    file: FileInfo

    @model_validator(mode="after")
    def _can_be_searched(self) -> IndexInfo:
        if missing := {EFFORT[self.kind], CANDIDATES} - self.parameters.keys():
            raise ValueError(f"no {' and no '.join(sorted(missing))}")
        return self


class Part(BaseModel):
    """Which part of a profile set a store was made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    set: str
    number: int = Field(ge=1)
    of: int = Field(ge=1)

    @property
    def folder(self) -> str:
        """What its store is called, as `PART_FOLDER` reads it."""
        return f"{self.number:05d}-of-{self.of:05d}"

    def __str__(self) -> str:
        return f"part {self.number:,} of {self.of:,} of {self.set}"


class Manifest(BaseModel):
    """One committed generation. On disk it carries `checksum`, the hash of the rest of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    generation: int = Field(gt=0, lt=10**8)
    created_at: str
    encoder: EncoderSpec
    fingerprint: str
    dimension: int
    metric: str = "inner product"
    normalised: bool = True
    index_choice: str = "auto"
    part: Part | None = None
    counts: dict[str, Any] = {}
    segments: tuple[SegmentInfo, ...] = ()
    dead: FileInfo | None = None
    dead_rows: Count = 0
    index: IndexInfo | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Manifest:
        if self.dimension != self.encoder.dimension:
            raise ValueError(f"dimension {self.dimension}, and {self.encoder.dimension} of the encoder")
        if self.total > MOST_ROWS:
            raise ValueError(f"{self.total:,} rows")
        if self.dead_rows > self.total or (self.dead is None) != (self.dead_rows == 0):
            raise ValueError(f"{self.dead_rows:,} dead rows among {self.total:,}")
        if self.index is not None and self.index.rows > self.total:
            raise ValueError(f"an index of {self.index.rows:,} rows over {self.total:,}")
        if not all(isinstance(self.counts.get(name, {}), dict) for name in ("kind", "set", "llm")):
            raise ValueError("counts that are no counts")
        if len({file.path for file in self.files()}) < len(self.files()):
            raise ValueError("one file stands for two")
        return self

    @property
    def total(self) -> int:
        """Rows on disk, replaced and deleted ones included."""
        return sum(segment.rows for segment in self.segments)

    @property
    def rows(self) -> int:
        """Rows that count."""
        return self.total - self.dead_rows

    @property
    def bytes(self) -> int:
        """What its files weigh together."""
        return sum(file.bytes for file in self.files())

    def files(self) -> list[FileInfo]:
        """Every file that this generation needs."""
        found = [file for segment in self.segments for file in (segment.vectors, segment.records)]
        found += [self.dead] if self.dead else []
        found += [self.index.file] if self.index else []
        return found


def repair_words(root: Path) -> str:
    """What to do about a damaged store: a part is made anew, for no command names one."""
    found = PART_FOLDER.fullmatch(root.name)
    if found is None or not root.parent.name.endswith(SHARDS):
        return f"`l2aco store verify --repair {root.name}` rebuilds what can be rebuilt."
    profiles, _, encoder = root.parent.name.removesuffix(SHARDS).rpartition("--")
    shard = f"{int(found[1])}/{int(found[2])}"
    return f"Remove the folder {root}, and run `l2aco embed {profiles} --encoder {encoder} --shard {shard}` again."


class OtherFormatError(DamagedError):
    """A manifest of another version of L2aCo: nothing is wrong with it, and nothing of it is ours to change."""


def parse_manifest(path: Path) -> Manifest:
    """Read a manifest; raises DamagedError that names the store and how to mend it, OtherFormatError."""
    repair = repair_words(path.parent if path.name == MANIFEST else path.parent.parent)
    try:
        value = read_json(path)
        if not isinstance(value, dict) or not isinstance(value.get("format"), int):
            raise DamagedError("is no manifest", where=path)
        if value["format"] != FORMAT:
            raise OtherFormatError(
                f"has format {value['format']}, this L2aCo reads {FORMAT}",
                where=path,
                remedy="Read it with the L2aCo that wrote it, or a newer one: pip install --upgrade l2aco.",
            )
        if value.pop("checksum", None) != stable_hash(value):
            raise DamagedError("does not match its own checksum", where=path)
        return Manifest.model_validate(value)
    except OtherFormatError:
        raise
    except DamagedError as error:
        raise DamagedError(error.message, where=error.where, remedy=repair) from None
    except (ValueError, RecursionError) as error:
        said = describe_validation(error) if isinstance(error, ValidationError) else str(error)
        raise DamagedError(f"is no manifest ({said[:400]})", where=path, remedy=repair) from None


def check_file(root: Path, file: FileInfo, *, content: bool) -> str | None:
    """What is wrong with a file of a store, or None; without `content` only its size is compared."""
    path = root / file.path
    if not path.exists():
        return "is missing"
    if path.stat().st_size != file.bytes:
        return f"has {path.stat().st_size:,} bytes, not {file.bytes:,}"
    if content and sha256_file(path) != file.sha256:
        return "does not match its checksum"
    return None


def commit(root: Path, manifest: Manifest) -> None:
    """Make `manifest` the store's state: its copy first, then the one pointer that readers follow."""
    value = manifest.model_dump(mode="json")
    value["checksum"] = stable_hash(value)
    write_json(root / GENERATIONS / f"{manifest.generation:08d}.json", value)
    write_json(root / MANIFEST, value)


def kept_generations(root: Path) -> list[Path]:
    """The copies that lie in the store, newest first."""
    return sorted((path for path in _files(root / GENERATIONS) if _COPY.fullmatch(path.name)), reverse=True)


_COPY = re.compile(r"[0-9]{8}\.json")
_DATA = re.compile(r"[0-9]{8}(-[0-9]+)?\.(npy|parquet|faiss)")
_PARTIAL = re.compile(rf"\.({_COPY.pattern}|{_DATA.pattern}|{re.escape(MANIFEST)})\.[a-z0-9_]{{8}}\.partial")


def sweep(root: Path, manifest: Manifest) -> None:
    """Remove what neither this generation nor the one before needs: readers of the last one may still be at work.

    Only files that a writer of a store names like this, of generations up to this one; no link is followed.
    """

    def is_past(path: Path) -> bool:
        return int(path.name[:8]) <= manifest.generation

    copies = [path for path in kept_generations(root) if is_past(path)]
    keep = {file.path for file in manifest.files()}
    for copy in copies[:2]:
        with contextlib.suppress(DamagedError):
            keep |= {file.path for file in parse_manifest(copy).files()}
    for copy in copies[2:]:
        copy.unlink(missing_ok=True)
    for folder in ("", GENERATIONS, *FOLDERS):
        for path in _files(root / folder):
            old = folder in FOLDERS and _DATA.fullmatch(path.name) and is_past(path)
            if _PARTIAL.fullmatch(path.name) or (old and f"{folder}/{path.name}" not in keep):
                path.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    """The files of a folder of ours; none where it, or what lies in it, is a link."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
