"""What a server says when it does not answer, and what that means.

The cause is read from the code and the words, and from the status where these say nothing: servers use one status for
many causes, and some send an error with the status of success.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from l2aco.llm.keys import Mask
from l2aco.llm.request import CallFailed, Reason

_KEPT_LETTERS = 400


@dataclass(frozen=True, slots=True)
class Said:
    """An error in a server's words. `status` is that of HTTP, or what the body of a success claims; 0 is not known."""

    status: int
    words: str
    code: str = ""
    kind: str = ""
    parameter: str = ""

    def says(self, *patterns: re.Pattern[str]) -> bool:
        """Whether code, kind, parameter or words match one of `patterns`."""
        texts = (self.words, self.code, self.kind, self.parameter)
        return any(pattern.search(text) for pattern in patterns for text in texts)

    def names(self, parameter: str) -> bool:
        """Whether the error is about this parameter of the request."""
        return parameter == self.parameter or bool(re.search(rf"(?<!\w){re.escape(parameter)}(?!\w)", self.words))

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.words}" if self.status else self.words


class Refused(CallFailed):
    """A call that the server refused, with what it said."""

    def __init__(self, reason: Reason, said: Said, *, retry_after: float | None = None) -> None:
        super().__init__(reason, str(said), retry_after=retry_after)
        self.said = said


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_CREDIT = _words(
    r"insufficient[ _](quota|credit|balance|fund)|(credit|account) balance|billing|payment required"
    r"|(out of|not enough|no|run out of|add more|purchase) credits?\b|exceeded your current quota"
)
_NO_ROOM = _words(r"resource.?unavailable|(capacity|resources).{0,40}(unavailable|not available)")
"""Of the tier flex: nothing is wrong with the pace, there are no machines to spare."""
_PACE = _words(r"rate.?limit|too many requests|call rate|per.?(minute|second|hour|day)|retry (in|after)|slow down")
_MODERATED = _words(
    r"moderation|flagged|content.?(policy|filter|management)|data_inspection|inappropriate|harmful|usage polic|safety"
)
_KEY = _words(r"(api|access|subscription|auth\w*)[ _-]?(key|token)|unauthori[sz]ed|authenticat|credentials")
_BAD = _words(
    r"invalid|not valid|incorrect|wrong|missing|expired|revoked|required|no such|fail|provide|unauthori[sz]ed"
)
_NO_MODEL = _words(
    r"(model|deployment)\b.{0,120}?(does not exist|not (found|exist)|no such)|model_?not_?found"
    r"|(unknown|no such|invalid|not a valid) (model|deployment)(?! (parameter|option))|no endpoints found (for|match)"
)
FORMAT = _words(
    r"response.?format|json.?(schema|object|mode)|structured.?(output|decod)|guided|grammar|outlines"
    r"|\bschema\b|requested parameters"
)
_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})


def reason_of(said: Said, retry_after: float | None = None) -> Reason:
    """Why a call was refused."""
    status = said.status
    if status == 402 or said.code in _QUOTA or said.kind in _QUOTA:
        return Reason.no_credit
    if status == 429 and said.says(_NO_ROOM):
        return Reason.no_room
    limited = status == 429 or (status == 0 and said.says(_PACE))
    if said.says(_CREDIT) and status in (0, 400, 403, 429) and not (limited and (retry_after or said.says(_PACE))):
        return Reason.no_credit
    if limited:
        return Reason.rate_limited
    if said.says(_MODERATED) and (status in (0, 451) or (400 <= status < 500 and status != 401)):
        return Reason.refused
    if status == 401 or (status in (0, 400, 403) and said.says(_KEY) and said.says(_BAD)):
        return Reason.unauthorised
    if said.says(_NO_MODEL) and status in (0, 400, 404, 422):
        return Reason.unknown_model
    return _by_status(said)


def _by_status(said: Said) -> Reason:
    status = said.status
    if status == 403:
        return Reason.forbidden
    if 300 <= status < 400 or status == 405 or (status == 404 and not said.says(FORMAT)):
        return Reason.no_address
    if status in (0, 408, 409, 425) or status >= 500:
        return Reason.server_error
    return Reason.rejected


def read_refusal(status: int, content: bytes, mask: Mask) -> Said:
    """The error in the body of an answer, whatever it looks like."""
    text = content.decode("utf-8-sig", errors="replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, Mapping):
        return said_in(status, value.get("error") or value, mask)
    return Said(status, _shown(value if isinstance(value, str) else text, mask))


def said_in(status: int, error: Any, mask: Mask) -> Said:
    """The error in what stands under `error` (a table, or words); `status` 0 takes the one that it names."""
    if not isinstance(error, Mapping):
        return Said(status, _shown(str(error), mask))
    words = next((error[name] for name in ("message", "detail", "error", "title") if error.get(name)), error)
    code = str(error.get("code") or "")
    if not status and code.isdigit() and 400 <= int(code[:4]) < 600:
        status = int(code)
    kind, parameter = (mask(str(error.get(name) or ""))[:80] for name in ("type", "param"))
    return Said(
        status, _shown(words if isinstance(words, str) else json.dumps(words), mask), mask(code)[:80], kind, parameter
    )


def _shown(text: str, mask: Mask) -> str:
    """One line without tags: keys are taken out before it is cut."""
    if "<" in text and re.search(r"<(!doctype|html|head|body)", text, re.IGNORECASE):
        text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", text)
    return " ".join(mask(text).split())[:_KEPT_LETTERS] or "no words"


def asked_pause(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After asks for, as a number or as a date."""
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    return _moment(headers.get("retry-after", ""))


def quota_pause(headers: Mapping[str, str]) -> float | None:
    """Seconds until a used-up quota is filled again, by `x-ratelimit-*` headers ("6m0s", "320ms", a date)."""
    pauses = []
    for what in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{what}") == "0":
            text = headers.get(f"x-ratelimit-reset-{what}", "")
            pauses.append(_duration(text) or _moment(text) or 0.0)
    return max(pauses, default=None)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return max(0.0, value) if value < float("inf") else None


def _moment(text: str) -> float | None:
    """Seconds from now until a number of seconds, a point in Unix time, an HTTP date or an ISO date."""
    if (seconds := _number(text)) is not None:
        return max(0.0, seconds - time.time()) if seconds > 1e9 else seconds
    for parse in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        try:
            when = parse(text)
            return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def _duration(text: str) -> float:
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h|d))+", text):
        return 0.0
    return sum(float(number) * units[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text))
