"""What every backbone promises that is fitted at once: order, state, newcomers, measurements, knowledge that counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_data import CELLS, DRUGS, knowledge, small_data

from l2aco.data.triples import Triples
from l2aco.entities import Entity, EntityKind
from l2aco.models.assemble import parse_config, with_vectors
from l2aco.models.backbones import backbones
from l2aco.models.estimator import Estimator
from l2aco.models.inputs import Inputs
from l2aco.models.spec import AlignSpec

ESTIMATORS = [entry.name for entry in backbones if issubclass(entry.load(), Estimator)]
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)
KNOWING = [name for name in ESTIMATORS if backbones.load(name).Config().reads_vectors]
"""Those that read profile vectors without being told to."""
every_knowing_one = pytest.mark.parametrize("name", KNOWING)
RAW = AlignSpec(loss="none", standardise=False)
TRAINED = CELLS - 2
"""Lines that training holds; the last two are never measured."""


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A vector for every line, and what a drug does with lines of either sign."""
    rng = np.random.default_rng(seed)
    lines = rng.choice([-1.0, 1.0], size=(CELLS, 1)) * np.ones((1, 4)) + 0.01 * rng.normal(size=(CELLS, 4))
    return lines.astype(np.float32), rng.normal(size=(DRUGS, 6)).astype(np.float32), rng.normal(size=DRUGS)


def inputs_of(name: str) -> Inputs:
    lines, drugs, _ = planted()
    base = small_data().inputs(backbones.load(name), train_drugs=np.arange(DRUGS), train_cells=np.arange(TRAINED))
    return with_vectors(base, RAW, [knowledge(drugs, lines)])


def measured(lines: range, seed: int = 1) -> Triples:
    of_lines, _, slope = planted()
    rng = np.random.default_rng(seed)
    triples = [(a, b, c) for c in lines for a in range(DRUGS) for b in range(a + 1, DRUGS)]
    a, b, c = np.array(triples).T
    score = (slope[a] + slope[b]) * of_lines[c, 0] + 0.3 * rng.normal(size=len(a))
    whole = np.ones(len(a), dtype=np.int64)
    return Triples(a, b, c, score, (score > 0).astype(np.int8), whole, whole == 0)


def fitted(name: str, inputs: Inputs | None = None) -> Any:
    cls = backbones.load(name)
    return cls.fit(inputs or inputs_of(name), parse_config(cls, {}), measured(range(TRAINED)), seed=0)


def test_rows_without_a_score_do_not_move_the_level_of_the_mixed_model() -> None:
    cls = backbones.load("Mixed")
    scored = measured(range(TRAINED))
    whole = Triples(*(np.tile(column, 4) for column in vars(scored).values()))
    of_one = np.arange(len(whole)) < len(scored)
    mixed = replace(
        whole,
        score=np.where(of_one, whole.score, np.nan),
        label=np.where(of_one, whole.label, 0).astype(np.int8),
    )
    config = parse_config(cls, {"target": "score"})
    few, many = (cls.fit(inputs_of("Mixed"), config, rows, seed=0) for rows in (scored, mixed))
    assert many.cut == pytest.approx(few.cut, abs=1e-6)


ROWS = np.arange(6), np.arange(6, 12), np.arange(6) % CELLS


@every_estimator
def test_the_registry_tells_the_truth(name: str) -> None:
    entry = backbones.get(name)
    assert entry.load().citation and set(entry.facts["requires"]) == entry.load().requires


@every_estimator
def test_probabilities_do_not_depend_on_the_order_of_the_pair(name: str) -> None:
    model = fitted(name)
    a, b, c = ROWS
    found = model.probabilities(a, b, c)
    assert found.shape == (6,) and ((found >= 0) & (found <= 1)).all() and found.std() > 0
    np.testing.assert_allclose(found, model.probabilities(b, a, c), rtol=0, atol=1e-9)
    assert model.probabilities(*(rows[:0] for rows in ROWS)).shape == (0,)


@every_estimator
def test_the_same_seed_gives_the_same_numbers_and_arrays_bring_them_back(name: str, tmp_path: Any) -> None:
    inputs = inputs_of(name)
    model = fitted(name, inputs).refit(measured(range(TRAINED, TRAINED + 1)))
    again = fitted(name, inputs).refit(measured(range(TRAINED, TRAINED + 1)))
    assert np.array_equal(model.probabilities(*ROWS), again.probabilities(*ROWS))
    np.savez(tmp_path / "model.npz", **model.arrays())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        restored = type(model).restore(inputs, model.config, dict(arrays))
    np.testing.assert_allclose(restored.probabilities(*ROWS), model.probabilities(*ROWS), rtol=0, atol=1e-9)


@every_knowing_one
def test_knowledge_tells_an_unseen_line_what_it_is_like_and_a_shuffled_one_does_not(name: str) -> None:
    from sklearn.metrics import roc_auc_score

    unseen = measured(range(TRAINED, CELLS))
    lines, drugs, _ = planted()
    base = small_data().inputs(backbones.load(name), train_drugs=np.arange(DRUGS), train_cells=np.arange(TRAINED))
    turned = with_vectors(base, RAW, [knowledge(drugs, np.concatenate([lines[:TRAINED], -lines[TRAINED:]]))])
    auroc = [
        roc_auc_score(unseen.label, fitted(name, inputs).probabilities(unseen.drug_a, unseen.drug_b, unseen.cell_line))
        for inputs in (inputs_of(name), turned)
    ]
    assert auroc[0] > 0.9 and auroc[1] < 0.5


@every_knowing_one
def test_newcomers_are_scored_from_their_vectors(name: str) -> None:
    lines, _, _ = planted()
    model = fitted(name)
    new = [Entity("N1", EntityKind.cell_line, "N1"), Entity("N2", EntityKind.cell_line, "N2")]
    new += [Entity("N3", EntityKind.cell_line, "N3"), Entity("X", EntityKind.drug, "X")]
    told = {new[0].key: {"store": lines[0]}, new[1].key: {"store": -lines[0]}}
    grown = model.admit(model.inputs.of(new, told))
    a, b = np.zeros(3, dtype=np.int64), np.full(3, 1)
    known = grown.probabilities(a, b, np.zeros(3, dtype=np.int64))
    assert np.array_equal(known, model.probabilities(a, b, np.zeros(3, dtype=np.int64)))
    like, unlike, unknown = grown.probabilities(a, b, np.array([CELLS, CELLS + 1, CELLS + 2]))
    assert abs(like - known[0]) < abs(unlike - known[0]) and min(like, unlike) < unknown < max(like, unlike)
    assert np.isfinite(grown.probabilities(np.array([0]), np.array([DRUGS]), np.array([CELLS]))).all()


@every_knowing_one
def test_new_measurements_of_a_line_move_its_predictions_towards_them(name: str) -> None:
    rows = measured(range(TRAINED, TRAINED + 1), seed=3)
    flipped = replace(rows, score=-rows.score, label=1 - rows.label)
    asked = rows.drug_a[:20], rows.drug_b[:20], rows.cell_line[:20]
    before, after = (model.probabilities(*asked) for model in (fitted(name), fitted(name).refit(flipped)))
    error = np.abs(before - flipped.label[:20]).mean(), np.abs(after - flipped.label[:20]).mean()
    assert error[1] < error[0]


@every_estimator
def test_measurements_of_a_line_in_the_middle_are_those_of_that_line(name: str) -> None:
    """Entities that were not trained stand anywhere among the others."""
    cls = backbones.load(name)
    inputs, middle = inputs_of(name), 2
    rows = measured(range(TRAINED))
    here = rows.cell_line == middle
    most, rest = rows.take(np.flatnonzero(~here)), rows.take(np.flatnonzero(here))
    config = parse_config(cls, {})
    whole = cls.fit(inputs, config, rows, seed=0)
    grown = cls.fit(inputs, config, most, seed=0).refit(rest)
    of_line = rest.drug_a, rest.drug_b, rest.cell_line
    others = most.drug_a, most.drug_b, most.cell_line
    for asked in (of_line, others):
        known, now = whole.probabilities(*asked), grown.probabilities(*asked)
        assert np.corrcoef(known, now)[0, 1] > 0.95
