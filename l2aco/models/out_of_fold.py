"""What a cheap model says of its own training rows while it knows nothing of what they hold out: input for another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from l2aco.data.triples import Triples
from l2aco.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]
Scorer = Callable[[Array, Array, Array], Array]
"""Scores (m,) or (m, k), logits for instance, of rows a, b of drugs and c of cell lines, int64 (m,)."""


def out_of_fold(
    fit: Callable[[Triples], Scorer], triples: Triples, groups: Array, *, folds: int = 5, seed: int = 0
) -> Array:
    """float64 (n,) or (n, k): of each of the n triples, the scores by a model that was fitted without its group.

    groups: int64 (n,), or (n, g) where a row belongs to g groups, such as its two drugs: `Setting.groups` at the rows
    of `triples`. The groups are dealt into `folds` parts at random, as many parts as groups where those are fewer. What
    fits for a part sees no row that has any group in it. A row of several groups is scored once, by the model that
    lacks one of them, drawn at random: its partner is mostly known, as in a test of one unseen drug.

    Raises InputError where there are fewer than two groups, or a part leaves no row to fit.
    """
    of_rows = np.asarray(groups).reshape(len(triples), -1)
    names, places = np.unique(of_rows, return_inverse=True)
    folds = min(folds, len(names))
    if folds < 2:
        raise InputError(
            f"predictions of training rows by models that did not see them need two groups, there are {len(names)}",
            remedy="Choose another setting or fold, or train without --offset.",
        )
    draw = np.random.default_rng([seed, folds])
    part_of = np.empty(len(names), dtype=np.int64)
    part_of[draw.permutation(len(names))] = np.arange(len(names)) % folds
    parts = part_of[places.reshape(of_rows.shape)]
    chosen = parts[np.arange(len(parts)), draw.integers(parts.shape[1], size=len(parts))]
    found: Array | None = None
    for part in range(folds):
        known, asked = np.flatnonzero((parts != part).all(axis=1)), np.flatnonzero(chosen == part)
        if not len(known):
            raise InputError(
                f"one of {folds} parts of what the setting holds out is in all {len(triples):,} training rows",
                remedy="Choose another setting or fold, or train without --offset.",
            )
        rows = triples.take(asked)
        said = fit(triples.take(known))(rows.drug_a, rows.drug_b, rows.cell_line)
        found = np.empty((len(triples), *said.shape[1:])) if found is None else found
        found[asked] = said
    assert found is not None
    return found
