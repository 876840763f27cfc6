"""How fast to call: a gate that adapts to what the endpoint bears, a pace per minute, and a budget."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

import tenacity

from l2aco.llm.options import RunLimits
from l2aco.llm.request import CallFailed

Result = TypeVar("Result")


def patience(backoff_s: float, **more: Any) -> tenacity.AsyncRetrying:
    """Tries again what failed in passing, after pauses that grow, are jittered, and last at least as long as the server
    asked for; `more` says when to stop."""
    own = tenacity.wait_random_exponential(multiplier=backoff_s, max=60.0)

    def pause(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, CallFailed) else None
        return max(own(state), asked or 0.0)

    passing = tenacity.retry_if_exception(lambda error: isinstance(error, CallFailed) and error.retryable)
    return tenacity.AsyncRetrying(retry=passing, wait=pause, reraise=True, **more)


def run_in_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run`, in a thread of its own where a loop is running already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


class Gate:
    """At most `limit` calls at once, and the limit adapts, round by round (as many calls as the limit is).

    It doubles each round until the first round with overload, where more than `LUCK` of the calls met it. Such a round
    takes off half of the share that met it, so that the limit follows what the endpoint bears; after each calm round
    it grows, by 1 call, then 2, 4, ... (additive increase, multiplicative decrease; the cut in proportion is that of
    DCTCP, Alizadeh et al. 2010). A stray refusal among many answers changes nothing.
    """

    START = 32
    LUCK = 0.2

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(min(most, self.START))
        self.in_flight = 0
        self._step = self.limit
        self._well = 0
        self._badly = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        while self.in_flight >= int(self.limit):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()
                raise
        self.in_flight += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.in_flight -= 1
        self._wake()

    def _wake(self) -> None:
        free = int(self.limit) - self.in_flight
        while self._waiting and free > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1

    def went_well(self) -> None:
        """A call was answered."""
        self._well += 1
        self._end_round()

    def overloaded(self) -> None:
        """A call met a limit, a server error or a timeout."""
        self._badly += 1
        self._end_round()

    def _end_round(self) -> None:
        calls = self._well + self._badly
        if calls < int(self.limit):
            return
        share = self._badly / calls
        if share > self.LUCK and self._badly > 1:
            self.limit = max(1.0, self.limit * (1 - share / 2))
            self._step = 1.0
        else:
            self.limit = min(self.most, self.limit + self._step)
            self._step *= 2
        self._well = self._badly = 0


class Pace:
    """Spreads calls so that neither requests nor tokens exceed their number per minute; waits by `sleep(seconds)`."""

    def __init__(self, limits: RunLimits, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._gap = 60 / limits.requests_per_minute if limits.requests_per_minute else 0.0
        self._gap_token = 60 / limits.tokens_per_minute if limits.tokens_per_minute else 0.0
        self._next = 0.0

    async def turn(self, tokens: int) -> None:
        """Wait until a call of about `tokens` tokens may start."""
        gap = max(self._gap, self._gap_token * tokens)
        if not gap:
            return
        now = time.monotonic()
        start = max(now, self._next)
        self._next = start + gap
        if start > now:
            await self._sleep(start - now)


class BudgetSpent(Exception):  # noqa: N818  (an end, not an error)
    """Not even one more call fits."""


class Budget:
    """Never spends more than was allowed, as far as the most that a call can cost is known.

    Each call first reserves that. Where it does not fit, it waits for calls in flight to return what they did not use;
    where nothing is in flight, the budget is spent. A model that thinks may cost more than anybody can know: so the
    first call goes alone, and by how much calls have passed their estimates is added to those of all others.
    """

    def __init__(self, dollars: float | None, tokens: int | None, *, spent: tuple[float, int] = (0.0, 0)) -> None:
        self._limits = (dollars, tokens)
        self.dollars, self.tokens = spent
        self._held_dollars = 0.0
        self._held_tokens = 0
        self._holders = 0
        self._settled = 0
        self._dearer = 1.0
        self._longer = 1.0
        """How many times their estimates calls have cost and taken, at most."""
        self._changed = asyncio.Event()
        self._spent = False

    def _fits(self, dollars: float, tokens: int) -> bool:
        most_dollars, most_tokens = self._limits
        if most_dollars is None and most_tokens is None:
            return True
        if self._holders and not self._settled:
            return False
        held_dollars = self._dearer * (self._held_dollars + dollars)
        held_tokens = self._longer * (self._held_tokens + tokens)
        return (most_dollars is None or self.dollars + held_dollars <= most_dollars) and (
            most_tokens is None or self.tokens + held_tokens <= most_tokens
        )

    async def reserve(self, dollars: float, tokens: int) -> None:
        """Hold the most that a call can cost; raises BudgetSpent."""
        while self._spent or not self._fits(dollars, tokens):
            if self._spent or not self._holders:
                self._spent = True
                self._changed.set()
                raise BudgetSpent
            self._changed.clear()
            await self._changed.wait()
        self._holders += 1
        self._held_dollars += dollars
        self._held_tokens += tokens

    def settle(self, dollars: float, tokens: int, *, used_dollars: float, used_tokens: int) -> None:
        """Give back what was held, and count what was used."""
        self._holders -= 1
        self._settled += 1
        self._held_dollars = max(0.0, self._held_dollars - dollars)
        self._held_tokens -= tokens
        self.dollars += used_dollars
        self.tokens += used_tokens
        self._dearer = max(self._dearer, used_dollars / dollars if dollars else 0.0)
        self._longer = max(self._longer, used_tokens / tokens if tokens else 0.0)
        self._changed.set()
