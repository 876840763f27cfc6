"""The runner: budgets, the circuit breaker, what a second run asks again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from l2aco.llm.journal import Journal
from l2aco.llm.options import RunLimits
from l2aco.llm.report import RunReport
from l2aco.llm.request import Answer, CallFailed, Message, Reason, Reply, Request
from l2aco.llm.runner import Recording, run_requests

Ask = Callable[..., RunReport]
GOOD = '{"summary": "fine", "items": [], "level": "low"}'


class Scripted:
    """An engine that does what `script(number of the call, messages)` returns or raises."""

    endpoint = "scripted"

    def __init__(self, script: Callable[[int, tuple[Message, ...]], Reply]) -> None:
        self.script = script
        self.calls = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def ask(self, messages: tuple[Message, ...], schema: Mapping[str, Any], sampling: Mapping[str, Any]) -> Reply:
        self.calls += 1
        await asyncio.sleep(0)
        return self.script(self.calls, messages)


def good(tokens_in: int = 10, tokens_out: int = 30) -> Reply:
    return Reply(GOOD, "stop", tokens_in, tokens_out)


def failing(reason: Reason) -> Callable[..., Reply]:
    def script(*_: object) -> Reply:
        raise CallFailed(reason, "as told")

    return script


def test_a_budget_in_tokens_stops_cleanly_and_the_next_run_goes_on(ask: Ask) -> None:
    first = ask(50, engine=Scripted(lambda *_: good()), budget_tokens=1000)
    assert first.stopped is not None
    assert "budget" in first.stopped
    assert 0 < first.tokens_in + first.tokens_out <= 1000
    assert not first.failed
    second = ask(50, engine=Scripted(lambda *_: good()))
    assert second.before == first.answered
    assert second.answered == 50 - first.answered


def test_a_budget_in_dollars_is_kept(ask: Ask) -> None:
    report = ask(50, engine=Scripted(lambda *_: good(tokens_in=20, tokens_out=100)), budget_usd=0.002)
    assert report.cost_usd is not None
    assert 0 < report.cost_usd <= 0.002
    assert report.stopped is not None


def test_many_failures_in_a_row_of_one_cause_stop_the_run(ask: Ask) -> None:
    report = ask(500, engine=Scripted(failing(Reason.refused)), break_after=7, concurrency=2)
    assert report.stopped is not None
    assert "7 failures in a row" in report.stopped
    assert report.calls < 12


def test_a_stopped_run_does_not_wait_for_the_pauses_between_tries(ask: Ask, tmp_path: Path) -> None:
    def script(call: int, _: object) -> Reply:
        if call <= 3:
            raise CallFailed(Reason.rate_limited, "as told", retry_after=300)
        raise CallFailed(Reason.unauthorised, "as told")

    report = ask(50, engine=Scripted(script), concurrency=4)
    assert report.stopped is not None
    assert report.seconds < 60
    assert (tmp_path / "failures.jsonl").read_text() == "", "what was waiting is left for the next run"


def test_failures_between_successes_do_not_stop_it(ask: Ask) -> None:
    def script(call: int, _: object) -> Reply:
        if call % 2:
            raise CallFailed(Reason.refused, "as told")
        return good()

    report = ask(60, engine=Scripted(script), break_after=5, concurrency=1)
    assert report.stopped is None
    assert (report.answered, report.failed[Reason.refused]) == (30, 30)


def test_transient_failures_are_tried_again_and_others_are_not(ask: Ask) -> None:
    def script(call: int, _: object) -> Reply:
        if call < 4:
            raise CallFailed(Reason.server_error, "as told")
        return good()

    report = ask(1, engine=Scripted(script))
    assert (report.answered, report.calls, report.retries) == (1, 4, 3)
    refused = Scripted(failing(Reason.truncated))
    assert ask(2, engine=refused).failed[Reason.truncated] == 1
    assert refused.calls == 1


def test_a_request_gives_up_after_its_attempts_and_the_next_run_asks_again(ask: Ask) -> None:
    broken = Scripted(failing(Reason.timeout))
    assert ask(1, engine=broken, attempts=3).failed[Reason.timeout] == 1
    assert broken.calls == 3
    assert ask(1, engine=Scripted(lambda *_: good())).answered == 1, (
        "nothing had been answered, so nothing is paid twice"
    )


def test_an_unusable_answer_was_paid_for_and_is_asked_again_only_on_demand(ask: Ask) -> None:
    ask(1, engine=Scripted(failing(Reason.refused)))
    untouched = Scripted(lambda *_: good())
    report = ask(1, engine=untouched)
    assert (report.failed_before, untouched.calls) == (1, 0)
    assert ask(1, engine=untouched, retry_failed=True).answered == 1


def test_patience_with_rate_limits_outlasts_the_attempts(ask: Ask) -> None:
    def script(call: int, _: object) -> Reply:
        if call <= 5:
            raise CallFailed(Reason.rate_limited, "as told", retry_after=0.001)
        return good()

    assert ask(1, engine=Scripted(script), attempts=2).answered == 1


def test_an_error_of_the_program_is_not_retried_and_loses_nothing(ask: Ask, tmp_path: Path) -> None:
    def script(call: int, _: object) -> Reply:
        if call == 6:
            raise ZeroDivisionError
        return good()

    broken = Scripted(script)
    with pytest.raises(ZeroDivisionError):
        ask(20, engine=broken, concurrency=1)
    assert broken.calls == 6
    assert ask(20, engine=Scripted(lambda *_: good())).before == 5


def test_it_works_inside_a_running_event_loop(ask: Ask) -> None:
    async def notebook() -> RunReport:
        return ask(5, engine=Scripted(lambda *_: good()))

    assert asyncio.run(notebook()).answered == 5


def test_requests_are_read_as_a_stream(ask: Ask, requests: Any, tmp_path: Path, model: Any) -> None:
    """No more requests are taken than calls may be in flight."""
    taken = answered = most = 0

    def stream() -> Iterator[Request]:
        nonlocal taken, most
        for request in requests(200):
            taken += 1
            most = max(most, taken - answered)
            yield request

    def record(request: Request, _: object) -> dict[str, Any]:
        nonlocal answered
        answered += 1
        return {"key": request.key}

    with Journal(tmp_path, "the test") as journal:
        report = run_requests(
            stream(),
            Scripted(lambda *_: good()),
            journal,
            model=model,
            to_record=record,
            to_failure=lambda *_: {},
            limits=RunLimits(concurrency=8),
        )
    assert (report.answered, taken) == (200, 200)
    assert most <= 9


@pytest.mark.parametrize("limits", [{"requests_per_minute": 240.0}, {"concurrency": 64}])
def test_after_a_fatal_stop_no_call_is_started(ask: Ask, limits: dict[str, Any]) -> None:
    def script(call: int, _: object) -> Reply:
        if call >= 2:
            raise CallFailed(Reason.unauthorised, "as told")
        return good()

    engine = Scripted(script)
    report = ask(200, engine=engine, **limits)
    assert report.stopped is not None
    assert engine.calls <= (3 if "requests_per_minute" in limits else 40)
    assert report.seconds < 10


def test_what_a_server_rejects_for_good_holds_nothing_up(ask: Ask) -> None:
    def script(_: int, messages: tuple[Message, ...]) -> Reply:
        if int(messages[1]["content"].split()[1]) < 25:
            raise CallFailed(Reason.rejected, "as told")
        return good()

    reports = [ask(60, engine=Scripted(script), concurrency=1, break_after=20) for _ in range(3)]
    assert [report.answered for report in reports] == [0, 35, 0]
    assert reports[0].stopped is not None and "--retry-failed" in reports[0].remedy
    assert reports[2].stopped is None and reports[2].failed_before == 25


def test_answers_from_elsewhere_are_recorded_alike(requests: Any, tmp_path: Path) -> None:
    """A batch takes what is missing and delivers how each request ended, in its own order and in two sittings."""

    def recording(journal: Journal) -> Recording:
        return Recording(
            requests(5),
            journal,
            to_record=lambda request, answer: {"key": request.key, "fields": answer.fields},
            to_failure=lambda request, failure, calls: {"key": request.key, "reason": failure.reason, "calls": calls},
        )

    with Journal(tmp_path, "the test") as journal:
        first = recording(journal)
        sent = list(first.missing())
        for request in reversed(sent[1:4]):
            first.deliver(request, Answer({"summary": request.key}, "stop", 1, 2, None, 1, 0.0), 1)
        first.deliver(sent[0], CallFailed(Reason.refused, "no", text="I will not"), 1)
        assert (first.report.answered, dict(first.report.failed)) == (3, {Reason.refused: 1})
        second = recording(journal)
        assert list(second.missing()) == [sent[4]]
        assert (second.report.before, second.report.failed_before) == (3, 1)
    assert json.loads((tmp_path / "failures.jsonl").read_text())["answer"] == "I will not"
