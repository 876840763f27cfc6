"""What effects with known coefficients say of any triples, of entities that trained and of others."""

from __future__ import annotations

from typing import Any

import numpy as np

from l2aco.errors import InputError
from l2aco.models.mixed.kernels import FeatureMap
from l2aco.models.mixed.state import Entities, State
from l2aco.models.mixed.terms import Term

Array = np.ndarray[Any, np.dtype[Any]]
LARGEST_TABLE = 50_000_000
CHUNK = 65_536


class Asked:
    """Triples to be scored. For the lines asked for (L) and the drugs (d):

    lines, drugs: int64 number among the training entities, -1 for others. right: by right side, (L, r). rest: by right
    side, (L,) the part of its diagonal that the factor leaves out. psi, psi_rest: the same of drug kernels.
    pair: int64 (n,) the place in `State.pair_keys`, -1 for a pair that did not train.
    """

    def __init__(self, state: State, a: Array, b: Array, c: Array, drugs: Entities, lines: Entities) -> None:
        self.state = state
        self.a, self.b, self.c = (np.asarray(x, dtype=np.int64) for x in (a, b, c))
        for x, size, what in ((self.a, drugs.size, "drug"), (self.b, drugs.size, "drug"), (self.c, lines.size, "line")):
            if len(x) and not 0 <= x.min() <= x.max() < size:
                raise InputError(f"a triple names a {what} outside of the {size} that are given")
        self.drugs = _numbers(drugs, state.drug_numbers)
        self.lines = _numbers(lines, state.line_numbers)
        own = np.zeros((lines.size, state.rows.lines))
        trained = np.flatnonzero(self.lines >= 0)
        own[trained, self.lines[trained]] = 1.0
        self.right = {"one": np.ones((lines.size, 1)), "own": own}
        self.rest = {"one": np.zeros(lines.size), "own": (self.lines < 0).astype(np.float64)}
        for name, fitted in state.line_maps.items():
            self.right[name], self.rest[name] = _factor(name, fitted, lines, self.lines, state.phi[name])
        self.psi: dict[str, Array] = {}
        self.psi_rest: dict[str, Array] = {}
        for name, fitted in state.drug_maps.items():
            self.psi[name], self.psi_rest[name] = _factor(name, fitted, drugs, self.drugs, state.psi[name])
        one, two = self.drugs[self.a], self.drugs[self.b]
        keys = np.minimum(one, two) * np.int64(state.rows.drugs) + np.maximum(one, two)
        place = np.minimum(np.searchsorted(state.pair_keys, keys), len(state.pair_keys) - 1)
        self.pair = np.where((one >= 0) & (two >= 0) & (state.pair_keys[place] == keys), place, -1)


def _factor(name: str, fitted: FeatureMap, asked: Entities, numbers: Array, trained: Array) -> tuple[Array, Array]:
    """The factor (n, r) of a kernel in the entities asked for, and what it leaves out (n,). Those that trained have the
    factor that the coefficients are of, without what a map says more of them that was widened since."""
    known = asked.kernels.get(name)
    phi, rest = fitted(np.full((asked.size, len(fitted.centre)), np.nan) if known is None else known.values)
    at = np.flatnonzero(numbers >= 0)
    own = trained[numbers[at]]
    rest[at] = np.maximum(rest[at] + np.sum(phi[at] ** 2, axis=1) - np.sum(own**2, axis=1), 0.0)
    phi[at] = own
    return phi, rest


def say(asked: Asked, term: Term, coefficients: Array) -> Array:
    """(n, m): the effect `term` with `coefficients` (groups, r, m) in every triple asked for."""
    right = asked.right[term.right]
    kind, _, kernel = term.left.partition(":")
    if kind == "all":
        return (right @ coefficients[0])[asked.c]
    if kind == "pair":
        return _pairs(asked, right, coefficients)
    if kind == "partner":
        return _partners(asked, right, coefficients, asked.psi[kernel])
    if kind == "drug":
        if kernel:
            each = np.tensordot(asked.psi[kernel], right @ coefficients, 1)
        else:
            each = _with_unknown((right @ coefficients), asked.drugs)
        return each[asked.a, asked.c] + each[asked.b, asked.c]
    raise InputError(f"there is no effect '{term}'")


def _with_unknown(table: Array, numbers: Array) -> Array:
    """Rows of the table by number, zeros where that is -1."""
    found = table[np.maximum(numbers, 0)]
    found[numbers < 0] = 0.0
    return found


def _pairs(asked: Asked, right: Array, coefficients: Array) -> Array:
    out = np.zeros((len(asked.c), coefficients.shape[2]))
    known = np.flatnonzero(asked.pair >= 0)
    if len(coefficients) * len(right) * coefficients.shape[2] <= LARGEST_TABLE:
        out[known] = (right @ coefficients)[asked.pair[known], asked.c[known]]
        return out
    for start in range(0, len(known), CHUNK):
        some = known[start : start + CHUNK]
        out[some] = np.einsum("nrm,nr->nm", coefficients[asked.pair[some]], right[asked.c[some]])
    return out


def _partners(asked: Asked, right: Array, coefficients: Array, psi: Array) -> Array:
    """A known drug's slope times its partner's psi, both ways."""
    out = np.zeros((len(asked.c), coefficients.shape[2]))
    q, drugs = psi.shape[1], asked.state.rows.drugs
    same = right.shape[1] == 1  # the same in every line
    slopes = ((right[:1] if same else right) @ coefficients).reshape(drugs, q, -1, coefficients.shape[2])
    slopes = np.moveaxis(slopes, 2, 1)
    line = np.zeros_like(asked.c) if same else asked.c
    for known, partner in ((asked.a, asked.b), (asked.b, asked.a)):
        number = asked.drugs[known]
        trained = np.flatnonzero(number >= 0)
        for start in range(0, len(trained), CHUNK // 8):
            some = trained[start : start + CHUNK // 8]
            out[some] += np.einsum("nqm,nq->nm", slopes[number[some], line[some]], psi[partner[some]])
    return out


def _numbers(entities: Entities, trained: Array) -> Array:
    """int64 (n,): place of each entity among those that trained, -1 where it did not."""
    number = np.arange(entities.size) if entities.number is None else np.asarray(entities.number, dtype=np.int64)
    place = np.minimum(np.searchsorted(trained, number), len(trained) - 1)
    return np.where(trained[place] == number, place, -1)
