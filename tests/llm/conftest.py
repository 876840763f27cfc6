"""A small schema, requests over it, and what is needed to run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from l2aco.llm.catalog import Model
from l2aco.llm.client import OpenAIEngine
from l2aco.llm.journal import Journal
from l2aco.llm.options import EngineOptions, RunLimits
from l2aco.llm.report import RunReport
from l2aco.llm.request import Request
from l2aco.llm.runner import run_requests

SCHEMA = {
    "type": "object",
    "properties": {
        "summary": {"type": "string", "minLength": 1, "maxLength": 80},
        "items": {"type": "array", "items": {"type": "string", "maxLength": 20}, "maxItems": 4},
        "level": {"type": "string", "enum": ["high", "low"]},
    },
    "required": ["summary", "items", "level"],
    "additionalProperties": False,
}


@pytest.fixture
def schema() -> dict[str, Any]:
    return SCHEMA


@pytest.fixture
def model() -> Model:
    return Model(alias="m", engine="openai", model="m", price_in=1.0, price_out=2.0, max_tokens=200)


@pytest.fixture
def requests() -> Callable[[int], Iterator[Request]]:
    def make(number: int) -> Iterator[Request]:
        for place in range(number):
            messages = ({"role": "system", "content": "Describe."}, {"role": "user", "content": f"thing {place}"})
            yield Request(f"{place:032x}", messages, SCHEMA, {"max_tokens": 200, "temperature": 0.0}, place)

    return make


@pytest.fixture
def ask(model: Model, requests: Callable[[int], Iterator[Request]], tmp_path: Path) -> Callable[..., RunReport]:
    """`ask(number, urls, limits fields...)` runs that many requests into tmp_path."""

    def run(number: int, *urls: str, timeout_s: float = 10.0, engine: Any = None, **limits: Any) -> RunReport:
        options = EngineOptions(base_urls=urls, timeout_s=timeout_s, concurrency=limits.get("concurrency", 64))
        with Journal(tmp_path, "the test") as journal:
            report = run_requests(
                requests(number),
                engine or OpenAIEngine(model, options),
                journal,
                model=model,
                to_record=lambda request, answer: {"key": request.key, "fields": answer.fields},
                to_failure=lambda request, failure, attempts: {
                    "key": request.key,
                    "reason": failure.reason,
                    "message": failure.message,
                    "attempts": attempts,
                },
                limits=RunLimits(**{"backoff_s": 0.01, **limits}),
            )
            journal.compact(lambda record: (record["key"],))
        return report

    return run
