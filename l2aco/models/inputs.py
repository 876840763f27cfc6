"""What a model is built from: entities, graph, features and profile vectors, each fitted on what training holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from l2aco.data.features.base import Feature
from l2aco.data.graph import KnowledgeGraph
from l2aco.entities import Entity, EntityKind
from l2aco.models.vectors import Vectors

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Inputs:
    """The entities that a model knows, and what it reads of them. A run saves all of it (`runs.inputs`), so that the
    model can be built again without the data set, and told of entities that no data set holds.

    features: a `FeatureTable` or `GraphTable` for each name in `Backbone.requires` but the graph, and in `uses` where
    there is one, in the order of `drugs` or `cell_lines`; fitted: the same names, to describe others. drug_vectors,
    cell_vectors: profile vectors by store, none where none are read. train_drugs, train_cells: int64 rows of those in
    training triples; None where unknown. below: what is read of the same entities by the models that this one
    stands on: the offset of a network, the members of an ensemble.
    """

    drugs: Sequence[Entity]
    cell_lines: Sequence[Entity]
    graph: KnowledgeGraph | None = None
    features: Mapping[str, Any] = field(default_factory=dict)
    fitted: Mapping[str, Feature] = field(default_factory=dict)
    drug_vectors: Mapping[str, Vectors] = field(default_factory=dict)
    cell_vectors: Mapping[str, Vectors] = field(default_factory=dict)
    train_drugs: Array | None = None
    train_cells: Array | None = None
    below: Sequence[Inputs] = ()

    @property
    def num_drugs(self) -> int:
        return len(self.drugs)

    @property
    def num_cells(self) -> int:
        return len(self.cell_lines)

    def entities(self, kind: EntityKind) -> Sequence[Entity]:
        """`drugs` or `cell_lines`."""
        return self.drugs if kind is EntityKind.drug else self.cell_lines

    def of(self, newcomers: Sequence[Entity], vectors: Mapping[tuple[str, str], Mapping[str, Array]]) -> Self:
        """The same of other entities, who have no edges: their features, and their vectors in `vectors`, by
        `Entity.key` and store, float (D,) as the store holds them."""
        drugs = [entity for entity in newcomers if entity.kind is EntityKind.drug]
        lines = [entity for entity in newcomers if entity.kind is EntityKind.cell_line]
        found = replace(self, drugs=drugs, cell_lines=lines, graph=None, train_drugs=None, train_cells=None)
        return replace(
            found,
            features={name: feature.of(found.entities(feature.kind)) for name, feature in self.fitted.items()},
            drug_vectors=_of(self.drug_vectors, drugs, vectors),
            cell_vectors=_of(self.cell_vectors, lines, vectors),
            below=[inputs.of(newcomers, vectors) for inputs in self.below],
        )

    def describe(self, kind: EntityKind) -> bool:
        """Whether there is a feature or a store of profile vectors of a kind."""
        vectors = self.drug_vectors if kind is EntityKind.drug else self.cell_vectors
        return bool(vectors) or any(table.kind is kind for table in self.features.values())

    def lacking(self, entity: Entity) -> list[str]:
        """What a model of these inputs would read of an entity among them, and does not find, in words."""
        row = [other.key for other in self.entities(entity.kind)].index(entity.key)
        names = [
            name.replace("_", " ")
            for name, table in self.features.items()
            if table.kind is entity.kind and not table.mask[row]
        ]
        vectors = self.drug_vectors if entity.kind is EntityKind.drug else self.cell_vectors
        several = len(vectors) > 1
        names += [
            f"profile vector in {store}" if several else "profile vector"
            for store, known in vectors.items()
            if not known.known[row]
        ]
        return list(dict.fromkeys([*names, *(name for inputs in self.below for name in inputs.lacking(entity))]))


def _of(
    fitted: Mapping[str, Vectors],
    entities: Sequence[Entity],
    vectors: Mapping[tuple[str, str], Mapping[str, Array]],
) -> dict[str, Vectors]:
    return {
        store: known.of([vectors.get(entity.key, {}).get(store) for entity in entities])
        for store, known in fitted.items()
    }
