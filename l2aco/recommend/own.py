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
    """A cell line in training and its likeness: the mean, over the run's stores that know the line asked for, of the
    cosine of centred profile vectors."""

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


def told_by(predictor: Predictor, line: Entity) -> tuple[str, ...]:
    """The names of the run's stores that know `line`."""
    return _told_by(predictor, _row(predictor, line))


def alike(predictor: Predictor, stores: Sequence[str]) -> float:
    """The likeness by these stores above which two lines are called alike: of pairs of training lines of different
    tissues (all pairs, where these are not known) that all of the stores know a share of `APART` have less. At least
    0."""
    rows, known = _some(predictor, stores), predictor.inputs.cell_lines
    found = [likeness(predictor, row, stores) for row in rows.tolist()]
    tissues = [str(known[row].facts.get("tissue") or row) for row in rows.tolist()]
    apart = [
        float(one[rows[other]])
        for place, one in enumerate(found)
        for other in range(place)
        if one is not None and tissues[place] != tissues[other]
    ]
    return max(0.0, float(np.quantile(apart, APART))) if apart else 0.0


def neighbours(predictor: Predictor, line: Entity, most: int = 5) -> list[Neighbour]:
    """The training lines that the run's stores say are nearest to `line`, the nearest first, itself left out; none
    where nothing is known of it. A number that is not known counts as the mean."""
    known, trained = predictor.inputs.cell_lines, _trained(predictor)
    row = _row(predictor, line)
    mean = likeness(predictor, row, _told_by(predictor, row))
    if mean is None:
        return []
    order = trained[np.argsort(-mean[trained], kind="stable")].tolist()
    return [Neighbour(known[at], float(mean[at])) for at in order if at != row][:most]


def strangeness(predictor: Predictor, line: Entity) -> float | None:
    """The share of the training lines that are as far, or farther, from their nearest one as `line` is from its own,
    itself counted among them: a conformal p-value over lines, which are the exchangeable units. Near 0, nothing in
    training is like it. None where nothing is known of it."""
    row = _row(predictor, line)
    stores, trained = _told_by(predictor, row), _trained(predictor)
    mine = _nearest(predictor, row, trained, stores)
    if mine is None:
        return None
    others = [
        found
        for at in _some(predictor, stores).tolist()
        if at != row and (found := _nearest(predictor, at, trained, stores)) is not None
    ]
    return (1 + sum(other <= mine for other in others)) / (1 + len(others))


def _nearest(predictor: Predictor, row: int, trained: Array, stores: Sequence[str]) -> float | None:
    mean = likeness(predictor, row, stores)
    others = trained[trained != row]
    return None if mean is None or not len(others) else float(mean[others].max())


def _row(predictor: Predictor, line: Entity) -> int:
    return int(predictor.rows(EntityKind.cell_line, [line])[0])


def _some(predictor: Predictor, stores: Sequence[str]) -> Array:
    """Training lines that all of these stores know, `COMPARED` at most."""
    trained = np.array([row for row in _trained(predictor).tolist() if {*stores} <= {*_told_by(predictor, row)}], int)
    return trained if len(trained) <= COMPARED else np.random.default_rng(0).choice(trained, COMPARED, replace=False)


def _trained(predictor: Predictor) -> Array:
    known = predictor.inputs
    return np.arange(known.num_cells) if known.train_cells is None else np.asarray(known.train_cells)


def likeness(predictor: Predictor, row: int, stores: Sequence[str]) -> Array | None:
    """(lines,): of every line that the model was trained with, the mean over `stores`, all of which know `row`; None
    where there are none."""
    found = []
    for store in stores:
        holds, at = _held(predictor, store, row)
        found.append(_cosines(predictor.inputs.cell_vectors[store], holds.values[at]))
    return np.mean(found, axis=0) if found else None


def _told_by(predictor: Predictor, row: int) -> tuple[str, ...]:
    held = {store: _held(predictor, store, row) for store in predictor.inputs.cell_vectors}
    return tuple(store for store, (vectors, at) in held.items() if vectors.known[at])


def _held(predictor: Predictor, store: str, row: int) -> tuple[Vectors, int]:
    """The vectors of a store that hold `row`, and where."""
    vectors = predictor.inputs.cell_vectors[store]
    if row < len(vectors.known):
        return vectors, row
    assert predictor.newcomers is not None
    return predictor.newcomers.cell_vectors[store], row - len(vectors.known)


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
    shown, own = f"{correlation:.2f}", ""
    if correlation > 0.95:
        own = f" ({'next to none' if shown == '1.00' else 'little'} of it is its own)"
    return f"Rank correlation with the list of a line of which nothing is known: {shown}{own}."


def shown(found: Sequence[Neighbour]) -> str:
    """Names and likeness in a sentence."""
    return ", ".join(f"{one.entity.name} ({one.likeness:.2f})" for one in found)
