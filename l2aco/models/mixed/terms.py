"""The variance components: which random effects there are.

Every effect is a product of two sides. Left, who acts: `all` (nobody: the line alone), `drug` (each drug for itself),
`pair` (each pair), `drug:NAME` (drugs share by the drug kernel NAME), `partner:NAME` (each drug for itself, sharing
over its partner by NAME: what a known drug does with a drug like this one). Right, in which line: `one` (the same in
every line), `own` (each line for itself), or the name of a line kernel. So `drug|panel` is the drug x line effect that
lines share by the panel, `all|own` a line's own level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

NOISE = "noise"
INTERCEPT_VARIANCE = 10.0
"""Of the intercept, in units of the target's variance: wide enough to be no prior."""


class Term(NamedTuple):
    """One random effect, `left|right`."""

    left: str
    right: str

    def __str__(self) -> str:
        return f"{self.left}|{self.right}"

    @staticmethod
    def parse(name: str) -> Term:
        left, _, right = name.partition("|")
        return Term(left, right)


INTERCEPT = Term("all", "one")


def default_terms(line_kernels: Sequence[str] = (), drug_kernels: Sequence[str] = ()) -> tuple[Term, ...]:
    """Intercept, line, drug, drug x line, pair and pair x line; each line kernel enters line, drug x line and pair x
    line, each drug kernel adds drug, drug x line and partner effects. Pair x line has no part of its own: that is the
    noise."""
    terms = [INTERCEPT, Term("all", "own"), Term("drug", "one"), Term("drug", "own"), Term("pair", "one")]
    terms += [Term(left, kernel) for left in ("all", "drug", "pair") for kernel in line_kernels]
    for kernel in drug_kernels:
        terms += [Term(f"drug:{kernel}", right) for right in ("one", "own")]
        terms += [Term(f"partner:{kernel}", "one")]
    return tuple(terms)


FEWER = {
    "additive": (INTERCEPT, Term("all", "own"), Term("drug", "one")),
    "pair": (INTERCEPT, Term("all", "own"), Term("drug", "one"), Term("pair", "one")),
}
"""Models of fewer effects: line and drugs; the same and their pair, which is its mean shrunk towards what they say."""


def first_guess(terms: Sequence[Term]) -> dict[str, float]:
    """Where the search for variances starts: half of the target's variance is noise, the rest is shared out."""
    share = {"all": 0.05, "drug": 0.08, "pair": 0.15}
    alike: dict[str, int] = {}
    for term in terms:
        alike[_kind(term)] = alike.get(_kind(term), 0) + 1
    found = {str(term): share[_kind(term)] / alike[_kind(term)] for term in terms if term != INTERCEPT}
    return {**found, str(INTERCEPT): INTERCEPT_VARIANCE, NOISE: 0.5}


def _kind(term: Term) -> str:
    left = term.left.partition(":")[0]
    return "pair" if left == "partner" else left
