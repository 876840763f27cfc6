"""The body of an answered call: the reply in it, or the error that some servers send with the status of success."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from l2aco.llm.keys import Mask
from l2aco.llm.refusals import Refused, read_refusal, reason_of, said_in
from l2aco.llm.request import CallFailed, Message, Reason, Reply
from l2aco.llm.tokens import count_tokens

_THOUGHTS = ("reasoning_content", "reasoning")


def read_reply(content: bytes, mask: Mask) -> Reply:
    """The reply in the body of an answer; raises CallFailed where there is none."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        said = read_refusal(0, content, mask)
        raise CallFailed(Reason.broken_response, f"the body is no chat completion but: {said.words[:120]}") from None
    return reply_in(value, mask)


def reply_in(value: Any, mask: Mask) -> Reply:
    """The reply in the parsed body of an answer; raises CallFailed where there is none."""
    try:
        return _reply(value, mask)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise CallFailed(Reason.broken_response, f"the body is no chat completion ({mask(repr(error))})") from None


def counted(reply: Reply, messages: Iterable[Message]) -> Reply:
    """The reply with an estimate of its tokens where the server counts nothing, since a budget must."""
    if reply.tokens_in + reply.tokens_out:
        return reply
    sent = sum(count_tokens(message["content"]) for message in messages)
    return replace(reply, tokens_in=sent, tokens_out=count_tokens(reply.text) + count_tokens(reply.thoughts))


def _reply(value: Any, mask: Mask) -> Reply:
    if value.get("error"):
        _refuse(value["error"], mask)
    if not value["choices"]:
        raise CallFailed(Reason.broken_response, "the body is a chat completion without an answer")
    choice = value["choices"][0]
    reason = mask(str(choice.get("finish_reason") or "stop"))
    if reason == "error":
        _refuse(choice.get("error") or "the answer ended with an error", mask)
    message = choice["message"]
    text = _text(message["content"] if message.get("content") is not None else "")
    thoughts = next((message[name] for name in _THOUGHTS if message.get(name) and isinstance(message[name], str)), "")
    (text + thoughts).encode()
    refusal, model = message.get("refusal"), value.get("model")
    tokens_in, tokens_out = _tokens(value.get("usage"))
    return Reply(
        text=mask(text),
        finish_reason=reason,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        model=None if model is None else mask(str(model)),
        refusal=None if refusal is None else mask(str(refusal)),
        thoughts=mask(thoughts),
    )


def _refuse(error: Any, mask: Mask) -> None:
    said = said_in(0, error, mask)
    raise Refused(reason_of(said), said)


def _text(content: Any) -> str:
    """What was said; some servers send it in parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    if not isinstance(content, str):
        raise TypeError(f"content is no text but {type(content).__name__}")
    return content


def _tokens(usage: Any) -> tuple[int, int]:
    """Tokens in and out. Thinking may stand in the total or in the details alone: where figures disagree, the larger
    counts, since it is billed."""
    if not isinstance(usage, Mapping):
        return 0, 0
    details = usage.get("completion_tokens_details")
    thinking = _count(details.get("reasoning_tokens")) if isinstance(details, Mapping) else 0
    thinking = max(thinking, _count(usage.get("reasoning_tokens")))
    tokens_in, answer = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    together = answer if thinking <= answer else answer + thinking
    return tokens_in, max(together, _count(usage.get("total_tokens")) - tokens_in)


def _count(value: Any) -> int:
    return max(0, int(value)) if isinstance(value, int | float) and value == value and abs(value) < 1e12 else 0
