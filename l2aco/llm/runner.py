"""Runs any number of requests through one engine into one journal.

Every request ends as a record in the journal, as a failure with its reason beside it, or untouched where the
run stopped before it. A second run asks only for what is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tenacity

from l2aco.llm.catalog import Model
from l2aco.llm.engine import Engine
from l2aco.llm.flow import Budget, BudgetSpent, Gate, Pace, run_in_loop
from l2aco.llm.journal import Journal
from l2aco.llm.options import RunLimits
from l2aco.llm.report import RunReport
from l2aco.llm.request import FATAL, OVERLOAD, TRANSIENT, Answer, CallFailed, Message, OtherWay, Reason, Reply, Request
from l2aco.llm.structured import parse_reply, repair_messages
from l2aco.llm.tokens import count_tokens
from l2aco.progress import Advance

ToRecord = Callable[[Request, Answer], dict[str, Any]]
ToFailure = Callable[[Request, CallFailed, int], dict[str, Any]]
_RATE_LIMIT_PATIENCE = 100
_LONGEST_BACKOFF_S = 60.0


def run_requests(
    requests: Iterable[Request],
    engine: Engine,
    journal: Journal,
    *,
    model: Model,
    to_record: ToRecord,
    to_failure: ToFailure,
    limits: RunLimits | None = None,
    advance: Advance | None = None,
) -> RunReport:
    """Ask for every request that the journal does not hold, and write each end into it.

    `requests` is read as a stream. `to_record` makes the journal's line of an answer, `to_failure` that of a
    failure (with the number of tries). Failures for which nothing was answered are tried again by the next
    run; others only with `limits.retry_failed`. Works inside a running event loop (a notebook) too.
    """
    run = _Run(iter(requests), engine, journal, model, to_record, to_failure, limits or RunLimits(), advance)
    return run_in_loop(run.all())


class _Run:
    def __init__(
        self,
        requests: Iterator[Request],
        engine: Engine,
        journal: Journal,
        model: Model,
        to_record: ToRecord,
        to_failure: ToFailure,
        limits: RunLimits,
        advance: Advance | None,
    ) -> None:
        self.requests = requests
        self.engine = engine
        self.journal = journal
        self.model = model
        self.to_record = to_record
        self.to_failure = to_failure
        self.limits = limits
        self.advance = advance
        self.report = RunReport()
        self.gate = Gate(limits.concurrency)
        self.pace = Pace(limits, self._sleep)
        self.budget = Budget(limits.budget_usd, limits.budget_tokens)
        self._taken: set[str] = set()
        self._stopping = asyncio.Event()
        self._row: tuple[Reason | None, int] = (None, 0)
        self._wait = tenacity.wait_random_exponential(multiplier=limits.backoff_s, max=_LONGEST_BACKOFF_S)
        self._plans = any((limits.budget_usd, limits.budget_tokens, limits.tokens_per_minute))

    async def all(self) -> RunReport:
        started = time.monotonic()
        _end_gently()
        first = self._next_missing()
        if first is not None:
            try:
                async with self.engine, self.journal.syncing(), asyncio.TaskGroup() as group:
                    group.create_task(self._work(first))
                    for _ in range(self.limits.concurrency - 1):
                        group.create_task(self._work(None))
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None
        self.report.seconds = time.monotonic() - started
        return self.report

    def _next_missing(self) -> Request | None:
        """The next request that is neither finished nor given up."""
        skipped = 0
        found = None
        for request in self.requests:
            given_up = self.journal.failed(request.key)
            if request.key in self._taken:
                self.report.repeated += 1
            elif request.key in self.journal:
                self.report.before += 1
            elif given_up and given_up not in TRANSIENT and not self.limits.retry_failed:
                self.report.failed_before += 1
            else:
                found = request
                break
            skipped += 1
        if skipped:
            self._show(skipped)
        if found is not None:
            self._taken.add(found.key)
        return found

    async def _work(self, first: Request | None) -> None:
        request = first or self._next_missing()
        while request is not None and self.report.stopped is None:
            try:
                await self._finish(request)
            except BudgetSpent:
                self._stop("the budget is spent", "Start the same command again with more to go on.")
            except _Abandoned:
                return
            finally:
                self._taken.discard(request.key)
            request = self._next_missing() if self.report.stopped is None else None

    async def _finish(self, request: Request) -> None:
        started = time.monotonic()
        calls_before = _Calls()
        try:
            reply, fields = await self._answer(request, calls_before)
        except CallFailed as failure:
            if failure.reason in FATAL:
                self._stop(str(failure), _REMEDIES[failure.reason])
                return
            self.journal.write_failure(self.to_failure(request, failure, calls_before.number))
            self.report.failed[failure.reason] += 1
            self._count_row(failure)
        else:
            answer = Answer(
                fields,
                reply.finish_reason,
                calls_before.tokens_in,
                calls_before.tokens_out,
                reply.model,
                calls_before.number,
                time.monotonic() - started,
            )
            self.journal.write(self.to_record(request, answer))
            self.report.answered += 1
            self._row = (None, 0)
        self._show()

    def _stop(self, why: str, remedy: str) -> None:
        """Start no further call; calls in flight are waited for, pauses between tries are not."""
        self.report.stop(why, remedy)
        self._stopping.set()

    def _count_row(self, failure: CallFailed) -> None:
        """The circuit breaker: many failures in a row of one cause end the run."""
        reason, number = self._row
        self._row = (failure.reason, number + 1 if reason is failure.reason else 1)
        if self._row[1] >= self.limits.break_after:
            self._stop(
                f"{self._row[1]} failures in a row: {failure}",
                _REMEDIES.get(failure.reason, "Look at the failures, then start the same command again."),
            )

    async def _answer(self, request: Request, calls: _Calls) -> tuple[Reply, dict[str, Any]]:
        """An answer that satisfies the schema, after at most one repair turn."""
        reply = await self._patiently(request, request.messages, calls)
        try:
            return reply, parse_reply(reply, request.schema)
        except CallFailed as failure:
            if failure.reason not in (Reason.invalid_json, Reason.wrong_schema):
                raise
            self.report.repairs += 1
            messages = repair_messages(request.messages, reply, failure.message)
            reply = await self._patiently(request, messages, calls)
            return reply, parse_reply(reply, request.schema)

    async def _patiently(self, request: Request, messages: tuple[Message, ...], calls: _Calls) -> Reply:
        """One reply, tried again at transient failures with growing, jittered pauses."""
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, CallFailed) and error.retryable),
            wait=self._pause,
            stop=self._give_up,
            sleep=self._sleep,
            before_sleep=self._note_retry,
            reraise=True,
        )
        while True:
            try:
                return await attempts(self._call, request, messages, calls)
            except OtherWay:  # the engine has another
                continue

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, CallFailed) else None
        return max(self._wait(state), asked or 0.0)

    def _give_up(self, state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        patient = isinstance(error, CallFailed) and error.reason is Reason.rate_limited
        most = max(self.limits.attempts, _RATE_LIMIT_PATIENCE) if patient else self.limits.attempts
        return state.attempt_number >= most

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _note_retry(self, state: tenacity.RetryCallState) -> None:
        self.report.retries += 1

    async def _call(self, request: Request, messages: tuple[Message, ...], calls: _Calls) -> Reply:
        if self.report.stopped is not None:
            raise _Abandoned
        tokens, dollars = self._most(request, messages) if self._plans else (0, 0.0)
        await self.budget.reserve(dollars, tokens)
        reply: Reply | None = None
        try:
            async with self.gate:
                await self.pace.turn(tokens)
                if self.report.stopped is not None:
                    raise _Abandoned
                self.report.calls += 1
                self.report.in_flight = self.gate.in_flight
                calls.number += 1
                reply = await self.engine.ask(messages, request.schema, request.sampling)
            self.gate.went_well()
            return reply
        except OtherWay as other:
            reply = other.reply
            raise
        except CallFailed as failure:
            if failure.reason in OVERLOAD:
                self.gate.overloaded()
            raise
        finally:
            used_in, used_out = (reply.tokens_in, reply.tokens_out) if reply else (0, 0)
            cost = self.model.cost(used_in, used_out)
            calls.tokens_in += used_in
            calls.tokens_out += used_out
            self.report.spend(used_in, used_out, cost)
            self.budget.settle(dollars, tokens, used_dollars=cost or 0.0, used_tokens=used_in + used_out)

    def _most(self, request: Request, messages: tuple[Message, ...]) -> tuple[int, float]:
        """The most tokens and dollars that one call can take; the prompt's estimate gets a margin of a half."""
        texts = [*(message["content"] for message in messages), json.dumps(request.schema)]
        tokens_in = int(1.5 * sum(map(count_tokens, texts))) + 16
        tokens_out = request.sampling.get("max_tokens", self.model.max_tokens)
        return tokens_in + tokens_out, self.model.cost(tokens_in, tokens_out) or 0.0

    def _show(self, done: int = 1) -> None:
        if self.advance is not None:
            self.report.in_flight = self.gate.in_flight
            self.advance(done, self.report.note())


class _Abandoned(Exception):  # noqa: N818  (an end, not an error)
    """The run has stopped; what this request had begun is left for the next one."""


def _end_gently() -> None:
    """Let SIGTERM, which batch systems send, end the run like Ctrl-C: journal closed, servers stopped."""
    if threading.current_thread() is threading.main_thread():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, os.kill, os.getpid(), signal.SIGINT)


class _Calls:
    """What the calls for one request took together."""

    def __init__(self) -> None:
        self.number = 0
        self.tokens_in = 0
        self.tokens_out = 0


_REMEDIES = {
    Reason.unauthorised: "Set the key of this account in the environment; what is finished is kept.",
    Reason.no_credit: "Add credit to the account, then start the same command again; what is finished is kept.",
    Reason.unknown_model: "Check the model's name with the server; --llm PROVIDER:MODEL or l2aco.toml change it.",
    Reason.connection: "Check that the server runs and --base-url is right, then start the same command again.",
    Reason.rate_limited: "Lower --rpm, --tpm or --concurrency, then start the same command again.",
    Reason.timeout: "Raise --timeout or lower --concurrency, then start the same command again.",
    Reason.server_error: "Look at the server's log, then start the same command again.",
    Reason.rejected: "Mend what the server says of the requests, then start the same command with --retry-failed.",
    Reason.truncated: "Raise --max-tokens, then start the same command again with --retry-failed.",
    Reason.invalid_json: "The model does not keep to JSON: use a server with structured output, or another model.",
    Reason.wrong_schema: "The model does not keep to the schema: use structured output, or another model.",
}
