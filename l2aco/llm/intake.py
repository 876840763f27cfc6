"""Takes answers that come in files, whoever wrote them: checked, repaired and recorded as those of calls are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from l2aco.llm.asked import Asked
from l2aco.llm.catalog import Model
from l2aco.llm.lines import FIRST, REPAIR, AnswerLine
from l2aco.llm.replies import counted
from l2aco.llm.request import FATAL, UNANSWERED, Answer, CallFailed, Message, Reason, Reply, Request
from l2aco.llm.runner import Recording
from l2aco.llm.structured import parse_reply, repair_messages

ToAsked = Callable[[Request, int], dict[str, Any]]
"""Makes the line in asked.jsonl of a request and its turn."""
Again = Callable[[Mapping[str, Any]], Request | None]
"""Makes the request of a line in asked.jsonl again; None where it is not the same any more."""


class Outcome(StrEnum):
    """What became of a line."""

    answered = "answered"
    to_repair = "to be repaired"
    failed = "failed"
    unanswered = "not answered"
    repeated = "repeated"
    foreign = "asked for by nobody"


class Intake:
    """Hands each answer to whom it belongs. `counts` has what became of the lines.

    An answer that cannot be used is set aside at first: the next requests ask for its repair. Its tokens count, and
    are added to those of the repair. With `whole_bill` what comes twice is paid for, too: the answers of a batch that
    were taken in half before a crash have one bill.
    """

    def __init__(
        self,
        recording: Recording,
        asked: Asked,
        to_asked: ToAsked,
        again: Again,
        model: Model,
        *,
        whole_bill: bool = False,
    ) -> None:
        self.recording = recording
        self.asked = asked
        self.to_asked = to_asked
        self.model = model
        self.counts: Counter[Outcome] = Counter()
        self.tokens = (0, 0)
        """Of all lines, in and out."""
        self._again = again
        self._whole_bill = whole_bill
        self._aside = recording.journal.failures(Reason.to_repair)

    def turn(self, request: Request) -> tuple[int, tuple[Message, ...]]:
        """Which turn a request is at, and the messages of it."""
        aside = self._aside.get(request.key)
        if aside is None:
            return FIRST, request.messages
        broken = Reply(aside.get("answer", ""), "stop", 0, 0)
        return REPAIR, repair_messages(request.messages, broken, str(aside["message"]))

    def take(self, line: AnswerLine) -> Outcome:
        """Record what a line says, once."""
        line = self._counted(line)
        outcome = self._take(line)
        self.counts[outcome] += 1
        if isinstance(line.end, Reply):
            self.tokens = self.tokens[0] + line.end.tokens_in, self.tokens[1] + line.end.tokens_out
            if self._whole_bill or outcome not in (Outcome.foreign, Outcome.repeated):
                cost = self.model.cost(line.end.tokens_in, line.end.tokens_out)
                self.recording.report.spend(line.end.tokens_in, line.end.tokens_out, cost)
                self.recording.report.calls += 1
        return outcome

    def _counted(self, line: AnswerLine) -> AnswerLine:
        """The line with the tokens that its answer took, estimated where it tells none."""
        if not isinstance(line.end, Reply) or line.end.tokens_in + line.end.tokens_out:
            return line
        asked = self.asked.get(line.key) if line.key else None
        request = self._again(asked) if asked else None
        return replace(line, end=counted(line.end, self.turn(request)[1] if request else ()))

    def _take(self, line: AnswerLine) -> Outcome:
        key, journal = line.key, self.recording.journal
        if key is None:
            return Outcome.foreign
        if key in journal:
            return Outcome.repeated
        asked = self.asked.get(key)
        turn = asked.get("turn") if asked else None
        request = self._again(asked) if asked and isinstance(turn, int) and line.turn <= turn else None
        if request is None:
            return Outcome.foreign
        known = journal.failed(key)
        if isinstance(line.end, CallFailed):
            return self._unanswered(request, line.end, known)
        try:
            fields = parse_reply(line.end, request.schema)
        except CallFailed as failure:
            return self._unusable(request, line, line.end, failure, known)
        tokens, calls = self._together(key, line.end)
        answer = Answer(fields, line.end.finish_reason, *tokens, line.end.model, calls, None)
        self.recording.deliver(request, answer, calls)
        self._aside.pop(key, None)
        return Outcome.answered

    def _unanswered(self, request: Request, failure: CallFailed, known: str | None) -> Outcome:
        if failure.reason in UNANSWERED | FATAL or known:
            return Outcome.unanswered if not known or known in UNANSWERED else Outcome.repeated
        self.recording.deliver(request, failure, 1)
        return Outcome.failed

    def _unusable(
        self, request: Request, line: AnswerLine, reply: Reply, failure: CallFailed, known: str | None
    ) -> Outcome:
        if known and (known not in UNANSWERED or (line.turn == FIRST and request.key in self._aside)):
            return Outcome.repeated
        if line.turn == FIRST and failure.reason in (Reason.invalid_json, Reason.wrong_schema):
            self.recording.set_aside(request, failure, reply)
            self._aside[request.key] = {
                "message": failure.message,
                "answer": failure.text or reply.text,
                "usage": {"input": reply.tokens_in, "output": reply.tokens_out},
            }
            return Outcome.to_repair
        tokens, calls = self._together(request.key, reply)
        self.recording.deliver(request, failure, calls, tokens)
        self._aside.pop(request.key, None)
        return Outcome.failed

    def _together(self, key: str, reply: Reply) -> tuple[tuple[int, int], int]:
        """The tokens and calls of an answer and of the one that was set aside before it."""
        before = self._aside.get(key, {}).get("usage")
        if not before:
            return (reply.tokens_in, reply.tokens_out), 1
        return (reply.tokens_in + int(before["input"]), reply.tokens_out + int(before["output"])), 2
