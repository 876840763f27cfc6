"""The calls of OpenAI's Batch API, and of servers that speak it: files up, batches, files down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import tenacity

from l2aco.llm.client import OpenAIEngine
from l2aco.llm.lines import URL
from l2aco.llm.options import RunLimits
from l2aco.llm.request import CallFailed

Found = TypeVar("Found")

TAG = "l2aco"
"""The key of a batch's metadata that holds our tag."""
WINDOW = "24h"
_FILE_TIMEOUT_S = 3600.0
_GRACE_S = 10.0
"""So long a batch that was asked for may take to be in the list."""


class BatchApi:
    """One endpoint's files and batches, tried again patiently; raises CallFailed."""

    def __init__(self, engine: OpenAIEngine, limits: RunLimits) -> None:
        self.engine = engine
        self.endpoint = engine.pool.endpoints[0]
        self._attempts = limits.attempts
        self._wait = tenacity.wait_random_exponential(multiplier=limits.backoff_s, max=60.0)

    async def upload(self, path: Path) -> str:
        """Send a file of requests; returns its id. One that is sent twice costs nothing."""

        async def send() -> Any:
            with path.open("rb") as stream:
                upload = self.endpoint.client.files.create(
                    file=(path.name, stream), purpose="batch", timeout=_FILE_TIMEOUT_S
                )
                return await self._guarded("/files", upload, _FILE_TIMEOUT_S)

        return str((await self._patiently(send)).id)

    async def create(self, file: str, tag: str) -> str:
        """Begin the batch of a file; returns its id. Where it is not known whether that came through, the list of
        batches tells: it is never begun twice."""
        for attempt in range(1, self._attempts + 1):
            asked_at = time.time()
            try:
                call = self.endpoint.client.batches.create(
                    input_file_id=file, endpoint=URL, completion_window=WINDOW, metadata={TAG: tag}
                )
                return str((await self._guarded("/batches", call)).id)
            except CallFailed as failure:
                if not failure.retryable:
                    raise
                if found := await self.find(tag, file, asked_at):
                    return found
                if attempt == self._attempts:
                    raise
        raise AssertionError("at least one attempt")

    async def find(self, tag: str, file: str, asked_at: float) -> str | None:
        """The id of the batch with our tag or our file, or None; looked for until it must be in the list."""
        while True:
            if found := await self._patiently(lambda: self._guarded("/batches", self._listed(tag, file))):
                return found
            left = asked_at + _GRACE_S - time.time()
            if left <= 0:
                return None
            await asyncio.sleep(min(1.0, left))

    async def _listed(self, tag: str, file: str) -> str | None:
        async for batch in self.endpoint.client.batches.list(limit=100):
            if (batch.metadata or {}).get(TAG) == tag or batch.input_file_id == file:
                return str(batch.id)
        return None

    async def state(self, number: str) -> Any:
        """The batch as openai.types.Batch."""
        return await self._patiently(lambda: self._guarded("/batches", self.endpoint.client.batches.retrieve(number)))

    async def fetch(self, file: str, path: Path) -> None:
        """Bring a file of answers into `path`."""

        async def bring() -> None:
            content = self.endpoint.client.files.with_streaming_response.content(file, timeout=_FILE_TIMEOUT_S)
            async with content as response:
                await response.stream_to_file(path)

        await self._patiently(lambda: self._guarded("/files", bring(), _FILE_TIMEOUT_S))

    async def _guarded(self, path: str, call: Awaitable[Found], timeout_s: float | None = None) -> Found:
        return await self.engine.guarded(self.endpoint, path, call, timeout_s or self.engine.options.timeout_s)

    async def _patiently(self, call: Callable[[], Awaitable[Found]]) -> Found:
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, CallFailed) and error.retryable),
            wait=lambda state: max(self._wait(state), _asked_pause(state)),
            stop=tenacity.stop_after_attempt(self._attempts),
            reraise=True,
        )

        async def once() -> Found:
            return await call()

        return await attempts(once)


def _asked_pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return (error.retry_after or 0.0) if isinstance(error, CallFailed) else 0.0
