"""The calls of OpenAI's Batch API, and of servers that speak it: files up, batches, files down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import tenacity
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from l2aco.bounds import MAX_BYTES
from l2aco.files import describe_validation
from l2aco.llm.client import OpenAIEngine
from l2aco.llm.flow import patience
from l2aco.llm.lines import URL
from l2aco.llm.options import RunLimits
from l2aco.llm.request import CallFailed, Reason

Found = TypeVar("Found")
Answer = TypeVar("Answer", bound=BaseModel)

TAG = "l2aco"
"""The key of a batch's metadata that holds our tag."""
WINDOW_H = 24
"""Within so many hours a provider ends a batch, one way or another."""
_FILE_TIMEOUT_S = 3600.0
"""For a file of answers as a whole; each piece of it has the time of a call."""
_BYTES_A_S = 1e6
"""So fast at least a file goes up, beside the time of a call."""
_PIECE = 1 << 20
_GRACE_S = 10.0
"""So long a batch that was asked for may take to be in the list."""


class _Told(BaseModel):
    """What is read of an answer; the SDK takes any JSON for what it expects."""

    model_config = ConfigDict(from_attributes=True, strict=True)

    id: str = Field(min_length=1)


class Problem(BaseModel):
    """Why a batch was not begun; line: of its file, where it is about one."""

    model_config = ConfigDict(from_attributes=True)

    code: Any = None
    line: int | None = None
    message: Any = None


class _Problems(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    data: list[Problem] | None = None


class State(_Told):
    """How far a batch is."""

    status: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Problems | None = None


class _Listed(_Told):
    input_file_id: str | None = None
    metadata: dict[str, Any] | None = None


class BatchApi:
    """One endpoint's files and batches, tried again patiently; raises CallFailed."""

    def __init__(self, engine: OpenAIEngine, limits: RunLimits) -> None:
        self.engine = engine
        self.endpoint = engine.pool.endpoints[0]
        self._attempts = limits.attempts
        self._backoff_s = limits.backoff_s

    async def upload(self, path: Path) -> str:
        """Send a file of requests; returns its id. One that is sent twice costs nothing."""

        most_s = self.engine.options.timeout_s + path.stat().st_size / _BYTES_A_S

        async def send() -> _Told:
            with path.open("rb") as stream:
                upload = self.endpoint.client.files.create(file=(path.name, stream), purpose="batch", timeout=most_s)
                return await self._guarded("/files", _read(_Told, upload), most_s)

        return (await self._patiently(send)).id

    async def create(self, file: str, tag: str) -> str:
        """Begin the batch of a file; returns its id. Where it is not known whether that came through, the list of
        batches tells: it is never begun twice."""
        for attempt in range(1, self._attempts + 1):
            asked_at = time.time()
            try:
                call = self.endpoint.client.batches.create(
                    input_file_id=file, endpoint=URL, completion_window=f"{WINDOW_H}h", metadata={TAG: tag}
                )
                return (await self._guarded("/batches", _read(_Told, call))).id
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
        async for found in self.endpoint.client.batches.list(limit=100):
            batch = _Listed.model_validate(found)
            if (batch.metadata or {}).get(TAG) == tag or batch.input_file_id == file:
                return batch.id
        return None

    async def state(self, number: str) -> State:
        """How far the batch with this id is."""
        ask = self.endpoint.client.batches.retrieve
        return await self._patiently(lambda: self._guarded("/batches", _read(State, ask(number))))

    async def fetch(self, file: str, path: Path) -> None:
        """Bring a file of answers into `path`."""

        async def bring() -> None:
            content = self.endpoint.client.files.with_streaming_response.content(
                file, timeout=self.engine.options.timeout_s
            )
            async with content as response:
                await _keep(response.iter_bytes(_PIECE), path, file)

        await self._patiently(lambda: self._guarded("/files", bring(), _FILE_TIMEOUT_S))

    async def _guarded(self, path: str, call: Awaitable[Found], timeout_s: float | None = None) -> Found:
        return await self.engine.guarded(self.endpoint, path, call, timeout_s or self.engine.options.timeout_s)

    async def _patiently(self, call: Callable[[], Awaitable[Found]]) -> Found:
        async def once() -> Found:
            return await call()

        return await patience(
            self._backoff_s, stop=tenacity.stop_after_attempt(self._attempts), before_sleep=self._say_again
        )(once)

    def _say_again(self, state: tenacity.RetryCallState) -> None:
        """Say once a cause why a call is made again."""
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, CallFailed):
            self.engine.tell(self.endpoint, error)


async def _read(kind: type[Answer], call: Awaitable[Any]) -> Answer:
    """What the SDK brings, as what it should be; raises ValueError."""
    found = await call
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        raise ValueError(describe_validation(error)) from None


async def _keep(pieces: AsyncIterator[bytes], path: Path, file: str) -> None:
    """Write what a server sends, as far as that is a file; raises CallFailed for one without an end."""
    size = 0
    with path.open("wb") as out:
        async for piece in pieces:
            size += len(piece)
            if size > MAX_BYTES:
                out.truncate(0)
                raise CallFailed(Reason.broken_response, f"the file {file[:80]} is larger than {MAX_BYTES:,} bytes")
            out.write(piece)
