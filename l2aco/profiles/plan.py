"""What a job would cost, before it is started."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from l2aco.entities import Entity
from l2aco.llm.catalog import BUNDLED as BUNDLED_ENGINE
from l2aco.llm.catalog import Model, load_catalog
from l2aco.llm.tokens import count_tokens
from l2aco.profiles.job import plan_job, set_name
from l2aco.profiles.sets import BUNDLED, ProfileSet, opened
from l2aco.profiles.spec import ProfileSpec
from l2aco.workspace import Workspace


@dataclass(frozen=True)
class Plan:
    """Calls that are still to be made, and the tokens they are expected to take.

    `tokens_out` is what profiles of this schema usually take, without a model's reasoning. `max_tokens` is the
    limit of one answer, None where it is the model's own.
    """

    set_name: str
    requested: int
    finished: int
    tokens_in: int
    tokens_out: int
    max_tokens: int | None

    @property
    def calls(self) -> int:
        return self.requested - self.finished

    def costs(self, models: Iterable[Model]) -> list[dict[str, Any]]:
        """One row a priced model: dollars expected, and dollars if every answer ran to its limit."""
        return [
            {
                "llm": model.alias,
                "calls": self.calls,
                "tokens_in": self.tokens_in,
                "tokens_out": self.tokens_out,
                "expected_usd": model.cost(self.tokens_in, self.tokens_out),
                "at_most_usd": model.cost(self.tokens_in, self.calls * (self.max_tokens or model.max_tokens)),
                "prices_as_of": model.prices_as_of,
            }
            for model in models
        ]


def plan_costs(
    spec: ProfileSpec, entities: Iterable[Entity], workspace: Workspace
) -> tuple[Plan, list[dict[str, Any]]]:
    """Count what is missing and its price with the chosen model and with every other that has one."""
    job = plan_job(spec, workspace)
    if job.model.engine == BUNDLED_ENGINE:
        count = sum(1 for _ in entities)
        return Plan(job.model.model, count, count, 0, 0, None), []
    name = set_name(job, workspace)
    known = opened(workspace.profiles, name)
    done = {record.key for record in known.records()} if known else set()
    requested = finished = tokens_in = tokens_out = 0
    per_answer = {kind: _usual_tokens(template.schema) for kind, template in job.templates.items()}
    for request in job.requests(entities):
        requested += 1
        if request.key in done:
            finished += 1
            continue
        entity, _ = request.subject
        tokens_in += sum(count_tokens(message["content"]) for message in request.messages)
        tokens_out += per_answer[entity.kind.value]
    plan = Plan(name, requested, finished, tokens_in, tokens_out, spec.max_tokens)
    others = [model for model in load_catalog(workspace.settings).values() if model.price_in]
    chosen = [model for model in (job.model,) if model.alias not in {item.alias for item in others}]
    return plan, plan.costs([*chosen, *others])


def _usual_tokens(schema: Mapping[str, Any]) -> int:
    """The tokens of an answer, measured on the bundled profiles: the share of a field's limit that gets used."""
    lengths, limits = 0, 0
    tokens = 0
    reference = ProfileSet(BUNDLED / "reference")
    for number, record in enumerate(reference.records()):
        if number % 20 == 0:
            text = json.dumps(record.fields, ensure_ascii=False)
            lengths += len(text)
            limits += _most_letters(reference.schemas[record.kind])
            tokens += count_tokens(text)
    return round(_most_letters(schema) * lengths / limits * tokens / lengths)


def _most_letters(schema: Mapping[str, Any]) -> int:
    total = 0
    for item in schema["properties"].values():
        if item.get("type") == "array":
            total += item.get("maxItems", 5) * item["items"].get("maxLength", 80)
        else:
            total += item.get("maxLength", 12 if "enum" in item else 400)
    return total
