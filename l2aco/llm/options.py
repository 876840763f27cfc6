"""What a user may say about how a language model is reached and how fast: the only place of these defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def _drop(_: str) -> None:
    return None


MORE_BUDGET = "The budget is for all runs of the set together: start the same command again with a larger one."


@dataclass(frozen=True)
class RunLimits:
    """How a run is bounded. Rates are per minute; None is no limit.

    `attempts` counts the tries of one request at transient failures; `break_after` failures in a row of one
    cause stop the run. The budget is for all runs together: `spent_usd` and `spent_tokens` went before this one.
    """

    concurrency: int = 64
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    budget_usd: float | None = None
    budget_tokens: int | None = None
    spent_usd: float = 0.0
    spent_tokens: int = 0
    attempts: int = 8
    break_after: int = 20
    backoff_s: float = 0.5
    retry_failed: bool = False

    def bear(self, usd: float, tokens: int) -> bool:
        """Whether the budget is enough for so much beside what went before."""
        most_usd, most_tokens = self.budget_usd, self.budget_tokens
        usd, tokens = usd + self.spent_usd, tokens + self.spent_tokens
        return (most_usd is None or usd <= most_usd) and (most_tokens is None or tokens <= most_tokens)


@dataclass(frozen=True)
class EngineOptions:
    """How to reach the model. `base_urls` are balanced; `timeout_s` bounds one call as a whole.

    `folder` is where a server's log may be kept; `say` prints a line of news.
    """

    base_urls: tuple[str, ...] = ()
    concurrency: int = RunLimits.concurrency
    timeout_s: float = 120.0
    delay_s: float = 0.0
    vllm_command: tuple[str, ...] | None = None
    vllm_flags: tuple[str, ...] = ()
    keep_server: bool = False
    folder: Path | None = None
    say: Callable[[str], None] = _drop
