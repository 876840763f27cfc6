"""Which pairs to measure next in a cell line, by what the mixed model does not know of it.

What is peculiar to a line is its level and, for each drug, what the drug does there beside what it does elsewhere.
Both are random effects with variances that the model has learned, a drug's larger where it differed more between
lines; so a measurement of a pair tells of the level and of its two drugs, and through them of all other pairs of
either. Chosen is, one after the other, the pair whose measurement is expected to take most off the variance of the
differences between all pairs (A-optimal design, greedily). What is the same for all pairs, the level, is no aim,
since it orders nothing. Drugs repeat only once the others are known as well, so the choice is diverse by itself. The
result of a measurement changes no variance: all are chosen at once.

Source: Chaloner and Verdinelli, Bayesian experimental design: a review (1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.entities import Entity, EntityKind
from l2aco.errors import UsageError
from l2aco.models.backbones.mixed import Mixed
from l2aco.models.mixed.says import Asked
from l2aco.models.mixed.terms import NOISE
from l2aco.recommend.asked import Pairs
from l2aco.runs.predictor import Predictor

if TYPE_CHECKING:
    from l2aco.recommend.rank import Desk

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Unknown:
    """Variances of what is peculiar to a line: of its level, of each drug in it (drugs,), and of one measurement's
    rest."""

    level: float
    drugs: Array
    noise: float


@dataclass(frozen=True)
class Proposal:
    """A pair to measure. gain: the share of what is uncertain that its measurement is expected to take away, after
    those before it; left: the share that is uncertain then."""

    drug_a: Entity
    drug_b: Entity
    gain: float
    left: float


def design_rows(desk: Desk, line: Entity, count: int) -> list[dict[str, Any]]:
    """The proposals for one of the desk's lines, as rows of a table."""
    return [
        {
            "rank": rank,
            "cell_line": line.name,
            "drug_a": one.drug_a.name,
            "drug_b": one.drug_b.name,
            "gain": one.gain,
            "left": one.left,
            "training_a": desk.trained.get(one.drug_a.id, 0),
            "training_b": desk.trained.get(one.drug_b.id, 0),
        }
        for rank, one in enumerate(propose(desk.predictor, line, desk.free(line), count), start=1)
    ]


def propose(predictor: Predictor, line: Entity, pairs: Pairs, count: int) -> list[Proposal]:
    """`count` of the pairs to measure in `line`, the most telling first; those that the model has measurements of there
    are known, and not proposed. Raises UsageError where the run's model is no mixed model."""
    model = predictor.scorer
    if not isinstance(model, Mixed):
        raise UsageError(
            "the run's model does not know how uncertain it is of a line",
            remedy="Use a run of `--backbone Mixed`.",
        )
    drugs, rows = pairs.drugs, predictor.rows(EntityKind.drug, pairs.drugs)
    row = int(predictor.rows(EntityKind.cell_line, [line])[0])
    known = measured_there(model, rows, row)
    free = pairs.take(np.flatnonzero(~np.isin(pairs.keys(), known[:, 0] * len(drugs) + known[:, 1])))
    chosen, gains = choose(free.one, free.other, count, unknown_of(model, row, rows), known)
    left = 1.0 - np.cumsum(gains)
    return [
        Proposal(drugs[free.one[at]], drugs[free.other[at]], float(gain), float(rest))
        for at, gain, rest in zip(chosen, gains, left, strict=True)
    ]


def unknown_of(model: Mixed, line: int, drugs: Array) -> Unknown:
    """What the other lines say nothing of: the part of a line's own, and what its profile leaves open. Of the drugs,
    rows (d,), those that differed much between lines are taken to do so in this one."""
    nobody = np.zeros(1, dtype=np.int64)
    asked = Asked(model.state, nobody, nobody, nobody + line, model.drugs, model.lines)
    total = dict.fromkeys(("all", "drug", "pair"), 0.0)
    for term in model.state.terms:
        if term.left in total and term.right != "one":
            rest = 1.0 if term.right == "own" else float(asked.rest[term.right][line])
            total[term.left] += model.state.variances[str(term)] * rest
    differs = _differed(model)[asked.drugs[drugs]]
    return Unknown(total["all"], total["drug"] * differs, total["pair"] + model.state.variances[NOISE])


def _differed(model: Mixed) -> Array:
    """(training drugs + 1,): how much what a drug does differed between the training lines in which it was measured,
    over the mean of all drugs; the last, of any other drug, is 1."""
    state = model.state
    effects, measured = np.zeros((2, state.rows.drugs, state.rows.lines))
    for term in state.terms:
        if term.left == "drug" and term.right != "one":
            coefficients = state.coefficients[str(term)]
            effects += coefficients if term.right == "own" else coefficients @ state.phi[term.right].T
    for drugs in (state.rows.a, state.rows.b):
        measured[drugs, state.rows.c] = 1.0
    squares = np.average(effects**2, axis=1, weights=measured)
    mean = squares.mean()
    return np.append(squares / mean if mean > 0 else np.ones_like(squares), 1.0)


def measured_there(model: Mixed, drugs: Array, line: int) -> Array:
    """int64 (m, 2), the smaller first: places in `drugs` of the pairs that the model has a measurement of in `line`."""
    state, nobody = model.state, np.zeros(1, dtype=np.int64)
    asked = Asked(state, nobody, nobody, nobody + line, model.drugs, model.lines)
    place = np.full(state.rows.drugs + 1, -1)
    place[asked.drugs[drugs]] = np.arange(len(drugs))
    place[-1] = -1
    here = state.rows.c == asked.lines[line]
    pairs = np.stack([place[state.rows.a[here]], place[state.rows.b[here]]], axis=1)
    return np.sort(pairs[(pairs >= 0).all(axis=1)], axis=1)


def choose(
    one: Array, other: Array, count: int, unknown: Unknown, known: Array | None = None
) -> tuple[list[int], Array]:
    """The places of `count` of the pairs (one, other), int64 (n,) each among the drugs of `unknown`, the most telling
    first, and the share of the variance of their differences, once `known` (m, 2) is known, that each takes away."""
    covariance = np.diag([unknown.level, *unknown.drugs])
    for a, b in () if known is None else known.tolist():
        _learn(covariance, a, b, unknown.noise)
    aim = _differences(one, other, len(unknown.drugs))
    whole = float(np.sum(covariance * aim))
    free = np.ones(len(one), dtype=bool)
    chosen, gains = list[int](), list[float]()
    for _ in range(min(count, len(one))):
        told = _of_pairs(covariance @ aim @ covariance, one, other)
        gain = np.where(free, told / (_of_pairs(covariance, one, other) + unknown.noise), -1.0)
        best = int(gain.argmax())
        free[best] = False
        chosen.append(best)
        gains.append(float(gain[best]) / whole if whole > 0 else 0.0)
        _learn(covariance, int(one[best]), int(other[best]), unknown.noise)
    return chosen, np.array(gains)


def _differences(one: Array, other: Array, drugs: int) -> Array:
    """(1 + drugs, 1 + drugs): covariance of the pairs' columns, the first of which is the level's, and the same for
    all."""
    both = np.zeros((drugs, drugs))
    both[one, other] = both[other, one] = 1.0
    often = both.sum(axis=0)
    found = np.zeros((drugs + 1, drugs + 1))
    found[1:, 1:] = (both + np.diag(often)) / len(one) - np.outer(often, often) / len(one) ** 2
    return found


def _of_pairs(matrix: Array, one: Array, other: Array) -> Array:
    """(n,): x' M x for the columns x of each pair: 1 for the level, and for each of its drugs."""
    level, diagonal = matrix[0, 1:] + matrix[1:, 0], np.diag(matrix)[1:]
    mine = level + diagonal
    return np.asarray(matrix[0, 0] + mine[one] + mine[other] + 2.0 * matrix[1 + one, 1 + other])


def _learn(covariance: Array, a: int, b: int, noise: float) -> None:
    """What is uncertain once this pair is measured, in place."""
    towards = covariance[:, 0] + covariance[:, 1 + a] + covariance[:, 1 + b]
    covariance -= np.outer(towards, towards) / (towards[0] + towards[1 + a] + towards[1 + b] + noise)
