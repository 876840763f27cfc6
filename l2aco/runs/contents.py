"""What is read of a run's manifest and metrics. A run's folder may come from anybody: nonsense is one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, FiniteFloat, RootModel, ValidationError

from l2aco.errors import DamagedError
from l2aco.files import describe_validation, is_name


def _score(value: float) -> float:
    if abs(value) > 1:
        raise ValueError("is no value of a metric")
    return value


def _bearable(value: float) -> float:
    if abs(value) > 2**53:
        raise ValueError("is too large")
    return value


def _name(value: str) -> str:
    if not is_name(value):
        raise ValueError("leads out of its folder, or cannot be a name")
    return value


Name = Annotated[str, AfterValidator(_name)]
"""Of a file of the run, or of a run beside it."""
_Score = Annotated[float, AfterValidator(_score)]
"""From -1 to 1, or NaN where it is not defined."""
_Number = Annotated[float, AfterValidator(_bearable)]
_Finite = Annotated[FiniteFloat, AfterValidator(_bearable)]
_Count = Annotated[int, AfterValidator(_bearable)]


class _Read(BaseModel):
    """What else stands there is kept."""

    model_config = ConfigDict(extra="allow", strict=True)


class Manifest(_Read):
    created_at: str
    files: dict[Name, str]
    encoders: dict[str, str] = {}
    suite: str | None = None


class Environment(RootModel[dict[str, Any]]):
    """What environment.json holds, whatever a machine is described by."""


class _Scores(_Read):
    auroc: _Score
    auprc: _Score
    balanced_accuracy: _Score
    f1: _Score
    mcc: _Score
    brier: _Score


class _Group(_Scores):
    rows: _Count
    positives: _Count


class Naive(_Scores):
    model: str
    macro_auroc: _Score
    rows: _Count
    cell_lines: _Count


class _Macro(_Read):
    auroc: _Score


class _Test(_Read):
    rows: _Count
    cell_lines: _Count
    threshold: Annotated[FiniteFloat, AfterValidator(_score)]
    pooled: _Scores
    macro: _Macro
    stratum: dict[str, _Group] = {}
    tissue: dict[str, _Group] = {}


class _Calibration(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    slope: _Finite
    intercept: _Finite


class _Training(_Read):
    epochs: _Count | float | None = None


class Metrics(_Read):
    test: _Test
    baselines: list[Naive]
    calibration: _Calibration
    training: _Training


class NaiveRows(RootModel[list[Naive]]):
    """What is kept of the naive predictors beside a split."""


def checked(kind: type[BaseModel], value: Any, where: Path, remedy: str | None = None) -> Any:
    """`value`, where it holds what `kind` says; raises DamagedError."""
    try:
        kind.model_validate(value)
    except ValidationError as error:
        raise DamagedError(describe_validation(error), where=where, remedy=remedy) from None
    return value
