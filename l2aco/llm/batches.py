"""Answers by way of batches: requests go up in files, are answered within a day, and the answers come down in files.

docs/design/journal.md says in which order things are written down, and why a crash pays for nothing twice.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, BinaryIO

from l2aco.llm.batch_api import WINDOW_H, BatchApi, State
from l2aco.llm.batch_ledger import Batch, Ledger
from l2aco.llm.calls import REMEDIES, end_gently, most_of
from l2aco.llm.catalog import Model
from l2aco.llm.client import OpenAIEngine
from l2aco.llm.flow import run_in_loop
from l2aco.llm.intake import Intake, Outcome
from l2aco.llm.keys import make_mask
from l2aco.llm.lines import AnswerLine, key_and_turn, read_answer, request_line
from l2aco.llm.options import MORE_BUDGET, RunLimits
from l2aco.llm.refusals import Refused, Said, reason_of
from l2aco.llm.report import RunReport
from l2aco.llm.request import FATAL, CallFailed, Reason, Request
from l2aco.llm.ways import Way

_OVER = ("completed", "expired", "cancelled")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 60.0
_SAID_AFTER_S = 10.0
_LATEST_S = (WINDOW_H + 1) * 3600.0
"""After it was created; what is not over by then is not waited for."""
_FULL = "token_limit_exceeded"
"""The provider's code for more in its queue than it takes."""


def run_batches(
    engine: OpenAIEngine, intake: Intake, ledger: Ledger, *, limits: RunLimits, wait: bool = True
) -> RunReport:
    """Have every missing request answered in batches; returns when all is done, or, without `wait`, when all that
    can be is at the provider's.

    The budget holds for all batches of the folder together, those in flight at the most that they can cost.
    """
    return run_in_loop(_Batches(engine, intake, ledger, limits).run(wait))


class _Batches:
    def __init__(self, engine: OpenAIEngine, intake: Intake, ledger: Ledger, limits: RunLimits) -> None:
        self.engine = engine
        self.intake = intake
        self.recording = intake.recording
        self.report = intake.recording.report
        self.ledger = ledger
        self.model = intake.model
        self.limits = limits
        self.way = _last_way(ledger) or Way.of_files(self.model)
        self._flying = {batch.tag: set(_keys_of(ledger, batch)) for batch in ledger.open}
        self._fruitless = 0
        self._mask = make_mask()

    async def run(self, wait: bool) -> RunReport:
        started = time.monotonic()
        end_gently()
        self._sweep()
        async with self.engine:
            self.api = BatchApi(self.engine, self.limits)
            try:
                await self._work(wait)
            except CallFailed as failure:
                self._end(failure)
        self.report.seconds = time.monotonic() - started
        return self.report

    async def _work(self, wait: bool) -> None:
        for batch in self.ledger.open:
            await self._send(batch)
        await self._look()
        await self._fill(self.recording.missing())
        while self.ledger.open and self.report.stopped is None:
            if not wait:
                self._leave()
                return
            await self._until_one_is_over()
            await self._fill(self.recording.remaining())

    def _leave(self) -> None:
        count = sum(batch.requests for batch in self.ledger.open)
        number = len(self.ledger.open)
        self.report.stop(f"{count:,} requests are in {number} batches", "The same command takes their answers in.")

    def _sweep(self) -> None:
        """Remove files of batches that were never begun, or are over."""
        known = {batch.tag for batch in self.ledger.open}
        for path in self.ledger.files.glob("*.jsonl"):
            if path.name.partition(".")[0] not in known:
                path.unlink()

    async def _until_one_is_over(self) -> None:
        """Wait, until no batch can be hoped for."""
        pause, waited, said = _FIRST_PAUSE_S, 0.0, False
        while not await self._look():
            if time.time() > self._latest:
                self._give_up()
                return
            await asyncio.sleep(pause)
            waited += pause
            pause = min(1.5 * pause, _LONGEST_PAUSE_S)
            if waited > _SAID_AFTER_S and not said:
                said = True
                until = time.strftime("%d %B, %H:%M", time.localtime(self._latest))
                self.engine.options.say(
                    f"Waiting for {self._in_words()}, until {until} at the latest. "
                    "Ctrl-C is safe: the same command goes on."
                )

    @property
    def _latest(self) -> float:
        """When the last open batch should be over."""
        return max(batch.at for batch in self.ledger.open) + _LATEST_S

    def _in_words(self) -> str:
        open_ = self.ledger.open
        names = ", ".join(str(batch.id) for batch in open_[:3]) + (", ..." if len(open_) > 3 else "")
        return f"{len(open_)} batches ({names}; {sum(batch.requests for batch in open_):,} requests)"

    def _give_up(self) -> None:
        hours = _LATEST_S / 3600
        self.report.stop(
            f"{self.engine.pool.endpoints[0].url} has not ended {self._in_words()} within {hours:.0f} hours",
            "Look at them with the provider, or cancel them there. They are kept: the same command looks again.",
        )

    async def _look(self) -> bool:
        """Take in the answers of every batch that is over; whether there was one."""
        over = False
        for batch in self.ledger.open:
            state = await self.api.state(str(batch.id))
            if state.status == "failed":
                self._note_refusal(batch, state)
            elif state.status in _OVER:
                await self._take(batch, state)
            over |= state.status in ("failed", *_OVER)
        self.report.in_flight = sum(batch.requests for batch in self.ledger.open)
        return over

    async def _take(self, batch: Batch, state: State) -> None:
        """Record the answers of a batch, then write down that this is done."""
        ledger, tokens, counts = self.ledger, self.intake.tokens, self.intake.counts.copy()
        answered = False
        for what in ("output", "error"):
            path = ledger.answers_of(batch, what)
            if file := getattr(state, f"{what}_file_id"):
                await self.api.fetch(file, path)
                with path.open("rb") as stream:
                    for line in filter(bytes.strip, stream):
                        answered |= self._take_line(batch, line, answered)
        self.recording.journal.sync()
        used_in, used_out = (now - before for now, before in zip(self.intake.tokens, tokens, strict=True))
        cost = self.model.cost(used_in, used_out)
        facts = {"tokens_in": used_in, "tokens_out": used_out, "usd": cost, "learned": _plain(self.way)}
        ledger.write(batch.tag, "taken", **facts)
        self._forget(batch)
        fruits = sum(
            (self.intake.counts - counts)[what] for what in (Outcome.answered, Outcome.to_repair, Outcome.failed)
        )
        self._fruitless = 0 if fruits else self._fruitless + 1
        self.engine.options.say(f"Batch {batch.id}: {state.status}, {fruits:,} of {batch.requests:,} answered")
        if state.status == "cancelled":
            self.report.stop(f"batch {batch.id} was cancelled", "The same command asks for what it did not reach.")
        elif self._fruitless >= self.limits.attempts:
            self.report.stop(
                f"{self._fruitless} batches in a row brought no answer", "Look at them with the provider, then go on."
            )

    def _take_line(self, batch: Batch, line: bytes, sure: bool) -> bool:
        """Record one line; whether it holds an answer."""
        try:
            answer = read_answer(line, self._mask)
        except ValueError:
            return False  # what has no line is asked for again
        if isinstance(answer.end, Refused) and self._learns(batch, answer.end, sure):
            return False
        if isinstance(answer.end, CallFailed) and answer.end.reason in FATAL:
            self._stop(answer.end)
        self.intake.take(answer)
        return not isinstance(answer.end, CallFailed)

    def _learns(self, batch: Batch, failure: Refused, sure: bool) -> bool:
        """Whether a refusal is about the way of asking: then the next batch goes another, and nothing has failed."""
        if failure.reason is not Reason.rejected:
            return False
        way = _way(batch.way)
        learned = way.after(failure.said, self._sent(batch), sure=sure)
        if learned and self.way == way:
            self.way = learned[0]
            self.engine.options.say(f"{self.api.endpoint.url} {learned[1]}")
        return learned is not None

    def _sent(self, batch: Batch) -> dict[str, Any]:
        with self.ledger.requests_of(batch).open("rb") as stream:
            return dict(json.loads(stream.readline())["body"])

    def _note_refusal(self, batch: Batch, state: State) -> None:
        """A batch that the provider did not begin."""
        errors = (state.errors.data if state.errors else None) or []
        said = [Said(0, self._mask(str(item.message))[:400], str(item.code or "")) for item in errors]
        keys = list(_lines_of(self.ledger, batch))
        about = [item.line if item.line and 0 < item.line <= len(keys) else None for item in errors]
        for line, words in zip(about, said, strict=True):
            if line:
                key, turn = keys[line - 1]
                self.intake.take(AnswerLine(key, key, turn, Refused(Reason.rejected, words)))
        self.recording.journal.sync()
        self.ledger.write(batch.tag, "failed", learned=_plain(self.way))
        self._forget(batch)
        whole = next((words for line, words in zip(about, said, strict=True) if not line), None)
        if whole is not None and not (whole.code == _FULL and self.ledger.open):
            self._stop(Refused(reason_of(whole), whole))
        elif not errors:
            self.report.stop(f"batch {batch.id} failed without a word", "Look at it with the provider, then go on.")

    def _end(self, failure: CallFailed) -> None:
        """A call for files or batches that failed for good; where there are none, nothing is in flight."""
        url = self.api.endpoint.url
        if failure.reason is not Reason.no_address:
            self.report.stop(f"{url}: {failure}", REMEDIES.get(failure.reason, "Start the same command again."))
            return
        for batch in self.ledger.open:
            if batch.state == "begun":
                self.ledger.write(batch.tag, "failed")
                self._forget(batch)
        self.report.stop(
            f"{url} takes no batches ({failure.message})",
            "Leave out --batch: it is asked call by call then. Or name a server that speaks the Batch API.",
        )

    def _stop(self, failure: CallFailed) -> None:
        self.report.stop(str(failure), REMEDIES.get(failure.reason, "Start the same command again: it goes on."))

    def _forget(self, batch: Batch) -> None:
        self._flying.pop(batch.tag, None)
        for path in self.ledger.files.glob(f"{batch.tag}.*"):
            path.unlink()

    async def _fill(self, requests: Iterator[Request]) -> None:
        """Send what is missing and not in flight, as far as the budget goes."""
        part: _Part | None = None
        short = False
        for request in requests:
            key = bytes.fromhex(request.key)
            if self.report.stopped is not None or any(key in keys for keys in self._flying.values()):
                continue
            turn, messages = self.intake.turn(request)
            line = request_line(
                request.key, turn, self.way.body(self.model, messages, request.schema, request.sampling)
            )
            tokens, dollars = most_of(self.model, request, messages)
            if part is not None and part.is_full(self.model, len(line)):
                await self._begin(part)
                part = None
            if not self._fits(part, tokens, dollars):
                short = True
                continue
            part = part or _Part(self.ledger)
            part.add(key, line, self.intake.to_asked(request, turn), tokens, dollars)
        if part is not None:
            await self._begin(part)
        if short and not self.ledger.open:
            self.report.stop("the budget is spent", MORE_BUDGET)

    def _fits(self, part: _Part | None, tokens: int, dollars: float) -> bool:
        held = self.ledger.open
        usd, count = self.ledger.taken
        usd += sum(batch.most_usd for batch in held) + dollars
        count += tokens
        count += sum(batch.most_tokens for batch in held)
        if part is not None:
            usd, count = usd + part.dollars, count + part.tokens
        return self.limits.bear(usd, count)

    async def _begin(self, part: _Part) -> None:
        """Write a batch down, then send it."""
        part.close()
        self.intake.asked.add(part.asked)
        self._flying[part.tag] = part.keys
        batch = self.ledger.write(
            part.tag,
            "begun",
            requests=len(part.keys),
            most_usd=part.dollars,
            most_tokens=part.tokens,
            way=_plain(self.way),
        )
        await self._send(batch)

    async def _send(self, batch: Batch) -> None:
        """Bring a batch from where it is to where it has an id, each step written down before the next."""
        ledger = self.ledger
        if batch.state == "begun":
            self.recording.wait_for(f"the upload to {self.api.endpoint.url}")
            file = await self.api.upload(ledger.requests_of(batch))
            self.recording.wait_for("")
            batch = ledger.write(batch.tag, "uploaded", file=file)
        if batch.state == "creating":  # by a process that died: it may have come through
            if number := await self.api.find(batch.tag, str(batch.file), batch.at):
                ledger.write(batch.tag, "created", id=number)
                return
            batch = ledger.write(batch.tag, "uploaded")
        if batch.state == "uploaded":
            ledger.write(batch.tag, "creating")
            number = await self.api.create(str(batch.file), batch.tag)
            ledger.write(batch.tag, "created", id=number)
            self.engine.options.say(f"Batch {number}: {batch.requests:,} requests")


class _Part:
    """A file of requests while it is written."""

    def __init__(self, ledger: Ledger) -> None:
        ledger.files.mkdir(exist_ok=True)
        self.tag = uuid.uuid4().hex
        self.keys: set[bytes] = set()
        self.asked: list[dict[str, Any]] = []
        self.size = self.tokens = 0
        self.dollars = 0.0
        self._out: BinaryIO = (ledger.files / f"{self.tag}.jsonl").open("wb")

    def is_full(self, model: Model, more: int) -> bool:
        return len(self.keys) >= model.batch_requests or self.size + more > model.batch_bytes

    def add(self, key: bytes, line: bytes, asked: dict[str, Any], tokens: int, dollars: float) -> None:
        self._out.write(line)
        self.size += len(line)
        self.keys.add(key)
        self.asked.append(asked)
        self.tokens += tokens
        self.dollars += dollars

    def close(self) -> None:
        self._out.flush()
        os.fsync(self._out.fileno())
        self._out.close()


def _lines_of(ledger: Ledger, batch: Batch) -> Iterator[tuple[str, int]]:
    """(key, turn) of each request of a batch."""

    with ledger.requests_of(batch).open("rb") as stream:
        for line in stream:
            key, turn = key_and_turn(json.loads(line)["custom_id"])
            if key is not None:
                yield key, turn


def _keys_of(ledger: Ledger, batch: Batch) -> Iterator[bytes]:
    return (bytes.fromhex(key) for key, _ in _lines_of(ledger, batch))


def _plain(way: Way) -> dict[str, Any]:
    return {**asdict(way), "without": sorted(way.without)}


def _way(value: dict[str, Any]) -> Way:
    return Way(**{**value, "without": frozenset(value["without"])})


def _last_way(ledger: Ledger) -> Way | None:
    """How requests were put last, and what the answers taught."""
    last = next(reversed(ledger.batches.values()), None)
    return _way(last.learned or last.way) if last else None
