"""From scored rows to a table of predictors and a verdict in words on every claim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from l2aco.bench.scored import Place, Scored
from l2aco.bench.statistics import CONFIDENCE, UNDEFINED, Difference, difference, few, holm
from l2aco.bench.suite import Claim, Suite

Array = np.ndarray[Any, np.dtype[Any]]
TITLES = {
    "auroc": "AUROC",
    "macro_auroc": "AUROC within lines",
    "ndcg_at_20": "NDCG@20 within lines",
    "pair_correlation": "correlation per pair over lines",
}
SIGNIFICANT = 1 - CONFIDENCE


@dataclass(frozen=True)
class Standing:
    """A predictor's measures on the splits that it has finished, with their intervals."""

    arm: str
    splits: int
    draws: int
    values: dict[str, tuple[float, float, float]]
    """By measure: value, low, high."""

    def as_row(self) -> dict[str, Any]:
        """For a table."""
        return {"model": self.arm, "splits": self.splits} | {name: value for name, (value, _, _) in self.values.items()}


@dataclass(frozen=True)
class Verdict:
    """A claim on one data set and setting, with what it rests on. `drawn`: how many cell lines, or drugs, are drawn
    again, in words; `caution`: what makes that doubtful, or nothing. `over`: the differences to every rival."""

    claim: Claim
    dataset: str
    setting: str
    splits: int
    drawn: str
    caution: str
    over: dict[str, Difference]
    p: float
    """Of the claim as a whole (the largest of its rivals'), after Holm's correction for all claims of the suite."""

    @property
    def holds(self) -> bool:
        return self.p <= SIGNIFICANT

    @property
    def undefined(self) -> bool:
        """Whether there was nothing to measure."""
        return bool(np.isnan(self.p))

    @property
    def hardest(self) -> str:
        """The rival that it is the least ahead of."""
        return min(self.over, key=lambda name: self.over[name].value)

    @property
    def resolution(self) -> float:
        """The smallest true difference to the hardest rival that would be found four times of five."""
        return self.over[self.hardest].resolution

    @property
    def resolves(self) -> str:
        """`resolution` in words."""
        return "nothing" if self.undefined else f"{self.resolution:.3f} {TITLES[self.claim.measure]}"

    @property
    def basis(self) -> str:
        """What it rests on, in words."""
        return f"{self.dataset}, {self.setting}, {self.splits} split{'s' * (self.splits > 1)}, {self.drawn}"

    def sentence(self) -> str:
        """The verdict in words."""
        said = f"Yes: {self.claim.text}" if self.holds else f"No evidence that {self.claim.text}"
        more = "" if self.undefined else f" This comparison resolves {self.resolution:.3f} ({self.basis})."
        return f"{said}. {self.finding()}{more}"

    def finding(self) -> str:
        """What was measured, in words, and what makes it doubtful."""
        found, rival = self.over[self.hardest], self.hardest
        what = f"{TITLES[self.claim.measure]} of {self.claim.arm}"
        size = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}] over {rival}, its hardest rival"
        if self.undefined:
            return f"{what} is undefined ({self.basis}): {UNDEFINED[self.claim.measure]}."
        return f"{what}: {size} (p = {self.p:.3g}). {self.caution}".rstrip()


def standings(scored: Scored) -> list[Standing]:
    """Every predictor, the best AUROC first."""
    found = []
    names = scored.measures
    for arm in scored.predictions:
        places = scored.common([arm])
        values = {name: _with_interval(scored.measured(name, arm, places)) for name in names}
        found.append(Standing(arm, len(places), len(scored.predicted(arm, places)), values))
    return sorted(found, key=lambda standing: -standing.values["auroc"][0])


def _with_interval(values: Array) -> tuple[float, float, float]:
    drawn = values[1:][np.isfinite(values[1:])]
    if not len(drawn):
        return float(values[0]), float("nan"), float("nan")
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(values[0]), float(low), float(high)


def judge(suite: Suite, everything: Sequence[Scored]) -> list[Verdict]:
    """The verdict on every claim of the suite on every data set and setting where all that it needs is there.

    A claim holds where the arm beats every rival: an intersection-union test, so that its p is the largest of them;
    Holm's correction is over the claims.
    """
    found = [verdict for scored in everything for verdict in _of_scored(suite, scored)]
    corrected = holm(np.array([verdict.p for verdict in found]))
    return [replace(verdict, p=float(p)) for verdict, p in zip(found, corrected, strict=True)]


def _of_scored(suite: Suite, scored: Scored) -> Iterator[Verdict]:
    defined = scored.measures
    for claim in suite.claims:
        places = scored.common([claim.arm, *claim.over])
        if places and claim.measure in defined:
            ours, *theirs = (scored.measured(claim.measure, arm, places) for arm in (claim.arm, *claim.over))
            over = {rival: difference(ours, values) for rival, values in zip(claim.over, theirs, strict=True)}
            p = float(np.max([item.p for item in over.values()]))  # undefined where one of them is
            drawn, caution = _drawn(scored, places)
            yield Verdict(claim, scored.dataset, scored.setting, len(places), drawn, caution, over, p)


def _drawn(scored: Scored, places: Sequence[Place]) -> tuple[str, str]:
    """How many of what are drawn again, in words, and a caution where these or the splits are few."""
    rows = scored.together(places)
    count = rows.numbered().groups
    cautions = few(count, rows.drawn), "It is one split: others may say otherwise." if len(places) == 1 else ""
    return f"{count} {rows.drawn}", " ".join(filter(None, cautions))
