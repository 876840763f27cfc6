"""Two predictors on the same triples, row by row: runs of ours, or files of predictions that came from anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.bench.outside import TRIPLE, Names, read_predictions, said_of
from l2aco.bench.rows import Rows
from l2aco.bench.statistics import UNDEFINED, Difference, difference, few, measures_of, resampled
from l2aco.data.splits import SETTINGS
from l2aco.entities import EntityIndex, EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.runs.evaluate import warnings_of
from l2aco.runs.run import Run, open_run
from l2aco.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

FILES = (".csv", ".tsv", ".txt", ".parquet", ".xlsx")


@dataclass(frozen=True)
class Comparison:
    """Two predictors on the rows that both have.

    measures: (first, second, first minus second) by name; drawn: what is drawn again for their intervals. lines: their
    AUROC within each cell line, where they differ most first. rows: the triples that they rank most differently, with
    names, and ids as drug_a_id, ... undefined: why a measure is, by name. warnings: what nobody may overlook of the
    runs.
    """

    first: str
    second: str
    common: int
    only_first: int
    only_second: int
    measures: dict[str, tuple[float, float, Difference]]
    lines: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    undefined: dict[str, str]
    drawn: str
    warnings: tuple[str, ...] = ()

    def table(self) -> list[dict[str, Any]]:
        """One row a measure."""
        return [
            {
                "measure": name,
                "difference": gap.value,
                "low": gap.low,
                "high": gap.high,
                "first": one,
                "second": other,
                "p, first is better": "undefined" if name in self.undefined else gap.p,
                "resolves": gap.resolution,
            }
            for name, (one, other, gap) in self.measures.items()
        ]


def compare(first: str, second: str, workspace: Workspace) -> Comparison:
    """Hold two predictors against each other on the test rows of the run that one of them is at least.

    A predictor is a run, or a table with columns for two drugs, a cell line and the probability; its names are those of
    the run's entities. Raises InputError for rows that cannot be read or that stand there twice, and where the two have
    no triple in common; UsageError where neither is a run, so that nobody knows what was measured.
    """
    runs = [None if Path(name).suffix.lower() in FILES else open_run(name, workspace) for name in (first, second)]
    known = next((run for run in runs if run is not None), None)
    if known is None:
        raise UsageError("one of the two must be a run", remedy="It knows what was measured: l2aco runs list.")
    tables = [
        _of_run(run) if run is not None else _of_file(Path(name), known)
        for run, name in zip(runs, (first, second), strict=True)
    ]
    names = [run.id if run is not None else Path(name).name for run, name in zip(runs, (first, second), strict=True)]
    found = _compared(names, tables, _measured(known))
    called = {entity.key: entity.name for kind in EntityKind for entity in known.entities(kind)}
    lines, rows = ([_named(row, called) for row in part] for part in (found.lines, found.rows))
    warnings = warnings_of(*(run for run in runs if run is not None))
    return replace(found, lines=lines, rows=rows, warnings=(*warnings, *found.warnings))


def _named(row: dict[str, Any], called: dict[tuple[str, str], str]) -> dict[str, Any]:
    """A row with names for its ids, which stand behind."""
    kinds = {"drug_a": EntityKind.drug, "drug_b": EntityKind.drug, "cell_line": EntityKind.cell_line}
    names = {column: called[kind.value, row[column]] for column, kind in kinds.items() if column in row}
    return {**row, **names, **{f"{column}_id": row[column] for column in names}}


def _of_run(run: Run, *columns: str) -> pl.DataFrame:
    return run.predictions().select([*TRIPLE, *(columns or ["probability"])])


def _measured(run: Run) -> pl.DataFrame:
    """Its test rows, and as `group` what is drawn again: where drugs were held out, that drug, the first of two such;
    else the cell line."""
    import polars as pl

    group = pl.col("cell_line")
    if SETTINGS.load(run.spec.split.setting).held_out is EntityKind.drug:
        held_out = pl.col("drug_a").is_in(run.manifest["held_out"])
        group = pl.when(held_out).then("drug_a").otherwise("drug_b")
    return _of_run(run, "label", "score").with_columns(group.alias("group"))


def _of_file(path: Path, run: Run) -> pl.DataFrame:
    """The triples of a file by the run's ids, with what it predicts; of several splits those of the run's."""
    names = Names(*(EntityIndex(kind, run.entities(kind)) for kind in EntityKind))
    return said_of(read_predictions(path, names), run.spec.split)


def _compared(names: list[str], tables: list[pl.DataFrame], measured: pl.DataFrame) -> Comparison:
    import polars as pl

    first, second = tables
    both = measured.join(first, on=TRIPLE).join(second, on=TRIPLE, suffix="_second").sort(TRIPLE)
    if not len(both):
        raise InputError("the two have no triple in common", remedy="Compare predictions of the same test rows.")
    group, line, pair = (
        both.select(pl.struct(columns).rank("dense")).to_series().to_numpy().astype(np.int64) - 1
        for columns in (["group"], TRIPLE[2:], TRIPLE[:2])
    )
    zeros = np.zeros(len(both), dtype=np.int64)
    label = both["label"].to_numpy().astype(np.int64)
    rows = Rows(
        zeros,
        zeros,
        group,
        line,
        pair,
        label,
        both["score"].to_numpy(),
    )
    weights = resampled(rows.groups)
    values = [both["probability"].to_numpy(), both["probability_second"].to_numpy()]
    measures = {}
    for name, measure in measures_of(rows).items():
        one, other = (measure(rows, value, weights) for value in values)
        measures[name] = (float(one[0]), float(other[0]), difference(one, other))
    return Comparison(
        names[0],
        names[1],
        len(both),
        len(first) - len(both),
        len(second) - len(both),
        measures,
        _by_line(both, rows, values),
        _most_different(both, values),
        {name: UNDEFINED[name] for name, (*_, gap) in measures.items() if np.isnan(gap.p)},
        rows.drawn,
        tuple(filter(None, [few(rows.groups, rows.drawn)])),
    )


def _by_line(both: pl.DataFrame, rows: Rows, values: list[np.ndarray]) -> list[dict[str, Any]]:
    from l2aco.metrics import compute

    names = both["cell_line"].to_numpy()
    found = []
    for line in np.unique(rows.line):
        at = rows.line == line
        one, other = (compute(rows.label[at], value[at], names=["auroc"])["auroc"] for value in values)
        if np.isfinite(one - other):
            found.append(
                {"cell_line": names[at][0], "rows": int(at.sum()), "first": one, "second": other, "gap": one - other}
            )
    return sorted(found, key=lambda row: -abs(row["gap"]))


def _most_different(both: pl.DataFrame, values: list[np.ndarray], most: int = 20) -> list[dict[str, Any]]:
    from scipy.stats import rankdata

    ranks = [rankdata(value) / len(value) for value in values]
    gap = ranks[0] - ranks[1]
    table = both.rename({"probability": "first", "probability_second": "second"})
    return [{**table.row(at, named=True), "rank_gap": float(gap[at])} for at in np.argsort(-np.abs(gap))[:most]]
