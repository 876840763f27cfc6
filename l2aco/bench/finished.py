"""A finished suite as its folder tells it: report.json and predictions.parquet, which may come from anybody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from l2aco.bench.suite import COLUMNS
from l2aco.errors import DamagedError, InputError, MismatchError
from l2aco.files import describe_validation, read_json
from l2aco.tables import read_written

if TYPE_CHECKING:
    import polars as pl

TEXTS = ("dataset", "setting", "cell_line")
NUMBERS = tuple(name for name in COLUMNS if name not in (*TEXTS, "score"))
MOST = 2**31
FORMAT = 1
"""Of report.json and predictions.parquet."""
REMEDY = "Name the folder of a report that `l2aco bench run` of this version wrote."


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True)


class Row(_Written):
    """A model of a table."""

    model: str
    draws: int = Field(ge=1)


class OfSplits(_Written):
    """The table of one data set and setting."""

    dataset: str
    setting: str
    simulated: bool
    rows: tuple[Row, ...]


class Named(_Written):
    """The suite, as far as others ask for it."""

    name: str
    naive: tuple[str, ...]


class Origin(_Written):
    """`datasets`: hashes by name."""

    command: str
    date: str
    commit: str | None
    datasets: dict[str, str]
    suite: str | None = None
    """Which of those of its name; None in a report that does not tell."""


class Told(_Written):
    """What is read of report.json."""

    format: Literal[1]
    suite: Named
    provenance: Origin
    tables: tuple[OfSplits, ...]


@dataclass(frozen=True)
class Finished:
    """`predictions`: the columns of `suite.COLUMNS`, and one a model, null where it has not finished a split."""

    told: Told
    predictions: pl.DataFrame


def told_of(folder: Path) -> Told:
    """Raises InputError for a folder without a report, MismatchError for one of another version, DamagedError."""
    path = folder / "report.json"
    if not path.is_file():
        raise InputError("holds no report.json", where=folder, remedy=REMEDY)
    written = read_json(path)
    if not isinstance(written, dict) or written.get("format") != FORMAT:
        raise MismatchError("is a report of another version", where=path, remedy=REMEDY)
    try:
        told = Told.model_validate(written)
    except ValidationError as error:
        raise DamagedError(describe_validation(error), where=path, remedy=REMEDY) from None
    if lacking := {table.dataset for table in told.tables} - told.provenance.datasets.keys():
        raise DamagedError(f"tells no hash of {', '.join(sorted(lacking))}", where=path, remedy=REMEDY)
    return told


def open_finished(folder: Path) -> Finished:
    """Raises what `told_of` raises, and DamagedError for predictions that are not what it tells."""
    told = told_of(folder)
    return Finished(told, _predictions(folder / "predictions.parquet", told))


def _predictions(path: Path, told: Told) -> pl.DataFrame:
    import polars as pl

    models = list(dict.fromkeys(row.model for table in told.tables for row in table.rows))
    types = {name: pl.Int64() for name in NUMBERS} | dict.fromkeys(TEXTS, pl.String())
    table = read_written(path, types | dict.fromkeys(["score", *models], pl.Float64()), REMEDY)
    whole = pl.all_horizontal(pl.col(NUMBERS).is_between(0, MOST).fill_null(False))
    finite = pl.all_horizontal(pl.lit(True), *(pl.col(name).is_finite().fill_null(True) for name in models))
    if not len(table) or not table.select((whole & finite).all()).item():
        raise DamagedError("holds rows that cannot be measured", where=path, remedy=REMEDY)
    return table
