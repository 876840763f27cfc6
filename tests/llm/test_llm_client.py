"""The client against real servers on loopback: structured output, several endpoints, keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_server import GOOD, completion, scripted

from l2aco.errors import UnavailableError
from l2aco.llm.catalog import Model, resolve_model
from l2aco.llm.client import OpenAIEngine
from l2aco.llm.fake.server import FakeServer
from l2aco.llm.options import EngineOptions
from l2aco.llm.report import RunReport
from l2aco.llm.request import Reason

Ask = Callable[..., RunReport]


@pytest.mark.parametrize(
    ("formats", "refused"),
    [
        (("json_schema", "json_object"), {}),
        (("json_object",), {"json_schema refused": 2}),
        ((), {"json_schema refused": 2, "json_object refused": 1}),
    ],
)
def test_the_way_to_structured_output_is_learned_once(
    ask: Ask, formats: tuple[str, ...], refused: dict[str, int]
) -> None:
    with FakeServer(formats=formats, delay_s=0.05) as server:
        report = ask(40, server.url)
        stats = server.stats()
    assert report.answered == 40
    assert report.repairs == 0
    assert stats["faults"] == refused, "the refusals of the first call only"
    assert stats["most_in_flight"] > 2, "only the first call goes alone"


def test_a_request_that_is_refused_in_every_way_teaches_nothing(ask: Ask) -> None:
    kinds: list[str] = []

    def answer(body: dict[str, Any], _: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
        kinds.append(body.get("response_format", {}).get("type", "text"))
        if "thing 0" in body["messages"][1]["content"]:
            return 400, {"error": {"message": "too long"}}, {}
        return 200, completion(GOOD), {}

    with scripted(answer) as url:
        report = ask(3, url, concurrency=1)
    assert (report.answered, report.failed[Reason.rejected]) == (2, 1)
    assert kinds[-2:] == ["json_schema", "json_schema"]


def test_a_server_that_ignores_the_schema_is_found_out_by_its_first_answer(ask: Ask) -> None:
    kinds: list[str] = []

    def answer(body: dict[str, Any], _: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
        kinds.append(body.get("response_format", {}).get("type", "text"))
        return 200, completion(GOOD if "JSON schema" in body["messages"][0]["content"] else "Sure, here you go."), {}

    with scripted(answer) as url:
        report = ask(10, url)
    assert report.answered == 10
    assert report.repairs == 0
    assert kinds.count("json_schema") == 2
    assert set(kinds[2:]) == {"json_object"}


def test_one_repair_turn_mends_a_bad_answer_and_says_what_was_wrong(ask: Ask) -> None:
    turns: list[list[dict[str, str]]] = []

    def answer(body: dict[str, Any], _: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
        turns.append(body["messages"])
        if len(turns) == 1:
            return 200, completion(GOOD), {}
        return 200, completion(GOOD if len(body["messages"]) > 2 else '{"summary": 5}'), {}

    with scripted(answer) as url:
        assert ask(1, url).answered == 1
        report = ask(2, url)
    assert (report.answered, report.repairs) == (1, 1)
    assert report.calls == len(turns) - 1 == 5, "four ways of asking, each paid for, and the repair"
    assert turns[-1][-2] == {"role": "assistant", "content": '{"summary": 5}'}
    assert "summary" in turns[-1][-1]["content"]


def test_two_servers_share_the_work(ask: Ask) -> None:
    with FakeServer(delay_s=0.02) as one, FakeServer(delay_s=0.02) as two:
        report = ask(80, one.url, two.url)
        counts = (one.calls, two.calls)
    assert report.answered == 80
    assert min(counts) > 25


def test_a_dead_server_is_taken_out_and_comes_back(ask: Ask) -> None:
    with FakeServer() as gone:
        port = gone.port
    with FakeServer(delay_s=0.05) as alive:
        back = FakeServer(port=port, delay_s=0.01)
        timer = threading.Timer(0.3, back.__enter__)
        timer.start()
        try:
            report = ask(240, gone.url, alive.url, concurrency=4)
        finally:
            timer.join()
            back.__exit__()
        counts = (back.calls, alive.calls)
    assert report.answered == 240
    assert not report.failed
    assert counts[0] > 10, "it worked again after it had come back"
    assert report.retries < 20, "a dead server is not tried with every request"


def test_retry_after_is_obeyed(ask: Ask) -> None:
    calls: list[float] = []

    def answer(_: dict[str, Any], __: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
        calls.append(time.monotonic())
        if len(calls) == 1:
            return 429, {"error": {"message": "slow down"}}, {"Retry-After": "0.7"}
        return 200, completion(GOOD), {}

    with scripted(answer) as url:
        report = ask(3, url)
    assert report.answered == 3
    assert calls[1] - calls[0] >= 0.69, "the whole endpoint rests, not only the call that was refused"


def test_a_used_up_quota_in_the_headers_makes_a_pause(ask: Ask) -> None:
    calls: list[float] = []

    def answer(_: dict[str, Any], __: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
        calls.append(time.monotonic())
        used_up = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "500ms"}
        return 200, completion(GOOD), used_up if len(calls) == 1 else {}

    with scripted(answer) as url:
        assert ask(2, url, concurrency=1).answered == 2
    assert calls[1] - calls[0] >= 0.49


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, {"error": {"message": "bad key"}}, Reason.unauthorised),
        (429, {"error": {"message": "no money", "code": "insufficient_quota"}}, Reason.no_credit),
        (404, {"error": {"message": "no such model"}}, Reason.unknown_model),
    ],
)
def test_what_would_fail_every_time_stops_the_run_at_once(
    ask: Ask, tmp_path: Path, status: int, body: dict[str, Any], reason: Reason
) -> None:
    with scripted(lambda *_: (status, body, {})) as url:
        report = ask(50, url, concurrency=4)
    assert report.stopped is not None
    assert reason.value in report.stopped
    assert report.remedy
    assert report.calls <= 4
    assert (tmp_path / "failures.jsonl").read_text() == "", "nothing was given up: the next run asks again"


def test_a_key_is_needed_where_the_provider_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    model = resolve_model("gpt-4o-mini")
    with pytest.raises(UnavailableError) as caught:
        OpenAIEngine(model, EngineOptions(base_urls=(model.base_url or "",)))
    assert "OPENAI_API_KEY" in str(caught.value)


def test_a_providers_key_goes_to_no_other_model(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def answer(_: dict[str, Any], headers: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
        seen.append(headers["Authorization"])
        return 200, completion(GOOD), {}

    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai-only")
    with scripted(answer) as url:
        options = EngineOptions(base_urls=(url,))
        ask(1, engine=OpenAIEngine(resolve_model("gpt-4o-mini"), options))
        monkeypatch.setenv("L2ACO_API_KEY", " for-this-server\n")
        ask(2, engine=OpenAIEngine(resolve_model("gpt-4o-mini"), options))
    assert seen == ["Bearer none", "Bearer for-this-server"]


def test_the_providers_own_address_gets_its_key_with_or_without_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("L2ACO_API_KEY", "mine")
    model = resolve_model("gpt-4o-mini")
    for url, key in ((f"{model.base_url}/", "sk-openai"), ("http://127.0.0.1:9/v1", "mine")):
        assert OpenAIEngine(model, EngineOptions(base_urls=(url,)))._key == key


@pytest.mark.parametrize("key", ["sk-a\nsk-b", "“sk-a”", "sk a"])
def test_a_key_that_cannot_be_one_is_refused_unseen(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("L2ACO_API_KEY", key)
    with pytest.raises(UnavailableError, match="L2ACO_API_KEY") as caught:
        OpenAIEngine(resolve_model("gpt-4o-mini"), EngineOptions(base_urls=("http://127.0.0.1:1/v1",)))
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"summary": "\\ud83d", "items": [], "level": "low"}', Reason.invalid_json),
        ("[" * 100_000, Reason.invalid_json),
        ("half \ud83d", Reason.broken_response),
        (5, Reason.broken_response),
        ([{"type": "image"}], Reason.empty),
        ([{"type": "text"}], Reason.broken_response),
    ],
)
def test_an_odd_answer_is_the_failure_of_one_request(ask: Ask, content: Any, reason: Reason) -> None:
    def answer(body: dict[str, Any], _: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
        return 200, completion(content if "thing 3" in body["messages"][1]["content"] else GOOD), {}

    with scripted(answer) as url:
        report = ask(8, url, concurrency=1, attempts=2)
    assert (report.answered, dict(report.failed)) == (7, {reason: 1})


def test_an_answer_in_parts_is_one_text(ask: Ask) -> None:
    def answer(_: dict[str, Any], __: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
        parts = [{"type": "text", "text": GOOD[:9]}, {"type": "image"}, {"type": "text", "text": GOOD[9:]}]
        headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "0.0.1s"}
        return 200, completion(parts), headers  # type: ignore[arg-type]

    with scripted(answer) as url:
        assert ask(2, url).answered == 2


def test_a_budget_holds_while_the_way_of_asking_is_learned(ask: Ask) -> None:
    def answer(_: dict[str, Any], __: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
        seen.append(1)
        return 200, {**completion("prose"), "usage": {"prompt_tokens": 100, "completion_tokens": 200}}, {}

    seen: list[int] = []
    with scripted(answer) as url:
        report = ask(20, url, budget_tokens=900)
    assert report.stopped is not None and "budget" in report.stopped
    assert report.calls == len(seen)
    assert report.tokens_in + report.tokens_out == 300 * len(seen) <= 900


def test_a_server_that_hangs_is_not_asked_one_call_at_a_time(ask: Ask) -> None:
    with FakeServer(faults={"hang": 1.0}) as server:
        report = ask(16, server.url, timeout_s=0.5, attempts=2, break_after=16, concurrency=16)
        assert server.calls > 16
    assert report.answered == 0
    assert report.seconds < 10, "32 calls of half a second in a row would take 16"


def test_lack_of_credit_ends_the_run_and_gives_nothing_up(ask: Ask, tmp_path: Path) -> None:
    def answer(_: dict[str, Any], __: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
        seen.append(1)
        return (200, completion(GOOD), {}) if len(seen) <= 3 else (402, {"error": {"message": "no credit"}}, {})

    seen: list[int] = []
    with scripted(answer) as url:
        report = ask(20, url, concurrency=1)
    assert (report.answered, len(seen)) == (3, 4)
    assert report.stopped is not None and "no credit" in report.stopped
    assert (tmp_path / "failures.jsonl").read_text() == ""


def test_the_body_follows_the_catalog(ask: Ask, requests: Any, model: Model, tmp_path: Path) -> None:
    bodies: list[dict[str, Any]] = []

    def answer(body: dict[str, Any], _: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, str]]:
        bodies.append(body)
        return 200, completion(GOOD), {}

    with scripted(answer) as url:
        special = model.model_copy(
            update={"max_tokens_field": "max_completion_tokens", "extra": {"reasoning_effort": "low"}}
        )
        ask(1, engine=OpenAIEngine(special, EngineOptions(base_urls=(url,))))
    assert bodies[0]["max_completion_tokens"] == 200
    assert "max_tokens" not in bodies[0]
    assert bodies[0]["reasoning_effort"] == "low"
    assert bodies[0]["response_format"]["json_schema"]["strict"] is True
