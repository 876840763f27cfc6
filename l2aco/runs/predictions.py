"""The tables of predictions.parquet and entities.parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from l2aco.entities import EntityKind

if TYPE_CHECKING:
    import polars as pl

    from l2aco.data.dataset import DataSet


def predictions_frame(
    dataset: DataSet, part: str, rows: np.ndarray, probabilities: np.ndarray, calibrated: np.ndarray
) -> pl.DataFrame:
    """One line for each of the triples numbered `rows`, which are the split's `part` (valid, test): ids, score, label,
    probability, calibrated probability."""
    import polars as pl

    triples = dataset.triples
    drugs = np.array([drug.id for drug in dataset.drugs], dtype=object)
    lines = np.array([line.id for line in dataset.cell_lines], dtype=object)
    return pl.DataFrame(
        {
            "part": [part] * len(rows),
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


def counts_frame(dataset: DataSet, train: np.ndarray) -> pl.DataFrame:
    """One line an entity: kind, id, name, triples in the data set, training_triples among the rows `train`."""
    import polars as pl

    triples = dataset.triples
    parts = []
    held = {EntityKind.drug: (triples.drug_a, triples.drug_b), EntityKind.cell_line: (triples.cell_line,)}
    for kind, columns in held.items():
        entities = dataset.entities(kind)
        every, trained = np.concatenate(columns), np.concatenate([column[train] for column in columns])
        parts.append(
            pl.DataFrame(
                {
                    "kind": [kind.value] * len(entities),
                    "id": [entity.id for entity in entities],
                    "name": [entity.name for entity in entities],
                    "triples": np.bincount(every, minlength=len(entities)),
                    "training_triples": np.bincount(trained, minlength=len(entities)),
                },
                schema_overrides={"kind": pl.String, "id": pl.String, "name": pl.String},
            )
        )
    return pl.concat(parts)
