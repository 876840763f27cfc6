"""What a model says beyond a probability: how sure it is of it, and what it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from l2aco.models.backbones.mixed import Mixed
from l2aco.models.mixed.says import Asked, say
from l2aco.models.mixed.target import probability_above
from l2aco.models.mixed.terms import NOISE, Term
from l2aco.runs.predictor import Predictor

Array = np.ndarray[Any, np.dtype[Any]]
SHARE = 0.9
PARTS = {
    "pair": "the pair in all lines",
    "drugs": "its drugs in all lines",
    "line": "the line",
    "drugs here": "its drugs in lines like this one",
    "pair here": "the pair in lines like this one",
}


def interval(predictor: Predictor, a: Array, b: Array, c: Array) -> tuple[Array, Array] | None:
    """float64 (n,) each: the calibrated probability at the ends of the central 90% of what the effect may be; the noise
    of a measurement is in the probability. None where the model does not know how uncertain it is."""
    from scipy.stats import norm

    model = predictor.scorer
    if not isinstance(model, Mixed):
        return None
    found, noise = model.moments(a, b, c), model.state.variances[NOISE]
    reach = norm.ppf(0.5 + SHARE / 2) * np.sqrt(np.maximum(found.variance - noise, 0.0))
    low, high = (
        predictor.calibration.apply(probability_above(model.cut, found.mean + sign * reach, noise)) for sign in (-1, 1)
    )
    return low, high


def parts(predictor: Predictor, a: Array, b: Array, c: Array) -> dict[str, Array]:
    """What the expected score is made of, float64 (n,) by the names of `PARTS`, in standard deviations of the training
    scores; empty where the model is no sum of effects. A constant, the same for everybody, is left out."""
    model = predictor.scorer
    if not isinstance(model, Mixed):
        return {}
    asked = Asked(model.state, a, b, c, model.drugs, model.lines)
    found = {name: np.zeros(len(c)) for name in PARTS}
    for term in model.state.terms:
        name = _part(term)
        if name is not None:
            found[name] += say(asked, term, model.state.coefficients[str(term)][:, :, None])[:, 0]
    return found


def _part(term: Term) -> str | None:
    kind = term.left.partition(":")[0]
    if kind == "all":
        return None if term.right == "one" else "line"
    whose = "drugs" if kind == "drug" else "pair"
    return whose if term.right == "one" else f"{whose} here"
