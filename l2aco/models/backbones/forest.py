"""Forest: a random forest on what is read of both drugs and of the cell line; a probability is the mean over trees.

Shapes: columns (rows, 2 F + G), the smaller and the larger of each number of the drugs -> probabilities (rows,).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from l2aco.models.classical import Classical, ClassicalConfig
from l2aco.models.config import BackboneConfig
from l2aco.models.estimator import Array
from l2aco.models.trees import Trees


class ForestConfig(ClassicalConfig):
    trees: int = Field(default=200, ge=1)
    rows_a_leaf: int = Field(default=2, ge=1)
    """At least."""


class Forest(Classical):
    """See the module."""

    Config: ClassVar[type[BackboneConfig]] = ForestConfig
    citation: ClassVar[str] = "Breiman. Random forests. Machine Learning 2001."

    @classmethod
    def learn(cls, x: Array, label: Array, config: Any, seed: int) -> dict[str, Array]:
        from sklearn.ensemble import RandomForestClassifier

        grown = RandomForestClassifier(
            n_estimators=config.trees, min_samples_leaf=config.rows_a_leaf, random_state=seed
        ).fit(x, label)
        return side_by_side([tree.tree_ for tree in grown.estimators_]).arrays()

    def asked(self, x: Array) -> Array:
        return Trees.of_arrays(self.learned).logits(x)


def side_by_side(grown: list[Any]) -> Trees:
    """The trees of a forest, each leaf with its share of the mean: what `logits` adds up is a probability."""
    sizes = np.array([tree.node_count for tree in grown])
    roots = np.cumsum(sizes) - sizes
    shift = np.repeat(roots, sizes)
    left, right, column = (
        np.concatenate([getattr(tree, name) for tree in grown])
        for name in ("children_left", "children_right", "feature")
    )
    leaf = left < 0
    share = np.concatenate([tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1) for tree in grown])
    return Trees(
        roots=roots,
        column=np.where(leaf, 0, column).astype(np.int64),
        left=np.where(leaf, -1, left + shift),
        right=np.where(leaf, -1, right + shift),
        threshold=np.where(leaf, 0.0, np.concatenate([tree.threshold for tree in grown])),
        among=np.zeros((len(left), 1), dtype=bool),
        unknown_left=np.zeros(len(left), dtype=bool),
        value=share / len(grown),
        start=np.zeros(1),
    )
