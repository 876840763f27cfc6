"""Makes the calls of a run: at a pace, within a budget, patiently, and delivers each end of a request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import tenacity

from l2aco.llm.catalog import Model
from l2aco.llm.engine import Engine
from l2aco.llm.flow import Budget, BudgetSpent, Gate, Pace, patience
from l2aco.llm.options import MORE_BUDGET, RunLimits
from l2aco.llm.pieces import ask_for, joined
from l2aco.llm.report import RunReport
from l2aco.llm.request import (
    FATAL,
    LONGEST_PAUSE_S,
    OVERLOAD,
    Answer,
    CallFailed,
    Message,
    OtherWay,
    Reason,
    Reply,
    Request,
)
from l2aco.llm.structured import explain, parse_reply, repair_messages
from l2aco.llm.tokens import count_tokens
from l2aco.signals import interrupt, is_unhandled

Deliver = Callable[[Request, Answer | CallFailed, int, tuple[int, int]], None]
"""Takes a request, how it ended, the number of its calls, and their tokens in and out."""
_RATE_LIMIT_PATIENCE = 100
_BREAK_AFTER_FORBIDDEN = 3
"""One refusal of access may be about one request; so many in a row are not."""


class Calls:
    """The calls of one run through one engine; `make` may be called once.

    Counts calls, retries, repairs, tokens and dollars in `report`, and stops there what cannot go on. Calls in flight
    are waited for then, pauses between tries are not, and what was begun is left for the next run.
    """

    def __init__(self, engine: Engine, deliver: Deliver, *, model: Model, limits: RunLimits, report: RunReport) -> None:
        self.engine = engine
        self.deliver = deliver
        self.model = model
        self.limits = limits
        self.report = report
        self.gate = Gate(limits.concurrency)
        self.pace = Pace(limits, self._sleep)
        self.budget = Budget(limits.budget_usd, limits.budget_tokens, spent=(limits.spent_usd, limits.spent_tokens))
        self._stopping = asyncio.Event()
        self._row: tuple[Reason | None, int] = (None, 0)
        self._plans = any((limits.budget_usd, limits.budget_tokens, limits.tokens_per_minute))

    async def make(self, requests: Iterator[Request]) -> None:
        """Ask for every request and deliver how each ended; `requests` is read as there is room."""
        end_gently()
        try:
            async with self.engine, asyncio.TaskGroup() as group:
                for _ in range(self.limits.concurrency):
                    group.create_task(self._work(requests))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _work(self, requests: Iterator[Request]) -> None:
        while self.report.stopped is None and (request := next(requests, None)) is not None:
            try:
                await self._finish(request)
            except BudgetSpent:
                self._stop("the budget is spent", MORE_BUDGET)
            except _Abandoned:
                return

    async def _finish(self, request: Request) -> None:
        started = time.monotonic()
        spent = _Spent()
        try:
            reply, fields = await self._answer(request, spent)
        except CallFailed as failure:
            if failure.reason in FATAL:
                self._stop(str(failure), REMEDIES[failure.reason])
                self._keep_bill(request, spent)
                return
            self.deliver(request, failure, spent.calls, spent.tokens)
            self._count_row(failure)
            return
        except (BudgetSpent, _Abandoned, asyncio.CancelledError):
            self._keep_bill(request, spent)
            raise
        seconds = time.monotonic() - started
        self._row = (None, 0)
        answer = Answer(fields, reply.finish_reason, *spent.tokens, reply.model, spent.calls, seconds)
        self.deliver(request, answer, spent.calls, spent.tokens)

    def _keep_bill(self, request: Request, spent: _Spent) -> None:
        """Write down what a request cost that is left for the next run: the next budget counts it."""
        if any(spent.tokens):
            failure = CallFailed(Reason.cut_short, "answered in part when the run ended")
            self.deliver(request, failure, spent.calls, spent.tokens)

    def _stop(self, why: str, remedy: str) -> None:
        """Start no further call; calls in flight are waited for, pauses between tries are not."""
        self.report.stop(why, remedy)
        self._stopping.set()

    def _count_row(self, failure: CallFailed) -> None:
        """The circuit breaker: many failures in a row of one cause end the run."""
        reason, number = self._row
        number = number + 1 if reason is failure.reason else 1
        self._row = (failure.reason, number)
        most = self.limits.break_after
        if failure.reason is Reason.forbidden:
            most = min(most, _BREAK_AFTER_FORBIDDEN)
        if number >= most:
            remedy = REMEDIES.get(failure.reason, "Look at the failures, then start the same command again.")
            self._stop(f"{number} failures in a row: {failure}", remedy)

    async def _answer(self, request: Request, spent: _Spent) -> tuple[Reply, dict[str, object]]:
        """An answer that satisfies the schema: of one call, or joined of one for each of its pieces."""
        if not request.pieces:
            return await self._answer_once(request, spent)
        found: list[dict[str, object]] = []
        for piece in request.pieces:
            part = replace(request, schema=piece, messages=ask_for(request.messages, piece))
            reply, fields = await self._answer_once(part, spent)
            found.append(fields)
        whole = joined(request.schema, found)
        if wrong := explain(whole, request.schema):
            raise CallFailed(Reason.wrong_schema, wrong)
        return reply, whole

    async def _answer_once(self, request: Request, spent: _Spent) -> tuple[Reply, dict[str, object]]:
        """After at most one repair turn."""
        reply = await self._patiently(request, request.messages, spent)
        try:
            return reply, parse_reply(reply, request.schema)
        except CallFailed as failure:
            if failure.reason not in (Reason.invalid_json, Reason.wrong_schema):
                raise
            self.report.repairs += 1
            messages = repair_messages(request.messages, reply, failure.message)
            reply = await self._patiently(request, messages, spent)
            return reply, parse_reply(reply, request.schema)

    async def _patiently(self, request: Request, messages: tuple[Message, ...], spent: _Spent) -> Reply:
        """One reply, tried again at transient failures with growing, jittered pauses."""
        attempts = patience(self.limits.backoff_s, stop=self._give_up, sleep=self._sleep, before_sleep=self._note_retry)
        while True:
            try:
                return await attempts(self._call, request, messages, spent)
            except OtherWay:  # the engine has another
                continue

    def _give_up(self, state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        patient = isinstance(error, CallFailed) and error.reason in (Reason.rate_limited, Reason.no_room)
        most = max(self.limits.attempts, _RATE_LIMIT_PATIENCE) if patient else self.limits.attempts
        return state.attempt_number >= most

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _note_retry(self, state: tenacity.RetryCallState) -> None:
        self.report.retries += 1

    async def _call(self, request: Request, messages: tuple[Message, ...], spent: _Spent) -> Reply:
        if self.report.stopped is not None:
            raise _Abandoned
        tokens, dollars = most_of(self.model, request, messages) if self._plans else (0, 0.0)
        await self.budget.reserve(dollars, tokens)
        reply: Reply | None = None
        try:
            async with self.gate:
                await self.pace.turn(tokens)
                if self.report.stopped is not None:
                    raise _Abandoned
                self.report.calls += 1
                self.report.in_flight = self.gate.in_flight
                spent.calls += 1
                reply = await self.engine.ask(messages, request.schema, request.sampling)
            self.gate.went_well()
            return reply
        except OtherWay as other:
            reply = other.reply
            raise
        except CallFailed as failure:
            self._weigh(failure)
            raise
        finally:
            used_in, used_out = (reply.tokens_in, reply.tokens_out) if reply else (0, 0)
            cost = self.model.cost(used_in, used_out)
            spent.tokens_in += used_in
            spent.tokens_out += used_out
            self.report.spend(used_in, used_out, cost)
            self.budget.settle(dollars, tokens, used_dollars=cost or 0.0, used_tokens=used_in + used_out)

    def _weigh(self, failure: CallFailed) -> None:
        """What a failed call says about the endpoint."""
        if failure.reason in OVERLOAD:
            self.gate.overloaded()
        if failure.retryable and (failure.retry_after or 0.0) > LONGEST_PAUSE_S:
            pause = timedelta(seconds=round(failure.retry_after or 0.0))
            self._stop(f"the server asks for a pause of {pause} ({failure})", "Start the same command again after it.")


def most_of(model: Model, request: Request, messages: tuple[Message, ...]) -> tuple[int, float]:
    """The most tokens and dollars that one call can take; the prompt's estimate gets a margin of a half."""
    texts = [*(message["content"] for message in messages), json.dumps(request.schema)]
    tokens_in = int(1.5 * sum(map(count_tokens, texts))) + 16
    tokens_out = request.sampling.get("max_tokens", model.max_tokens)
    return tokens_in + tokens_out, model.cost(tokens_in, tokens_out) or 0.0


class _Abandoned(Exception):  # noqa: N818  (an end, not an error)
    """The run has stopped; what this request had begun is left for the next one."""


def end_gently() -> None:
    """Let SIGTERM, which batch systems send, end the run like Ctrl-C: journal closed, servers stopped. Who handles it
    already does so."""
    if is_unhandled():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, interrupt)


class _Spent:
    """What the calls for one request took together."""

    def __init__(self) -> None:
        self.calls = 0
        self.tokens_in = 0
        self.tokens_out = 0

    @property
    def tokens(self) -> tuple[int, int]:
        return self.tokens_in, self.tokens_out


REMEDIES = {
    Reason.unauthorised: "Set the key of this account in the environment; what is finished is kept.",
    Reason.forbidden: "See whether this account and this network may use the model, then start the same command again.",
    Reason.no_address: "Check --base-url: it mostly ends in /v1, and never in /chat/completions.",
    Reason.no_credit: "Add credit to the account, then start the same command again; what is finished is kept.",
    Reason.unknown_model: "Check the model's name with the server; --llm PROVIDER:MODEL or l2aco.toml change it.",
    Reason.connection: "Check that the server runs and --base-url is right, then start the same command again.",
    Reason.rate_limited: "Lower --rpm, --tpm or --concurrency, then start the same command again.",
    Reason.no_room: "Start the same command again later, or without --tier.",
    Reason.timeout: "Raise --timeout or lower --concurrency, then start the same command again.",
    Reason.server_error: "Look at the server's log, then start the same command again.",
    Reason.rejected: "Mend what the server says of the requests, then start the same command with --retry-failed.",
    Reason.truncated: "Raise --max-tokens, then start the same command again with --retry-failed.",
    Reason.invalid_json: "The model does not keep to JSON: use a server with structured output, or another model.",
    Reason.wrong_schema: "The model does not keep to the schema: use structured output, or another model.",
}
