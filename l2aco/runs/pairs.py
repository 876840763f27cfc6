"""Pairs that a user asks about: read, resolved, predicted."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from l2aco.data.sources.table import ROLES
from l2aco.entities import Entity, EntityKind, delimiter
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.progress import Progress, Silent
from l2aco.runs.newcomers import Acquaintances, describe_newcomers
from l2aco.tables import pick_columns

if TYPE_CHECKING:
    import polars as pl

    from l2aco.runs.run import Run

COLUMNS = ("drug_a", "drug_b", "cell_line")


@dataclass(frozen=True)
class Pair:
    """What one line asks: two drugs and a cell line, by id, name or alias. `where` is the file and line, `more` what
    else stands there, by column."""

    drug_a: str
    drug_b: str
    cell_line: str
    where: str | None = None
    more: Mapping[str, str] = field(default_factory=dict)


def pairs_from(path: Path | None, drug_a: str | None, drug_b: str | None, cell_line: str | None) -> list[Pair]:
    """The pairs of a file, or the one that is named; raises UsageError for anything between."""
    if path is not None and not (drug_a or drug_b or cell_line):
        return read_pairs(path)
    if path is None and drug_a and drug_b and cell_line:
        return [Pair(drug_a, drug_b, cell_line)]
    if path is not None:
        raise UsageError("--pairs and a named pair contradict each other", remedy="Leave one of them out.")
    raise UsageError("which pairs?", remedy="Give --pairs FILE, or all three of --drug-a, --drug-b and --cell.")


def read_pairs(path: Path) -> list[Pair]:
    """Pairs out of CSV or TSV with columns for two drugs and a cell line, called as `l2aco data import` knows them; the
    other columns are carried along. Raises InputError with file and line."""
    if path.is_dir() or not path.exists():  # a pipe is welcome
        raise InputError("no such file", where=path, remedy=f"Name a table with columns {', '.join(COLUMNS)}.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter=delimiter(path))
            given = [name.strip() for name in reader.fieldnames or ()]
            if not given:
                raise InputError("is empty", where=path, remedy=f"Give it the columns {', '.join(COLUMNS)}.")
            columns = _columns(path, given)
            reader.fieldnames = given
            pairs = [_pair(row, columns, f"{path}:{reader.line_num}") for row in reader]
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text (byte {error.start})", where=path, remedy="Save it as UTF-8.") from None
    except csv.Error as error:
        raise InputError(f"cannot be read as a table ({error})", where=path) from None
    if not pairs:
        raise InputError("holds no pairs", where=path, remedy="Give at least one line below the header.")
    return pairs


def _columns(path: Path, given: list[str]) -> dict[str, str]:
    """The file's name of each column."""
    found = pick_columns(path, given, {role: ROLES[role] for role in COLUMNS}, set(COLUMNS))
    missing = [role for role, name in found.items() if name is None]
    if missing:
        raise InputError(
            f"has no column {' and no column '.join(missing)}",
            where=f"{path}:1",
            remedy=f"Columns found: {', '.join(given)}. Needed: {', '.join(COLUMNS)}.",
        )
    header = [name.casefold() for name in given]
    columns = {role: name for role, name in found.items() if name is not None}
    if twice := [name for place, name in enumerate(given) if name.casefold() in header[place + 1 :]]:
        raise InputError(
            f"has the column {' and the column '.join(twice)} twice",
            where=f"{path}:1",
            remedy="Remove or rename one of them.",
        )
    return columns


def _pair(row: dict[str, str | None], columns: dict[str, str], where: str) -> Pair:
    values = {role: (row.get(name) or "").strip() for role, name in columns.items()}
    for role, value in values.items():
        if not value:
            raise InputError(f"column {columns[role]} is empty", where=where)
    more = {name: value or "" for name, value in row.items() if isinstance(name, str) and name not in columns.values()}
    return Pair(**values, where=where, more=more)


def resolve_pairs(pairs: Sequence[Pair], acquaintances: Acquaintances) -> list[tuple[Entity, Entity, Entity]]:
    """Both drugs and the cell line of every pair; raises InputError with the line and the nearest names."""
    resolve = cache(acquaintances.resolve)
    found: list[tuple[Entity, Entity, Entity]] = []
    wrong: list[InputError] = []
    for pair in pairs:
        try:
            one, other = (resolve(EntityKind.drug, name) for name in (pair.drug_a, pair.drug_b))
            found.append((one, other, resolve(EntityKind.cell_line, pair.cell_line)))
            if one.id == other.id:
                raise InputError(f"{pair.drug_a} and {pair.drug_b} are the same drug")
        except (UnknownNameError, InputError) as error:
            if pair.where is None:
                raise
            wrong.append(InputError(error.message, where=pair.where, remedy=error.remedy))
    if wrong:
        first, *others = wrong
        also = "".join(f"\n{error.where}: {error.message}" for error in others[:9])
        also += f"\nand {len(others) - 9} more lines" if len(others) > 9 else ""
        raise InputError(first.message, where=first.where, remedy=f"{first.remedy or ''}{also}".strip()) from None
    return found


def predict_pairs(
    run: Run,
    pairs: Sequence[Pair],
    *,
    given: Sequence[Entity] = (),
    device: str = "auto",
    progress: Progress = Silent(),
) -> pl.DataFrame:
    """One line a pair, in their order: names and ids, probability, calibrated probability, the call, and what else
    stood on its line: a column that is called like one of these ends in _given.

    `synergistic` is the probability against the threshold chosen on validation rows. Entities that the run was not
    trained with are looked for in `given`, the data set and the store as they are today, and named to `progress` with
    what is not known of them. Raises UnknownNameError for all others, before the model is loaded.
    """
    import polars as pl

    acquaintances = Acquaintances(run, given)
    resolved = resolve_pairs(pairs, acquaintances)
    predictor = acquaintances.admit(run.predictor(device), [entity for three in resolved for entity in three])
    for line in describe_newcomers(predictor):
        progress.say(line)
    a, b, c = zip(*resolved, strict=True)
    probability = predictor.predict(a, b, c)
    names = dict.fromkeys(name for pair in pairs for name in pair.more)
    predicted = {
        "drug_a": [entity.name for entity in a],
        "drug_b": [entity.name for entity in b],
        "cell_line": [entity.name for entity in c],
        "drug_a_id": [entity.id for entity in a],
        "drug_b_id": [entity.id for entity in b],
        "cell_line_id": [entity.id for entity in c],
        "probability": probability,
        "calibrated": predictor.calibration.apply(probability),
        "synergistic": probability >= predictor.threshold,
    }
    more = {
        f"{name}_given" if name in predicted else name: [pair.more.get(name, "") for pair in pairs] for name in names
    }
    return pl.DataFrame({**predicted, **more})
