"""What can spoil the evidence, said whether it does or not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from l2aco.bench.execute import Outcome, describe
from l2aco.bench.scored import Scored

COLLAPSED = 0.1
"""Below this spread of the adapted profiles (1: they differ, 0: all are one) alignment pulls all to one place."""


def trust(outcome: Outcome, everything: Sequence[Scored]) -> list[str]:
    """Sentences: leaks, coverage, models that are one, collapsed adapters, noise."""
    checks = (_leaks(everything), _coverage(everything), _alike(everything), _adapters(outcome), _noise(everything))
    return [sentence for found in checks for sentence in found]


def _leaks(everything: Sequence[Scored]) -> Iterator[str]:
    """Making a split raises where it leaks."""
    splits = sum(len(scored.rows) for scored in everything)
    yield f"leak check: in {splits} splits nothing that is tested or held out stands on another side"


def _coverage(everything: Sequence[Scored]) -> Iterator[str]:
    for scored in everything:
        found = scored.known.coverage if scored.known else []
        said = [
            f"{store} has {known} of {count} {kind}s" + (f" ({different} different)" if different < known else "")
            for store, kind, known, count, different in found
        ]
        yield f"vectors of {scored.dataset}, {scored.setting}: {'; '.join(said) or 'none are read'}"


def _alike(everything: Sequence[Scored]) -> Iterator[str]:
    for scored in everything:
        said = {
            arm: {place: hashlib.sha256(of.mean(axis=0).round(6).tobytes()).digest() for place, of in of_place.items()}
            for arm, of_place in scored.predictions.items()
        }
        found: list[list[str]] = []
        for arm, own in said.items():
            for group in found:
                shared = own.keys() & said[group[0]].keys()
                if shared and all(own[place] == said[group[0]][place] for place in shared):
                    group.append(arm)
                    break
            else:
                found.append([arm])
        same = "; ".join(" = ".join(group) for group in found if len(group) > 1)
        where = f"models that say the same of every row of {scored.dataset}, {scored.setting}"
        yield f"{where}: {same or 'none'}" + (" (perhaps what they differ in is not known there)" if same else "")


def _adapters(outcome: Outcome) -> Iterator[str]:
    spreads = {
        describe(cell): min(spread.values())
        for cell, run in outcome.runs
        if (spread := run.metrics["training"].get("adapter_spread"))
    }
    collapsed = {name: value for name, value in spreads.items() if value < COLLAPSED}
    if not spreads:
        yield "collapsed adapters: no run has an adapter"
    else:
        least = f"smallest spread {min(spreads.values()):.2f}; 1: profiles differ, 0: all are one"
        yield f"collapsed adapters: {len(collapsed)} of {len(spreads)} runs that have one ({least})"
    yield from (f"collapsed: {name}: spread {value:.3f}" for name, value in collapsed.items())


def _noise(everything: Sequence[Scored]) -> Iterator[str]:
    for name, noise in {scored.dataset: scored.noise for scored in everything}.items():
        yield f"noise ceiling of {name}: {noise or 'nothing was measured twice, so none is known'}"
