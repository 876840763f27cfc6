"""What is read of a run's manifest and metrics. A run's folder may come from anybody: nonsense is one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from l2aco.errors import DamagedError
from l2aco.files import describe_validation


class _Read(BaseModel):
    """What else stands there is kept."""

    model_config = ConfigDict(extra="allow", strict=True)


class Manifest(_Read):
    created_at: str
    files: dict[str, str]
    encoders: dict[str, str] = {}


class _Scores(_Read):
    auroc: float
    auprc: float
    balanced_accuracy: float
    f1: float
    mcc: float
    brier: float


class _Group(_Scores):
    rows: int
    positives: int


class _Naive(_Scores):
    model: str
    macro_auroc: float
    rows: int
    cell_lines: int


class _Macro(_Read):
    auroc: float


class _Test(_Read):
    rows: int
    cell_lines: int
    threshold: float
    pooled: _Scores
    macro: _Macro
    stratum: dict[str, _Group] = {}
    tissue: dict[str, _Group] = {}


class _Calibration(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    slope: float
    intercept: float


class _Training(_Read):
    epochs: int | float | None = None


class Metrics(_Read):
    test: _Test
    baselines: list[_Naive]
    calibration: _Calibration
    training: _Training


def checked(kind: type[BaseModel], value: Any, where: Path, remedy: str | None = None) -> dict[str, Any]:
    """`value`, where it holds what `kind` says; raises DamagedError."""
    try:
        kind.model_validate(value)
    except ValidationError as error:
        raise DamagedError(describe_validation(error), where=where, remedy=remedy) from None
    found: dict[str, Any] = value
    return found
