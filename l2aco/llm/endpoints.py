"""Several addresses of one model: work goes to the one with the least to do, a dead one rests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

_FIRST_REST_S = 1.0
_LONGEST_REST_S = 60.0


class Endpoint:
    """One address and what has been learned about it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: Any = None
        self.in_flight = 0
        self.mode = 0
        self.mode_known = False
        self.struggles = False
        """Whether its first calls brought no answer at all: then they need not go one by one."""
        self.learning = asyncio.Lock()
        self._free_at = 0.0
        self._rest_s = _FIRST_REST_S

    @property
    def wait_s(self) -> float:
        """Seconds until it may be called again."""
        return max(0.0, self._free_at - time.monotonic())

    def hold(self, seconds: float | None) -> None:
        """Leave it alone for so long, as it asked."""
        if seconds:
            self._free_at = max(self._free_at, time.monotonic() + seconds)

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
        """The endpoint that may be called and has the fewest calls in flight; waits where all must rest."""
        while True:
            ready = [item for item in self.endpoints if item.wait_s == 0]
            if ready:
                break
            await asyncio.sleep(min(item.wait_s for item in self.endpoints) + 0.01)
        endpoint = min(ready, key=lambda item: item.in_flight)
        endpoint.in_flight += 1
        try:
            yield endpoint
        finally:
            endpoint.in_flight -= 1
