"""Fitting the mixed model to measured triples, and scoring any others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from l2aco.errors import UsageError
from l2aco.models.mixed.covariance import Covariance, Rows
from l2aco.models.mixed.kernels import FeatureMap, fit_features
from l2aco.models.mixed.says import Asked, say
from l2aco.models.mixed.select import select_variances, some_pairs
from l2aco.models.mixed.solve import Additive, solve
from l2aco.models.mixed.state import Entities, State
from l2aco.models.mixed.target import TargetName, fit_target
from l2aco.models.mixed.terms import Term, default_terms, first_guess

Array = np.ndarray[Any, np.dtype[Any]]
SELECTION_ROWS = 200_000


def fit(
    a: Array,
    b: Array,
    c: Array,
    *,
    drugs: Entities,
    lines: Entities,
    score: Array | None = None,
    label: Array | None = None,
    target: TargetName = "score",
    terms: Sequence[Term] | None = None,
    variances: Mapping[str, float] | None = None,
    draws: int = 24,
    seed: int = 0,
    tolerance: float = 1e-8,
    told: Callable[[int, dict[str, float]], None] = lambda step, variances: None,
) -> State:
    """The model of n measured triples: int64 (n,) places of drugs a, b in `drugs` and of cell lines c in `lines`.

    score, label (n,): what was measured; rows without the value that `target` needs are left out. Kernels are fitted
    on the entities of these rows alone; one that does not tell them apart is named in `State.ignored`. terms: effects
    (None: `default_terms`). variances: of the terms and `noise`; None: chosen by restricted maximum likelihood on at
    most 200,000 of the rows, with `draws` simulated data sets. told: hears the number and the variances of each step.
    Raises UsageError where there are no rows, InputError where the target is the same for all.
    """
    fitted = fit_target(target, score, label)
    y = fitted(score, label)
    measured = np.flatnonzero(~np.isnan(y))
    a, b, c, y = (np.asarray(x)[measured] for x in (a, b, c, y))
    drug_numbers, line_numbers = np.unique(np.concatenate([a, b])), np.unique(c)
    line_maps, ignored_lines = _maps(lines, line_numbers)
    drug_maps, ignored_drugs = _maps(drugs, drug_numbers)
    rows = Rows(
        np.searchsorted(drug_numbers, a),
        np.searchsorted(drug_numbers, b),
        np.searchsorted(line_numbers, c),
        len(drug_numbers),
        len(line_numbers),
    )
    phi = {name: fitted_map(lines.kernels[name].values[line_numbers])[0] for name, fitted_map in line_maps.items()}
    psi = {name: fitted_map(drugs.kernels[name].values[drug_numbers])[0] for name, fitted_map in drug_maps.items()}
    effects = tuple(terms) if terms is not None else default_terms(list(phi), list(psi))
    if variances is None:
        part = some_pairs(rows, SELECTION_ROWS, seed)
        few = Rows(rows.a[part], rows.b[part], rows.c[part], rows.drugs, rows.lines)
        selection = Covariance(few, effects, phi, psi)
        variances = select_variances(
            selection, y[part], first_guess(effects), draws=draws, seed=seed, told=told
        ).variances
    covariance = Covariance(rows, effects, phi, psi)
    operator = covariance.at(variances)
    alpha = solve(operator, Additive(covariance, operator.variances), y[:, None], tolerance=tolerance)[:, 0]
    kept = {name: float(variances[name]) for name in [*map(str, effects), "noise"]}
    ignored = (*ignored_lines, *ignored_drugs)
    return State(fitted, kept, rows, y, alpha, drug_numbers, line_numbers, line_maps, drug_maps, phi, psi, ignored)


def score(state: State, a: Array, b: Array, c: Array, *, drugs: Entities, lines: Entities) -> Array:
    """float64 (n,): the expected target, standardised as in training, of the triples (a, b, c), places in `drugs` and
    `lines`. The order of a and b does not matter. A line of which no kernel knows anything gets what holds for all
    lines."""
    asked = Asked(state, a, b, c, drugs, lines)
    total = np.zeros(len(asked.c))
    for term in state.terms:
        total += say(asked, term, state.coefficients[str(term)][:, :, None])[:, 0]
    return total


def _maps(entities: Entities, rows: Array) -> tuple[dict[str, FeatureMap], list[str]]:
    if not len(rows):
        raise UsageError("there are no training rows", remedy="Choose another split.")
    found = {name: fit_features(known.values, rows, scaling=known.scaling) for name, known in entities.kernels.items()}
    return {name: x for name, x in found.items() if x is not None}, [name for name, x in found.items() if x is None]
