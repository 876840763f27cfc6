"""Naive predictors of scores: what a score says more than its label, without any knowledge of drugs or lines.

Both model a robust function of the score, and read off it the probability that a measurement is synergistic
(`models.mixed.target`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from l2aco.data.triples import Triples
from l2aco.models.mixed.state import Entities
from l2aco.models.mixed.target import TargetName, fit_cut, fit_target, probability_above
from l2aco.models.mixed.terms import NOISE
from l2aco.runs.naive_means import DRUG_K, PAIR_K, Array, smoothed

DRAWS = 8
"""Simulated data sets by which variances are chosen: three times as many move the AUROC by less than 0.0001."""


class PairMeanOfScores:
    """Mean robust score of the unordered pair, smoothed towards the sum of its drugs' means."""

    def fit(self, triples: Triples, rows: Array) -> Self:
        rows = rows[np.isfinite(triples.score[rows])]
        a, b, values = triples.drug_a[rows], triples.drug_b[rows], triples.score[rows]
        y = fit_target("score", values, None)(values, None)
        drugs = np.concatenate([a, b])
        self.drug = smoothed(np.bincount(drugs, np.tile(y, 2)), np.bincount(drugs), DRUG_K, 0.0)
        self.keys, pair = np.unique(_keys(a, b), return_inverse=True)
        self.total, self.count = np.bincount(pair, y), np.bincount(pair)
        fitted = self._mean(a, b)
        self.variance = float(np.mean((y - fitted) ** 2)) or 1.0
        self.cut = fit_cut(fitted, self.variance, triples.label[rows])
        return self

    def _mean(self, a: Array, b: Array) -> Array:
        drugs = self._of_drug(a) + self._of_drug(b)
        keys = _keys(a, b)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        known = self.keys[place] == keys
        return smoothed(np.where(known, self.total[place], 0.0), np.where(known, self.count[place], 0), PAIR_K, drugs)

    def _of_drug(self, drugs: Array) -> Array:
        known = drugs < len(self.drug)
        return np.where(known, self.drug[np.where(known, drugs, 0)], 0.0)

    def predict(self, a: Array, b: Array, c: Array) -> Array:
        return probability_above(self.cut, self._mean(a, b), self.variance)


@dataclass
class MixedWithoutKernels:
    """The mixed model with all its random effects, and no kernel by which lines or drugs would share them."""

    target: TargetName

    def fit(self, triples: Triples, rows: Array) -> Self:
        from l2aco.models.mixed.model import fit

        a, b, c = triples.drug_a[rows], triples.drug_b[rows], triples.cell_line[rows]
        drugs, lines = _entities(a, b), _entities(c)
        score, label = triples.score[rows], triples.label[rows]
        self.state = fit(a, b, c, drugs=drugs, lines=lines, score=score, label=label, target=self.target, draws=DRAWS)
        modelled = np.isfinite(self.state.target(score, label))
        self.cut = fit_cut(self.state.fitted, self.state.variances[NOISE], label[modelled])
        return self

    def predict(self, a: Array, b: Array, c: Array) -> Array:
        from l2aco.models.mixed.model import score

        mean = score(self.state, a, b, c, drugs=_entities(a, b), lines=_entities(c))
        return probability_above(self.cut, mean, self.state.variances[NOISE])


def _keys(a: Array, b: Array) -> Array:
    """int64 (n,): one number for each unordered pair."""
    return np.minimum(a, b).astype(np.int64) * (1 << 31) + np.maximum(a, b)


def _entities(*rows: Array) -> Entities:
    """As many as the rows point to."""
    return Entities(1 + max((int(some.max(initial=0)) for some in rows), default=0))
