"""The scored test rows of a suite, side by side: what every measure and every comparison is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from l2aco.bench.execute import Outcome
from l2aco.bench.known import Grouping, Known, groupings, known_of
from l2aco.bench.rows import Rows
from l2aco.bench.statistics import MEASURES, measures_of, resampled
from l2aco.bench.suite import Cell
from l2aco.data.catalog import open_dataset
from l2aco.data.dataset import DataSet
from l2aco.data.replicates import ceiling
from l2aco.data.splits import SETTINGS
from l2aco.data.splits.make import held_out_groups, make_split
from l2aco.data.splits.spec import Split
from l2aco.entities import EntityKind
from l2aco.errors import DamagedError, MismatchError
from l2aco.runs.naive import predictions, predictors_of
from l2aco.runs.run import Run
from l2aco.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

PROBABILITIES = ("probability", "calibrated")
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

    `rows`: of one split each. `predictions` (draws, n): of every arm, of the splits that it has finished. `calibrated`
    (n,): of those that are runs, the first draw.
    """

    dataset: str
    setting: str
    simulated: bool
    rows: dict[Place, Rows] = field(default_factory=dict)
    predictions: dict[str, dict[Place, Array]] = field(default_factory=dict)
    calibrated: dict[str, dict[Place, Array]] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    """The cell lines of the data set, by number."""
    groupings: list[Grouping] = field(default_factory=list)
    """Strata beside those by frequency and tissue."""
    known: Known | None = None
    noise: str | None = None
    """What repeated measurements say of the ceiling."""
    _measured: dict[tuple[str, str, tuple[Place, ...]], Array] = field(default_factory=dict, repr=False)

    @property
    def measures(self) -> list[str]:
        """Those that are defined where this was held out."""
        return list(measures_of(next(iter(self.rows.values()))))

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

    def shown(self, arm: str, places: Iterable[Place]) -> Array:
        """(n,): the probabilities that a user of an arm is shown, calibrated where it has any such; of a control the
        first draw."""
        own = self.calibrated.get(arm, {})
        return np.concatenate([own[place] if place in own else self.predictions[arm][place][0] for place in places])

    def measured(self, measure: str, arm: str, places: Iterable[Place]) -> Array:
        """(1 + draws of what is resampled,): a measure of an arm on these splits, for the data as they are and for
        every resample; of a control the mean over its draws. Measured once."""
        key = (measure, arm, tuple(places))
        if key not in self._measured:
            self._measure(measure, key[2])
        return self._measured[key]

    def _measure(self, measure: str, places: tuple[Place, ...]) -> None:
        """Of all that have finished these splits at once: much of what is counted is the same for all."""
        rows = self.together(places).numbered()
        arms = [arm for arm, of_place in self.predictions.items() if of_place.keys() >= set(places)]
        drawn = [self.predicted(arm, places) for arm in arms]
        values = MEASURES[measure](rows, np.concatenate(drawn), resampled(rows.groups))
        for arm, of_arm in zip(arms, np.split(values, np.cumsum([len(of_arm) for of_arm in drawn])[:-1]), strict=True):
            self._measured[measure, arm, places] = of_arm.mean(axis=0)


def gather(outcome: Outcome, workspace: Workspace) -> list[Scored]:
    """What the runs of a suite say of their test rows, and the naive predictors that it names."""
    found: dict[tuple[str, str], Scored] = {}
    by_split: dict[tuple[str, str, int, int], list[tuple[Cell, Run]]] = {}
    for cell, run in outcome.runs:
        by_split.setdefault(cell.where, []).append((cell, run))
    datasets: dict[str, DataSet] = {}
    splits: dict[tuple[str, str], list[Split]] = {}
    for (name, setting, seed, fold), runs in sorted(by_split.items(), key=lambda item: item[0]):
        dataset = datasets.setdefault(name, open_dataset(name, workspace))
        scored = found.setdefault(
            (name, setting),
            Scored(name, setting, dataset.simulated, lines=_lines(dataset)),
        )
        split = make_split(dataset, runs[0][0].spec.split)
        scored.rows[seed, fold] = rows_of(dataset, split)
        for arm, (predicted, calibrated) in _of_runs(runs, split).items():
            scored.predictions.setdefault(arm, {})[seed, fold] = predicted
            scored.calibrated.setdefault(arm, {})[seed, fold] = calibrated
        for arm, of_place in outcome.brought.items():
            if (seed, fold) in of_place:
                scored.predictions.setdefault(arm, {})[seed, fold] = of_place[seed, fold][None]
        naive = {name: known for name, known in predictors_of(dataset, split).items() if name in outcome.suite.naive}
        for name_of_one, probability in predictions(naive, dataset, split).items():
            scored.predictions.setdefault(name_of_one, {})[seed, fold] = probability[None]
        splits.setdefault((name, setting), []).append(split)
    for (name, setting), scored in found.items():
        of_arm = {cell.arm: run for cell, run in outcome.runs if cell.where[:2] == (name, setting)}
        stores = {store for run in of_arm.values() for store in run.spec.store or ()}
        scored.known = known_of(datasets[name], stores, workspace)
        scored.groupings = groupings(datasets[name], splits[name, setting], scored.known)
        scored.noise = _noise(datasets[name])
    return list(found.values())


def _noise(dataset: DataSet) -> str | None:
    found = dataset.manifest["replicates"]
    if not found or found.get("correlation") is None or found["identical_scores"] == found["triples"]:
        return None
    share = float(dataset.triples.label.mean())
    at, low, high = (ceiling(r, share) for r in (found["correlation"], *found["correlation_interval"]))
    same = f", {found['identical_scores']:,} of them with one and the same score" if found["identical_scores"] else ""
    agree, told = found["label_agreement"], found["auroc_first_from_second"]
    labels = "" if agree is None else f", labels agree in {agree:.1%}"
    labels += "" if told is None else f", one score predicts the other label with AUROC {told:.3f}"
    return (
        f"{found['triples']:,} triples of {found['pairs']} pairs were measured twice{same}: scores correlate at "
        f"{found['correlation']:.2f}{labels}; who knew the value without "
        f"its noise would reach about {at:.2f} [{low:.2f}, {high:.2f}] (Gaussian)"
    )


def _lines(dataset: DataSet) -> list[Line]:
    counts = np.bincount(dataset.triples.cell_line, minlength=len(dataset.cell_lines))
    return [
        Line(line.name, line.facts.get("tissue"), int(count))
        for line, count in zip(dataset.cell_lines, counts, strict=True)
    ]


def rows_of(dataset: DataSet, split: Split) -> Rows:
    """The test rows of a split. What is drawn again is the drug where drugs were held out, else the cell line."""
    triples, at = dataset.triples, split.test
    pair = triples.pair(len(dataset.drugs))[at]
    drugs = SETTINGS.load(split.spec.setting).held_out is EntityKind.drug
    group = held_out_groups(dataset, split, at) if drugs else triples.cell_line[at]
    return Rows(
        seed=np.full(len(at), split.spec.seed),
        fold=np.full(len(at), split.spec.fold),
        group=group,
        line=triples.cell_line[at],
        pair=pair,
        label=triples.label[at].astype(np.int64),
        score=triples.score[at],
    )


def _of_runs(runs: list[tuple[Cell, Run]], split: Split) -> Mapping[str, tuple[Array, Array]]:
    """By arm: probabilities (draws, n), and those of the first draw calibrated (n,)."""
    draws: dict[str, dict[int, pl.DataFrame]] = {}
    for cell, run in runs:
        table = run.predictions(columns=["row", *PROBABILITIES])
        if not np.array_equal(table["row"].to_numpy(), split.test):
            raise MismatchError(
                "its test rows are not those of the split",
                where=run.path,
                remedy="Delete the run; it is trained again.",
            )
        if not all(table[name].is_finite().fill_null(False).all() for name in PROBABILITIES):
            raise DamagedError("holds probabilities that are no numbers", where=run.path, remedy=run.again)
        draws.setdefault(cell.arm, {})[cell.draw] = table
    found = {}
    for arm, of_draw in draws.items():
        tables = [of_draw[draw] for draw in sorted(of_draw)]
        found[arm] = np.stack([table["probability"].to_numpy() for table in tables]), tables[0]["calibrated"].to_numpy()
    return found
