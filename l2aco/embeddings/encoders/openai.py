"""Embeddings from an OpenAI-compatible API, through the client that profiles are written with.

Nothing is sent that the budget does not cover: the price of a whole call is known before it is made. How many texts
a server takes at once, in which encoding, and how long they may be, is learned from what it refuses; see `lengths`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from l2aco.embeddings.encoders.answers import Vectors, read_vectors
from l2aco.embeddings.encoders.base import Encoder, EncodingInterrupted, PartlyEncodedError
from l2aco.embeddings.encoders.lengths import SHORTEST, is_of_length, shorter, whole_words, window_ends
from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.embeddings.encoders.trust import is_named
from l2aco.errors import L2aCoError
from l2aco.llm.catalog import Model
from l2aco.llm.client import OpenAIEngine
from l2aco.llm.flow import run_in_loop
from l2aco.llm.options import EngineOptions
from l2aco.llm.request import CallFailed, Reason
from l2aco.llm.tokens import count_tokens
from l2aco.progress import Advance, Progress
from l2aco.workspace import user_settings_path

OPENAI_URL = "https://api.openai.com/v1"
CALL_TEXTS, CALL_TOKENS = 128, 100_000
"""One call carries at most so many texts and, by estimate, tokens."""
ATTEMPTS = 8
REFUSALS = (Reason.rejected, Reason.refused)
"""Of a request; anything else is about the server or the key."""
_TEXTS_AT_ONCE = re.compile(r"batch|too many|at most|no more than|larger than|maximum|inputs|array", re.IGNORECASE)


@dataclass
class Manners:
    """What a server has taught: how many texts it takes at once, whether in base64, and from how many letters on a text
    goes alone, since one of this length was refused; `fits` letters of it were taken."""

    texts: int = CALL_TEXTS
    base64: bool = True
    alone: float = float("inf")
    fits: int | None = None

    def learn(self, failure: CallFailed, texts: int) -> bool:
        """Whether a refusal of so many texts says how to ask instead."""
        if self.base64 and re.search("base64|encoding_format", failure.message):
            self.base64 = False
            return True
        numbers = [int(number) for number in re.findall(r"\d+", failure.message)]
        fewer = [number for number in numbers if 0 < number < texts]
        if fewer and _TEXTS_AT_ONCE.search(failure.message) and texts <= self.texts:
            self.texts = max(fewer)
            return True
        return False


class _Client(OpenAIEngine):
    """The client's connections, waiting and errors, for the other endpoint.

    The provider's key goes to the provider, L2ACO_API_KEY to addresses of the user's own configuration alone.
    """

    def __init__(self, spec: EncoderSpec, options: EngineOptions) -> None:
        model = Model(alias=spec.name, engine="openai", model=spec.model, base_url=OPENAI_URL, key="OPENAI_API_KEY")
        super().__init__(model, options)
        if spec.base_url is not None and not is_named(spec.base_url):
            self._key = None

    async def embed(self, texts: list[str], manners: Manners) -> Vectors:
        """Vectors of the size that the server has. Raises CallFailed."""
        body = {"model": self.model.model, "input": texts}
        if manners.base64:
            body["encoding_format"] = "base64"
        async with self.pool.least_busy() as endpoint:
            raw = await self._post(endpoint, "/embeddings", body)
            return self._read(endpoint, "/embeddings", raw, lambda answer: read_vectors(answer, texts, self._mask))


@dataclass
class _Work:
    """What is to be sent, and what came of it. A piece without a vector is a row of NaN."""

    pieces: list[str]
    rows: list[int]
    """Which text each piece is of."""
    vectors: np.ndarray
    tokens: int = 0
    long: set[int] = field(default_factory=set)
    failures: list[CallFailed] = field(default_factory=list)
    over: bool = False
    """Whether any further call would end the same way."""

    def add(self, row: int, piece: str) -> int:
        """Another piece of a text that turned out to be too long."""
        self.pieces.append(piece)
        self.rows.append(row)
        self.vectors = np.vstack([self.vectors, np.full_like(self.vectors[:1], np.nan)])
        return len(self.pieces) - 1


class OpenAIEncoder(Encoder):
    """An embeddings API as an encoder; the key comes from the environment."""

    _spent = 0.0
    _manners: Manners

    def _encode(self, texts: list[str], progress: Progress) -> np.ndarray:
        self._manners = getattr(self, "_manners", Manners())
        work = self._work(texts)
        self._afford(work.pieces)
        interrupted = False
        with progress.task(f"embedding with {self.spec.name}", total=len(work.pieces), unit="texts") as advance:
            try:
                run_in_loop(_Calls(self.spec, self._manners, work, progress.say, advance, self._check_size).run())
            except KeyboardInterrupt:
                interrupted = True
        self.stats.tokens, self.stats.long = work.tokens, tuple(sorted(work.long))
        if self.spec.price_per_million is not None:
            self.stats.cost_usd = work.tokens * self.spec.price_per_million / 1e6
            self._spent += self.stats.cost_usd
        table = self._joined(work, len(texts))
        if interrupted:
            raise EncodingInterrupted(table)
        if work.failures:
            self._fail(work.failures, table)
        return table

    def _work(self, texts: list[str]) -> _Work:
        """The texts whole, or in windows where the model's tokenizer is at hand."""
        pieces, rows, long = [], [], set()
        for row, text in enumerate(texts):
            ends = window_ends(text, self.spec) or [len(text)]
            if len(ends) > 1:
                long.add(row)
            kept = ends if self.spec.long == "chunk" else ends[:1]
            pieces += [text[start:end] for start, end in zip([0, *kept], kept, strict=False)]
            rows += [row] * len(kept)
        vectors = np.full((len(pieces), self.spec.dimension), np.nan, dtype=np.float32)
        return _Work(pieces, rows, vectors, long=long)

    def _joined(self, work: _Work, texts: int) -> np.ndarray:
        """float32 (texts, D): the length-weighted mean over the pieces of each text; NaN where one has no vector."""
        table = np.zeros((texts, self.spec.dimension), dtype=np.float32)
        weights = np.array([len(piece) for piece in work.pieces], dtype=np.float32)[:, None]
        np.add.at(table, work.rows, work.vectors / np.linalg.norm(work.vectors, axis=1, keepdims=True) * weights)
        return table

    def _fail(self, failures: list[CallFailed], table: np.ndarray) -> NoReturn:
        missing = np.isnan(table).any(axis=1)
        remedy = "What is embedded is kept. Run the same command again when the cause is gone."
        url = self.spec.base_url
        if url is not None and failures[-1].reason is Reason.unauthorised and not is_named(url):
            remedy = f"No key was sent to {url}: it stands in no [encoders] entry of {user_settings_path()}."
        cause = L2aCoError(
            f"{self.spec.name} gave no vectors for {missing.sum():,} texts: {failures[-1]}", remedy=remedy
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
                remedy="What is embedded is kept. Give a larger --budget-usd and run the same command again.",
            )


class _Calls:
    """The calls for one piece of work. A call that is refused is made smaller, down to the text that is at fault; after
    a failure that is not about the request no further call is made."""

    def __init__(
        self,
        spec: EncoderSpec,
        manners: Manners,
        work: _Work,
        say: Callable[[str], None],
        advance: Advance,
        check_size: Callable[[np.ndarray], None],
    ) -> None:
        self.spec, self.manners, self.work = spec, manners, work
        self.advance, self.check_size, self.say = advance, check_size, say
        self.options = EngineOptions(base_urls=(spec.base_url or OPENAI_URL,), concurrency=8, say=say)
        self._given = len(work.pieces)
        self._answered = False
        self._waits = False

    async def run(self) -> None:
        gate = asyncio.Semaphore(self.options.concurrency)
        first, *others = self._bundles()

        async def one(call: list[int]) -> None:
            async with gate:
                await self._settle(call)

        async with _Client(self.spec, self.options) as self.client:
            await self._settle(first)  # what one call learns, all know
            try:
                async with asyncio.TaskGroup() as group:
                    for call in others:
                        group.create_task(one(call))
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None

    def _bundles(self) -> Iterator[list[int]]:
        """The pieces, by number, as many as go into a call."""
        call: list[int] = []
        tokens = 0
        for number, piece in enumerate(self.work.pieces):
            count = count_tokens(piece)
            if call and (len(call) == CALL_TEXTS or tokens + count > CALL_TOKENS):
                yield call
                call, tokens = [], 0
            call.append(number)
            tokens += count
        yield call

    async def _settle(self, call: list[int]) -> None:
        """Vectors for these pieces, in one call or in the smaller ones that the server takes."""
        together = [number for number in call if len(self.work.pieces[number]) < self.manners.alone]
        if len(call) > 1 and len(together) < len(call):
            for number in set(call) - set(together):
                await self._settle([number])
            call = together
        for start in range(0, len(call), size := self.manners.texts):
            await self._ask(call[start : start + size])

    async def _ask(self, call: list[int]) -> None:
        work = self.work
        if work.over:
            return
        try:
            found = await self._patiently([work.pieces[number] for number in call])
        except CallFailed as failure:
            if failure.reason not in REFUSALS:
                work.over = True
                work.failures.append(failure)
            elif self.manners.learn(failure, len(call)):
                await self._settle(call)
            elif len(call) > 1:
                await self._halve(call)
            else:
                await self._refused(call[0], failure)
            return
        self.check_size(found.rows)
        work.vectors[call] = found.rows
        work.tokens += found.tokens
        self._answered = True
        if found.odd:
            work.failures.append(CallFailed(Reason.broken_response, found.odd))
        self.advance(sum(number < self._given for number in call))

    async def _halve(self, call: list[int]) -> None:
        """Where both halves are taken whole, it was their number that was refused."""
        failures, long = len(self.work.failures), len(self.work.long)
        half = (len(call) + 1) // 2
        for part in (call[:half], call[half:]):
            await self._ask(part)
        if len(self.work.failures) == failures and len(self.work.long) == long:
            self.manners.texts = min(self.manners.texts, half)

    async def _refused(self, number: int, failure: CallFailed) -> None:
        """A text that is refused alone: shortened if it is too long, else at fault."""
        work, piece = self.work, self.work.pieces[number]
        if not is_of_length(failure.message) or len(piece) <= SHORTEST:
            # two different texts are refused and none was taken: that is not about the texts
            work.over = not self._answered and bool(work.failures)
            work.failures.append(failure)
            return
        self.manners.alone = min(self.manners.alone, len(piece))
        if self.manners.fits is not None and self.manners.fits < len(piece):
            letters = whole_words(piece, self.manners.fits)
        else:
            letters = shorter(piece, failure.message, self.spec.window)
        work.long.add(work.rows[number])
        work.pieces[number] = piece[:letters]
        await self._ask([number])
        if np.isnan(work.vectors[number]).any():
            return
        self.manners.fits = len(work.pieces[number])
        if self.spec.long == "chunk":
            await self._settle([work.add(work.rows[number], piece[letters:])])

    async def _patiently(self, texts: list[str]) -> Vectors:
        """One call, made again while its failure is of a passing kind; the client itself keeps a server's pauses."""
        from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
        from tenacity import wait_random_exponential as wait

        def tell(state: RetryCallState) -> None:
            if not self._waits and state.outcome is not None:
                self._waits = True
                self.say(f"{self.options.base_urls[0]}: {state.outcome.exception()}; trying again")

        patience = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait(multiplier=0.5, max=30),
            retry=retry_if_exception(lambda error: isinstance(error, CallFailed) and error.retryable),
            before_sleep=tell,
            reraise=True,
        )
        return await patience(self.client.embed, texts, self.manners)
