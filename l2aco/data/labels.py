"""From a continuous synergy score to a label: the rule, its text, and how it is applied."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from l2aco.errors import InputError, UsageError

Array = np.ndarray[Any, np.dtype[Any]]
UNLABELLED = -1
ROUNDING = 1e-9
"""By so much shares that sum up to all may miss it."""


class LabelRule(BaseModel):
    """`threshold`: 1 where score > positive, else 0. `gap`: 1 where score >= positive, 0 where score <=
    negative, the rows between are dropped. `quantile`: the same with the positive and negative quantiles of
    all scores as the two bounds. `shipped`: the labels that the source gives, scores notwithstanding; the bounds are
    those of the source's own gap, or equal where it names none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["threshold", "gap", "quantile", "shipped"] = "threshold"
    positive: float = 0.0
    negative: float = 0.0

    @classmethod
    def parse(cls, text: str) -> LabelRule:
        """`> 0`, `>= 10, <= 0`, `top 25%, bottom 25%` or `shipped`; raises UsageError otherwise."""
        plain = re.sub(r"\s+|score", "", text.casefold())
        number = r"(-?\d+(?:\.\d+)?(?:e-?\d+)?)"
        if plain == "shipped":
            return cls(kind="shipped")
        if found := re.fullmatch(rf">{number}", plain):
            return cls(kind="threshold", positive=float(found[1]), negative=float(found[1]))
        if (found := re.fullmatch(rf">={number},<={number}", plain)) and float(found[2]) < float(found[1]):
            return cls(kind="gap", positive=float(found[1]), negative=float(found[2]))
        if found := re.fullmatch(rf"top{number}%,bottom{number}%", plain):
            top, bottom = float(found[1]) / 100, float(found[2]) / 100
            if top > 0 and bottom > 0 and top + bottom <= 1:
                return cls(kind="quantile", positive=1 - top, negative=bottom)
        raise UsageError(
            f"'{text}' is no label rule",
            remedy="Write '> 0', '>= 10, <= 0', 'top 25%, bottom 25%', or 'shipped'.",
        )

    def __str__(self) -> str:
        if self.kind == "threshold":
            return f"score > {self.positive:g}"
        if self.kind == "gap":
            return f"score >= {self.positive:g}, score <= {self.negative:g}"
        if self.kind == "quantile":
            return f"top {100 * (1 - self.positive):g}%, bottom {100 * self.negative:g}%"
        return "shipped"

    @property
    def tells_of_scores(self) -> bool:
        """Whether it says which label a score alone has."""
        return self.kind != "shipped" or self.positive > self.negative

    def bounded(self, score: Array) -> LabelRule:
        """The rule with its quantiles, if it has such, as bounds of these scores (n,); raises InputError where both are
        one value, so that no gap is left between top and bottom."""
        known = score[~np.isnan(score)]
        if self.kind != "quantile" or not len(known):
            return self
        high, low = np.quantile(known, [self.positive, self.negative])
        if high == low and self.positive - self.negative > ROUNDING:
            raise InputError(
                f"{np.sum(known == high):,} of {len(known):,} scores are exactly {high:g}, so that '{self}' leaves no "
                "gap",
                remedy="Take smaller shares, or name the bounds, such as --label '> 0' or '>= 10, <= 0'.",
            )
        return LabelRule(kind="gap", positive=high, negative=low)

    def apply(self, score: Array) -> Array:
        """int8 (n,) labels of the scores (n,); UNLABELLED (-1) in the gap and where the score is NaN."""
        label = np.full(len(score), UNLABELLED, dtype=np.int8)
        known = ~np.isnan(score)
        if self.kind == "shipped" or not known.any():
            return label
        rule = self.bounded(score)
        positive = score > rule.positive if rule.kind == "threshold" else score >= rule.positive
        negative = ~positive if rule.kind == "threshold" else score <= rule.negative
        label[known & negative] = 0
        label[known & positive] = 1
        return label
