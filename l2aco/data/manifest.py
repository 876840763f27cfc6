"""The manifest of a data set: what the import did, and the checksum of every file. It may come from anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from l2aco.data.labels import LabelRule
from l2aco.errors import DamagedError, UsageError
from l2aco.files import describe_validation, inside, read_json

FORMAT = 1
REMEDY = "Import the data set again with --force."
Interval = tuple[float | None, float | None]


class _Rule(LabelRule):
    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    text: str


class _Counts(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    triples: int = Field(ge=0)
    drugs: int = Field(ge=0)
    cell_lines: int = Field(ge=0)
    nodes: int = Field(ge=0)
    edges: int = Field(ge=0)


class _Noise(BaseModel):
    model_config = ConfigDict(extra="forbid")

    triples: int
    pairs: int
    identical_scores: int
    correlation: float | None
    label_agreement: float | None
    auroc_first_from_second: float | None
    auroc_second_from_first: float | None
    correlation_interval: Interval = (None, None)
    label_agreement_interval: Interval = (None, None)
    auroc_first_from_second_interval: Interval = (None, None)
    auroc_second_from_first_interval: Interval = (None, None)


class _Manifest(BaseModel):
    """What is read of a manifest; what else stands there is kept."""

    model_config = ConfigDict(extra="allow", strict=True)

    hash: str
    triples_hash: str
    files: dict[str, str]
    counts: _Counts
    label_rule: _Rule
    report: dict[str, Any]
    replicates: dict[str, Any]
    resolution: dict[str, dict[str, list[Any] | int]] = {}
    released_splits: dict[str, Any] = {}
    source: str = ""
    note: str = ""
    notes: list[str] = []
    same_screen: bool = False


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a data set's folder; raises DamagedError where it is none of this version's."""
    path = folder / "manifest.json"
    found: Any = read_json(path)
    made = found.get("format") if isinstance(found, dict) else None
    if made != FORMAT:
        raise DamagedError(f"has format {made}, not {FORMAT}", where=path, remedy=REMEDY)
    try:
        _Manifest.model_validate(found)
        if found["replicates"]:
            _Noise.model_validate(found["replicates"])
        for name in found["files"]:
            inside(folder, name)
    except ValidationError as error:
        raise DamagedError(describe_validation(error), where=path, remedy=REMEDY) from None
    except UsageError as error:
        raise DamagedError(error.message, where=path, remedy=REMEDY) from None
    manifest: dict[str, Any] = found
    return manifest
