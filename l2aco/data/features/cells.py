"""Features of cell lines that the knowledge graph and the entity table give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from l2aco.data.features.base import Array, Feature, Listed
from l2aco.data.features.table import FeatureTable
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

SIGNS = {"overexpresses": 1, "underexpresses": -1}


class Tissue(Feature):
    """float32 (lines, tissues): one-hot, from the fact `tissue`; a tissue that the data set lacks is unknown."""

    kind = EntityKind.cell_line
    brought_by = "--cell-lines TABLE_WITH_TISSUES"

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns

    @classmethod
    def fit(cls, dataset: DataSet, rows: Array | None = None) -> Self:
        return cls(tuple(sorted({_tissue(line) for line in dataset.cell_lines} - {""})))

    def of(self, entities: Sequence[Entity]) -> FeatureTable:
        known = [_tissue(line) for line in entities]
        values = np.array([[name == column for column in self.columns] for name in known], dtype=np.float32)
        values = values.reshape(len(known), len(self.columns))
        mask = np.array([name in self.columns for name in known], dtype=bool)
        return FeatureTable(EntityKind.cell_line, values, mask, self.columns)

    def state(self) -> dict[str, Array]:
        return {"columns": np.array(self.columns, dtype=np.str_)}

    @classmethod
    def restore(cls, state: Mapping[str, Array]) -> Self:
        return cls(tuple(state["columns"].tolist()))


def _tissue(line: Entity) -> str:
    return str(line.facts.get("tissue") or "").strip().casefold()


class CellProteins(Listed):
    """int8 (lines, proteins that any line over- or under-expresses): 1, -1 or 0, from the graph's signed relations."""

    kind = EntityKind.cell_line
    brought_by = "--graph FILE"

    @classmethod
    def fit(cls, dataset: DataSet, rows: Array | None = None) -> Self:
        graph = dataset.graph
        if graph is None:
            raise InputError(f"'{dataset.name}' has no knowledge graph to read cell proteins from", where=dataset.path)
        dense = np.zeros((len(dataset.cell_lines), len(graph.nodes.get("protein", []))), dtype=np.int8)
        for name, sign in SIGNS.items():
            pairs = graph.edges.get(("cell_line", name, "protein"))
            if pairs is not None:
                dense[pairs[0], pairs[1]] = sign
        used = np.flatnonzero(np.any(dense != 0, axis=0))
        columns = tuple(graph.nodes["protein"][row] for row in used) if len(used) else ()
        table = FeatureTable(EntityKind.cell_line, dense[:, used], np.any(dense != 0, axis=1), columns)
        return cls("cell_proteins", [line.id for line in dataset.cell_lines], table)
