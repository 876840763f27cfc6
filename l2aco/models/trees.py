"""Boosted trees as arrays: grown by scikit-learn, kept and asked without it.

What scikit-learn offers to keep a classifier in is a pickle, which is code; here its trees are tables of numbers, which
later versions of it read as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from l2aco.files import refuse_not_finite

Array = np.ndarray[Any, np.dtype[Any]]
CATEGORIES = 255
"""So many at most of a column of categories, numbered from 0; scikit-learn's bound."""


@dataclass(frozen=True)
class Trees:
    """N nodes of all trees, one behind the other. roots: int64 (trees,) where each begins. column, left, right: int64
    (N,), which column a node asks and where it sends a row; left is -1 at a leaf. threshold: float64 (N,), up to which
    rows go left, NaN where categories do: those in `among`, bool (N, 256). unknown_left: bool (N,), where NaN goes.
    value: float64 (N,) of a leaf. start: float64 (1,), what the values are added to."""

    roots: Array
    column: Array
    left: Array
    right: Array
    threshold: Array
    among: Array
    unknown_left: Array
    value: Array
    start: Array

    @classmethod
    def grow(cls, x: Array, label: Array, *, categories: int, **how: Any) -> Self:
        """From x float64 (n, p; NaN: not known), whose first `categories` columns are numbered categories, and labels
        0/1 (n,). how: of scikit-learn's `HistGradientBoostingClassifier`."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        grown = HistGradientBoostingClassifier(
            categorical_features=list(range(categories)) or None, early_stopping=False, **how
        ).fit(x, label)
        trees = [tree for (tree,) in grown._predictors]
        sizes = np.array([len(tree.nodes) for tree in trees])
        roots = np.cumsum(sizes) - sizes
        nodes = np.concatenate([tree.nodes for tree in trees])
        shift, leaf = np.repeat(roots, sizes), nodes["is_leaf"].astype(bool)
        by_category = nodes["is_categorical"].astype(bool)
        return cls(
            roots=roots,
            column=nodes["feature_idx"].astype(np.int64),
            left=np.where(leaf, -1, nodes["left"] + shift),
            right=np.where(leaf, -1, nodes["right"] + shift),
            threshold=np.where(by_category, np.nan, nodes["num_threshold"]),
            among=_among(trees, nodes, [np.unique(x[~np.isnan(x[:, at]), at]) for at in range(categories)]),
            unknown_left=nodes["missing_go_to_left"].astype(bool),
            value=nodes["value"].astype(np.float64),
            start=np.asarray(grown._baseline_prediction, dtype=np.float64).reshape(1),
        )

    @classmethod
    def mean(cls, several: Sequence[Self]) -> Self:
        """Those whose logits are the mean of theirs."""
        nodes = np.array([len(one.column) for one in several])
        before = np.cumsum(nodes) - nodes
        joined = {field.name: np.concatenate([getattr(one, field.name) for one in several]) for field in fields(cls)}
        shift = np.repeat(before, nodes)
        return cls(
            **{
                **joined,
                "roots": np.concatenate([one.roots + by for one, by in zip(several, before, strict=True)]),
                "left": np.where(joined["left"] < 0, -1, joined["left"] + shift),
                "right": joined["right"] + shift,
                "value": joined["value"] / len(several),
                "start": joined["start"].mean(keepdims=True),
            }
        )

    def logits(self, x: Array) -> Array:
        """float64 (n,) for x (n, p), columns as in `grow`."""
        by_column = np.asfortranarray(x, dtype=np.float64)
        found = np.full(len(x), self.start[0])
        for root in self.roots.tolist():
            for leaf, rows in self._leaves(root, by_column):
                found[rows] += self.value[leaf]
        return found

    def _leaves(self, root: int, x: Array) -> Iterator[tuple[int, Array]]:
        """The leaves of a tree, each with the rows of x that end there."""
        waiting = [(root, np.arange(len(x)))]
        while waiting:
            node, rows = waiting.pop()
            if self.left[node] < 0 or not len(rows):
                yield node, rows
                continue
            values = x[rows, self.column[node]]
            unknown = np.isnan(values)
            if np.isnan(self.threshold[node]):
                goes = self.among[node][np.where(unknown, CATEGORIES, values).astype(np.int64)]
            else:
                goes = values <= self.threshold[node]
            goes = np.where(unknown, self.unknown_left[node], goes)
            waiting += [(int(self.left[node]), rows[goes]), (int(self.right[node]), rows[~goes])]

    def arrays(self) -> dict[str, Array]:
        """What `of_arrays` makes them of again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        refuse_not_finite({name: arrays[name] for name in ("value", "start")})
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def _among(trees: Sequence[Any], nodes: Array, seen: Sequence[Array]) -> Array:
    """bool (N, 256): the categories that go left at each node of scikit-learn's trees. `seen`: those of each column in
    training, sorted: scikit-learn numbers them anew in this order, and treats any other as not known."""
    among = np.zeros((len(nodes), CATEGORIES + 1), dtype=bool)
    sizes = np.array([len(tree.nodes) for tree in trees])
    bits = np.concatenate([tree.raw_left_cat_bitsets for tree in trees])
    of_tree = np.array([len(tree.raw_left_cat_bitsets) for tree in trees])
    place = nodes["bitset_idx"] + np.repeat(np.cumsum(of_tree) - of_tree, sizes)
    by_category = nodes["is_categorical"].astype(bool)
    among[by_category] = nodes["missing_go_to_left"].astype(bool)[by_category, None]
    for column, categories in enumerate(seen):
        at = np.flatnonzero(by_category & (nodes["feature_idx"] == column))
        left = np.unpackbits(
            np.ascontiguousarray(bits[place[at]]).astype("<u4").view(np.uint8), axis=1, bitorder="little"
        )
        among[at[:, None], categories.astype(np.int64)] = left[:, : len(categories)]
    return among
