"""Servers as they are: what they count, how they think, refuse, and say why, over real HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from chat_server import GOOD, Answer, completion, scripted, subject

from l2aco.llm.catalog import Model
from l2aco.llm.client import OpenAIEngine
from l2aco.llm.fake.server import FakeServer
from l2aco.llm.options import EngineOptions
from l2aco.llm.refusals import Said, asked_pause, quota_pause, reason_of
from l2aco.llm.report import RunReport
from l2aco.llm.request import Reason

Ask = Callable[..., RunReport]


def error(status: int, words: Any, **more: Any) -> Answer:
    return status, {"error": {"message": words, **more}}, {}


def failures(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()]


def told(model: Model, url: str, said: list[str], **changes: Any) -> OpenAIEngine:
    """An engine that says its news into `said`."""
    return OpenAIEngine(model.model_copy(update=changes), EngineOptions(base_urls=(url,), say=said.append))


# What is billed


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 50}, (100, 50)),
        ({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 5150}, (100, 5050)),
        (
            {"prompt_tokens": 9, "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 5000}},
            (9, 5050),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 5050, "completion_tokens_details": {"reasoning_tokens": 5000}},
            (9, 5050),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 50, "reasoning_tokens": 70, "total_tokens": 60}, (9, 120)),
        ({"prompt_tokens": 10, "completion_tokens": None, "total_tokens": 33}, (10, 23)),
        ({"prompt_tokens": -4, "completion_tokens": 7.0, "total_tokens": "many"}, (0, 7)),
    ],
)
def test_where_figures_disagree_the_larger_counts(ask: Ask, usage: dict[str, Any], tokens: tuple[int, int]) -> None:
    with scripted(lambda *_: (200, completion(usage=usage), {})) as url:
        report = ask(1, url)
    assert (report.tokens_in, report.tokens_out) == tokens


@pytest.mark.parametrize("usage", [{}, [], {"prompt_tokens": None}, {"total_tokens": "9"}])
def test_what_a_server_does_not_count_is_estimated(ask: Ask, usage: Any) -> None:
    with scripted(lambda *_: (200, completion(usage=usage), {})) as url:
        report = ask(60, url, budget_tokens=1200, concurrency=1)
    assert report.tokens_in > 3 * report.answered and report.tokens_out > 5 * report.answered
    assert report.stopped is not None and report.tokens_in + report.tokens_out <= 1200


def test_thoughts_are_spent_from_the_budget(ask: Ask) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 5150}
    with scripted(lambda *_: (200, completion(usage=usage), {})) as url:
        report = ask(9, url, budget_tokens=12_000, concurrency=1)
    assert (report.calls, report.stopped) == (2, "the budget is spent")


@pytest.mark.parametrize("limit", [{"budget_tokens": 30_000}, {"budget_usd": 0.06}])
def test_many_calls_at_once_do_not_pass_a_budget_by_their_thoughts(ask: Ask, limit: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 5150}
    with scripted(lambda *_: (200, completion(usage=usage), {})) as url:
        report = ask(200, url, concurrency=64, **limit)
    assert report.stopped == "the budget is spent" and report.answered >= 3
    assert report.tokens_in + report.tokens_out <= 30_000 and (report.cost_usd or 0) <= 0.06


# What is an answer


@pytest.mark.parametrize(
    "message",
    [
        {"text": f"<think>\nOkay, {{a profile}}.\n</think>\n\n{GOOD}"},
        {"text": f"The user wants a profile.\n</think>\n{GOOD}"},
        {"text": f"<think>hm</think>\n```json\n{GOOD}\n```"},
        {"text": f"[THINK]Let me see: {{}}[/THINK]{GOOD}"},
        {"text": f"<think>one</think><think>two</think>{GOOD}"},
        {"text": f"```json {GOOD}```"},
        {"text": f"```{GOOD}```"},
        {"text": f"Here is the JSON:\n```json\n{GOOD}\n```\nLet me know!"},
        {"text": f"{GOOD}<|im_end|>"},
        {"text": f"{GOOD}</s> <|eot_id|>\n"},
        {"text": f"{GOOD}\n{GOOD}"},
        {"text": json.dumps({"answer": json.loads(GOOD)})},
        {"text": "", "reasoning_content": GOOD},
        {"text": None, "reasoning": f"<think>so</think>{GOOD}"},
        {"text": GOOD.replace("fine", "ends with </think> and ```")},
    ],
)
def test_what_is_unambiguous_is_taken_at_once(ask: Ask, message: dict[str, Any]) -> None:
    with scripted(lambda *_: (200, completion(**message), {})) as url:
        report = ask(2, url)
    assert (report.answered, report.calls) == (2, 2)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"text": f"<think>I would say {GOOD}"}, Reason.invalid_json),
        ({"text": f"```json\n{GOOD}\n```\nor\n```json\n{GOOD.replace('low', 'high')}\n```"}, Reason.invalid_json),
        ({"text": f"{GOOD}\n{GOOD.replace('low', 'high')}"}, Reason.invalid_json),
        ({"text": f"Here it is: {GOOD}"}, Reason.invalid_json),
        ({"text": GOOD.replace('"fine"', "NaN")}, Reason.invalid_json),
        ({"text": "", "reasoning_content": "I am thinking of it."}, Reason.empty),
        ({"text": "", "reasoning_content": GOOD[:20], "finish": "length"}, Reason.truncated),
    ],
)
def test_what_is_refused_keeps_its_text_once(ask: Ask, tmp_path: Path, message: dict[str, Any], reason: Reason) -> None:
    with scripted(lambda *_: (200, completion(**message), {})) as url:
        report = ask(1, url)
    assert dict(report.failed) == {reason: 1}
    kept = message.get("text") or message["reasoning_content"]
    assert [failure["answer"] for failure in failures(tmp_path)] == [kept]
    assert kept not in failures(tmp_path)[0]["message"]


# What an endpoint teaches

GPT5 = {
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
    "instead.",
    "temperature": "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is "
    "supported.",
}


def picky(*refused: str, words: str = "Extra inputs are not permitted: {}") -> Callable[..., Answer]:
    """A server that refuses parameters, one at a time."""

    def answer(body: dict[str, Any], _: Mapping[str, str]) -> Answer:
        for name in refused:
            if name in body:
                return error(422, words.format(name))
        return 200, completion(), {}

    return answer


def reasoning_model(body: dict[str, Any], _: Mapping[str, str]) -> Answer:
    for name, words in GPT5.items():
        if name in body:
            return error(400, words, param=name, code="unsupported_parameter")
    return 200, completion(), {}


def in_detail(body: dict[str, Any], _: Mapping[str, str]) -> Answer:
    if "reasoning_effort" in body:
        said = {"type": "extra_forbidden", "loc": ["body", "reasoning_effort"], "msg": "Extra inputs are not permitted"}
        return 422, {"detail": [said]}, {}
    return 200, completion(), {}


def without_system(body: dict[str, Any], _: Mapping[str, str]) -> Answer:
    if body["messages"][0]["role"] == "system":
        return error(400, "System role not supported")
    return 200, completion() if "Describe." in subject(body) and "thing" in subject(body) else {}, {}


@pytest.mark.parametrize(
    ("answer", "learned", "changes"),
    [
        (reasoning_model, ["takes max_completion_tokens, not max_tokens", "takes no temperature"], {}),
        (picky("temperature"), ["takes no temperature"], {}),
        (picky("max_completion_tokens"), ["takes max_tokens"], {"max_tokens_field": "max_completion_tokens"}),
        (picky("top_k", words="unknown field `{}`"), ["takes no top_k"], {"extra": {"top_k": 5}}),
        (in_detail, ["takes no reasoning_effort"], {"extra": {"reasoning_effort": "low"}}),
        (without_system, ["takes no system message"], {}),
    ],
)
def test_what_a_server_names_is_learned_once(
    ask: Ask, model: Model, answer: Callable[..., Answer], learned: list[str], changes: dict[str, Any]
) -> None:
    said: list[str] = []
    seen: list[str] = []
    with scripted(answer, seen) as url:
        report = ask(8, engine=told(model, url, said, **changes))
    assert (report.answered, report.repairs) == (8, 0)
    assert len(seen) == 8 + len(learned)
    assert all(any(words in line for line in said) for words in learned)


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 512 tokens. However, you requested 2600 tokens",
        "temperature must be between 0 and 1",
        "max_tokens is too large: 200. This model supports at most 100",
    ],
)
def test_what_is_wrong_with_a_request_is_no_matter_of_its_form(ask: Ask, tmp_path: Path, words: str) -> None:
    seen: list[str] = []
    with scripted(lambda *_: error(400, words), seen) as url:
        report = ask(4, url, concurrency=1)
    assert report.failed[Reason.rejected] == 4
    assert len(seen) <= 4 + 3, "at most the first goes through all forms"
    assert words in failures(tmp_path)[0]["message"]


@pytest.mark.parametrize(
    "refusal",
    [
        error(400, "response_format type json_schema is unavailable now"),
        error(500, "xgrammar: unsupported response_format", type="InternalServerError"),
        error(404, "No endpoints found that can handle the requested parameters.", code=404),
        error(200, "response_format is not supported", code=400),
        (422, {"detail": "guided decoding is off"}, {}),
    ],
)
def test_a_refusal_of_the_form_leads_to_the_next_form(ask: Ask, refusal: Answer) -> None:
    seen: list[str] = []

    def answer(body: dict[str, Any], _: Mapping[str, str]) -> Answer:
        return refusal if "response_format" in body else (200, completion(), {})

    with scripted(answer, seen) as url:
        report = ask(5, url)
    assert (report.answered, report.retries, len(seen)) == (5, 0, 5 + 3)


def test_a_form_that_is_refused_later_is_left_too(ask: Ask) -> None:
    def answer(body: dict[str, Any], _: Mapping[str, str]) -> Answer:
        if "thing 3" in subject(body) and body.get("response_format", {}).get("type") == "json_schema":
            return error(400, "this schema cannot be compiled to a grammar")
        return 200, completion(), {}

    with scripted(answer) as url:
        assert ask(8, url, concurrency=1).answered == 8


# Errors with the status of success


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": {"message": "Provider returned error: insufficient credits", "code": 402}}, Reason.no_credit),
        ({"error": {"message": "No auth credentials found", "code": "401"}}, Reason.unauthorised),
        ({"error": "model 'm' not found, try pulling it first"}, Reason.unknown_model),
    ],
)
def test_an_error_in_a_success_stops_the_run_like_its_status(ask: Ask, body: Any, reason: Reason) -> None:
    seen: list[str] = []
    with scripted(lambda *_: (200, body, {}), seen) as url:
        report = ask(9, url)
    assert report.stopped is not None and reason.value in report.stopped
    assert len(seen) == 1, "those that waited for the first call make none"


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Rate limit exceeded: free-models-per-min.", "code": 429}},
        {"error": {"message": "The engine is overloaded", "type": "server_error"}},
        {"id": "x", "choices": None, "usage": None},
        {"id": "x", "choices": []},
        completion(GOOD[:30], finish="error"),
        "<html><title>Sign in to WiFi</title></html>",
    ],
)
def test_a_success_without_an_answer_is_tried_again(ask: Ask, body: Any) -> None:
    seen: list[str] = []
    with scripted(lambda *_: (200, body if len(seen) <= 2 else completion(), {}), seen) as url:
        report = ask(1, url)
    assert (report.answered, report.retries, report.repairs) == (1, 2, 0)


def test_the_words_of_what_is_no_answer_are_kept(ask: Ask, tmp_path: Path) -> None:
    with scripted(lambda *_: (200, "<html><title>Sign in to WiFi</title></html>", {})) as url:
        ask(1, url, attempts=2)
    assert "Sign in to WiFi" in failures(tmp_path)[0]["message"]


# Causes


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Said(429, "You exceeded your current quota, please check your plan", kind="insufficient_quota"), "no credit"),
        (Said(429, "You exceeded your current quota. Please retry in 31s. limit: 15 per minute"), "rate limited"),
        (Said(429, "Request was rejected due to request rate limiting.", kind="credit_limit"), "rate limited"),
        (Said(429, "Requests have exceeded the call rate limit.", code="429"), "rate limited"),
        (Said(400, "Your credit balance is too low to access the API."), "no credit"),
        (Said(403, "Your chosen model requires moderation and your input was flagged"), "refused by the model"),
        (Said(400, "The response was filtered", code="content_filter"), "refused by the model"),
        (Said(400, "API key not valid. Please pass a valid API key."), "key refused"),
        (Said(403, "Country, region, or territory not supported"), "access refused"),
        (Said(403, "Cloudflare: Access denied, error 1020"), "access refused"),
        (Said(404, "The model `x` does not exist.", kind="NotFoundError"), "unknown model"),
        (Said(404, "No endpoints found for meta-llama/none."), "unknown model"),
        (Said(404, "Not Found"), "no chat API at this address"),
        (Said(405, "Method Not Allowed"), "no chat API at this address"),
        (Said(404, "No endpoints found that can handle the requested parameters."), "rejected"),
        (Said(413, "Request Entity Too Large"), "rejected"),
        (Said(400, "Unsupported parameter: 'max_tokens' is not supported with this model."), "rejected"),
        (Said(529, "Overloaded", kind="overloaded_error"), "server error"),
    ],
)
def test_the_cause_comes_from_code_and_words(said: Said, reason: str) -> None:
    assert reason_of(said) == reason


def test_one_moderated_entity_stops_nothing(ask: Ask, tmp_path: Path) -> None:
    for words in ("your input was flagged by moderation", "computer says no"):

        def answer(body: dict[str, Any], _: Mapping[str, str], words: str = words) -> Answer:
            return error(403, words) if "thing 2" in subject(body) else (200, completion(), {})

        with scripted(answer) as url:
            report = ask(6, url, concurrency=1, retry_failed=True)
        assert report.stopped is None and sum(report.failed.values()) == 1
    assert [failure["reason"] for failure in failures(tmp_path)] == ["refused by the model", "access refused"]


def test_refused_access_ends_the_run_soon_and_is_asked_for_again(ask: Ask) -> None:
    seen: list[str] = []
    with scripted(lambda *_: error(403, "not in your country"), seen) as url:
        report = ask(50, url, concurrency=1)
    assert report.stopped is not None and "not in your country" in report.stopped
    assert len(seen) == 3
    with scripted(lambda *_: (200, completion(), {})) as url:
        assert ask(50, url).answered == 50


@pytest.mark.parametrize("path", ["", "/v1/models", "/api"])
def test_a_wrong_address_is_said(ask: Ask, path: str) -> None:
    seen: list[str] = []

    def answer(_: dict[str, Any], __: Mapping[str, str]) -> Answer:
        return (200, completion(), {}) if seen[-1] == "/v1/chat/completions" else (404, {"detail": "Not Found"}, {})

    with scripted(answer, seen) as url:
        base = url.removesuffix("/v1")
        report = ask(4, f"{base}{path}")
        assert report.stopped is not None and f"{base}{path}/chat/completions" in report.stopped
        assert "/v1" in report.remedy
        assert len(seen) == 1
        assert ask(4, f"{url}/chat/completions/").answered == 4, "the path of a call is no part of a base URL"


def test_a_redirect_is_said_and_not_followed(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2ACO_API_KEY", "sk-for-the-first-only")
    seen: list[str] = []
    with scripted(lambda *_: (200, completion(), {}), seen) as other:
        with scripted(lambda *_: (308, {}, {"Location": f"{other}/chat/completions"})) as url:
            report = ask(3, url)
    assert report.stopped is not None and f"it redirects to {other}" in report.stopped
    assert seen == []


def test_the_query_of_an_address_is_kept(ask: Ask) -> None:
    seen: list[str] = []
    with scripted(lambda *_: (200, completion(), {}), seen) as url:
        assert ask(1, f"{url}/?api-version=2024-06-01").answered == 1
    assert seen == ["/v1/chat/completions?api-version=2024-06-01"]


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": formatdate(0, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Mon, 99 Foo 2099"}, None),
        ({}, None),
    ],
)
def test_retry_after_asks_for_seconds(headers: dict[str, str], pause: float | None) -> None:
    assert asked_pause(headers) == pause


def test_retry_after_may_be_a_date() -> None:
    then = time.time() + 3600
    for text in (formatdate(then, usegmt=True), str(int(then)), datetime.fromtimestamp(then, UTC).isoformat()):
        assert abs((asked_pause({"retry-after": text}) or 0.0) - 3600) < 60


@pytest.mark.parametrize(
    ("reset", "pause"),
    [("6m0s", 360.0), ("320ms", 0.32), ("1d2h", 93600.0), ("12", 12.0), ("0.0.1s", 0.0), ("2000-01-01T00:00:00Z", 0.0)],
)
def test_a_used_up_quota_says_when_it_is_filled_again(reset: str, pause: float) -> None:
    assert quota_pause({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": reset}) == pause
    assert quota_pause({"x-ratelimit-remaining-tokens": "1", "x-ratelimit-reset-tokens": reset}) is None


def test_a_date_is_waited_for(ask: Ask) -> None:
    calls: list[float] = []

    def answer(*_: object) -> Answer:
        calls.append(time.time())
        if len(calls) == 1:
            return 429, {}, {"Retry-After": formatdate(time.time() + 2, usegmt=True)}
        return 200, completion(), {}

    with scripted(answer) as url:
        assert ask(1, url).answered == 1
    assert calls[1] - calls[0] > 0.9


@pytest.mark.parametrize(
    "refusal",
    [
        (429, {}, {"Retry-After": "86400"}),
        (503, {}, {"Retry-After": formatdate(time.time() + 86400, usegmt=True)}),
        (429, {"error": {"message": "daily quota"}}, {"Retry-After": str(int(time.time()) + 86400)}),
    ],
)
def test_a_pause_of_a_day_ends_the_run_and_is_said(ask: Ask, refusal: Answer) -> None:
    with scripted(lambda *_: refusal) as url:
        report = ask(6, url, concurrency=3)
    assert report.stopped is not None and "asks for a pause of" in report.stopped
    assert report.seconds < 10


def test_a_quota_that_is_said_to_be_used_up_for_a_day_is_tried(ask: Ask) -> None:
    used_up = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2100-01-01T00:00:00Z"}
    with scripted(lambda *_: (200, completion(), used_up)) as url:
        assert ask(3, url).answered == 3


def test_a_long_pause_is_said(ask: Ask, model: Model) -> None:
    said: list[str] = []

    def answer(*_: object) -> Answer:
        return 200, completion(), {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}

    with scripted(answer) as url:
        assert ask(1, engine=told(model, url, said)).answered == 1
    assert any("asks for a pause of 0:06:00" in line for line in said)


@pytest.mark.parametrize(
    ("failing", "words"),
    [
        ((429, {"error": "slow down"}, {}), "HTTP 429: slow down"),
        ((200, {"error": {"message": "slow down", "code": 429}}, {}), "HTTP 429: slow down"),
        ((200, {"id": "x", "choices": None}, {}), "without an answer"),
        ((200, "<html>Sign in to WiFi</html>", {}), "Sign in to WiFi"),
    ],
)
def test_what_is_tried_again_is_said_once(ask: Ask, model: Model, failing: Answer, words: str) -> None:
    said: list[str] = []
    seen: list[str] = []
    with scripted(lambda *_: failing if len(seen) < 5 else (200, completion(), {}), seen) as url:
        assert ask(1, engine=told(model, url, said)).answered == 1
    (line,) = said
    assert words in line and "tried again" in line


def test_a_server_that_does_not_answer_is_said(ask: Ask, model: Model) -> None:
    said: list[str] = []
    assert ask(1, engine=told(model, "http://127.0.0.1:9/v1", said), attempts=2).answered == 0
    assert [line.count("http://127.0.0.1:9/v1") for line in said] == [1]


@pytest.mark.parametrize("code", [429, 503])
def test_a_pause_that_comes_with_an_error_in_a_success_is_kept(ask: Ask, code: int) -> None:
    body = {"error": {"message": "daily quota", "code": code}}
    with scripted(lambda *_: (200, body, {"Retry-After": "86400"})) as url:
        report = ask(6, url, concurrency=3)
    assert report.stopped is not None and "asks for a pause of 1 day" in report.stopped


# Ways to a server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3"])
def test_no_proxy_is_asked_for_this_machine(ask: Ask, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    seen: list[str] = []
    with scripted(lambda *_: (200, completion(), {}), seen) as proxy:
        for name in ("http_proxy", "all_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.removesuffix("/v1"))
        with scripted(lambda *_: (200, completion(), {})) as url:
            ask(2, url.replace("127.0.0.1", host), attempts=1)
        assert seen == []
        report = ask(4, "http://server.invalid/v1", attempts=1)
        assert report.answered > 0 and seen[0] == "http://server.invalid/v1/chat/completions", "for others it is"


def test_stray_refusals_leave_the_window_open(ask: Ask) -> None:
    with FakeServer(delay_s=1.0, faults={"rate-limit": 0.05}, retry_after_s=0.001) as server:
        report = ask(200, server.url, concurrency=64)
        stats = server.stats()
    assert report.answered == 200
    assert stats["faults"]["rate-limit"] > 3
    assert report.seconds < 12, "a window of 16 would take as long"
