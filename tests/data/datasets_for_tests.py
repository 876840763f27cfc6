"""Small data sets to write in tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from l2aco.data.dataset import DataSet
from l2aco.data.write import write_dataset
from l2aco.entities import Entity, EntityKind
from l2aco.workspace import Workspace

TISSUES = ("lung", "skin", "breast", "colon")


def entities(count: int, letter: str, kind: EntityKind) -> list[Entity]:
    facts = [{"tissue": TISSUES[n % len(TISSUES)]} if kind is EntityKind.cell_line else {} for n in range(count)]
    return [Entity(f"{letter}{n:02d}", kind, f"{letter}{n:02d}", facts=facts[n]) for n in range(count)]


def write(
    workspace: Workspace, rows: Sequence[tuple[int, int, int, float]], name: str = "small", **more: Any
) -> DataSet:
    """A data set of rows (drug number, drug number, line number, score), every number below 40."""
    table = pl.DataFrame(
        {
            "drug_a": [f"D{row[0]:02d}" for row in rows],
            "drug_b": [f"D{row[1]:02d}" for row in rows],
            "cell_line": [f"L{row[2]:02d}" for row in rows],
            "score": [float(row[3]) for row in rows],
        }
    )
    drugs, lines = entities(40, "D", EntityKind.drug), entities(40, "L", EntityKind.cell_line)
    return write_dataset(name, workspace, drugs=drugs, cell_lines=lines, rows=table, replace=True, **more)


def screen(workspace: Workspace, *, drugs: int = 14, lines: int = 12, seed: int = 0, **more: Any) -> DataSet:
    """Most pairs in most lines; the last three lines are measured less and less."""
    rng = np.random.default_rng(seed)
    rows = [
        (a, b, c, float(rng.normal()))
        for c in range(lines)
        for a in range(drugs)
        for b in range(a + 1, drugs)
        if rng.random() < (0.8 if c < lines - 3 else 0.08 * (lines - c))
    ]
    return write(workspace, rows, **more)
