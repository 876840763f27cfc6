"""What is modelled: the label, a robust function of the score, or its rank; standardised on training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from l2aco.errors import InputError, UsageError

Array = np.ndarray[Any, np.dtype[Any]]
TargetName = Literal["label", "score", "rank"]
TARGETS: tuple[TargetName, ...] = ("label", "score", "rank")


@dataclass(frozen=True)
class Target:
    """score: tanh((score - centre) / width). rank: the share of training scores below, from `knots`, -1 to 1. label: 0
    or 1. All less `mean` and over `sd`, their mean and standard deviation on the training rows."""

    name: TargetName
    centre: float
    width: float
    knots: Array
    mean: float
    sd: float

    def __call__(self, score: Array | None, label: Array | None) -> Array:
        """float64 (n,): the modelled value; NaN where the score that it needs is NaN."""
        return (self._bent(score, label) - self.mean) / self.sd

    def unscaled(self, values: Array) -> Array:
        """Standardised values (n,) on the scale that `scale` names, within its bounds."""
        return np.clip(values * self.sd + self.mean, *self._ends)

    def beyond(self, values: Array) -> Array:
        """How far standardised values (n,) lie outside of what can be measured; 0 within."""
        found = values * self.sd + self.mean
        return (found - np.clip(found, *self._ends)) / self.sd

    @property
    def _ends(self) -> tuple[float, float]:
        return (0.0 if self.name == "label" else -1.0), 1.0

    @property
    def scale(self) -> str:
        """What `unscaled` gives, in words."""
        if self.name == "rank":
            return "the share of training scores below, from -1 to 1"
        sign = "+" if self.centre < 0 else "-"
        return f"tanh((score {sign} {abs(self.centre):.4g}) / {self.width:.4g})"

    def _bent(self, score: Array | None, label: Array | None) -> Array:
        source = label if self.name == "label" else score
        if source is None:
            raise UsageError(f"the target {self.name} needs {'labels' if self.name == 'label' else 'scores'}")
        values = np.asarray(source, dtype=np.float64)
        if self.name == "label":
            return values
        if self.name == "score":
            return np.tanh((values - self.centre) / self.width)
        ranks = 2.0 * np.interp(values, self.knots, np.linspace(0.0, 1.0, len(self.knots))) - 1.0
        return np.where(np.isnan(values), np.nan, ranks)


def fit_target(name: TargetName, score: Array | None, label: Array | None) -> Target:
    """From the training rows' scores (n,) and labels (n,): whichever the target needs.

    score: the centre is the median and the width the median absolute deviation from it (3 on DrugCombDB, 15 on O'Neil's
    Loewe scores), so half of the rows lie where tanh is nearly straight, and the rest cannot outweigh them.
    Raises UsageError for a target that is not known or has no values, InputError for one that is the same for all rows.
    """
    if name not in TARGETS:
        raise UsageError(f"there is no target '{name}'", remedy=f"Choose one of {', '.join(TARGETS)}.")
    source = label if name == "label" else score
    values = np.zeros(0) if source is None else np.asarray(source, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        raise UsageError(
            f"the target {name} needs {'labels' if name == 'label' else 'scores'}, and no training row has any",
            remedy="Learn the labels: --set target=label." if name != "label" else "Choose another target.",
        )
    if values.min() == values.max():
        what = "label" if name == "label" else "score"
        raise InputError(
            f"all {len(values):,} training rows have the {what} {values[0]:g}: there is nothing to tell apart",
            remedy="Learn the labels: --set target=label." if name != "label" else "Choose other training rows.",
        )
    centre = float(np.median(values))
    width = float(np.median(np.abs(values - centre))) or float(np.std(values))
    knots = np.quantile(values, np.linspace(0.0, 1.0, 1001)) if name == "rank" else np.zeros(0)
    raw = Target(name, centre, width, np.maximum.accumulate(knots), 0.0, 1.0)
    bent = raw(values, values)
    return Target(name, centre, width, raw.knots, float(bent.mean()), float(bent.std()))


MOST = 0.9
"""Share of rows with a score from which on the others may be left out."""


def usual_target(score: Array, label: Array) -> TargetName | None:
    """The score where it differs between rows (n,) and MOST of them have one, else the label; where that is the same
    for all, the score of those that have one; None where that does not differ either."""
    scores = score[np.isfinite(score)]
    labels_differ = len(label) > 0 and label.min() < label.max()
    if len(scores) and scores.min() < scores.max() and (len(scores) >= MOST * len(score) or not labels_differ):
        return "score"
    return "label" if labels_differ else None


def fit_cut(fitted: Array, variance: float, label: Array) -> float:
    """Above it measurements of the means `fitted` (n,) and this variance lie as often, together, as `label` (n,) says.

    The value that parts the labels would do only for scores as smooth as a normal: where a screen leaves out those near
    its threshold, any value in the gap parts them, and probabilities have the wrong level.
    """
    from scipy.optimize import brentq

    share, variance = float(np.clip(label.mean(), 0.001, 0.999)), max(variance, 1e-12)
    reach = 10.0 * np.sqrt(variance)
    ends = float(fitted.min() - reach), float(fitted.max() + reach)
    return float(brentq(lambda cut: probability_above(cut, fitted, variance).mean() - share, *ends, xtol=1e-9))


def probability_above(cut: float, mean: Array, variance: float) -> Array:
    """float64 (n,): that a measurement of this mean and variance lies above `cut`."""
    from scipy.stats import norm

    return np.asarray(norm.sf(cut, loc=mean, scale=np.sqrt(variance)))
