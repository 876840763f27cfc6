"""Pairs that a user asks about: read, resolved, predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from l2aco.columns import repeated
from l2aco.data.sources.table import FITS, ROLES
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.progress import Progress, Silent
from l2aco.runs.newcomers import Acquaintances, describe_newcomers
from l2aco.tables import read_raw

if TYPE_CHECKING:
    import polars as pl

    from l2aco.models.estimator import Expected
    from l2aco.runs.predictor import Predictor
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
    """Pairs out of a table with columns for two drugs and a cell line, called as `l2aco data import` knows them; the
    other columns are carried along. Raises InputError with file and line."""
    import polars as pl

    raw = read_raw(path)
    if again := repeated(raw.frame.columns):
        raise InputError(
            f"has the column {' and the column '.join(again)} twice",
            where=f"{path}:1",
            remedy="Remove or rename one of them.",
        )
    table = raw.by_role({role: ROLES[role] for role in COLUMNS}, fits=FITS)
    table.require(*COLUMNS)
    taken = table.names.values()
    others = [
        name
        for name, kind in raw.frame.schema.items()
        if name not in taken and not kind.is_nested() and kind != pl.Binary
    ]
    carried = raw.frame[table.rows].select(pl.col(others).cast(pl.String, strict=False).fill_null(""))
    more = carried.to_dicts() if others else [{}] * len(table)
    return [
        Pair(**row, where=table.where(number), more=more[number])
        for number, row in enumerate(table.frame.iter_rows(named=True))
    ]


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
    measured: Path | None = None,
    device: str = "auto",
    progress: Progress = Silent(),
) -> pl.DataFrame:
    """One line a pair, in their order: names and ids, probability, calibrated probability, the call, and what else
    stood on its line: a column that is called like one of these ends in _given.

    `synergistic` is the probability against the `threshold` chosen on validation rows. Where the model says what would
    be measured, that is `expected`; 90% of measurements lie between `expected_low` and `expected_high`; the scale is
    named to `progress`. `measured`: a table of measurements that are taken up first, see `runs.measured`. Entities that
    the run was not trained with are looked for in `given`, the data set and the store as they are today, and named to
    `progress` with what is not known of them. Raises UnknownNameError for all others, before the model is loaded.
    """
    import polars as pl

    from l2aco.runs.measured import read_measured

    acquaintances = Acquaintances(run, given)
    resolved = resolve_pairs(pairs, acquaintances)
    asked = [entity for three in resolved for entity in three]
    known = None if measured is None else read_measured(measured, acquaintances)
    asked += [] if known is None else known.everybody
    predictor = acquaintances.admit(run.predictor(device), asked)
    if known is not None:
        predictor = known.taken_up_by(predictor)
        progress.say(f"{len(known):,} measurements of {measured} are taken up")
    for line in (*acquaintances.misnamed(asked), *describe_newcomers(predictor)):
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
        "threshold": np.full(len(probability), predictor.threshold),
    }
    if expected := _expected(predictor, a, b, c):
        predicted |= {"expected": expected.mean, "expected_low": expected.low, "expected_high": expected.high}
        progress.say(f"expected is {expected.scale}; {expected.share:.0%} of measurements lie from low to high")
    more = {
        f"{name}_given" if name in predicted else name: [pair.more.get(name, "") for pair in pairs] for name in names
    }
    return pl.DataFrame({**predicted, **more})


def _expected(predictor: Predictor, a: Sequence[Entity], b: Sequence[Entity], c: Sequence[Entity]) -> Expected | None:
    one, other = (predictor.rows(EntityKind.drug, drugs) for drugs in (a, b))
    return predictor.expected_rows(one, other, predictor.rows(EntityKind.cell_line, c))
