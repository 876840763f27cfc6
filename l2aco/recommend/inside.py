"""What a model says beyond a probability: how sure it is of it, and what it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.models.mixed.terms import NOISE, Term

if TYPE_CHECKING:
    from l2aco.runs.predictor import Predictor

Array = np.ndarray[Any, np.dtype[Any]]
SHARE = 0.9
PARTS = {
    "pair": "the pair in all lines",
    "drugs": "its drugs in all lines",
    "line": "the line, by what is known of it",
    "drugs here": "its drugs, by what is known of the line",
    "pair here": "the pair, by what is known of the line",
    "line own": "the line, by its own measurements",
    "drugs own": "its drugs, by the line's own measurements",
    "pair own": "the pair, by the line's own measurements",
}


def interval(predictor: Predictor, a: Array, b: Array, c: Array) -> tuple[Array, Array] | None:
    """float64 (n,) each: the calibrated probability at the ends of the central 90% of what the effect may be; the noise
    of a measurement is in the probability. None where the model does not know how uncertain it is."""
    from scipy.stats import norm

    from l2aco.models.backbones.mixed import Mixed
    from l2aco.models.mixed.target import probability_above

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
    from l2aco.models.backbones.mixed import Mixed
    from l2aco.models.mixed.says import Asked, say

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
    """By what: all lines (`one`), the line's own measurements (`own`), or a kernel over lines, which knows of it."""
    if term.right == "one" and term.left == "all":
        return None
    whose = {"all": "line", "drug": "drugs"}.get(term.left.partition(":")[0], "pair")
    if term.right == "one":
        return whose
    if term.right == "own":
        return f"{whose} own"
    return whose if whose == "line" else f"{whose} here"
