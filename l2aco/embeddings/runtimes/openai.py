"""Embeddings from an OpenAI-compatible API, through the client that profiles are written with.

Nothing is sent that the budget does not cover: the price of a whole call is known before it is made. Texts that
are longer than the model's window are sent in pieces, whose vectors are averaged by length.
"""

from __future__ import annotations

import asyncio
import base64
import json

import numpy as np

from l2aco.embeddings.runtimes.base import Encoder
from l2aco.errors import L2aCoError
from l2aco.llm.catalog import Model
from l2aco.llm.client import OpenAIEngine
from l2aco.llm.options import EngineOptions
from l2aco.llm.request import TRANSIENT, CallFailed, Reason
from l2aco.llm.tokens import count_tokens
from l2aco.progress import Advance, Progress

OPENAI_URL = "https://api.openai.com/v1"
CALL_TEXTS, CALL_TOKENS = 128, 100_000
"""One call carries at most so many texts and, by estimate, tokens."""
ATTEMPTS = 8


class _Client(OpenAIEngine):
    """The client's connections, key, waiting and errors, for the other endpoint."""

    async def embed(self, texts: list[str], dimension: int) -> tuple[np.ndarray, int]:
        """float32 (n, D) and the tokens that were billed. Raises CallFailed."""
        body = {"model": self.model.model, "input": texts, "encoding_format": "base64"}
        async with self.pool.least_busy() as endpoint:
            raw = await self._post(endpoint, "/embeddings", body)
        return _read(raw.content, len(texts), dimension)


def _read(content: bytes, texts: int, dimension: int) -> tuple[np.ndarray, int]:
    try:
        value = json.loads(content)
        vectors = np.full((texts, dimension), np.nan, dtype=np.float32)
        for item in value["data"]:
            row = item["embedding"]
            vectors[item["index"]] = np.frombuffer(base64.b64decode(row), "<f4") if isinstance(row, str) else row
        if np.isnan(vectors).any():
            raise ValueError("rows are missing")
        return vectors, int((value.get("usage") or {}).get("prompt_tokens") or 0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise CallFailed(Reason.broken_response, f"the body holds no such vectors ({error!r})") from None


class OpenAIEncoder(Encoder):
    """An embeddings API as an encoder; the key comes from the environment."""

    _spent = 0.0

    def _encode(self, texts: list[str], progress: Progress) -> np.ndarray:
        pieces = [(row, piece) for row, text in enumerate(texts) for piece in _pieces(text, self.spec.window)]
        rows = np.array([row for row, _ in pieces])
        self.stats.long = tuple(np.flatnonzero(np.bincount(rows, minlength=len(texts)) > 1).tolist())
        self._afford([piece for _, piece in pieces])
        with progress.task(f"embedding with {self.spec.name}", total=len(pieces), unit="texts") as advance:
            vectors, tokens = asyncio.run(self._all([piece for _, piece in pieces], advance))
        self.stats.tokens = tokens
        if self.spec.price_per_million is not None:
            self.stats.cost_usd = tokens * self.spec.price_per_million / 1e6
            self._spent += self.stats.cost_usd
        table = np.zeros((len(texts), self.spec.dimension), dtype=np.float32)
        weights = np.array([len(piece) for _, piece in pieces], dtype=np.float32)
        np.add.at(table, rows, vectors / np.linalg.norm(vectors, axis=1, keepdims=True) * weights[:, None])
        return table

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

    async def _all(self, pieces: list[str], advance: Advance) -> tuple[np.ndarray, int]:
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
        async with _Client(model, options) as client:

            async def one(call: list[str]) -> tuple[np.ndarray, int]:
                async with gate:
                    answer = await self._patiently(client, call)
                advance(len(call))
                return answer

            answers = await asyncio.gather(*(one(call) for call in calls))
        return np.concatenate([vectors for vectors, _ in answers]), sum(tokens for _, tokens in answers)

    async def _patiently(self, client: _Client, call: list[str]) -> tuple[np.ndarray, int]:
        """One call, made again while its failure is of a passing kind; the client itself keeps a server's pauses."""
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

        patience = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.5, max=30),
            retry=retry_if_exception(lambda error: isinstance(error, CallFailed) and error.reason in TRANSIENT),
            reraise=True,
        )
        try:
            return await patience(client.embed, call, self.spec.dimension)
        except CallFailed as failure:
            raise L2aCoError(
                f"{self.spec.name} gave no vectors: {failure.reason.value} ({failure})",
                remedy="What is embedded is kept. Run the same command again when the cause is gone.",
            ) from None


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
