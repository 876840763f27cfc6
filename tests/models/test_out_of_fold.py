"""Predictions of training rows by models that never saw what a row holds out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2aco.data.catalog import open_dataset
from l2aco.data.splits import SETTINGS
from l2aco.data.splits.make import make_split
from l2aco.data.splits.spec import SplitSpec
from l2aco.data.triples import Triples
from l2aco.errors import InputError
from l2aco.models.out_of_fold import out_of_fold


def some_triples(n: int, drugs: int, lines: int, seed: int) -> Triples:
    draw = np.random.default_rng(seed)
    a, b, c = draw.integers(drugs, size=n), draw.integers(drugs, size=n), draw.integers(lines, size=n)
    score = draw.normal(size=n)
    return Triples(a, b + drugs, c, score, (score > 0).astype(np.int8), np.ones(n, dtype=np.int64), score > 9)


@settings(max_examples=40)
@given(st.integers(20, 200), st.integers(2, 7), st.integers(2, 6), st.integers(0, 99))
def test_no_model_has_seen_the_group_of_a_row_that_it_scores(n: int, lines: int, folds: int, seed: int) -> None:
    triples = some_triples(n, 9, lines, seed)
    groups = triples.cell_line
    if len(np.unique(groups)) < 2:
        return
    scored = np.zeros(lines, dtype=int)

    def fit(part: Triples):
        seen = set(part.cell_line.tolist())

        def score(a, b, c):
            assert len(a) == len(b) == len(c) and seen.isdisjoint(c.tolist())
            np.add.at(scored, c, 1)
            return c * 10.0 + a

        return score

    found = out_of_fold(fit, triples, groups, folds=folds, seed=seed)
    assert np.array_equal(found, triples.cell_line * 10.0 + triples.drug_a), "in the order of the rows"
    assert np.array_equal(scored, np.bincount(triples.cell_line, minlength=lines)), "each row once"


def test_of_two_drugs_one_at_least_is_unseen_and_its_partner_mostly_known() -> None:
    triples = some_triples(500, 20, 5, 0)
    known = []

    def fit(part: Triples):
        seen = np.union1d(part.drug_a, part.drug_b)

        def score(a, b, c):
            both = np.isin(a, seen).astype(int) + np.isin(b, seen)
            assert (both < 2).all()
            known.extend(both)
            return np.zeros(len(a))

        return score

    out_of_fold(fit, triples, np.stack([triples.drug_a, triples.drug_b], axis=1))
    assert len(known) == 500 and 0.6 < np.mean(known) < 1


def test_one_group_is_refused() -> None:
    with pytest.raises(InputError, match="need two groups"):
        out_of_fold(lambda part: lambda a, b, c: a * 1.0, some_triples(9, 3, 1, 0), np.zeros(9, dtype=int))


@pytest.mark.parametrize("name", [entry.name for entry in SETTINGS])
def test_every_setting_says_what_it_holds_out(lab, name: str) -> None:
    """In training, validation and test no group is shared, but for the shots of a tail and the known partner."""
    demo = open_dataset("demo", lab)
    split = make_split(demo, SplitSpec(setting=name, shots=0))
    groups = SETTINGS.load(name)().groups(demo)
    assert len(groups) == len(demo.triples)
    unseen = ~np.isin(groups[split.test], groups[split.train]).reshape(len(split.test), -1)
    assert (unseen.sum(axis=1) == 1).all()
