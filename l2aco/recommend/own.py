"""What of a ranking is a line's own, and which lines it is like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.entities import Entity, EntityKind
from l2aco.models.inputs import Inputs
from l2aco.models.moments import moments

if TYPE_CHECKING:
    from l2aco.runs.predictor import Predictor

Array = np.ndarray[Any, np.dtype[Any]]
NOBODY = Entity("\0", EntityKind.cell_line, "a line of which nothing is known")
"""Predicted as the average of its kind."""
SAME = 0.9999
"""Rank correlation above which two lists are called the same."""


@dataclass(frozen=True)
class Neighbour:
    """A cell line in training and its likeness: the mean over stores of the cosine of centred profile vectors."""

    entity: Entity
    likeness: float


def rank_correlation(one: Array, other: Array) -> float:
    """Spearman's, of two predictions (n,) of the same pairs; 1 where both say the same of all."""
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 1.0 if np.ptp(one) == np.ptp(other) else 0.0
    return float(spearmanr(one, other).statistic)


def neighbours(predictor: Predictor, line: Entity, most: int = 5) -> list[Neighbour]:
    """The training lines that the run's stores say are most like `line`, itself left out, and none that are unlike it.

    A number that is not known counts as the mean.
    """
    row = int(predictor.rows(EntityKind.cell_line, [line])[0])
    known = predictor.inputs
    likeness = [found for store in known.cell_vectors if (found := _likeness(predictor, store, row)) is not None]
    train = known.train_cells if known.train_cells is not None else np.arange(known.num_cells)
    if not likeness or not len(train):
        return []
    mean = np.mean(likeness, axis=0)
    trained = set(train.tolist())
    order = [at for at in np.argsort(-mean, kind="stable").tolist() if at in trained and at != row and mean[at] > 0]
    return [Neighbour(known.cell_lines[at], float(mean[at])) for at in order[:most]]


def _likeness(predictor: Predictor, store: str, row: int) -> Array | None:
    """(lines,): of every line that the model was trained with; None where `row` has no vector in this store."""
    vectors = predictor.inputs.cell_vectors[store]
    new: Inputs | None = predictor.newcomers
    if row < len(vectors.known):
        mine, is_known = vectors.values[row], vectors.known[row]
    else:
        assert new is not None
        others = new.cell_vectors[store]
        mine, is_known = others.values[row - len(vectors.known)], others.known[row - len(vectors.known)]
    if not is_known:
        return None
    centre, spread = moments(vectors.with_gaps)
    scale = np.where(spread > 0, spread if vectors.columns else 1.0, np.inf)
    all_of_them, this = (np.nan_to_num((rows - centre) / scale) for rows in (vectors.with_gaps, mine))
    lengths = np.linalg.norm(all_of_them, axis=1) * max(float(np.linalg.norm(this)), 1e-12)
    return np.asarray(np.divide(all_of_them @ this, lengths, out=np.zeros(len(lengths)), where=lengths > 0))


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
