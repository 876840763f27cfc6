"""The board: models of finished suites side by side, those that cannot be told apart in one group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.bench.finished import Finished, OfSplits, Origin, open_finished
from l2aco.bench.rows import Rows
from l2aco.bench.statistics import Difference, auroc, auroc_of_splits, difference, resampled
from l2aco.bench.suite import COLUMNS
from l2aco.bench.table import Cell, Table, count, heading, interval, number, text

if TYPE_CHECKING:
    import polars as pl

ROW = ["seed", "fold", "line", "pair"]
"""What a test row is known by within a data set and setting."""


@dataclass(frozen=True)
class Place:
    """A model on a board. `group`: 1 for the best and those that cannot be told from it, and so on down. `behind`: the
    best minus this, on the splits that both have; below 0 for one of fewer splits that is ahead on these."""

    group: int
    model: str
    suite: str
    auroc: float
    behind: Difference | None
    splits: int
    date: str
    commit: str | None
    command: str

    def row(self) -> list[Cell]:
        """As it is shown."""
        behind = self.behind
        return [
            count(self.group),
            text(self.model),
            text(self.suite),
            number(self.auroc),
            text("–") if behind is None else interval(behind.value, behind.low, behind.high),
            count(self.splits),
            text(self.date[:10]),
            text(self.commit),
            text(self.command),
        ]


@dataclass(frozen=True)
class Board:
    """The models of one data set, known by its hash, and one setting, that share splits with the best of them."""

    dataset: str
    dataset_hash: str
    setting: str
    simulated: bool
    seeds: list[int]
    places: list[Place]

    def table(self) -> Table:
        """As it is shown."""
        seeds = ", ".join(map(str, self.seeds))
        title = f"{self.dataset}, {self.setting}, seeds {seeds}" + (" (SIMULATED)" if self.simulated else "")
        columns = ["group", "model", "suite", "AUROC", "behind the best", "splits", "date", "commit", "command"]
        return Table(title, columns, [place.row() for place in self.places])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class _Model:
    """A candidate: its name, what it predicts for which rows, and where that comes from."""

    name: str
    suite: str
    rows: pl.DataFrame
    origin: Origin

    @cached_property
    def splits(self) -> frozenset[tuple[int, int]]:
        return frozenset(self.rows.select("seed", "fold").unique().iter_rows())

    def repeats(self, other: _Model) -> bool:
        """Whether both are the same, on some splits at least: of one suite, or with the same predictions in another."""
        if self.name != other.name or self.splits.isdisjoint(other.splits):
            return False
        both = self.rows.join(other.rows.select(*ROW, other="prediction"), on=ROW)
        return self.suite == other.suite or both["prediction"].equals(both["other"].alias("prediction"))


def boards(folders: Sequence[Path]) -> list[Board]:
    """From the folders of finished suites. Controls that are drawn several times are no candidates and left out. What
    several suites of a name hold on splits that they share, or several suites with the same predictions, stands once,
    with the most splits. The best is one of those with the most splits; models that share none with it have a
    board of their own.

    Raises InputError for a folder without a report, MismatchError for one of another version, DamagedError.
    """
    found: dict[tuple[str, str, str], list[_Model]] = {}
    simulated: dict[tuple[str, str, str], bool] = {}
    for finished in map(open_finished, folders):
        for table in finished.told.tables:
            key = (table.dataset, finished.told.provenance.datasets[table.dataset], table.setting)
            simulated[key] = table.simulated
            for model in _models(finished, table):
                known = found.setdefault(key, [])
                alike = [other for other in known if other.repeats(model)]
                if all(len(other.splits) < len(model.splits) for other in alike):
                    found[key] = [other for other in known if other not in alike] + [model]
    return [Board(*key, simulated[key], *told) for key, models in sorted(found.items()) for told in _boards(models)]


def markdown(found: Sequence[Board]) -> str:
    """All boards as one document."""
    lines = ["# Board", ""]
    lines += ["Models of one group cannot be told apart: the paired 95% interval against the best of it holds 0.", ""]
    for board in found:
        table = board.table()
        lines += [*heading(2, table.title), f"Data set {board.dataset_hash[:12]}.", "", table.markdown(), ""]
    return "\n".join(lines)


def _models(finished: Finished, table: OfSplits) -> Iterator[_Model]:
    import polars as pl

    told = finished.told
    of_table = (pl.col("dataset") == table.dataset) & (pl.col("setting") == table.setting)
    part = finished.predictions.filter(of_table)
    for row in table.rows:
        rows = part.select(*COLUMNS, prediction=row.model).drop_nulls("prediction").unique(ROW, maintain_order=True)
        if row.draws == 1 and len(rows):
            yield _Model(
                row.model, "naive" if row.model in told.suite.naive else told.suite.name, rows, told.provenance
            )


def _boards(models: list[_Model]) -> Iterator[tuple[list[int], list[Place]]]:
    """Seeds and places, board by board."""
    values = {id(model): auroc_of_splits(*_measurable(model.rows)) for model in models}
    while models:
        most = max(len(model.splits) for model in models)  # a model of one easy split leads nobody
        whole = [model for model in models if len(model.splits) == most]
        best = max(whole, key=lambda model: np.nan_to_num(values[id(model)], nan=-1.0))
        behind = {id(model): None if model is best else _gap(best, model) for model in models}
        known = [model for model in models if model is best or behind[id(model)] is not None]
        known.sort(key=lambda model: gap.value if (gap := behind[id(model)]) else -np.inf)
        groups = _groups(known)
        known.sort(key=lambda model: groups[id(model)])
        yield (
            sorted({seed for model in known for seed, _ in model.splits}),
            [_place(model, groups[id(model)], values[id(model)], behind[id(model)]) for model in known],
        )
        models = [model for model in models if id(model) not in groups]


def _place(model: _Model, group: int, value: float, behind: Difference | None) -> Place:
    origin = model.origin
    return Place(
        group, model.name, model.suite, value, behind, len(model.splits), origin.date, origin.commit, origin.command
    )


def _groups(models: list[_Model]) -> dict[int, int]:
    """The group of every model: the first of what is left, and all of it that it is not surely better than."""
    found: dict[int, int] = {}
    left, group = models, 0
    while left:
        group += 1
        gaps = {id(model): _gap(left[0], model) for model in left[1:]}
        tied = {key for key, gap in gaps.items() if gap is None or gap.low <= 0} | {id(left[0])}
        found |= dict.fromkeys(tied, group)
        left = [model for model in left if id(model) not in tied]
    return found


def _gap(first: _Model, second: _Model) -> Difference | None:
    """The paired difference of AUROC on the rows of the splits that both have; None where there are none."""
    both = first.rows.join(second.rows.select(*ROW, other="prediction"), on=ROW).sort(ROW)
    if not len(both):
        return None
    rows, prediction = _measurable(both)
    weights = resampled(rows.groups)
    return difference(auroc(rows, prediction, weights), auroc(rows, both["other"].to_numpy(), weights))


def _measurable(table: pl.DataFrame) -> tuple[Rows, np.ndarray]:
    rows = Rows(*(table[name].to_numpy() for name in Rows.__dataclass_fields__))
    return rows.numbered(), table["prediction"].to_numpy()
