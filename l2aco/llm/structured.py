"""From the text of a reply to an object that satisfies its schema, or the reason why not."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from l2aco.llm.request import CallFailed, Message, Reason, Reply

_REFUSALS = ("i'm sorry", "i am sorry", "i cannot", "i can't", "sorry, but", "as an ai", "i'm unable", "i am unable")


def parse_reply(reply: Reply, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The object in a reply; raises CallFailed with the reason and the text that cannot be used.

    One JSON object that satisfies the schema: alone, in one code fence, after the model's thoughts, or in these where
    the server put everything there. A cut-off reply is never mended, because what is missing cannot be known.
    """
    if reply.refusal:
        raise CallFailed(Reason.refused, reply.refusal[:200])
    if reply.finish_reason == "length":
        raise CallFailed(Reason.truncated, f"after {reply.tokens_out} tokens", text=reply.text or reply.thoughts)
    if reply.finish_reason == "content_filter":
        raise CallFailed(Reason.refused, "the provider's content filter", text=reply.text)
    text = reply.text.strip()
    if not text:
        with contextlib.suppress(CallFailed):
            return _object_in(reply.thoughts, schema)
        raise CallFailed(Reason.empty, f"finish reason {reply.finish_reason}", text=reply.thoughts)
    return _object_in(text, schema)


def _object_in(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    answer = _answer_part(text)
    try:
        value = _value(answer)
        wrong = explain(value, schema)
    except (ValueError, RecursionError) as error:
        if answer.casefold().replace("\u2019", "'").startswith(_REFUSALS):
            raise CallFailed(Reason.refused, answer[:200]) from None
        raise CallFailed(Reason.invalid_json, str(error), text=text) from None
    if wrong and isinstance(value, dict) and len(value) == 1:  # {"answer": {...}}
        (name, inner), *_ = value.items()
        if name not in schema.get("properties", {}) and not explain(inner, schema):
            return dict(inner)
    if wrong:
        raise CallFailed(Reason.wrong_schema, wrong, text=text)
    return dict(value)


_THOUGHTS_END = re.compile(r"</(?:think|thinking|thought|reasoning)>|\[/THINK\]|\u25c1/think\u25b7", re.IGNORECASE)
_TURN_END = re.compile(r"(<\|\w{1,40}\|>|</s>|<end_of_turn>)\Z")
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.IGNORECASE | re.DOTALL)


def _answer_part(text: str) -> str:
    """A text without the model's thoughts, the sign that ends its turn, and one code fence."""
    ends = [found.end() for found in _THOUGHTS_END.finditer(text)]
    if ends and not text.startswith("{"):
        text = text[ends[-1] :].strip()
    while _TURN_END.search(text):
        text = _TURN_END.sub("", text).rstrip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n") + 1 : -3].strip()
    fenced = _FENCE.findall(text)
    return fenced[0].strip() if len(fenced) == 1 else text


def _value(text: str) -> Any:
    """The JSON value of a text, which may stand there twice; raises ValueError, also for what no file of ours may
    hold: numbers that JSON does not know, half a surrogate pair."""
    value, end = json.JSONDecoder().raw_decode(text)
    if (rest := text[end:].strip()) and _value(rest) != value:
        raise ValueError("several JSON values that differ")
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


def explain(value: Any, schema: Mapping[str, Any]) -> str:
    """What about `value` does not satisfy the schema, at most three things; empty when it does."""
    check = _validator(schema)
    if check.is_valid(value):
        return ""
    found = sorted(check.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    return "; ".join(
        f"{'.'.join(map(str, error.absolute_path)) or 'the object'}: {error.message[:160]}" for error in found[:3]
    )


_validators: dict[int, tuple[Mapping[str, Any], Any]] = {}
"""By identity of the schema, which is held here so that the identity stays its own."""


def _validator(schema: Mapping[str, Any]) -> Any:
    import jsonschema

    if id(schema) not in _validators:
        _validators[id(schema)] = (schema, jsonschema.Draft202012Validator(schema))
    return _validators[id(schema)][1]


def repair_messages(messages: tuple[Message, ...], reply: Reply, problem: str) -> tuple[Message, ...]:
    """The conversation with the bad reply and the request to mend it."""
    return (
        *messages,
        {"role": "assistant", "content": reply.text},
        {
            "role": "user",
            "content": f"That answer cannot be used: {problem}. "
            "Send the corrected JSON object and nothing else: no comment, no code fence.",
        },
    )


def in_words(schema: Mapping[str, Any]) -> str:
    """The schema as an instruction, for servers that do not take one."""
    return "Answer with one JSON object and nothing else. It must satisfy this JSON schema:\n" + json.dumps(schema)


def without_lengths(schema: Any) -> Any:
    """The schema without limits on lengths, which some servers refuse."""
    if isinstance(schema, dict):
        limits = ("minLength", "maxLength", "minItems", "maxItems")
        return {key: without_lengths(value) for key, value in schema.items() if key not in limits}
    if isinstance(schema, list):
        return [without_lengths(item) for item in schema]
    return schema
