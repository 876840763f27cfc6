"""What of a ranking is a line's own, and which lines it is like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.entities import Entity, EntityKind
from l2aco.models.moments import moments

if TYPE_CHECKING:
    from l2aco.models.vectors import Vectors
    from l2aco.runs.predictor import Predictor

Array = np.ndarray[Any, np.dtype[Any]]
NOBODY = Entity("\0", EntityKind.cell_line, "a line of which nothing is known")
"""Predicted as the average of its kind."""
SAME = 0.9999
"""Rank correlation above which two lists are called the same."""
COMPARED = 200
"""Lines in training that another one's likeness is compared with, at most."""
APART = 0.95
"""Chosen in docs/recommending.md: from there on lines agree in what is peculiar to them."""


@dataclass(frozen=True)
class Neighbour:
    """A cell line in training and its likeness: the mean over stores of the cosine of centred profile vectors."""

    entity: Entity
    likeness: float

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.entity.name, "likeness": self.likeness}


def rank_correlation(one: Array, other: Array) -> float:
    """Spearman's, of two predictions (n,) of the same pairs; 1 where both say the same of all."""
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 1.0 if np.ptp(one) == np.ptp(other) else 0.0
    return float(spearmanr(one, other).statistic)


def alike(predictor: Predictor) -> float:
    """The likeness from which two lines are called alike: of pairs of training lines of different tissues (all pairs,
    where these are not known) a share of `APART` have less. At least 0."""
    rows, known = _some(predictor), predictor.inputs.cell_lines
    found = [likeness(predictor, row) for row in rows.tolist()]
    tissues = [str(known[row].facts.get("tissue") or row) for row in rows.tolist()]
    apart = [
        float(one[rows[other]])
        for place, one in enumerate(found)
        for other in range(place)
        if one is not None and found[other] is not None and tissues[place] != tissues[other]
    ]
    return max(0.0, float(np.quantile(apart, APART))) if apart else 0.0


def neighbours(predictor: Predictor, line: Entity, most: int = 5) -> list[Neighbour]:
    """The training lines that the run's stores say are nearest to `line`, the nearest first, itself left out; none
    where nothing is known of it. A number that is not known counts as the mean."""
    known, trained = predictor.inputs.cell_lines, _trained(predictor)
    row = int(predictor.rows(EntityKind.cell_line, [line])[0])
    mean = likeness(predictor, row)
    if mean is None:
        return []
    order = trained[np.argsort(-mean[trained], kind="stable")].tolist()
    return [Neighbour(known[at], float(mean[at])) for at in order if at != row][:most]


def strangeness(predictor: Predictor, line: Entity) -> float | None:
    """The share of the training lines that are as far, or farther, from their nearest one as `line` is from its own,
    itself counted among them: a conformal p-value over lines, which are the exchangeable units. Near 0, nothing in
    training is like it. None where nothing is known of it."""
    row = int(predictor.rows(EntityKind.cell_line, [line])[0])
    trained = _trained(predictor)
    mine = _nearest(predictor, row, trained)
    if mine is None:
        return None
    others = [
        found
        for at in _some(predictor).tolist()
        if at != row and (found := _nearest(predictor, at, trained)) is not None
    ]
    return (1 + sum(other <= mine for other in others)) / (1 + len(others))


def _nearest(predictor: Predictor, row: int, trained: Array) -> float | None:
    mean = likeness(predictor, row)
    others = trained[trained != row]
    return None if mean is None or not len(others) else float(mean[others].max())


def _some(predictor: Predictor) -> Array:
    trained = _trained(predictor)
    return trained if len(trained) <= COMPARED else np.random.default_rng(0).choice(trained, COMPARED, replace=False)


def _trained(predictor: Predictor) -> Array:
    known = predictor.inputs
    return np.arange(known.num_cells) if known.train_cells is None else np.asarray(known.train_cells)


def likeness(predictor: Predictor, row: int) -> Array | None:
    """(lines,): of every line that the model was trained with, the mean over stores; None where `row` is in none."""
    found = []
    for store, vectors in predictor.inputs.cell_vectors.items():
        known = len(vectors.known)
        holds, at = vectors, row
        if row >= known:
            assert predictor.newcomers is not None
            holds, at = predictor.newcomers.cell_vectors[store], row - known
        if holds.known[at]:
            found.append(_cosines(vectors, holds.values[at]))
    return np.mean(found, axis=0) if found else None


def _cosines(vectors: Vectors, this: Array) -> Array:
    """(n,): of a vector (D,) with those of a store."""
    centre, spread = moments(vectors.with_gaps)
    scale = np.where(spread > 0, spread if vectors.columns else 1.0, np.inf)
    all_of_them, mine = (np.nan_to_num((rows - centre) / scale) for rows in (vectors.with_gaps, this))
    lengths = np.linalg.norm(all_of_them, axis=1) * max(float(np.linalg.norm(mine)), 1e-12)
    return np.asarray(np.divide(all_of_them @ mine, lengths, out=np.zeros(len(lengths)), where=lengths > 0))


def describe_own(correlation: float, line: str) -> str:
    """In words, what share of a ranking is this line's own."""
    if correlation > SAME:
        return f"This is the list of any line of which nothing is known: the model reads nothing of {line}."
    return (
        f"Rank correlation with the list of a line of which nothing is known: {correlation:.2f}"
        f"{' (little of it is its own)' if correlation > 0.95 else ''}."
    )


def shown(found: Sequence[Neighbour]) -> str:
    """Names and likeness in a sentence."""
    return ", ".join(f"{one.entity.name} ({one.likeness:.2f})" for one in found)
