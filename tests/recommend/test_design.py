"""Choosing what to measure: against random choice, on effects drawn from the model that it assumes."""

from __future__ import annotations

import numpy as np
import pytest

from l2aco.data.triples import Triples
from l2aco.entities import Entity, EntityKind
from l2aco.models.backbones.mixed import Mixed, MixedConfig
from l2aco.models.inputs import Inputs
from l2aco.recommend.design import Unknown, choose, unknown_of

DRUGS = 12
UNKNOWN = Unknown(0.3, np.linspace(0.1, 0.7, DRUGS), 0.5)


def all_pairs(drugs: int = DRUGS):
    return np.triu_indices(drugs, k=1)


def error(measured: list[int], seed: int) -> float:
    """Of the differences between all pairs, once effects were drawn and these pairs measured: mean square."""
    rng = np.random.default_rng(seed)
    one, other = all_pairs()
    columns = np.zeros((len(one), DRUGS + 1))
    columns[:, 0] = columns[np.arange(len(one)), 1 + one] = columns[np.arange(len(one)), 1 + other] = 1.0
    prior = np.diag([UNKNOWN.level, *UNKNOWN.drugs])
    effects = rng.multivariate_normal(np.zeros(DRUGS + 1), prior)
    seen = columns[measured]
    result = seen @ effects + rng.normal(0, np.sqrt(UNKNOWN.noise), len(measured))
    gain = prior @ seen.T @ np.linalg.inv(seen @ prior @ seen.T + UNKNOWN.noise * np.eye(len(measured)))
    wrong = columns @ (effects - gain @ result)
    return float(np.var(wrong))


def test_what_is_chosen_teaches_more_than_what_is_drawn():
    one, other = all_pairs()
    chosen, _ = choose(one, other, 10, UNKNOWN)
    drawn = [np.random.default_rng(seed).permutation(len(one))[:10].tolist() for seed in range(300)]
    by_choice = np.mean([error(chosen, seed) for seed in range(300)])
    by_chance = np.mean([error(pairs, seed) for seed, pairs in enumerate(drawn)])
    assert by_choice < 0.93 * by_chance


def test_the_share_that_is_promised_is_the_share_that_goes():
    """The gains are those of the exact posterior, computed the long way."""
    one, other = all_pairs(5)
    unknown = Unknown(0.3, UNKNOWN.drugs[:5], 0.5)
    chosen, gains = choose(one, other, 4, unknown)
    columns = np.zeros((len(one), 6))
    columns[:, 0] = columns[np.arange(len(one)), 1 + one] = columns[np.arange(len(one)), 1 + other] = 1.0
    prior = np.diag([unknown.level, *unknown.drugs])

    def spread(covariance):
        of_pairs = columns @ covariance @ columns.T
        return np.trace(of_pairs) / len(one) - of_pairs.mean()

    seen = columns[chosen]
    after = np.linalg.inv(np.linalg.inv(prior) + seen.T @ seen / UNKNOWN.noise)
    assert gains.sum() == pytest.approx(1 - spread(after) / spread(prior))


def test_what_is_known_is_not_asked_for_again():
    one, other = all_pairs()
    known = np.array([[8, 9], [10, 11]] * 5)
    alike = Unknown(0.3, np.full(DRUGS, 0.4), 0.5)
    first, _ = choose(one, other, 4, alike, known)
    assert not {int(drug) for at in first for drug in (one[at], other[at])} & {8, 9, 10, 11}


def test_drugs_that_differ_between_lines_are_measured_first():
    one, other = all_pairs()
    (first,), _ = choose(one, other, 1, UNKNOWN)
    assert {int(one[first]), int(other[first])} == {DRUGS - 2, DRUGS - 1}


def test_a_drug_measured_in_few_lines_is_no_better_known_than_others():
    """All differ alike between lines; the last four were measured in eight of 40."""
    rng = np.random.default_rng(0)
    (one, other), lines = np.triu_indices(16, k=1), 40
    a, b, c = np.repeat(one, lines), np.repeat(other, lines), np.tile(np.arange(lines), len(one))
    effects = rng.standard_normal((16, lines)) * 0.6
    score = effects[a, c] + effects[b, c] + rng.standard_normal(len(a)) * 0.8
    seen = (c < 8) | (b < 12)
    columns = [column[seen] for column in (a, b, c, score)]
    whole = np.ones(seen.sum(), dtype=np.int64)
    triples = Triples(*columns, (columns[3] > 0).astype(np.int8), whole, whole == 0)
    drugs, cells = (
        [Entity(f"{kind}{number}", kind, f"{kind}{number}") for number in range(count)]
        for kind, count in ((EntityKind.drug, 16), (EntityKind.cell_line, lines + 1))
    )
    model = Mixed.fit(Inputs(drugs, cells), MixedConfig(draws=2), triples)
    found = unknown_of(model, lines, np.arange(16)).drugs
    assert 0.7 < found[12:].mean() / found[:12].mean() < 1.4


def test_no_more_are_proposed_than_there_are():
    one, other = all_pairs(3)
    chosen, gains = choose(one, other, 10, Unknown(0.1, np.zeros(3), 1.0))
    assert sorted(chosen) == [0, 1, 2] and not gains.any()
