"""Requests and answers as lines of files: the format of OpenAI's Batch API, which vLLM's run-batch reads too.

    {"custom_id": KEY, "method": "POST", "url": "/v1/chat/completions", "body": {...}}
    {"custom_id": KEY, "response": {"status_code": 200, "body": {...}}, "error": null}

The custom id is the key of a request, followed by `-2` where it is its repair turn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from l2aco.llm.keys import Mask
from l2aco.llm.refusals import Refused, reason_of, said_in
from l2aco.llm.replies import reply_in
from l2aco.llm.request import CallFailed, Reason, Reply

URL = "/v1/chat/completions"
FIRST, REPAIR = 1, 2
_ID = re.compile(r"([0-9a-f]{32})(-2)?")
_NEVER_BEGUN = frozenset({"batch_expired", "batch_cancelled"})


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """What one line says. `key` is None where `custom_id` is none of ours."""

    custom_id: str
    key: str | None
    turn: int
    end: Reply | CallFailed


def custom_id(key: str, turn: int) -> str:
    """The name of one turn of a request."""
    return key if turn == FIRST else f"{key}-{turn}"


def key_and_turn(name: str) -> tuple[str | None, int]:
    """The inverse of `custom_id`; (None, 1) for what is none of ours."""
    found = _ID.fullmatch(name)
    return (found[1], REPAIR if found[2] else FIRST) if found else (None, FIRST)


def request_line(key: str, turn: int, body: Mapping[str, Any]) -> bytes:
    """The line that asks."""
    value = {"custom_id": custom_id(key, turn), "method": "POST", "url": URL, "body": body}
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def read_answer(line: bytes, mask: Mask) -> AnswerLine:
    """What a line answers; raises ValueError where it is no answer."""
    try:
        value = json.loads(line)
        name = value["custom_id"]
        if not isinstance(name, str):
            raise TypeError
        name.encode()
        error, response = value.get("error"), value.get("response")
        key, turn = key_and_turn(name)
        return AnswerLine(name, key, turn, _end(error, response, mask))
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError):
        raise ValueError("no answer with a custom_id") from None


def _end(error: Any, response: Any, mask: Mask) -> Reply | CallFailed:
    """The reply of a line, or why it holds none."""
    if isinstance(response, Mapping):
        status, body = response.get("status_code", 200), response.get("body")
        if status == 200 and not (error and not body):
            try:
                return reply_in(body, mask)
            except CallFailed as failure:
                return failure
        error = (body.get("error") or body) if isinstance(body, Mapping) else error or body
        said = said_in(status if isinstance(status, int) else 0, error, mask)
        return Refused(reason_of(said), said)
    if not error:
        raise ValueError("neither a response nor an error")
    if isinstance(error, Mapping) and error.get("code") in _NEVER_BEGUN:
        return CallFailed(Reason.not_reached, str(mask(str(error.get("message") or error["code"])))[:400])
    said = said_in(0, error, mask)
    return Refused(reason_of(said), said)
