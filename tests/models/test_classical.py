"""Logistic, Forest and GradientBoosting: they find what is planted, are scikit-learn's own numbers, and read what they
are told to read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_data import CELLS, DRUGS, knowledge, small_data

from l2aco.data.triples import Triples
from l2aco.entities import Entity, EntityKind
from l2aco.metrics import compute
from l2aco.models.assemble import parse_config, with_vectors
from l2aco.models.backbones import backbones
from l2aco.models.inputs import Inputs
from l2aco.models.spec import AlignSpec

NAMES = ("Logistic", "Forest", "GradientBoosting")
TREES = NAMES[1:]
every_one = pytest.mark.parametrize("name", NAMES)
SMALL: dict[str, dict[str, Any]] = {
    "Logistic": {"strength": 10.0},
    "Forest": {"trees": 60},
    "GradientBoosting": {"iterations": 60},
}
SOURCES = [
    {},
    {"drug_features": "profile", "cell_features": "profile"},
    {"drug_features": "one_hot", "cell_features": "one_hot"},
    {"drug_features": "one_hot", "cell_features": "tissue"},
]


def inputs_of(name: str) -> Inputs:
    draw = np.random.default_rng(2)
    vectors = [draw.normal(size=(count, 9)).astype(np.float32) for count in (DRUGS, CELLS)]
    base = small_data().inputs(backbones.load(name))
    return with_vectors(base, AlignSpec(loss="none", standardise=False), [knowledge(*vectors)])


def rows(interaction: float = 0.0) -> Triples:
    """All triples of the example; drugs do something alone, in every other line the opposite by `interaction`."""
    draw = np.random.default_rng(1)
    a, b, c = np.array([(a, b, c) for b in range(DRUGS) for a in range(b) for c in range(CELLS)]).T
    effect = draw.normal(size=DRUGS)
    effect[[3, 11]] = np.delete(effect, [3, 11]).mean()  # those without a fingerprint are the average drug
    effect -= effect.mean()
    score = (effect[a] + effect[b]) * np.where(c % 2, 1 - 2 * interaction, 1.0) + 0.1 * draw.normal(size=len(a))
    whole = np.ones(len(a), dtype=np.int64)
    return Triples(a, b, c, score, (score > 0).astype(np.int8), whole, whole == 0)


def fitted(name: str, triples: Triples, **config: Any) -> Any:
    cls = backbones.load(name)
    return cls.fit(inputs_of(name), parse_config(cls, {**SMALL.get(name, {}), **config}), triples)


def auroc(model: Any, triples: Triples) -> float:
    found = model.probabilities(triples.drug_b, triples.drug_a, triples.cell_line)
    return compute(triples.label, found)["auroc"]


@every_one
@pytest.mark.parametrize("config", SOURCES, ids=str)
def test_what_drugs_do_alone_is_found_from_any_columns(name: str, config: dict[str, Any]) -> None:
    triples = rows()
    order = np.random.default_rng(3).permutation(len(triples))
    model = fitted(name, triples.take(np.sort(order[:350])), **config)
    assert auroc(model, triples.take(np.sort(order[350:]))) > 0.9
    told = {"drug_features": "morgan", "cell_features": "expression", **config}
    assert model.facts() == {key: told[key] for key in ("drug_features", "cell_features")}


def test_trees_learn_by_heart_and_a_sum_of_columns_holds_no_interaction() -> None:
    triples = rows(interaction=1.0).take(np.arange(64))
    of_ids = {"drug_features": "one_hot"}
    assert auroc(fitted("Forest", triples, rows_a_leaf=1, **of_ids), triples) == 1.0
    assert auroc(fitted("GradientBoosting", triples, iterations=300, rows_a_leaf=1, l2=0.0, **of_ids), triples) == 1.0
    assert auroc(fitted("Logistic", rows(interaction=1.0), **of_ids), rows(interaction=1.0)) < 0.75


@pytest.mark.parametrize("name", TREES)
def test_kept_trees_say_what_scikit_learn_says(name: str) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    triples = rows()
    model = fitted(name, triples)
    x = model._columns(triples.drug_a, triples.drug_b, triples.cell_line)
    if name == "Forest":
        peer: Any = RandomForestClassifier(60, min_samples_leaf=2, random_state=0)
    else:
        peer = HistGradientBoostingClassifier(
            max_iter=60, min_samples_leaf=20, l2_regularization=1.0, random_state=0, early_stopping=False
        )
    expected = peer.fit(x, triples.label).predict_proba(x)[:, 1]
    found = model.probabilities(triples.drug_a, triples.drug_b, triples.cell_line)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@every_one
def test_newcomers_are_read_and_those_of_whom_nothing_is_known_are_average(name: str) -> None:
    model = fitted(name, rows())
    new = [Entity("N", EntityKind.cell_line, "N"), Entity("X", EntityKind.drug, "X", facts={"smiles": "CCO"})]
    grown = model.admit(model.inputs.of(new, {}))
    one = np.zeros(1, dtype=np.int64)
    assert np.isfinite(grown.probabilities(one, one + DRUGS, one + CELLS)).all()
    assert np.array_equal(grown.probabilities(one, one + 1, one), model.probabilities(one, one + 1, one))
