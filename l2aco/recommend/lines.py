"""Recommendations on disk: one table a line and pair, a table of lines by pairs, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.files import write_json
from l2aco.writing import write_table

if TYPE_CHECKING:
    import polars as pl

    from l2aco.recommend.rank import Desk
    from l2aco.recommend.recommendation import Recommendation


def write(found: Sequence[Recommendation], path: Path) -> None:
    """Every list whole as JSON, or a row for each pair of each line as CSV or Parquet."""
    import polars as pl

    if path.suffix.lower() == ".json":
        write_json(path, [one.as_dict() for one in found])
    else:
        write_table(pl.DataFrame(_long(found), infer_schema_length=None), path)


def across(desk: Desk, top: int) -> pl.DataFrame:
    """A row for each of the `top` pairs by the mean over all lines, the best first: the drugs' names and ids, and a
    column of probabilities for each line. Left out is what a list of any of the lines leaves out."""
    import numpy as np
    import polars as pl

    taken = np.any([desk.left_out(line) for line in desk.lines], axis=0)
    pairs = desk.pairs.take(np.flatnonzero(~taken))
    scores = np.array([desk.predictor.calibration.apply(desk.score(pairs, line)) for line in desk.lines])
    order = desk.order(pairs, scores.mean(axis=0), top)
    pairs, drugs = pairs.take(order), desk.pairs.drugs
    columns: dict[str, Any] = {
        "drug_a": [drugs[at].name for at in pairs.one],
        "drug_b": [drugs[at].name for at in pairs.other],
        "drug_a_id": [drugs[at].id for at in pairs.one],
        "drug_b_id": [drugs[at].id for at in pairs.other],
    }
    names = [line.name for line in desk.lines]
    names = [line.id if names.count(line.name) > 1 else line.name for line in desk.lines]
    return pl.DataFrame(columns | dict(zip(names, scores[:, order], strict=True)))


def _long(found: Sequence[Recommendation]) -> list[dict[str, Any]]:
    return [
        {name: " ".join(value) if isinstance(value, list) else value for name, value in pair.as_dict().items()}
        for one in found
        for pair in one.pairs
    ]
