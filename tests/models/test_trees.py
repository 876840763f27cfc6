"""Trees kept as arrays say what scikit-learn's say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from l2aco.models.trees import Trees


@pytest.mark.parametrize(("categories", "named"), [(0, range(40)), (2, range(40)), (2, (3, 7, 8, 20, 41, 250))])
def test_arrays_say_what_scikit_learn_says(categories: int, named: Sequence[int]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 5))
    x[:, :2] = rng.choice(named, size=(3000, 2))
    x[rng.random(x.shape) < 0.1] = np.nan
    label = ((np.nan_to_num(x[:, 0]) % 3 == 1) ^ (np.nan_to_num(x[:, 2]) > 0.3) ^ np.isnan(x[:, 3])).astype(np.int8)
    how = {"max_iter": 30, "max_leaf_nodes": 15, "random_state": 0}
    trees = Trees.grow(x, label, categories=categories, **how)
    known = HistGradientBoostingClassifier(
        categorical_features=list(range(categories)) or None, early_stopping=False, **how
    ).fit(x, label)
    np.testing.assert_allclose(trees.logits(x), known.decision_function(x), atol=1e-9)
    other = x.copy()
    other[:, :2] = rng.integers(0, 254, size=(3000, 2))  # most of which training does not hold
    np.testing.assert_allclose(trees.logits(other), known.decision_function(other), atol=1e-9)
    again = Trees.of_arrays(trees.arrays())
    with pytest.raises(ValueError, match="value"):
        Trees.of_arrays({**trees.arrays(), "value": np.where(np.arange(len(trees.value)), trees.value, np.inf)})
    assert np.array_equal(again.logits(x[:50]), trees.logits(x[:50])) and again.logits(x[:0]).shape == (0,)


def test_the_mean_of_several_is_the_mean_of_their_logits() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 3))
    x[:, 0] = rng.integers(0, 9, size=400)
    grown = [
        Trees.grow(x, x[:, 1] + shift > 0, categories=1, max_iter=rounds, random_state=0)
        for shift, rounds in ((0.3, 3), (-0.3, 5), (0.0, 2))
    ]
    expected = np.mean([trees.logits(x) for trees in grown], axis=0)
    np.testing.assert_allclose(Trees.mean(grown).logits(x), expected, atol=1e-12)
    assert np.array_equal(Trees.mean(grown[:1]).logits(x), grown[0].logits(x))
