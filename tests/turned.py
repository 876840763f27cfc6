"""The demo with the labels of some of its rows turned round."""

from __future__ import annotations

import polars as pl

from l2aco.data.catalog import open_dataset
from l2aco.data.splits.make import make_split
from l2aco.data.write import write_dataset
from l2aco.runs.spec import TrainSpec
from l2aco.workspace import Workspace


def with_labels_turned_round(lab: Workspace, spec: TrainSpec, part: str = "test") -> None:
    """The demo as `turned`: the scores of its test or validation rows have the other sign."""
    demo = open_dataset("demo", lab)
    triples, rows = demo.triples, getattr(make_split(demo, spec.split), part)
    score = triples.score.copy()
    score[rows] = -score[rows]
    table = pl.DataFrame(
        {
            "drug_a": [demo.drugs[row].id for row in triples.drug_a],
            "drug_b": [demo.drugs[row].id for row in triples.drug_b],
            "cell_line": [demo.cell_lines[row].id for row in triples.cell_line],
            "score": score,
        }
    )
    turned = write_dataset("turned", lab, drugs=demo.drugs, cell_lines=demo.cell_lines, rows=table)
    assert (turned.triples.label[rows] == 1 - triples.label[rows]).all()
