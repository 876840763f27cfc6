"""Predictions that were made elsewhere, in a table: two drugs, a cell line, and the probability of synergy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from l2aco.bench.suite import Cell, Suite
from l2aco.data.catalog import open_or_simulate
from l2aco.data.dataset import DataSet
from l2aco.data.splits.make import make_split
from l2aco.data.splits.spec import Split, SplitSpec
from l2aco.entities import Entity, EntityIndex, EntityKind
from l2aco.errors import InputError
from l2aco.runs.pairs import Pair, read_pairs, resolve_pairs
from l2aco.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

PREDICTED = ("probability", "prediction", "predicted", "calibrated", "y_pred")
"""Columns of a file that may hold what it predicts, the first that is there."""
TRIPLE = ["drug_a", "drug_b", "cell_line"]
SPLIT = ["seed", "fold"]
"""Columns that say of which split a prediction is, where the file has them."""


@dataclass(frozen=True)
class Names:
    """Who may stand in a file of predictions."""

    drugs: EntityIndex
    cell_lines: EntityIndex

    def resolve(self, kind: EntityKind, name: str) -> Entity:
        """Raises UnknownNameError with the nearest names."""
        return (self.drugs if kind is EntityKind.drug else self.cell_lines).resolve(name)


def read_predictions(path: Path, names: Names) -> pl.DataFrame:
    """The triples of a file by their ids, the drugs in order, with `probability`, and with seed and fold where it has
    such columns.

    Raises InputError with file and line for what cannot be read and for a triple that stands there twice, and for names
    that nobody has.
    """
    import polars as pl

    pairs = read_pairs(path)
    column = next((name for name in PREDICTED if pairs and name in pairs[0].more), None)
    if column is None:
        raise InputError(f"has no column of predictions ({', '.join(PREDICTED)})", where=path)
    said = [name for name in SPLIT if name in pairs[0].more]
    found: dict[tuple[str | int, ...], float] = {}
    for pair, (one, other, line) in zip(pairs, resolve_pairs(pairs, names), strict=True):
        key: tuple[str | int, ...] = (*sorted((one.id, other.id)), line.id, *(_whole(pair, name) for name in said))
        if key in found:
            raise InputError("the same triple stands there twice", where=pair.where, remedy="Keep one of the rows.")
        found[key] = _number(pair, column)
    schema = dict.fromkeys(TRIPLE, pl.String) | dict.fromkeys(said, pl.Int64) | {"probability": pl.Float64}
    return pl.DataFrame([(*key, value) for key, value in found.items()], schema=schema, orient="row")


def brought(suite: Suite, asked: Iterable[Cell], workspace: Workspace) -> dict[str, dict[tuple[int, int], np.ndarray]]:
    """What the arms of `suite` that have predictions say, by arm and by seed and fold: float64 (n,) of the test rows.

    Raises what `read_predictions` raises, and InputError for a file that says nothing, of which seed it is where there
    are several, or a part of a split.
    """
    files = {arm.name: arm.predictions for arm in suite.arms if arm.predictions is not None}
    if not files:
        return {}
    dataset = open_or_simulate(suite.dataset[0], workspace)
    names = Names(*(EntityIndex(kind, dataset.entities(kind)) for kind in EntityKind))
    splits = {cell.where[2:]: make_split(dataset, cell.spec.split) for cell in asked}
    found = {}
    for arm, path in files.items():
        table = read_predictions(path, names)
        if len(suite.seeds) > 1 and "seed" not in table.columns:
            raise InputError("does not say of which seed its predictions are", where=path, remedy="Add a column: seed.")
        told = {place: of_split(table, path, dataset, split) for place, split in splits.items()}
        found[arm] = {place: values for place, values in told.items() if values is not None}
        if not found[arm]:
            raise InputError("says nothing of any test row of the suite", where=path)
    return found


def said_of(predictions: pl.DataFrame, split: SplitSpec) -> pl.DataFrame:
    """What is predicted for a split, by triple; all of it where a file tells no seed or fold."""
    for name, value in (("seed", split.seed), ("fold", split.fold)):
        if name in predictions.columns:
            predictions = predictions.filter(predictions[name] == value)
    return predictions.select([*TRIPLE, "probability"])


def of_split(predictions: pl.DataFrame, path: Path, dataset: DataSet, split: Split) -> np.ndarray | None:
    """float64 (n,): what `predictions` say of the test rows of a split; None where they say nothing of it.

    Raises InputError where a part of the rows is lacking.
    """
    import polars as pl

    triples = dataset.triples.take(split.test)
    drugs = np.array([drug.id for drug in dataset.drugs])
    ids = np.sort(np.stack([drugs[triples.drug_a], drugs[triples.drug_b]]), axis=0)
    lines = np.array([line.id for line in dataset.cell_lines])[triples.cell_line]
    asked = pl.DataFrame({"drug_a": ids[0], "drug_b": ids[1], "cell_line": lines})
    found = asked.join(said_of(predictions, split.spec), on=TRIPLE, how="left", maintain_order="left")["probability"]
    if lacking := found.null_count():
        if lacking == len(found):
            return None
        first = ", ".join(asked.row(int(found.is_null().arg_max() or 0)))
        raise InputError(
            f"says nothing of {lacking:,} of the {len(found):,} test rows of seed {split.spec.seed}, fold "
            f"{split.spec.fold}, such as {first}",
            where=path,
            remedy="Bring all rows of a split, or none; the rows of a run: open_run(RUN).predictions('test').",
        )
    return found.to_numpy()


def _number(pair: Pair, column: str) -> float:
    try:
        value = float(pair.more[column])
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"column '{column}' holds '{pair.more[column]}', which is no finite number", where=pair.where)
    return value


def _whole(pair: Pair, column: str) -> int:
    value = _number(pair, column)
    if value != int(value):
        raise InputError(f"column '{column}' holds '{pair.more[column]}', which is no whole number", where=pair.where)
    return int(value)
