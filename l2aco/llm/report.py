"""What a run did, while it runs and afterwards."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from l2aco.llm.request import Reason


@dataclass
class RunReport:
    """Counts of requests by their end, calls, tokens and cost (US dollars, None where no price is known).

    `before` were finished and `failed_before` given up by earlier runs; `repeated` had the key of a request that was
    being asked. `stopped` says why a run ended before
    its last request, and `remedy` what to do.
    """

    before: int = 0
    failed_before: int = 0
    repeated: int = 0
    answered: int = 0
    failed: Counter[Reason] = field(default_factory=Counter)
    calls: int = 0
    retries: int = 0
    repairs: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float | None = 0.0
    in_flight: int = 0
    waiting_for: str = ""
    seconds: float = 0.0
    stopped: str | None = None
    remedy: str = ""
    started: float = field(default_factory=time.monotonic)

    def stop(self, why: str, remedy: str) -> None:
        """End the run after the calls in flight; the first reason stays."""
        if self.stopped is None:
            self.stopped, self.remedy = why, remedy

    def spend(self, tokens_in: int, tokens_out: int, cost: float | None) -> None:
        """Count the tokens of one call; a call without a price makes the cost unknown."""
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out
        self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost

    def note(self) -> str:
        """One short line for a progress panel, cost and failures first."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        parts = [f"${self.cost_usd:,.4f}"] if self.cost_usd else []
        if self.waiting_for:
            parts.insert(0, self.waiting_for)
        if failed := sum(self.failed.values()):
            parts.append(f"{failed:,} failed ({most_common(self.failed)})")
        parts.append(f"{self.tokens_in + self.tokens_out:,} tokens, {self.tokens_out / seconds:,.0f}/s out")
        parts.append(f"{self.in_flight:,} in flight")
        if self.retries:
            parts.append(f"{self.retries:,} retried")
        return " · ".join(parts)


def most_common(failed: Counter[Reason] | Counter[str]) -> str:
    """The reasons of most failures, each after its number."""
    return ", ".join(f"{number:,} {reason}" for reason, number in failed.most_common(3))
