"""Runs any number of requests through one engine into one journal.

Every request ends as a record in the journal, as a failure with its reason beside it, or untouched where the
run stopped before it. A second run asks only for what is missing. How calls are made is the matter of `calls`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from l2aco.llm.calls import Calls
from l2aco.llm.catalog import Model
from l2aco.llm.engine import Engine
from l2aco.llm.flow import run_in_loop
from l2aco.llm.journal import Journal
from l2aco.llm.options import RunLimits
from l2aco.llm.report import RunReport
from l2aco.llm.request import UNANSWERED, Answer, CallFailed, Reason, Reply, Request
from l2aco.llm.spent import Cost
from l2aco.progress import Advance

ToRecord = Callable[[Request, Answer], dict[str, Any]]
ToFailure = Callable[[Request, CallFailed, int], dict[str, Any]]
_KEPT_LETTERS = 20_000
"""Of an answer that cannot be used."""


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
    limits = limits or RunLimits()
    recording = Recording(
        requests,
        journal,
        to_record=to_record,
        to_failure=to_failure,
        cost=model.cost,
        retry_failed=limits.retry_failed,
        advance=advance,
    )
    return run_in_loop(_run(recording, engine, model, limits))


async def _run(recording: Recording, engine: Engine, model: Model, limits: RunLimits) -> RunReport:
    started = time.monotonic()
    missing = recording.missing()
    first = next(missing, None)
    if first is not None:  # else no server needs to be started
        calls = Calls(engine, recording.deliver, model=model, limits=limits, report=recording.report)
        async with recording.journal.syncing():
            await calls.make(chain([first], missing))
    recording.report.seconds = time.monotonic() - started
    return recording.report


class Recording:
    """What a journal does not hold yet, and where each end of a request is written.

    Whoever brings answers, call by call or in a batch, takes requests from `missing` and hands each back to `deliver`.
    `report` counts what was finished before, answered and failed.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        journal: Journal,
        *,
        to_record: ToRecord,
        to_failure: ToFailure,
        cost: Cost | None = None,
        retry_failed: bool = False,
        advance: Advance | None = None,
    ) -> None:
        self.journal = journal
        self.report = RunReport()
        self._requests = requests
        self._to_record = to_record
        self._to_failure = to_failure
        self._cost = cost
        self._retry_failed = retry_failed
        self._advance = advance
        self._taken: set[str] = set()
        self._brought: set[str] = set()
        """What was delivered before a pass over the requests came to it."""

    def missing(self) -> Iterator[Request]:
        """Each request that is neither finished, nor given up, nor taken already."""
        skipped = 0
        for request in self._requests:
            given_up = self.journal.failed(request.key)
            if request.key in self._taken:
                self.report.repeated += 1
            elif request.key in self._brought and not self._open(request.key):
                continue
            elif request.key in self.journal:
                self.report.before += 1
            elif given_up and given_up not in UNANSWERED and not self._retry_failed:
                self.report.failed_before += 1
            else:
                self._show(skipped)
                skipped = 0
                self._taken.add(request.key)
                yield request
                continue
            skipped += 1
        self._show(skipped)

    def remaining(self) -> Iterator[Request]:
        """As `missing`, of another pass over the same requests: counted and taken are they already."""
        for request in self._requests:
            if self._open(request.key):
                yield request

    def _open(self, key: str) -> bool:
        """Whether this request has neither an answer nor a failure that is its last."""
        given_up = self.journal.failed(key)
        return key not in self.journal and (not given_up or given_up in UNANSWERED)

    def deliver(
        self, request: Request, end: Answer | CallFailed, calls: int, tokens: tuple[int, int] | None = None
    ) -> None:
        """Write how a request ended, after so many calls; of a failure the tokens that it took, if known."""
        if isinstance(end, Answer):
            self.journal.write(self._to_record(request, end))
            self.report.answered += 1
        else:
            self._write_failure(request, end, calls, tokens)
            self.report.failed[end.reason] += 1
        if request.key not in self._taken:
            self._brought.add(request.key)
        self._taken.discard(request.key)
        self._show(1)

    def wait_for(self, what: str) -> None:
        """Have the panel say what the run waits for; "": for nothing in particular."""
        self.report.waiting_for = what
        if self._advance is not None:
            self._advance(0, self.report.note())

    def set_aside(self, request: Request, failure: CallFailed, reply: Reply) -> None:
        """Write down an answer that cannot be used, for a repair turn that somebody will ask for later."""
        aside = CallFailed(Reason.to_repair, failure.message, text=failure.text or reply.text)
        self._write_failure(request, aside, 1, (reply.tokens_in, reply.tokens_out))
        self.report.repairs += 1

    def _write_failure(self, request: Request, end: CallFailed, calls: int, tokens: tuple[int, int] | None) -> None:
        failure = self._to_failure(request, end, calls)
        if tokens is not None and any(tokens):
            failure["usage"] = {"input": tokens[0], "output": tokens[1]}
            if self._cost is not None:
                failure["cost_usd"] = self._cost(*tokens)
        if end.text:
            failure["answer"] = end.text[:_KEPT_LETTERS]
        self.journal.write_failure(failure)

    def _show(self, done: int) -> None:
        if done and self._advance is not None:
            self._advance(done, self.report.note())
