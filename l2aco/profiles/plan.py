"""What a job would cost, before it is started."""

from __future__ import annotations

import functools
import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from l2aco.entities import Entity
from l2aco.llm.catalog import BUNDLED as BUNDLED_ENGINE
from l2aco.llm.catalog import Model, load_catalog
from l2aco.llm.tokens import count_tokens
from l2aco.profiles.generate import ProfileReport, generate_profiles
from l2aco.profiles.job import plan_job, set_name
from l2aco.profiles.sets import BUNDLED, ProfileSet, opened
from l2aco.profiles.spec import ProfileSpec
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace

_TOKENS_OF_A_NUMBER = 8
"""With its name and the signs around both; in the bundled panels."""


@dataclass(frozen=True)
class Plan:
    """Calls that are still to be made, and the tokens they are expected to take.

    `tokens_out` is what profiles of this schema usually take, without a model's reasoning. `max_tokens` is the
    limit of one answer, None where it is the model's own.
    """

    set_name: str
    requested: int
    finished: int
    calls: int
    tokens_in: int
    tokens_out: int
    max_tokens: int | None
    seconds_a_call: float | None = None
    """The median of the calls that the set holds, None where there are none."""
    at_once: int = 1

    @property
    def seconds(self) -> float | None:
        """For all calls, as many at once as are allowed; one server may bear less."""
        return None if self.seconds_a_call is None else self.calls * self.seconds_a_call / self.at_once

    def costs(self, models: Iterable[Model]) -> list[dict[str, Any]]:
        """One row a priced model: dollars expected, and dollars if every answer ran to its limit."""
        return [
            {
                "llm": model.alias,
                "calls": self.calls,
                "tokens_in": self.tokens_in,
                "tokens_out": self.tokens_out,
                "expected_usd": model.cost(self.tokens_in, self.tokens_out),
                "tiers_usd": {
                    tier: model.at(tier).cost(self.tokens_in, self.tokens_out) for tier in sorted(model.tiers)
                },
                "at_most_usd": model.cost(self.tokens_in, self.calls * (self.max_tokens or model.max_tokens)),
                "prices_as_of": model.prices_as_of,
            }
            for model in models
        ]


def plan_costs(
    spec: ProfileSpec, entities: Iterable[Entity], workspace: Workspace, progress: Progress | None = None
) -> tuple[Plan, list[dict[str, Any]]]:
    """Count what the first `spec.limit` entities lack, and its price with the chosen model and every other priced one.

    `progress` hears who is left out; see `Job.asked_of`.
    """
    job = plan_job(spec, workspace)
    if job.model.engine == BUNDLED_ENGINE:
        count = sum(1 for _ in islice(entities, spec.limit))
        return Plan(job.model.model, count, count, 0, 0, 0, None), []
    name = set_name(job, workspace)
    known = opened(workspace.profiles, name)
    done, seconds = _finished(known)
    requested = finished = calls = tokens_in = tokens_out = 0
    per_answer = {kind: _usual_tokens(template.schema) for kind, template in job.templates.items()}
    asked_of = job.asked_of(entities, progress or Silent())
    for request in job.requests(islice(asked_of, spec.limit)):
        requested += 1
        if request.key in done:
            finished += 1
            continue
        entity, _ = request.subject
        asked = len(request.pieces) or 1
        calls += asked
        tokens_in += asked * sum(count_tokens(message["content"]) for message in request.messages)
        tokens_out += per_answer[entity.kind.value]
    at_once = max(1, min(calls, spec.concurrency))
    plan = Plan(name, requested, finished, calls, tokens_in, tokens_out, spec.max_tokens, seconds, at_once)
    others = [model for model in load_catalog(workspace.settings).values() if model.price_in]
    chosen = [model for model in (job.model,) if model.alias not in {item.alias for item in others}]
    return plan, plan.costs([*chosen, *others])


def _finished(known: ProfileSet | None) -> tuple[set[str], float | None]:
    """The keys that a set holds, and the median of what its calls took, in seconds."""
    done, seconds = set(), []
    for record in known.records() if known is not None else ():
        done.add(record.key)
        if record.latency_s:
            seconds.append(record.latency_s)
    return done, statistics.median(seconds) if seconds else None


def probe(
    spec: ProfileSpec, entities: Iterable[Entity], workspace: Workspace, number: int, progress: Progress | None = None
) -> ProfileReport:
    """Have `number` of the profiles that are missing written, to see how long that takes and what it costs; they
    stay in the set."""
    job = plan_job(spec, workspace)
    done, _ = _finished(opened(workspace.profiles, set_name(job, workspace)))
    asked_of = islice(job.asked_of(entities, progress or Silent()), spec.limit)
    missing = (request.subject[0] for request in job.requests(asked_of) if request.key not in done)
    chosen = islice({entity.key: entity for entity in missing}.values(), number)
    return generate_profiles(spec, list(chosen), workspace, progress)


def _usual_tokens(schema: Mapping[str, Any]) -> int:
    """The tokens of an answer: of texts the share of their limits that the bundled profiles use, and some a number."""
    tokens, limit = _measured()
    letters, numbers = _size(schema)
    return round(letters * tokens / limit + numbers * _TOKENS_OF_A_NUMBER)


@functools.cache
def _measured() -> tuple[int, int]:
    """The tokens of every twentieth reference profile, and the letters that its schema allows."""
    reference = ProfileSet(BUNDLED / "reference")
    some = [record for number, record in enumerate(reference.records()) if number % 20 == 0]
    limits = {kind: _size(schema)[0] for kind, schema in reference.schemas.items()}
    tokens = sum(count_tokens(json.dumps(record.fields, ensure_ascii=False)) for record in some)
    return tokens, sum(limits[record.kind] for record in some)


def _size(schema: Mapping[str, Any]) -> tuple[int, int]:
    """The most letters that the texts of an answer may take, and how many numbers and fixed words it holds."""
    letters = numbers = 0
    for item in schema["properties"].values():
        if item.get("type") == "array":
            listed = item.get("items")
            one = listed.get("maxLength", 80) if isinstance(listed, Mapping) else 80
            letters += item.get("maxItems", 5) * one
        elif item.get("type") == "string" and "enum" not in item:
            letters += item.get("maxLength", 400)
        else:
            numbers += len(item.get("properties", ())) or 1
    return letters, numbers
