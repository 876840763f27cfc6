"""The tier flex: what is sent, what it costs, and patience where there is no room."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from chat_server import completion, scripted

from l2aco.llm.catalog import Model, resolve_model
from l2aco.llm.fake.engine import fake_answer
from l2aco.llm.flow import Gate
from l2aco.llm.request import OVERLOAD, Reason
from l2aco.profiles.spec import ProfileSpec
from l2aco.workspace import Workspace

Cli = Callable[..., Any]
ENTRY = """[llms.m]
engine = "openai"
model = "m"
price_in = 1.0
price_out = 2.0
tiers = { flex = 0.5 }
"""


def test_flex_is_asked_for_patiently_and_costs_half(
    cli: Cli, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowed: list[float] = []
    monkeypatch.setattr(Gate, "overloaded", lambda self: slowed.append(self.limit))
    tiers: list[str] = []
    full = {"error": {"message": "Resource unavailable, try again later", "code": "resource_unavailable"}}

    def answer(body: dict[str, Any], _: dict[str, str]) -> Any:
        tiers.append(body["service_tier"])
        if len(tiers) < 5:
            return 429, full, {}
        schema = body["response_format"]["json_schema"]["schema"]
        usage = {"prompt_tokens": 1000, "completion_tokens": 500}
        return 200, completion(json.dumps(fake_answer(schema, 1)), usage=usage), {}

    (workspace.root / "l2aco.toml").write_text(ENTRY)
    with scripted(answer) as url:
        one = ("profile", "--llm", "m", "--base-url", url, "--name", "A", "--kind", "drug", "--tier", "flex")
        done = cli(*one, "--attempts", 2, "--json")
    report = json.loads(done.stdout)
    assert tiers == ["flex"] * 5, "more tries than --attempts"
    assert report["cost_usd"] == pytest.approx((1000 * 1.0 + 500 * 2.0) / 1e6 / 2)
    assert report["retries"] == 4 and not slowed
    assert "no room in this tier" in done.stderr
    assert Reason.no_room not in OVERLOAD


def test_a_server_without_the_tier_is_not_asked_at_the_full_price(cli: Cli, workspace: Workspace) -> None:
    seen: list[str | None] = []

    def answer(body: dict[str, Any], _: dict[str, str]) -> Any:
        seen.append(body.get("service_tier"))
        return 400, {"error": {"message": "service_tier is not supported", "param": "service_tier"}}, {}

    (workspace.root / "l2aco.toml").write_text(ENTRY)
    with scripted(answer) as url:
        one = ("profile", "--llm", "m", "--base-url", url, "--name", "A", "--kind", "drug", "--tier", "flex")
        cli(*one, code=1)
    assert set(seen) == {"flex"}


def test_tiers_in_the_catalog_the_plan_and_the_specification(cli: Cli, workspace: Workspace) -> None:
    assert "has no tier flex" in cli("profile", "--llm", "gpt-4o-mini", "--tier", "flex", code=2).output
    assert ProfileSpec(llm="gpt-5", tier="flex").call_timeout_s == 900
    assert ProfileSpec(llm="gpt-5", tier="flex", timeout_s=5).call_timeout_s == 5
    model = resolve_model("gpt-5")
    assert model.at("flex").cost(1000, 1000) == pytest.approx((model.cost(1000, 1000) or 0) / 2)
    assert Model(alias="a", engine="openai", model="a").at("batch").cost(1, 1) is None
    plan = json.loads(cli("profile", "--llm", "gpt-5", "--dry-run", "--json").stdout)
    five = next(row for row in plan["models"] if row["llm"] == "gpt-5")
    assert five["tiers_usd"] == {tier: pytest.approx(five["expected_usd"] / 2) for tier in ("batch", "flex")}
    listed = json.loads(cli("llms", "--json").stdout)
    assert next(row for row in listed if row["llm"] == "gpt-5")["tiers"] == {"batch": 0.5, "flex": 0.5}
    (workspace.root / "l2aco.toml").write_text(ENTRY + 'tier = "flex"\n')
    assert "--tier" in cli("llms", code=1).output
