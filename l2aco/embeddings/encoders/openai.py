"""Embeddings from an OpenAI-compatible API, through the client that profiles are written with.

Nothing is sent that the budget does not cover: the price of a whole call is known before it is made. Texts that
are longer than the model's window are sent in pieces, whose vectors are averaged by length.
"""

from __future__ import annotations

import asyncio
import base64
import json
from itertools import accumulate
from typing import NoReturn

import numpy as np

from l2aco.embeddings.encoders.base import Encoder, PartlyEncodedError
from l2aco.errors import L2aCoError
from l2aco.llm.catalog import Model
from l2aco.llm.client import OpenAIEngine
from l2aco.llm.flow import run_in_loop
from l2aco.llm.options import EngineOptions
from l2aco.llm.request import CallFailed, Reason
from l2aco.llm.tokens import count_tokens
from l2aco.progress import Advance, Progress

OPENAI_URL = "https://api.openai.com/v1"
CALL_TEXTS, CALL_TOKENS = 128, 100_000
"""One call carries at most so many texts and, by estimate, tokens."""
ATTEMPTS = 8
_Answers = tuple[np.ndarray, int, list[CallFailed]]
"""float32 (pieces, D), NaN where there is no vector; the tokens that were billed; the calls that failed."""


class _Client(OpenAIEngine):
    """The client's connections, key, waiting and errors, for the other endpoint."""

    async def embed(self, texts: list[str]) -> tuple[np.ndarray, int]:
        """float32 (n, D), D as the server has it, and the tokens that were billed. Raises CallFailed."""
        body = {"model": self.model.model, "input": texts, "encoding_format": "base64"}
        async with self.pool.least_busy() as endpoint:
            raw = await self._post(endpoint, "/embeddings", body)
        return _read(raw.content, len(texts))


def _read(content: bytes, texts: int) -> tuple[np.ndarray, int]:
    try:
        value = json.loads(content)
        rows = {item["index"]: _row(item["embedding"]) for item in value["data"]}
        vectors = np.stack([rows[number] for number in range(texts)])
        return vectors, int((value.get("usage") or {}).get("prompt_tokens") or 0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CallFailed(Reason.broken_response, f"the body holds no such vectors ({error!r})") from None


def _row(value: str | list[float]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(value), "<f4") if isinstance(value, str) else np.array(value, np.float32)


class OpenAIEncoder(Encoder):
    """An embeddings API as an encoder; the key comes from the environment."""

    _spent = 0.0

    def _encode(self, texts: list[str], progress: Progress) -> np.ndarray:
        pieces = [(row, piece) for row, text in enumerate(texts) for piece in _pieces(text, self.spec.window)]
        rows = np.array([row for row, _ in pieces])
        self.stats.long = tuple(np.flatnonzero(np.bincount(rows, minlength=len(texts)) > 1).tolist())
        self._afford([piece for _, piece in pieces])
        with progress.task(f"embedding with {self.spec.name}", total=len(pieces), unit="texts") as advance:
            vectors, tokens, failures = run_in_loop(self._all([piece for _, piece in pieces], advance))
        self.stats.tokens = tokens
        if self.spec.price_per_million is not None:
            self.stats.cost_usd = tokens * self.spec.price_per_million / 1e6
            self._spent += self.stats.cost_usd
        table = np.zeros((len(texts), self.spec.dimension), dtype=np.float32)
        weights = np.array([len(piece) for _, piece in pieces], dtype=np.float32)
        np.add.at(table, rows, vectors / np.linalg.norm(vectors, axis=1, keepdims=True) * weights[:, None])
        if failures:
            self._fail(failures[-1], table)
        return table

    def _fail(self, failure: CallFailed, table: np.ndarray) -> NoReturn:
        missing = np.isnan(table).any(axis=1)
        cause = L2aCoError(
            f"{self.spec.name} gave no vectors for {missing.sum():,} texts: {failure}",
            remedy="What is embedded is kept. Run the same command again when the cause is gone.",
        )
        raise cause if missing.all() else PartlyEncodedError(cause, table)

    def _afford(self, pieces: list[str]) -> None:
        """Raise L2aCoError before anything is sent that the budget would not cover, a fifth kept in reserve."""
        price = self.spec.price_per_million
        if self.budget_usd is None:
            return
        if price is None:
            raise L2aCoError(
                f"there is no price for {self.spec.name}, so a budget cannot be kept",
                remedy="Give price_per_million in [encoders.<name>] of l2aco.toml.",
            )
        needed = 1.2 * sum(count_tokens(piece) for piece in pieces) * price / 1e6
        if self._spent + needed > self.budget_usd:
            raise L2aCoError(
                f"the budget of ${self.budget_usd:g} is used up: ${self._spent:.4f} are spent, "
                f"and the next {len(pieces):,} texts may cost ${needed:.4f}",
                remedy="What is embedded is kept. Give a larger --budget and run the same command again.",
            )

    async def _all(self, pieces: list[str], advance: Advance) -> _Answers:
        """A call that is refused stops no other; after any other failure no further call is made."""
        model = Model(
            alias=self.spec.name,
            engine="openai",
            model=self.spec.model,
            base_url=OPENAI_URL,
            key="OPENAI_API_KEY",
        )
        options = EngineOptions(base_urls=(self.spec.base_url or OPENAI_URL,), concurrency=8)
        gate = asyncio.Semaphore(options.concurrency)
        calls = _calls(pieces)
        vectors = np.full((len(pieces), self.spec.dimension), np.nan, dtype=np.float32)
        billed: list[int] = []
        failures: list[CallFailed] = []

        async def one(client: _Client, start: int, call: list[str]) -> None:
            async with gate:
                if any(failure.reason is not Reason.rejected for failure in failures):
                    return
                try:
                    rows, tokens = await self._patiently(client, call)
                except CallFailed as failure:
                    failures.append(failure)
                    return
            self._check_size(rows)
            vectors[start : start + len(call)] = rows
            billed.append(tokens)
            advance(len(call))

        try:
            async with _Client(model, options) as client, asyncio.TaskGroup() as group:
                for start, call in zip(accumulate(map(len, calls), initial=0), calls, strict=False):
                    group.create_task(one(client, start, call))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return vectors, sum(billed), failures

    async def _patiently(self, client: _Client, call: list[str]) -> tuple[np.ndarray, int]:
        """One call, made again while its failure is of a passing kind; the client itself keeps a server's pauses."""
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

        patience = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.5, max=30),
            retry=retry_if_exception(lambda error: isinstance(error, CallFailed) and error.retryable),
            reraise=True,
        )
        return await patience(client.embed, call)


def _pieces(text: str, window: int) -> list[str]:
    """Parts of a text that surely fit the window: English has more than two letters a token."""
    size = 2 * window
    return [text[start : start + size] for start in range(0, len(text), size)]


def _calls(pieces: list[str]) -> list[list[str]]:
    calls: list[list[str]] = []
    tokens = 0
    for piece in pieces:
        count = count_tokens(piece)
        if not calls or len(calls[-1]) == CALL_TEXTS or tokens + count > CALL_TOKENS:
            calls.append([])
            tokens = 0
        calls[-1].append(piece)
        tokens += count
    return calls
