"""Where a predictor is good and where it is not: by stratum, within every cell line, and by what it promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from l2aco.bench.rows import Rows
from l2aco.bench.scored import Place, Scored
from l2aco.bench.statistics import auroc_of_lines, auroc_of_splits
from l2aco.runs.breakdown import strata

Array = np.ndarray[Any, np.dtype[Any]]
FREQUENCIES = ("head", "middle", "tail")
BINS = 10


@dataclass(frozen=True)
class Stratum:
    """Test rows of some cell lines. `auroc`: of these rows pooled in a split, the mean over splits, by predictor."""

    by: str
    name: str
    lines: int
    rows: int
    auroc: dict[str, float]


@dataclass(frozen=True)
class OfLine:
    """A tested cell line. `auroc`: within it, by predictor; NaN where it holds one label alone."""

    name: str
    tissue: str | None
    triples: int
    auroc: dict[str, float]


@dataclass(frozen=True)
class Bin:
    """A tenth of the test rows by predicted probability: its mean there, and the share of synergies found."""

    model: str
    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Details:
    """The three views of one data set and setting, each predictor on the splits that it has finished."""

    strata: list[Stratum]
    lines: list[OfLine]
    calibration: list[Bin]


def details(scored: Scored) -> Details:
    """Measured from the rows; a control counts as the mean of its draws, as everywhere."""
    predicted = {arm: _finished(scored, arm) for arm in scored.predictions}
    everything = scored.together(scored.rows)
    return Details(
        [_stratum(everything, predicted, *chosen) for chosen in _groups(scored, everything)],
        _of_lines(scored, everything, predicted),
        [one for arm, (rows, draws) in predicted.items() for one in _calibration(arm, rows, draws)],
    )


def _finished(scored: Scored, arm: str) -> tuple[Rows, Array]:
    places: list[Place] = scored.common([arm])
    return scored.together(places), scored.predicted(arm, places)


def _groups(scored: Scored, rows: Rows) -> Iterator[tuple[str, str, Array]]:
    """What is sliced, the name of the slice, and the numbers of its lines among those that were tested."""
    tested = np.unique(rows.line)
    frequency = np.array(strata(np.array([line.triples for line in scored.lines])))
    tissue = np.array([line.tissue or "" for line in scored.lines], dtype=object)
    for by, names, of_line in (("frequency", FREQUENCIES, frequency), ("tissue", sorted(set(tissue) - {""}), tissue)):
        for name in names:
            chosen = tested[of_line[tested] == name]
            if len(chosen):
                yield by, name, chosen


def _stratum(rows: Rows, predicted: dict[str, tuple[Rows, Array]], by: str, name: str, lines: Array) -> Stratum:
    found = {}
    for arm, (own, draws) in predicted.items():
        at = np.isin(own.line, lines)
        if at.any():
            part = own.take(at)
            found[arm] = float(np.mean([auroc_of_splits(part, draw[at]) for draw in draws]))
    return Stratum(by, name, len(lines), int(np.isin(rows.line, lines).sum()), found)


def _of_lines(scored: Scored, rows: Rows, predicted: dict[str, tuple[Rows, Array]]) -> list[OfLine]:
    """The lines with the most triples first."""
    by_arm = {arm: [auroc_of_lines(own, draw) for draw in draws] for arm, (own, draws) in predicted.items()}
    found = []
    for line in np.unique(rows.line):
        values = {arm: _mean(one.get(line) for one in draws) for arm, draws in by_arm.items()}
        name, tissue, triples = scored.lines[line]
        found.append(OfLine(name, tissue, triples, values))
    return sorted(found, key=lambda line: (-line.triples, line.name))


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")


def _calibration(arm: str, rows: Rows, draws: Array) -> Iterator[Bin]:
    value, label = draws.ravel(), np.tile(rows.label, len(draws))
    for at in np.array_split(np.argsort(value, kind="stable"), BINS):
        if len(at):
            yield Bin(arm, len(at), float(value[at].mean()), float(label[at].mean()))
