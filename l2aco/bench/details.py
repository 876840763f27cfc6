"""Where a predictor is good and where it is not: by stratum, within every cell line, and by what it promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from l2aco.bench.known import Grouping
from l2aco.bench.rows import Rows
from l2aco.bench.scored import Place, Scored
from l2aco.bench.statistics import auroc_of_lines, auroc_of_splits
from l2aco.runs.breakdown import strata
from l2aco.runs.ranking import NAMES, calibration, ranking, risk_coverage

Array = np.ndarray[Any, np.dtype[Any]]
FREQUENCIES = ("head", "middle", "tail")


@dataclass(frozen=True)
class Stratum:
    """Test rows of some lines or pairs. `auroc`: of these rows pooled in a split, mean over splits, by predictor."""

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
    positive: float
    """The share of synergies."""
    predicted: dict[str, float]
    """The mean of `Scored.shown`, by predictor."""


@dataclass(frozen=True)
class Ranked:
    """The `k` first pairs of a line, means over lines, splits and draws: `runs.ranking.top`."""

    model: str
    k: int
    precision: float
    recall: float
    ndcg: float
    enrichment: float


@dataclass(frozen=True)
class Kept:
    """The rows that a predictor is the surest of, a share of all, and the share of these where it is wrong."""

    model: str
    coverage: float
    rows: int
    error: float


@dataclass(frozen=True)
class Bin:
    """A tenth of the test rows by predicted probability: its mean there, and the share of synergies found."""

    model: str
    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Details:
    """The views of one data set and setting, each predictor on the splits that it has finished."""

    strata: list[Stratum]
    lines: list[OfLine]
    calibration: list[Bin]
    ranking: list[Ranked]
    coverage: list[Kept]


def details(scored: Scored) -> Details:
    """Measured from the rows; a control counts as the mean of its draws, as everywhere, but where probabilities
    themselves are shown (calibration and abstention), see `Scored.shown`."""
    predicted = {arm: _finished(scored, arm) for arm in scored.predictions}
    everything = scored.together(scored.rows)
    shown = {arm: (rows, scored.shown(arm, scored.common([arm]))) for arm, (rows, _) in predicted.items()}
    return Details(
        list(_strata(scored, everything, predicted)),
        _of_lines(scored, everything, predicted, shown),
        [one for arm, rows in shown.items() for one in _calibration(arm, *rows)],
        [Ranked(arm, k, **values) for arm, (rows, draws) in predicted.items() for k, values in _ranked(rows, draws)],
        [one for arm, rows in shown.items() for one in _kept(arm, *rows)],
    )


def _finished(scored: Scored, arm: str) -> tuple[Rows, Array]:
    places: list[Place] = scored.common([arm])
    return scored.together(places), scored.predicted(arm, places)


def _groups(scored: Scored) -> Iterator[Grouping]:
    lines = np.arange(len(scored.lines))
    frequency = np.array(strata(np.array([line.triples for line in scored.lines])), dtype=object)
    tissue = np.array([line.tissue or "" for line in scored.lines], dtype=object)
    yield Grouping("frequency", "line", FREQUENCIES, lines, frequency)
    yield Grouping("tissue", "line", tuple(sorted(set(tissue) - {""})), lines, tissue)
    yield from scored.groupings


def _strata(scored: Scored, rows: Rows, predicted: dict[str, tuple[Rows, Array]]) -> Iterator[Stratum]:
    for grouping in _groups(scored):
        of_all = grouping.of_rows(rows)
        of_arm = {arm: grouping.of_rows(own) for arm, (own, _) in predicted.items()}
        for number, name in enumerate(grouping.names):
            here = of_all == number
            if here.any():
                found = {}
                for arm, (own, draws) in predicted.items():
                    if (at := of_arm[arm] == number).any():
                        part = own.take(at)
                        found[arm] = float(np.mean([auroc_of_splits(part, draw[at]) for draw in draws]))
                yield Stratum(grouping.by, name, len(np.unique(rows.line[here])), int(here.sum()), found)


def _of_lines(
    scored: Scored, rows: Rows, predicted: dict[str, tuple[Rows, Array]], shown: dict[str, tuple[Rows, Array]]
) -> list[OfLine]:
    """The lines with the most triples first."""
    by_arm = {arm: [auroc_of_lines(own, draw) for draw in draws] for arm, (own, draws) in predicted.items()}
    of_arm = {arm: _shares(own.line, said, len(scored.lines)) for arm, (own, said) in shown.items()}
    found = []
    for line in np.unique(rows.line):
        values = {arm: _mean(one.get(line) for one in draws) for arm, draws in by_arm.items()}
        name, tissue, triples = scored.lines[line]
        shares = {arm: float(of[line]) for arm, of in of_arm.items() if np.isfinite(of[line])}
        positive = float(rows.label[rows.line == line].mean())
        found.append(OfLine(name, tissue, triples, values, positive, shares))
    return sorted(found, key=lambda line: (-line.triples, line.name))


def _shares(line: Array, said: Array, lines: int) -> Array:
    """(lines,): the mean of the probabilities (n,) of each line, NaN where there are none."""
    count = np.bincount(line, minlength=lines)
    total = np.bincount(line, said, minlength=lines)
    return np.divide(total, count, out=np.full(lines, np.nan), where=count > 0)


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")


def _calibration(arm: str, rows: Rows, said: Array) -> Iterator[Bin]:
    for one in calibration(rows.label, said):
        yield Bin(arm, int(one["rows"]), one["predicted"], one["observed"])


def _kept(arm: str, rows: Rows, said: Array) -> Iterator[Kept]:
    for one in risk_coverage(rows.label, said):
        yield Kept(arm, one["coverage"], int(one["rows"]), one["error"])


def _ranked(rows: Rows, draws: Array) -> Iterator[tuple[int, dict[str, float]]]:
    found = [ranking(rows.label, draw, rows.lines) for draw in draws]
    for of_k in zip(*found, strict=True):
        if of_k[0]["lines"]:
            yield int(of_k[0]["k"]), {name: float(np.mean([row[name] for row in of_k])) for name in NAMES}
