"""Keys go to their own address, and stand in nothing that is kept or shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from chat_server import GOOD, Answer, completion, scripted
from hypothesis import given
from hypothesis import strategies as st

from l2aco.errors import InputError, L2aCoError, UsageError
from l2aco.llm.addresses import base_of, check_address, is_loopback, origin
from l2aco.llm.catalog import load_catalog, resolve_model
from l2aco.llm.client import OpenAIEngine
from l2aco.llm.keys import make_mask
from l2aco.llm.options import EngineOptions
from l2aco.llm.report import RunReport
from l2aco.workspace import Settings, Workspace

Ask = Callable[..., RunReport]
KEY = "sk-planted/0123456789+secret=="


def entry(**fields: Any) -> Settings:
    return Settings(llms={"mine": {"engine": "openai", "model": "m", "base_url": "https://example.org/v1", **fields}})


@pytest.mark.parametrize(
    "settings",
    [
        Settings(llms={"gpt-4o-mini": {"base_url": "https://example.org/v1"}}),
        entry(key="OPENAI_API_KEY"),
        entry(key="OPENAI_API_KEY", base_url="http://api.openai.com/v1"),
        entry(key="OPENAI_API_KEY", base_url="https://api.openai.com.example.org/v1"),
        entry(key="OPENAI_API_KEY", base_url="https://example.org/api.openai.com"),
        entry(key="GROQ_API_KEY", base_url="https://api.openai.com/v1"),
        entry(key="ANTHROPIC_API_KEY"),
        entry(key="AWS_SECRET_ACCESS_KEY"),
        entry(key="L2ACO_API_KEY"),
        entry(key="HOME"),
        entry(key="_API_KEY"),
        entry(base_url="https://example.org/v1?api_key=hidden"),
        entry(base_url="https://me:hidden@example.org/v1"),
        entry(serve=["--hf-token=hidden"]),
        entry(model="--middleware=theirs.run"),
        entry(revision="--load-format"),
        Settings(
            llms={
                "mine": {**entry().llms["mine"], "key": "EXAMPLE_API_KEY"},
                "theirs": {**entry().llms["mine"], "base_url": "https://example.net/v1", "key": "EXAMPLE_API_KEY"},
            }
        ),
    ],
)
def test_settings_send_no_key_where_it_does_not_belong(settings: Settings) -> None:
    with pytest.raises(InputError, match="llms") as caught:
        load_catalog(settings)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        entry(key="EXAMPLE_API_KEY"),
        entry(key="OPENAI_API_KEY", base_url="https://eu.api.openai.com/v1"),
        entry(base_url="http://127.0.0.1:8000/v1?api-version=2024-06-01"),
        Settings(llms={"gpt-5": {"price_in": 1.0}}),
    ],
)
def test_what_is_in_order_is_taken(settings: Settings) -> None:
    assert set(settings.llms) <= set(load_catalog(settings))


def test_what_the_environment_holds_for_openai_goes_to_openai_alone(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY", "OPENAI_WEBHOOK_SECRET"):
        monkeypatch.setenv(name, "for-openai-only")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: for-openai-only\nauthorization: Bearer for-openai-only")
    monkeypatch.delenv("L2ACO_API_KEY", raising=False)
    seen: list[dict[str, str]] = []

    def answer(_: dict[str, Any], headers: dict[str, str]) -> Answer:
        seen.append(headers)
        return 200, completion(), {}

    with scripted(answer) as url:
        assert ask(1, url).answered == 1
    assert "for-openai-only" not in str(seen) and "X-Team" not in seen[0]
    assert seen[0]["Authorization"] == "Bearer none"
    model = resolve_model("gpt-4o-mini")
    engine = OpenAIEngine(model, EngineOptions(base_urls=(str(model.base_url),)))
    assert engine._headers(engine.pool.endpoints[0]) == {}, "there the SDK adds them"


def echo(place: str) -> Callable[[dict[str, Any], Mapping[str, str]], Answer]:
    """A server that repeats the key that it got, in one place of its answer."""

    def answer(body: dict[str, Any], headers: Mapping[str, str]) -> Answer:
        key = headers["Authorization"].removeprefix("Bearer ")
        if place == "profile":
            return 200, completion(GOOD.replace("fine", key)), {}
        if place == "model":
            return 200, {**completion(), "model": f"m ({key})"}, {}
        if place == "unusable answer":
            return 200, completion(f"my key is {key}"), {}
        if place == "thoughts":
            return 200, completion("", reasoning_content=f"the key is {key}"), {}
        if place == "refusal":
            return 200, completion("", refusal=f"not with {key}"), {}
        if place == "finish reason":
            return 200, completion("", finish=f"stop {key}"), {}
        if place == "error in a success":
            return 200, {"error": {"message": f"not with {key}", "code": 400}}, {}
        if place == "at the cut":
            return 400, {"error": {"message": "x" * 385 + key}}, {}
        if place == "no JSON":
            return 500, f"<html><body>{key}</body></html>", {}
        if place == "quoted":
            return 500, {"error": {"message": f"GET /?key={quote(key, safe='')}"}}, {}
        if place == "details":
            return 422, {"detail": [{"loc": ["header"], "input": key}]}, {}
        assert place == "redirect"
        return 302, {}, {"Location": f"http://127.0.0.1:9/?key={key}"}

    return answer


PLACES = (
    *("profile", "model", "unusable answer", "thoughts", "refusal", "finish reason", "error in a success"),
    *("at the cut", "no JSON", "quoted", "details", "redirect"),
)


@pytest.mark.parametrize("place", PLACES)
def test_a_server_that_repeats_the_key_does_not_get_it_kept(
    cli: Callable[..., Any], workspace: Workspace, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("L2ACO_API_KEY", KEY)
    schema = workspace.root / "prompts" / "small@1"
    schema.mkdir(parents=True)
    fields = '{type = "object", required = ["summary"], properties = {summary = {type = "string"}}}'
    template = f'name = "small"\nversion = 1\nkind = "drug"\nschema = {fields}\nsystem = "Describe."\nuser = "it"\n'
    (schema / "drug.toml").write_text(template)
    with scripted(echo(place)) as url:
        result = cli(
            *("profile", "--llm", "gpt-4o-mini", "--base-url", url, "--name", "x", "--kind", "drug", "-v"),
            *("--prompt", "small", "--attempts", 2),
            code=None,
        )
    assert "Traceback" not in result.output
    kept = "".join(path.read_text() for path in workspace.root.rglob("*") if path.is_file())
    for form in (KEY, KEY[:20], quote(KEY, safe="")):
        assert form not in kept + result.output, place
    if place not in ("model", "finish reason"):
        assert "[key" in kept + result.output, "it was there to be kept"


def test_a_mask_knows_the_secrets_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_0123456789")
    monkeypatch.setenv("DB_PASSWORD", "correct horse")
    monkeypatch.setenv("CLIENT_SECRET", "eight888")
    monkeypatch.setenv("SHORT_KEY", "seven77")
    monkeypatch.setenv("PLAIN", "kinase inhibitor")
    text = "hf_0123456789, correct horse, eight888, seven77, kinase inhibitor, mine-and-more, mine-and"
    shown = make_mask("mine-and-more", "mine-and", None)(text)
    assert shown == "[key], [key], [key], seven77, kinase inhibitor, [key], [key]"


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://LOCALHOST.:1", True),
        ("http://[::1]:1/v1", True),
        ("http://my.localhost/v1", True),
        ("http://localhost.example.org/v1", False),
        ("http://127.0.0.1.example.org/v1", False),
        ("http://10.0.0.1/v1", False),
    ],
)
def test_this_machine_is_known_by_its_addresses(url: str, local: bool) -> None:
    assert is_loopback(url) is local


def test_addresses_are_told_apart_by_where_they_lead() -> None:
    assert origin("HTTPS://Example.org:443/v1") == origin("https://example.org") == "https://example.org"
    assert origin("https://example.org:8443") != origin("https://example.org")
    assert base_of("http://h:1/v1/chat/completions/?a=b") == ("http://h:1/v1", {"a": "b"})
    assert base_of("http://h:1") == ("http://h:1", {})


@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://h", "http://h:9/"]))
def test_any_text_is_an_address_or_is_refused(text: str, start: str) -> None:
    try:
        check_address(start + text)
    except UsageError:
        return
    assert origin(start + text).startswith("http")
    is_loopback(start + text)
    url, query = base_of(start + text)
    check_address(url)
    assert "?" not in url and isinstance(query, dict)


@given(st.dictionaries(st.sampled_from(["key", "base_url", "model", "serve", "extra"]), st.text(max_size=20)))
def test_any_entry_is_a_model_or_is_refused(fields: dict[str, str]) -> None:
    try:
        models = load_catalog(entry(**fields))
    except L2aCoError:
        return
    assert json.loads(models["mine"].model_dump_json())["model"]
