"""What goes to a language model and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Request:
    """One answer that is wanted.

    `key` (hex) identifies everything that determines the answer; `schema` is the JSON schema that the answer
    must satisfy, asked for by one call for each of its `pieces` where there are any; `sampling` holds temperature,
    top_p, seed, max_tokens. `subject` travels along unread, for whoever records the answer.
    """

    key: str
    messages: tuple[Message, ...]
    schema: Mapping[str, Any]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    subject: Any = None
    pieces: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What one call brought: the raw text, why it ended, and the tokens it took. `thoughts` is what the model wrote
    beside its answer, where the server keeps that apart."""

    text: str
    finish_reason: str
    tokens_in: int
    tokens_out: int
    model: str | None = None
    refusal: str | None = None
    thoughts: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply that satisfies the schema. Tokens and calls include those of the repair turn and of retries; how long it
    took is None where it came in a file."""

    fields: dict[str, Any]
    finish_reason: str
    tokens_in: int
    tokens_out: int
    model: str | None
    attempts: int
    latency_s: float | None


class Reason(StrEnum):
    """Why there is no answer."""

    rate_limited = "rate limited"
    no_room = "no room in this tier"
    timeout = "timeout"
    connection = "no connection"
    server_error = "server error"
    broken_response = "broken response"
    rejected = "rejected"
    unauthorised = "key refused"
    forbidden = "access refused"
    no_address = "no chat API at this address"
    no_credit = "no credit"
    unknown_model = "unknown model"
    refused = "refused by the model"
    truncated = "cut off at max_tokens"
    empty = "empty answer"
    invalid_json = "no valid JSON"
    wrong_schema = "does not fit the schema"
    to_repair = "to be repaired"
    not_reached = "not reached in its batch"
    cut_short = "the run ended first"


TRANSIENT = frozenset(
    {
        Reason.rate_limited,
        Reason.no_room,
        Reason.timeout,
        Reason.connection,
        Reason.server_error,
        Reason.broken_response,
    }
)
"""Worth another try: nothing was answered."""

UNANSWERED = TRANSIENT | {Reason.forbidden, Reason.to_repair, Reason.not_reached, Reason.cut_short}
"""Not the request's fault, as far as is known, or one turn from its end: the next run asks again by itself."""

FATAL = frozenset({Reason.unauthorised, Reason.no_address, Reason.no_credit, Reason.unknown_model})
"""Every further call would end the same way."""

OVERLOAD = frozenset({Reason.rate_limited, Reason.timeout, Reason.server_error})
"""Signs that the endpoint has more work than it can do."""

LONGEST_PAUSE_S = 6 * 3600.0
"""Where a server asks for more, the call has failed, and its run ends and says so."""


class CallFailed(Exception):  # noqa: N818  (not an error of the program)
    """A call that brought no answer.

    `retry_after` is what the server asked for, in seconds; `text` an answer that cannot be used.
    """

    def __init__(self, reason: Reason, message: str, *, retry_after: float | None = None, text: str = "") -> None:
        super().__init__(f"{reason.value}: {message}")
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.text = text

    @property
    def retryable(self) -> bool:
        return self.reason in TRANSIENT


class OtherWay(Exception):  # noqa: N818  (not an error of the program)
    """The answer shows that the server does not take requests in this way; the next call goes another. It was paid."""

    def __init__(self, reply: Reply) -> None:
        super().__init__("another way of asking")
        self.reply = reply
