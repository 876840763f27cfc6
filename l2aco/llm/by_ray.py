"""Answers by way of Ray: a cluster makes the calls, and what it brings goes through our checks into the journal.

Requests are handed to `ray.data.llm` in portions; its HTTP processor calls one OpenAI-compatible server from
many workers.
A worker that dies costs its rows alone: Ray asks for them again, and an answer that comes twice counts once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from l2aco.clusters import start_ray
from l2aco.llm.addresses import CHAT
from l2aco.llm.calls import REMEDIES, most_of
from l2aco.llm.client import OpenAIEngine
from l2aco.llm.intake import Intake
from l2aco.llm.keys import make_mask
from l2aco.llm.lines import AnswerLine, custom_id, key_and_turn
from l2aco.llm.options import MORE_BUDGET, RunLimits
from l2aco.llm.replies import reply_in
from l2aco.llm.report import RunReport
from l2aco.llm.request import FATAL, CallFailed, Reply, Request
from l2aco.llm.ways import Way

PORTION = 10_000
"""Requests that are handed over at a time; the memory of one portion."""
_ROWS = 16
"""In a block: what is asked again when a worker dies."""


def run_by_ray(engine: OpenAIEngine, intake: Intake, *, limits: RunLimits, address: str | None = None) -> RunReport:
    """Have every missing request answered by the workers of a Ray cluster: that of `address`, else one on this machine.

    Raises what `start_ray` does. The budget is looked at before each portion, at the most that it
    can cost.
    """
    report = intake.recording.report
    started = time.monotonic()
    _start(address)
    run = _ByRay(engine, intake, limits)
    rounds = chain((intake.recording.missing,), (intake.recording.remaining for _ in range(limits.attempts)))
    for requests in rounds:
        if report.stopped is not None or not run.ask(requests()):
            break
    report.seconds = time.monotonic() - started
    return report


def _start(address: str | None) -> None:
    start_ray(address, also="ray.data")
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # a row that brings no answer is asked again by the next round


class _ByRay:
    def __init__(self, engine: OpenAIEngine, intake: Intake, limits: RunLimits) -> None:
        self.engine = engine
        self.intake = intake
        self.model = intake.model
        self.limits = limits
        self.report = intake.recording.report
        self.way = Way.of_files(self.model)
        self._mask = make_mask()

    def ask(self, requests: Iterator[Request]) -> bool:
        """One round over what is missing; whether something was asked."""
        asked = False
        while self.report.stopped is None and (portion := list(islice(requests, PORTION))):
            asked = True
            rows = [self._row(request) for request in portion]
            most = [most_of(self.model, request, request.messages) for request in portion]
            tokens = self.report.tokens_in + self.report.tokens_out + sum(tokens for tokens, _ in most)
            usd = (self.report.cost_usd or 0.0) + sum(dollars for _, dollars in most)
            if not self.limits.bear(usd, tokens):
                self.report.stop("the budget does not reach for the next portion", MORE_BUDGET)
                break
            self.intake.asked.add(self.intake.to_asked(request, self.intake.turn(request)[0]) for request in portion)
            self.report.in_flight = len(rows)
            for row in self._answers(rows):
                self._take(row)
                self.report.in_flight -= 1
            self.intake.recording.journal.sync()
        return asked

    def _row(self, request: Request) -> dict[str, Any]:
        turn, messages = self.intake.turn(request)
        body = self.way.body(self.model, messages, request.schema, request.sampling)
        return {"custom_id": custom_id(request.key, turn), "body": json.dumps(body)}

    def _answers(self, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """What the workers bring, as it comes."""
        import ray
        from ray.data.llm import HttpRequestProcessorConfig, build_processor

        workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
        config = HttpRequestProcessorConfig(
            url=self.engine.pool.endpoints[0].url + CHAT,
            headers=self.engine.authorization,
            batch_size=max(1, min(_ROWS, self.limits.concurrency // workers)),
            concurrency=workers,
            max_retries=self.limits.attempts,
            base_retry_wait_time_in_s=self.limits.backoff_s,
        )
        processor = build_processor(
            config,
            preprocess=lambda row: {"custom_id": row["custom_id"], "payload": json.loads(row["body"])},
            postprocess=lambda row: {"custom_id": row["custom_id"], "answer": json.dumps(row["http_response"])},
        )
        blocks = max(1, len(rows) // _ROWS)
        yield from processor(ray.data.from_items(rows, override_num_blocks=blocks)).iter_rows()

    def _take(self, row: dict[str, Any]) -> None:
        end: Reply | CallFailed
        try:
            end = reply_in(json.loads(row["answer"]), self._mask)
        except CallFailed as failure:
            end = failure
            if failure.reason in FATAL:
                self.report.stop(str(failure), REMEDIES[failure.reason])
        self.intake.take(AnswerLine(row["custom_id"], *key_and_turn(row["custom_id"]), end))
