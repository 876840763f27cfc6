"""Tables that a command writes where its user says: CSV, Parquet or JSON, by the ending of the file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from l2aco.errors import UsageError
from l2aco.files import atomic_path, refuse_folder, write_json

if TYPE_CHECKING:
    import polars as pl

KINDS = (".csv", ".parquet", ".json")


def check_output(path: Path) -> None:
    """Raises UsageError for a folder, and for a file of no kind that is written."""
    refuse_folder(path)
    if path.suffix.lower() not in KINDS:
        raise UsageError(f"cannot write {path.name}", remedy=f"End its name in {', '.join(KINDS)}.")


def refuse_overwriting(written: Mapping[str, Path | None], *read: tuple[str, str | Path | None]) -> None:
    """Raises UsageError where a file that is to be written is one that is read, or another that is written; all by the
    names of their options."""
    taken = {_same(path): option for option, path in read if path is not None and Path(path).exists()}
    for option, path in written.items():
        if path is None:
            continue
        if (other := taken.get(_same(path))) is not None:
            raise UsageError(f"{option} would replace the file of {other}", where=path, remedy="Name another file.")
        taken[_same(path)] = option


def _same(path: str | Path) -> str:
    return os.path.realpath(path)


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Its rows, as JSON a list of objects."""
    if path.suffix.lower() == ".json":
        write_json(path, table.to_dicts())
        return
    with atomic_path(path) as partial:
        if path.suffix.lower() == ".parquet":
            table.write_parquet(partial)
        else:
            table.write_csv(partial)
