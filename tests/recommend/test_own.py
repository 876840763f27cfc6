"""Which lines are like a line: by one and the same stores."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from l2aco.entities import Entity, EntityKind
from l2aco.models.vectors import Vectors
from l2aco.recommend.own import alike, neighbours, strangeness, told_by

LINES = [Entity(f"L{n}", EntityKind.cell_line, f"L{n}", facts={"tissue": str(n % 5)}) for n in range(30)]
NEW = Entity("NEW", EntityKind.cell_line, "NEW")


def vectors(seed: int, rows: int, shared: float = 0.0) -> Vectors:
    values = np.random.default_rng(seed).normal(size=(rows, 6)) + shared * np.linspace(-1, 1, rows)[:, None]
    return Vectors(values.astype(np.float32), np.ones(rows, dtype=bool), None, np.zeros(6, dtype=np.float32))


def predictor(*stores: str) -> SimpleNamespace:
    """A run that reads these of a panel, by which lines are much alike, and a text; the panel alone knows `NEW`."""
    known = {"panel": vectors(0, 30, shared=2.0), "text": vectors(1, 30)}
    told, nobody = vectors(2, 1), Vectors(*(vectors(3, 1).values, np.zeros(1, dtype=bool)), None, np.zeros(6))
    new = {"panel": told, "text": nobody}
    inputs = SimpleNamespace(
        cell_lines=LINES, num_cells=len(LINES), train_cells=None, cell_vectors={name: known[name] for name in stores}
    )

    def rows(kind: EntityKind, lines: list[Entity]) -> list[int]:
        return [len(LINES) if line is NEW else LINES.index(line) for line in lines]

    return SimpleNamespace(inputs=inputs, newcomers=SimpleNamespace(cell_vectors=new), rows=rows)


def test_a_line_that_one_store_knows_is_judged_by_that_store_alone() -> None:
    """A run that reads another store too says the same of it as one that reads this store only."""
    both, one = predictor("panel", "text"), predictor("panel")
    assert told_by(both, NEW) == ("panel",) and told_by(both, LINES[0]) == ("panel", "text")
    assert alike(both, told_by(both, NEW)) == alike(one, told_by(one, NEW))
    assert alike(both, ("panel",)) > alike(both, ("panel", "text"))
    assert neighbours(both, NEW) == neighbours(one, NEW)
    assert strangeness(both, NEW) == pytest.approx(strangeness(one, NEW))
