"""From a reply to an object, or to the reason why there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2aco.llm.fake.engine import fake_answer
from l2aco.llm.request import CallFailed, Reason, Reply
from l2aco.llm.structured import explain, parse_reply, without_lengths

GOOD = {"summary": "fine", "items": ["a"], "level": "low"}


def reply(text: str, finish_reason: str = "stop", refusal: str | None = None) -> Reply:
    return Reply(text, finish_reason, 10, 20, refusal=refusal)


@pytest.mark.parametrize(
    "text", [json.dumps(GOOD), "```json\n" + json.dumps(GOOD) + "\n```", f"  {json.dumps(GOOD)}\n"]
)
def test_one_object_alone_or_in_a_fence_is_an_answer(text: str, schema: dict[str, Any]) -> None:
    assert parse_reply(reply(text), schema) == GOOD


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (reply(""), Reason.empty),
        (reply("   \n"), Reason.empty),
        (reply(json.dumps(GOOD), "length"), Reason.truncated),
        (reply(json.dumps(GOOD), "content_filter"), Reason.refused),
        (reply("", refusal="I will not"), Reason.refused),
        (reply("I'm sorry, but I cannot help with that."), Reason.refused),
        (reply("I can\u2019t do that"), Reason.refused),
        (reply("Here it is: " + json.dumps(GOOD)), Reason.invalid_json),
        (reply(json.dumps(GOOD)[:-4]), Reason.invalid_json),
        (reply(json.dumps([GOOD])), Reason.wrong_schema),
        (reply(json.dumps({**GOOD, "level": "middling"})), Reason.wrong_schema),
        (reply(json.dumps({**GOOD, "extra": 1})), Reason.wrong_schema),
        (reply(json.dumps({"summary": "x"})), Reason.wrong_schema),
        (reply(json.dumps({**GOOD, "summary": "x" * 81})), Reason.wrong_schema),
    ],
)
def test_everything_else_is_a_failure_with_its_reason(bad: Reply, reason: Reason, schema: dict[str, Any]) -> None:
    with pytest.raises(CallFailed) as caught:
        parse_reply(bad, schema)
    assert caught.value.reason is reason


fields = st.one_of(
    st.builds(lambda n: {"type": "string", "maxLength": n}, st.integers(1, 60)),
    st.builds(
        lambda low, more: {
            "type": "array",
            "items": {"type": "string", "maxLength": 9},
            "minItems": low,
            "maxItems": low + more,
        },
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    st.just({"type": "string", "enum": ["a", "b"]}),
    st.builds(lambda low: {"type": "integer", "minimum": low, "maximum": low + 5}, st.integers(-9, 9)),
    st.just({"type": "boolean"}),
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), fields, min_size=1, max_size=6), st.integers(0, 2**63))
def test_the_fake_answer_satisfies_any_schema_and_is_always_the_same(properties: dict[str, Any], seed: int) -> None:
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    answer = fake_answer(schema, seed)
    assert explain(answer, schema) == ""
    assert answer == fake_answer(schema, seed)


def test_a_schema_without_lengths_keeps_its_shape(schema: dict[str, Any]) -> None:
    loose = without_lengths(schema)
    assert explain({**GOOD, "summary": "x" * 500}, loose) == ""
    assert "required" in explain({"summary": "x"}, loose)
