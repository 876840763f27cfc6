"""The scored test rows of a suite, side by side: what every measure and every comparison is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from l2aco.bench.execute import Outcome
from l2aco.bench.statistics import Rows
from l2aco.bench.suite import Cell
from l2aco.data.catalog import open_dataset
from l2aco.data.dataset import DataSet
from l2aco.data.splits import SETTINGS
from l2aco.data.splits.make import make_split
from l2aco.data.splits.spec import Split
from l2aco.entities import EntityKind
from l2aco.errors import MismatchError
from l2aco.models.mixed.target import usual_target
from l2aco.runs.naive import naive_predictors
from l2aco.runs.run import Run
from l2aco.workspace import Workspace

Array = np.ndarray[Any, np.dtype[Any]]
Place = tuple[int, int]
"""Seed and fold."""


class Line(NamedTuple):
    """A cell line: its name, the tissue if it is known, and its triples in the whole data set."""

    name: str
    tissue: str | None
    triples: int


@dataclass
class Scored:
    """The test rows of one data set and setting, split by split, and what every predictor says of them.

    `rows`: of one split each. `predictions` (draws, n): of every arm, of the splits that it has finished.
    """

    dataset: str
    setting: str
    simulated: bool
    rows: dict[Place, Rows] = field(default_factory=dict)
    predictions: dict[str, dict[Place, Array]] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    """The cell lines of the data set, by number."""

    def common(self, arms: Iterable[str]) -> list[Place]:
        """The splits that all of these predictors have finished."""
        places = [set(self.predictions.get(arm, {})) for arm in arms]
        return sorted(set.intersection(*places)) if places else []

    def together(self, places: Iterable[Place]) -> Rows:
        """The rows of these splits, one behind the other."""
        parts = [self.rows[place] for place in places]
        return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__dataclass_fields__))

    def predicted(self, arm: str, places: Iterable[Place]) -> Array:
        """(draws, n) of an arm on these splits; where a split has fewer draws than another, as many as all have."""
        parts = [self.predictions[arm][place] for place in places]
        draws = min(len(part) for part in parts)
        return np.concatenate([part[:draws] for part in parts], axis=1)


def gather(outcome: Outcome, workspace: Workspace) -> list[Scored]:
    """What the runs of a suite say of their test rows, and the naive predictors that it names."""
    found: dict[tuple[str, str], Scored] = {}
    by_split: dict[tuple[str, str, int, int], list[tuple[Cell, Run]]] = {}
    for cell, run in outcome.runs:
        by_split.setdefault(cell.where, []).append((cell, run))
    datasets: dict[str, DataSet] = {}
    for (name, setting, seed, fold), runs in sorted(by_split.items(), key=lambda item: item[0]):
        dataset = datasets.setdefault(name, open_dataset(name, workspace))
        scored = found.setdefault(
            (name, setting),
            Scored(name, setting, dataset.simulated, lines=_lines(dataset)),
        )
        split = make_split(dataset, runs[0][0].spec.split)
        scored.rows[seed, fold] = rows_of(dataset, split)
        for arm, predicted in _of_runs(runs, split).items():
            scored.predictions.setdefault(arm, {})[seed, fold] = predicted
        for naive in outcome.suite.naive:
            if (probability := _naive(naive, dataset, split)) is not None:
                scored.predictions.setdefault(naive, {})[seed, fold] = probability[None]
    return list(found.values())


def _lines(dataset: DataSet) -> list[Line]:
    counts = np.bincount(dataset.triples.cell_line, minlength=len(dataset.cell_lines))
    return [
        Line(line.name, line.facts.get("tissue"), int(count))
        for line, count in zip(dataset.cell_lines, counts, strict=True)
    ]


def rows_of(dataset: DataSet, split: Split) -> Rows:
    """The test rows of a split. What is drawn again is what was held out: the line, the drug, or the pair."""
    triples, at = dataset.triples, split.test
    pair = triples.pair(len(dataset.drugs))[at]
    held_out = SETTINGS.load(split.spec.setting).held_out
    group = triples.cell_line[at]
    if held_out is EntityKind.drug:
        held = np.isin([drug.id for drug in dataset.drugs], split.held_out)
        group = np.where(held[triples.drug_a[at]], triples.drug_a[at], triples.drug_b[at])
    return Rows(
        seed=np.full(len(at), split.spec.seed),
        fold=np.full(len(at), split.spec.fold),
        group=group,
        line=triples.cell_line[at],
        pair=pair,
        label=triples.label[at].astype(np.int64),
        score=triples.score[at],
    )


def _of_runs(runs: list[tuple[Cell, Run]], split: Split) -> Mapping[str, Array]:
    draws: dict[str, dict[int, Array]] = {}
    for cell, run in runs:
        table = run.predictions()
        if not np.array_equal(table["row"].to_numpy(), split.test):
            raise MismatchError(
                "its test rows are not those of the split",
                where=run.path,
                remedy="Delete the run; it is trained again.",
            )
        draws.setdefault(cell.arm, {})[cell.draw] = table["probability"].to_numpy()
    return {arm: np.stack([of_draw[draw] for draw in sorted(of_draw)]) for arm, of_draw in draws.items()}


def _naive(name: str, dataset: DataSet, split: Split) -> Array | None:
    """None where the data set has not what it is made of."""
    triples, rows = dataset.triples, np.concatenate([split.train, split.valid])
    asked = (triples.drug_a[split.test], triples.drug_b[split.test], triples.cell_line[split.test])
    predictor = naive_predictors(usual_target(triples.score[rows], triples.label[rows])).get(name)
    return None if predictor is None else predictor.fit(triples, rows).predict(*asked)
