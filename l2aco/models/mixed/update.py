"""New measurements taken up without a new search for variances: the posterior given all rows, old and new."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from l2aco.errors import UsageError
from l2aco.models.mixed.covariance import Covariance, Rows
from l2aco.models.mixed.kernels import FeatureMap
from l2aco.models.mixed.model import score as expect
from l2aco.models.mixed.solve import Additive, solve
from l2aco.models.mixed.state import Entities, State

Array = np.ndarray[Any, np.dtype[Any]]


def update(
    state: State,
    a: Array,
    b: Array,
    c: Array,
    *,
    drugs: Entities,
    lines: Entities,
    score: Array | None = None,
    label: Array | None = None,
    surprising: bool = False,
    tolerance: float = 1e-8,
) -> tuple[State, Entities, Entities]:
    """The state with k further measured triples, and `drugs` and `lines` with the numbers that newcomers were given.

    Target, kernels and variances stay; the solve starts from what was known, so a few rows take a fraction of a fit. A
    newcomer's number follows the largest one; score it with the entities that are returned. surprising: what is
    expected may lie beyond the ends of the target's scale, where nothing can be measured, and a row is compared with
    the end then, so that the strongest score lowers no expectation; without, the rows count as if they had been there
    when the model was fitted. Raises UsageError where no row has the value that the target needs.
    """
    y = state.target(score, label)
    measured = np.flatnonzero(~np.isnan(y))
    if not len(measured):
        needed = "label" if state.target.name == "label" else "score"
        raise UsageError(f"none of the new rows has a {needed}, which the model is of", remedy=f"Give {needed}s.")
    a, b, c, y = (np.asarray(x)[measured] for x in (a, b, c, y))
    if surprising:
        y = y + state.target.beyond(expect(state, a, b, c, drugs=drugs, lines=lines))
    drugs, drug_numbers, drug_maps, psi = _join(
        drugs, np.concatenate([a, b]), state.drug_numbers, state.drug_maps, state.psi
    )
    lines, line_numbers, line_maps, phi = _join(lines, c, state.line_numbers, state.line_maps, state.phi)
    of_drugs = np.searchsorted(drug_numbers, state.drug_numbers)  # where those that trained stand now
    of_lines = np.searchsorted(line_numbers, state.line_numbers)
    rows = Rows(
        np.concatenate([of_drugs[state.rows.a], np.searchsorted(drug_numbers, _number(drugs)[a])]),
        np.concatenate([of_drugs[state.rows.b], np.searchsorted(drug_numbers, _number(drugs)[b])]),
        np.concatenate([of_lines[state.rows.c], np.searchsorted(line_numbers, _number(lines)[c])]),
        len(drug_numbers),
        len(line_numbers),
    )
    y = np.concatenate([state.y, y])
    covariance = Covariance(rows, state.terms, phi, psi)
    operator = covariance.at(state.variances)
    start = np.concatenate([state.alpha, np.zeros(len(measured))])[:, None]
    alpha = solve(operator, Additive(covariance, operator.variances), y[:, None], start=start, tolerance=tolerance)
    grown = replace(
        state,
        rows=rows,
        y=y,
        alpha=alpha[:, 0],
        drug_numbers=drug_numbers,
        line_numbers=line_numbers,
        line_maps=line_maps,
        drug_maps=drug_maps,
        phi=phi,
        psi=psi,
    )
    return grown, drugs, lines


def _join(
    entities: Entities, used: Array, trained: Array, maps: dict[str, FeatureMap], factors: dict[str, Array]
) -> tuple[Entities, Array, dict[str, FeatureMap], dict[str, Array]]:
    """`entities` with a number for everybody in `used`; all that train now; maps and factors that cover them."""
    number = _number(entities).copy()
    used = np.unique(used)
    unnumbered = used[number[used] < 0]
    first = int(max(trained.max(initial=-1), number.max(initial=-1))) + 1
    number[unnumbered] = np.arange(first, first + len(unnumbered))
    newcomers = used[~np.isin(number[used], trained)]
    newcomers = newcomers[np.argsort(number[newcomers])]
    joined = np.union1d(trained, number[newcomers])
    grown_maps, grown = {}, {}
    for name, fitted in maps.items():
        known = entities.kernels.get(name)
        values = np.full((len(newcomers), len(fitted.centre)), np.nan) if known is None else known.values[newcomers]
        grown_maps[name] = fitted.widened(values)
        theirs, _ = grown_maps[name](values)
        both = np.zeros((len(joined), theirs.shape[1]))
        both[np.searchsorted(joined, trained), : fitted.rank] = factors[name]
        both[np.searchsorted(joined, number[newcomers])] = theirs
        grown[name] = both
    return replace(entities, number=number), joined, grown_maps, grown


def _number(entities: Entities) -> Array:
    return np.arange(entities.size) if entities.number is None else np.asarray(entities.number, dtype=np.int64)
