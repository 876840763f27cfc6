"""Pairs that a user asks about, predicted by a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from l2aco.entities import Entity, EntityKind
from l2aco.progress import Progress, Silent
from l2aco.runs.measured import check_takes_up, held_out_rows, read_measured
from l2aco.runs.newcomers import Acquaintances, describe_newcomers
from l2aco.runs.pairs import Pair, resolve_pairs

if TYPE_CHECKING:
    import polars as pl

    from l2aco.models.estimator import Expected
    from l2aco.runs.predictor import Predictor
    from l2aco.runs.run import Run


def predict_pairs(
    run: Run,
    pairs: Sequence[Pair],
    *,
    given: Sequence[Entity] = (),
    measured: Path | None = None,
    held_out: bool = False,
    device: str = "auto",
    progress: Progress = Silent(),
) -> pl.DataFrame:
    """One line a pair, in their order: names and ids, probability, calibrated probability, the call, and what else
    stood on its line: a column that is called like one of these ends in _given.

    `synergistic`: whether the calibrated probability is one half or more. Where the model says what would be measured,
    that is `expected`; 90% of measurements lie between `expected_low` and `expected_high`; the scale is named to
    `progress`. `measured`: a table of measurements that are taken up first, see `runs.measured`; `held_out`: so are the
    rows that the run's split kept for tests. Entities that the run was not trained with are looked for in `given`, the
    data set and the store as they are today, and named to `progress` with what is not known of them. Raises
    UnknownNameError for all others, before the model is loaded.
    """
    import polars as pl

    if measured is not None or held_out:
        check_takes_up(run)
    acquaintances = Acquaintances(run, given)
    resolved = resolve_pairs(pairs, acquaintances)
    asked = [entity for three in resolved for entity in three]
    known = None if measured is None else read_measured(measured, acquaintances, progress)
    asked += [] if known is None else known.everybody
    predictor = acquaintances.admit(run.predictor(device), asked)
    if held_out:
        predictor = _told_of_tests(run, predictor, [line for *_, line in resolved], progress)
    if known is not None:
        predictor = known.taken_up_by(predictor)
        progress.say(f"{len(known):,} measurements of {measured} are taken up")
    for line in (*acquaintances.misnamed(asked), *describe_newcomers(predictor)):
        progress.say(line)
    a, b, c = zip(*resolved, strict=True)
    probability = predictor.predict(a, b, c)
    calibrated = predictor.calibration.apply(probability)
    names = dict.fromkeys(name for pair in pairs for name in pair.more)
    predicted = {
        "drug_a": [entity.name for entity in a],
        "drug_b": [entity.name for entity in b],
        "cell_line": [entity.name for entity in c],
        "drug_a_id": [entity.id for entity in a],
        "drug_b_id": [entity.id for entity in b],
        "cell_line_id": [entity.id for entity in c],
        "probability": probability,
        "calibrated": calibrated,
        "synergistic": calibrated >= 0.5,
    }
    if expected := _expected(predictor, a, b, c):
        predicted |= {"expected": expected.mean, "expected_low": expected.low, "expected_high": expected.high}
        progress.say(f"expected is {expected.scale}; {expected.share:.0%} of measurements lie in its interval")
    more = {
        f"{name}_given" if name in predicted else name: [pair.more.get(name, "") for pair in pairs] for name in names
    }
    return pl.DataFrame({**predicted, **more})


def _told_of_tests(run: Run, predictor: Predictor, asked: Sequence[Entity], progress: Progress) -> Predictor:
    rows = held_out_rows(run, predictor)
    progress.say(f"{len(rows):,} rows that the run's split kept for tests are taken up")
    theirs = np.isin(predictor.rows(EntityKind.cell_line, asked), rows.cell_line)
    if named := sorted({line.name for line, own in zip(asked, theirs, strict=True) if own}):
        lines = ", ".join(named)
        progress.say(f"those of {lines} are among them: how near such predictions come says nothing of the run")
    return predictor.learned(rows, new=False)


def _expected(predictor: Predictor, a: Sequence[Entity], b: Sequence[Entity], c: Sequence[Entity]) -> Expected | None:
    one, other = (predictor.rows(EntityKind.drug, drugs) for drugs in (a, b))
    return predictor.expected_rows(one, other, predictor.rows(EntityKind.cell_line, c))
