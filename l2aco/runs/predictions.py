"""The table of predictions.parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import polars as pl

    from l2aco.data.dataset import DataSet


def predictions_frame(
    dataset: DataSet, rows: np.ndarray, probabilities: np.ndarray, calibrated: np.ndarray
) -> pl.DataFrame:
    """One line for each of the triples numbered `rows`: ids, score, label, probability, calibrated probability."""
    import polars as pl

    triples = dataset.triples
    drugs = np.array([drug.id for drug in dataset.drugs], dtype=object)
    lines = np.array([line.id for line in dataset.cell_lines], dtype=object)
    return pl.DataFrame(
        {
            "row": rows,
            "drug_a": drugs[triples.drug_a[rows]].tolist(),
            "drug_b": drugs[triples.drug_b[rows]].tolist(),
            "cell_line": lines[triples.cell_line[rows]].tolist(),
            "score": triples.score[rows],
            "label": triples.label[rows],
            "probability": probabilities,
            "calibrated": calibrated,
        }
    )
