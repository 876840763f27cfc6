"""The manifest of a store: the one file whose replacement commits a write.

    embeddings/<store>/manifest.json            the committed generation; a write ends by replacing it
    embeddings/<store>/generations/<n>.json     a copy of each generation that can still be gone back to
    embeddings/<store>/segments/<n>-<i>.npy     float32 vectors, never changed once written
    embeddings/<store>/segments/<n>-<i>.parquet the records of the same rows, in the same order
    embeddings/<store>/dead/<n>.npy             int64 numbers of the rows that a later write replaced or deleted
    embeddings/<store>/index/<n>.faiss          an approximate index over the first rows, where one pays

Rows are numbered through the segments in the manifest's order.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.errors import DamagedError
from l2aco.files import describe_validation, read_json, sha256_file, stable_hash, write_json

MANIFEST = "manifest.json"
GENERATIONS = "generations"
FORMAT = 1
REPAIR = "`l2aco store verify --repair {name}` rebuilds what can be rebuilt."


class FileInfo(BaseModel):
    """A file of the store, by its path inside the store, with what it must weigh and hash to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, root: Path, path: Path) -> FileInfo:
        return cls(path=path.relative_to(root).as_posix(), bytes=path.stat().st_size, sha256=sha256_file(path))


class SegmentInfo(BaseModel):
    """Consecutive rows: a file of vectors and a file of records."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    rows: int
    precision: str
    vectors: FileInfo
    records: FileInfo


class IndexInfo(BaseModel):
    """An approximate index over rows 0 to `rows`; later rows are searched exactly.

    `recall_at_10` against exact search, over `queries` rows of the store itself, when the index was built.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    rows: int
    parameters: dict[str, Any]
    recall_at_10: float
    queries: int
    file: FileInfo


class Manifest(BaseModel):
    """One committed generation. On disk it carries `checksum`, the hash of the rest of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    generation: int
    created_at: str
    encoder: EncoderSpec
    fingerprint: str
    dimension: int
    metric: str = "inner product"
    normalised: bool = True
    index_choice: str = "auto"
    counts: dict[str, Any] = {}
    segments: tuple[SegmentInfo, ...] = ()
    dead: FileInfo | None = None
    dead_rows: int = 0
    index: IndexInfo | None = None

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


def parse_manifest(path: Path) -> Manifest:
    """Read a manifest; raises DamagedError that names the store and how to mend it."""
    repair = REPAIR.format(name=path.parent.name if path.name == MANIFEST else path.parent.parent.name)
    try:
        value = read_json(path)
        if not isinstance(value, dict) or "format" not in value:
            raise DamagedError("is no manifest", where=path)
        if value["format"] != FORMAT:
            raise DamagedError(f"has format {value['format']}, this L2aCo reads {FORMAT}", where=path)
        if value.pop("checksum", None) != stable_hash(value):
            raise DamagedError("does not match its own checksum", where=path)
        return Manifest.model_validate(value)
    except ValidationError as error:
        raise DamagedError(f"is no manifest ({describe_validation(error)})", where=path, remedy=repair) from None
    except DamagedError as error:
        raise DamagedError(error.message, where=error.where, remedy=repair) from None


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
    return sorted((root / GENERATIONS).glob("*.json"), reverse=True)


def sweep(root: Path, manifest: Manifest) -> None:
    """Remove what neither this generation nor the one before needs: readers of the last one may still be at work."""
    copies = kept_generations(root)
    keep = {file.path for file in manifest.files()}
    for copy in copies[:2]:
        with contextlib.suppress(DamagedError):
            keep |= {file.path for file in parse_manifest(copy).files()}
    for copy in copies[2:]:
        copy.unlink(missing_ok=True)
    for partial in (*root.glob(".*.partial"), *(root / GENERATIONS).glob(".*.partial")):
        partial.unlink(missing_ok=True)
    for folder in ("segments", "dead", "index"):
        for path in (root / folder).glob("*"):
            if path.relative_to(root).as_posix() not in keep:
                path.unlink(missing_ok=True)
