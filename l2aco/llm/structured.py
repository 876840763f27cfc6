"""From the text of a reply to an object that satisfies its schema, or the reason why not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from l2aco.llm.request import CallFailed, Message, Reason, Reply

_REFUSALS = ("i'm sorry", "i am sorry", "i cannot", "i can't", "sorry, but", "as an ai", "i'm unable", "i am unable")


def parse_reply(reply: Reply, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The object in a reply; raises CallFailed with the reason.

    Strict: one JSON object, alone or in one code fence, that satisfies the schema. A cut-off reply is never
    mended, because what is missing cannot be known.
    """
    if reply.refusal:
        raise CallFailed(Reason.refused, reply.refusal[:200])
    if reply.finish_reason == "length":
        raise CallFailed(Reason.truncated, f"after {reply.tokens_out} tokens")
    if reply.finish_reason == "content_filter":
        raise CallFailed(Reason.refused, "the provider's content filter")
    text = _unfence(reply.text.strip())
    if not text:
        raise CallFailed(Reason.empty, f"finish reason {reply.finish_reason}")
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is valid JSON, and no text
    except (ValueError, RecursionError) as error:
        if text.casefold().replace("\u2019", "'").startswith(_REFUSALS):
            raise CallFailed(Reason.refused, text[:200]) from None
        raise CallFailed(Reason.invalid_json, str(error)) from None
    if wrong := explain(value, schema):
        raise CallFailed(Reason.wrong_schema, wrong)
    return value


def _unfence(text: str) -> str:
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n") + 1 : -3].strip()
    return text


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
