"""Logistic, Forest and GradientBoosting: they find what is planted, are scikit-learn's own numbers, and read what they
are told to read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_data import CELLS, DRUGS, knowledge, small_data

from l2aco.data.features.table import FeatureTable
from l2aco.data.triples import Triples
from l2aco.entities import Entity, EntityKind
from l2aco.metrics import compute
from l2aco.models.assemble import parse_config, with_vectors
from l2aco.models.backbones import backbones
from l2aco.models.inputs import Inputs
from l2aco.models.spec import AlignSpec
from l2aco.models.vectors import Knowledge

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


@every_one
def test_what_sets_a_new_line_apart_from_those_in_training_moves_it_no_further_than_they_differ(name: str) -> None:
    """Five lines differ in four directions, however many genes there are."""
    levels = np.random.default_rng(3).gamma(1.0, size=(CELLS, 900)).astype(np.float32)
    genes = FeatureTable(EntityKind.cell_line, levels, np.ones(CELLS, dtype=bool))
    known = inputs_of(name)
    inputs = replace(known, train_cells=np.arange(5), features={**known.features, "expression": genes})
    triples = rows()
    seen = triples.cell_line < 5
    cls = backbones.load(name)
    small = {"strength": 0.01} if name == "Logistic" else SMALL[name]
    config = parse_config(cls, {**small, "cell_features": "expression"})
    model = cls.fit(inputs, config, triples.take(np.flatnonzero(seen)))
    logits = model.logits(triples.drug_a, triples.drug_b, triples.cell_line)
    assert np.abs(logits[~seen]).max() < 3 * np.abs(logits[seen]).max()


def test_who_is_who_is_never_reduced() -> None:
    model = fitted("Logistic", rows(), cell_features="one_hot", components=2)
    columns = model._columns(*(np.arange(CELLS) * 0 + drug for drug in (0, 1)), np.arange(CELLS))[:, -CELLS:]
    assert np.array_equal(columns, np.eye(CELLS))


def test_who_is_unknown_is_as_those_in_training_are_on_average() -> None:
    table, trained, cls = small_data().features["atom_pair"], np.arange(6), backbones.load("Logistic")
    inputs = replace(inputs_of("Logistic"), features={**inputs_of("Logistic").features, "atom_pair": table})
    config = parse_config(cls, {"drug_features": "atom_pair"})
    model = cls.fit(replace(inputs, train_drugs=trained), config, rows().take(np.arange(30)))
    expected = table.values[trained[table.mask[trained]]].mean(axis=0)
    np.testing.assert_allclose(model._drugs[3], expected, rtol=1e-6)


def test_a_number_that_a_panel_leaves_open_is_its_mean() -> None:
    draw = np.random.default_rng(5)
    numbers = draw.normal(3.0, size=(CELLS, 4)).astype(np.float32)
    numbers[1, 2] = np.nan
    numbers[:, 3] = np.nan
    panel = Knowledge(
        "p",
        "fields",
        np.zeros((DRUGS, 4), np.float32),
        np.zeros(DRUGS, bool),
        numbers,
        np.ones(CELLS, bool),
        ("a", "b", "c", "d"),
    )
    cls = backbones.load("Logistic")
    align = AlignSpec(loss="none", standardise=False)
    inputs = with_vectors(small_data().inputs(cls), align, [panel], kinds=[EntityKind.cell_line])
    lines = cls.fit(inputs, parse_config(cls, {"cell_features": "panel"}), rows())._lines
    known = numbers[:, :3]
    expected = (known - np.nanmean(known, axis=0)) / np.nanstd(known, axis=0)
    np.testing.assert_allclose(lines[:, :3], np.nan_to_num(expected), atol=1e-5)
    assert not lines[:, 3].any()
