"""Several addresses of one model: work goes to the one with the least to do, a dead one rests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from l2aco.llm.addresses import base_of
from l2aco.llm.request import LONGEST_PAUSE_S, CallFailed, Reason
from l2aco.llm.ways import Way

_FIRST_REST_S = 1.0
_LONGEST_REST_S = 60.0


class Endpoint:
    """One address and what has been learned about it."""

    def __init__(self, url: str, way: Way) -> None:
        self.url, self.query = base_of(url)
        self.client: Any = None
        self.in_flight = 0
        self.first_way = self.way = way
        self.settled = False
        """Whether it has answered in this way."""
        self.struggles = False
        """Whether its first calls brought no answer at all: then they need not go one by one."""
        self.told: set[Reason] = set()
        """Passing failures whose words have been said."""
        self.over: CallFailed | None = None
        """Why every call would fail, found by the first."""
        self.refused: set[str] = set()
        """Words with which it refused a request in every way: they are no reason to try others again."""
        self.learning = asyncio.Lock()
        self._free_at = 0.0
        self._rest_s = _FIRST_REST_S

    @property
    def wait_s(self) -> float:
        """Seconds until it may be called again."""
        return max(0.0, self._free_at - time.monotonic())

    def hold(self, seconds: float | None) -> bool:
        """Leave it alone for so long, as it asked; whether that is longer than before."""
        until = time.monotonic() + (seconds or 0.0)
        longer = until > max(self._free_at, time.monotonic()) + 1.0
        self._free_at = max(self._free_at, until)
        return longer

    def went_away(self) -> None:
        """It does not answer: try it again later, each time after a longer rest."""
        if self.wait_s == 0:
            self.hold(self._rest_s)
            self._rest_s = min(2 * self._rest_s, _LONGEST_REST_S)

    def came_back(self) -> None:
        self._rest_s = _FIRST_REST_S


class EndpointPool:
    """Picks an endpoint for each call."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self.endpoints = endpoints

    @asynccontextmanager
    async def least_busy(self) -> AsyncIterator[Endpoint]:
        """The endpoint that may be called and has the fewest calls in flight; waits where all must rest.

        Raises CallFailed where that would take longer than `LONGEST_PAUSE_S`.
        """
        while not (ready := [item for item in self.endpoints if item.wait_s == 0]):
            wait = min(item.wait_s for item in self.endpoints)
            if wait > LONGEST_PAUSE_S:
                raise CallFailed(Reason.rate_limited, "it was asked to rest", retry_after=wait)
            await asyncio.sleep(wait + 0.01)
        endpoint = min(ready, key=lambda item: item.in_flight)
        endpoint.in_flight += 1
        try:
            yield endpoint
        finally:
            endpoint.in_flight -= 1
