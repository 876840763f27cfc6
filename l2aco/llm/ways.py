"""The way in which an endpoint takes a request, and what it teaches about that when it refuses one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from l2aco.llm.catalog import Model
from l2aco.llm.refusals import FORMAT, Said
from l2aco.llm.request import Message
from l2aco.llm.structured import in_words, without_lengths

MODES = ("json_schema", "json_schema without lengths", "json_object", "text")
"""Ways to ask for structured output, best first."""
_FIXED = frozenset({"model", "messages", "response_format", "service_tier"})
"""What is never left out because a server complains of it."""
_LIMITS = ("max_tokens", "max_completion_tokens")
_UNKNOWN = re.compile(
    r"not? support|unsupported|unrecogni[sz]ed|unknown|unexpected|extra inputs?|not (permitted|allowed|accepted)"
    r"|only the default|invalid (parameter|argument)|deprecated|use '?max_",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"context.{0,10}(length|window)|(maximum|too many).{0,20}tokens|too (long|large)|reduce the length", re.IGNORECASE
)
_NO_SYSTEM = re.compile(r"system.{0,30}(role|message|prompt|instruction)|role.{0,20}system", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Way:
    """How requests are put: the mode of structured output, the name of the limit on tokens, parameters that are left
    out, and whether the instructions stand in the user's message."""

    limit: str = "max_tokens"
    mode: int = 0
    without: frozenset[str] = frozenset()
    no_system: bool = False
    renamed: bool = False

    @classmethod
    def of_files(cls, model: Model) -> Way:
        """How requests in files are put, where nobody tells before it is too late: APIs refuse limits on lengths more
        often than servers of one's own, and the answers are checked for them anyway."""
        return cls(limit=model.max_tokens_field, mode=1 if model.engine == "openai" else 0)

    @property
    def is_last(self) -> bool:
        return self.mode == len(MODES) - 1

    def body(
        self, model: Model, messages: tuple[Message, ...], schema: Mapping[str, Any], sampling: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The JSON body of a chat completion."""
        mode = MODES[self.mode]
        told = list(messages)
        if not mode.startswith("json_schema"):
            told[0] = {**told[0], "content": f"{told[0]['content']}\n\n{in_words(schema)}"}
        if self.no_system and len(told) > 1 and told[0]["role"] == "system":
            told[:2] = [{**told[1], "content": f"{told[0]['content']}\n\n{told[1]['content']}"}]
        body: dict[str, Any] = {"model": model.model, "messages": told, **model.extra}
        if model.tier == "flex":
            body["service_tier"] = model.tier
        body |= {self.limit if name == "max_tokens" else name: value for name, value in sampling.items()}
        if mode.startswith("json_schema"):
            sent = schema if self.mode == 0 else without_lengths(schema)
            json_schema = {"name": "answer", "schema": sent, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": json_schema}
        elif mode == "json_object":
            body["response_format"] = {"type": "json_object"}
        return {name: value for name, value in body.items() if name not in self.without}

    def after(self, said: Said, sent: Mapping[str, Any], *, sure: bool) -> tuple[Way, str] | None:
        """The next way and what has been learned, or None where a refusal is not about the way of asking.

        `sent` is the body that was refused. With `sure` only the endpoint's own words count, without it a refusal
        that gives no other cause leads to the next mode, too.
        """
        of_format = said.says(FORMAT)
        if said.status not in (400, 404, 422, 500, 501) or (said.says(_TOO_LONG) and not of_format):
            return None
        if said.status in (400, 422) and (learned := self._after_parameter(said, sent)):
            return learned
        if self.is_last or not (of_format or (said.status in (400, 422) and not sure)):
            return None
        return self.next_mode()

    def next_mode(self) -> tuple[Way, str]:
        """The next way of asking for structured output."""
        said = f"cannot do {MODES[self.mode]}; trying {MODES[self.mode + 1]}"
        return replace(self, mode=self.mode + 1), said

    def _after_parameter(self, said: Said, sent: Mapping[str, Any]) -> tuple[Way, str] | None:
        if not said.says(_UNKNOWN):
            return None
        named = next((name for name in sent if name not in _FIXED and said.names(name)), "")
        if named in _LIMITS:
            other = _LIMITS[1 - _LIMITS.index(named)]
            if self.renamed:
                return None
            return replace(self, limit=other, renamed=True), f"takes {other}, not {named}"
        if named:
            return replace(self, without=self.without | {named}), f"takes no {named}: it is left out"
        if not self.no_system and said.says(_NO_SYSTEM):
            return replace(self, no_system=True), "takes no system message: it goes before the question"
        return None
