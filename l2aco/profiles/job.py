"""From a spec to the requests of a profiling job and the set that they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.files import stable_hash
from l2aco.llm.catalog import BUNDLED, Model, resolve_model
from l2aco.llm.pieces import pieces_of
from l2aco.llm.request import Answer, CallFailed, Request
from l2aco.profiles.prompt import Template, load_templates
from l2aco.profiles.record import ProfileRecord, render_text
from l2aco.profiles.sets import ProfileSet, list_profile_sets
from l2aco.profiles.spec import ProfileSpec
from l2aco.progress import Progress
from l2aco.workspace import Workspace, names_in

Subject = tuple[Entity, int]
"""What a request is about: the entity and the number of the sample."""


@dataclass(frozen=True)
class Job:
    """Everything that determines the answers: model, templates by kind, sampling."""

    spec: ProfileSpec
    model: Model
    endpoint: str
    templates: Mapping[str, Template]
    sampling: Mapping[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """What two runs must share to write into one set; the last three only where there are any."""
        template = self.model.chat_template
        more = {
            "extra": self.model.extra,
            "chat_template": template and stable_hash(template, 32),
            "pieces": self.spec.pieces,
        }
        return {
            "llm": self.model.alias,
            "model": self.model.model,
            "revision": self.model.revision,
            "endpoint": self.endpoint,
            "prompt": {kind: [item.name, item.version, item.sha256] for kind, item in self.templates.items()},
            "sampling": dict(self.sampling),
            **{name: value for name, value in more.items() if value},
        }

    def asked_of(self, entities: Iterable[Entity], progress: Progress) -> Iterable[Entity]:
        """The entities that the prompt has a template for; see `of_kinds`."""
        return of_kinds(entities, self.templates, f"prompt {next(iter(self.templates.values())).name}", progress)

    @property
    def schemas(self) -> dict[str, Any]:
        return {kind: template.schema for kind, template in self.templates.items()}

    def requests(self, entities: Iterable[Entity]) -> Iterator[Request]:
        """One request for each distinct entity and sample, as a stream; of `asked_of` these entities."""
        identity = {**self.identity, "llm": None}
        shared = {kind: stable_hash({**identity, "prompt": item.sha256}) for kind, item in self.templates.items()}
        pieces = {kind: pieces_of(item.schema, self.spec.pieces) for kind, item in self.templates.items()}
        for entity in entities:
            template = self.templates[entity.kind.value]
            messages = template.render(entity)
            for sample in range(self.spec.samples):
                what = [shared[entity.kind.value], entity.kind.value, entity.id, messages, sample]
                sampling = dict(self.sampling)
                if "seed" in sampling:
                    sampling["seed"] += sample
                key = stable_hash(what, 32)
                yield Request(key, messages, template.schema, sampling, (entity, sample), pieces[entity.kind.value])

    def asked(self, request: Request, turn: int) -> dict[str, Any]:
        """The line in asked.jsonl of a request that goes out in a file; `again` reads it."""
        entity, sample = request.subject
        about = {"id": entity.id, "kind": entity.kind.value, "name": entity.name}
        about |= {"aliases": entity.aliases, "facts": dict(entity.facts)}
        return {"key": request.key, "turn": turn, "sample": sample, "entity": about}

    def again(self, line: Mapping[str, Any]) -> Request | None:
        """The request of a line in asked.jsonl; None where it would be another today, or the line is damaged."""
        try:
            about = line["entity"]
            known = about["id"], EntityKind(about["kind"]), about["name"], tuple(about["aliases"]), dict(about["facts"])
            return next((item for item in self.requests([Entity(*known)]) if item.key == line["key"]), None)
        except (KeyError, TypeError, ValueError, InputError):
            return None

    def record(self, request: Request, answer: Answer) -> dict[str, Any]:
        """The journal's line of an answer: a ProfileRecord."""
        entity, sample = request.subject
        template = self.templates[entity.kind.value]
        fields = {name: answer.fields[name] for name in template.schema["properties"] if name in answer.fields}
        return ProfileRecord(
            key=request.key,
            entity_id=entity.id,
            entity_name=entity.name,
            kind=entity.kind.value,
            fields=fields,
            text=render_text(fields, template.schema),
            llm=self.model.alias,
            model=answer.model or self.model.model,
            endpoint=self.endpoint,
            prompt_name=template.name,
            prompt_version=template.version,
            prompt_sha256=template.sha256,
            sampling=request.sampling,
            sample=sample,
            finish_reason=answer.finish_reason,
            usage={"input": answer.tokens_in, "output": answer.tokens_out},
            cost_usd=self.model.cost(answer.tokens_in, answer.tokens_out),
            attempts=answer.attempts,
            latency_s=None if answer.latency_s is None else round(answer.latency_s, 4),
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            aliases=entity.aliases,
        ).to_json()

    def failure(self, request: Request, failure: CallFailed, attempts: int) -> dict[str, Any]:
        """The line in failures.jsonl."""
        entity, sample = request.subject
        return {
            "key": request.key,
            "entity_id": entity.id,
            "entity_name": entity.name,
            "kind": entity.kind.value,
            "sample": sample,
            "reason": failure.reason.value,
            "message": failure.message[:500],
            "attempts": attempts,
            "failed_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }


def of_kinds(entities: Iterable[Entity], kinds: Collection[str], who: str, progress: Progress) -> Iterable[Entity]:
    """The entities of the kinds that a prompt or a profile set speaks of; how many are left out is said.

    Raises InputError where nobody is left.
    """
    if len(kinds) == len(EntityKind):
        return entities
    everyone = list(entities)
    chosen = [entity for entity in everyone if entity.kind in kinds]
    if len(chosen) < len(everyone):
        spoken_of = " and ".join(f"{kind.replace('_', ' ')}s" for kind in kinds)
        others = Counter(entity.kind.replace("_", " ") for entity in everyone if entity.kind not in kinds)
        left_out = " and ".join(f"{n:,} {kind}{' is' if n == 1 else 's are'}" for kind, n in others.items())
        if not chosen:
            raise InputError(
                f"{who} speaks of {spoken_of} alone, and {left_out} asked for",
                remedy=f"Ask for {spoken_of}, or name another --prompt: `plain` speaks of both.",
            )
        progress.say(f"{who} speaks of {spoken_of} alone: {left_out} left out")
    return chosen


def plan_job(spec: ProfileSpec, workspace: Workspace) -> Job:
    """Resolve the names in a spec; raises UnknownNameError, UsageError, InputError."""
    model = _in_tier(resolve_model(spec.llm, workspace.settings), spec)
    if model.engine == BUNDLED and (spec.set_name or spec.samples > 1 or spec.prompt not in (None, model.prompt)):
        raise UsageError(
            f"the profiles of {model.alias} are ready made and copied as they are",
            remedy="Leave out --set, --samples and --prompt.",
        )
    if spec.budget_usd is not None and model.cost(1, 1) is None:
        raise UsageError(
            f"no price is known for {model.alias}",
            remedy=f"Use --budget-tokens, or give [llms.{model.alias}] price_in and price_out in l2aco.toml.",
        )
    if model.fixed_sampling and (spec.temperature or spec.top_p is not None or spec.seed):
        raise UsageError(
            f"{model.alias} takes no temperature, top_p or seed",
            remedy="Leave them out: the model samples in its own way.",
        )
    sampling: dict[str, Any] = {"max_tokens": spec.max_tokens or model.max_tokens}
    if not model.fixed_sampling:
        sampling["temperature"] = spec.temperature
        if spec.top_p is not None:
            sampling["top_p"] = spec.top_p
        if spec.temperature > 0:
            sampling["seed"] = spec.seed
    endpoint = model.engine if model.engine in ("echo", "fake", "transformers") else "chat.completions"
    return Job(spec, model, endpoint, load_templates(spec.prompt or model.prompt, workspace), sampling)


def set_name(job: Job, workspace: Workspace) -> str:
    """The set that a job writes into.

    The one that was made in the same way, if there is one. Else the LLM's alias for the newest default prompt with
    default sampling, and the alias with a suffix for any other. A set that was made in another way is never
    written into; see `refuse_other`. Raises DamagedError where a set cannot tell how it was made: it might be this one.
    """
    if name := job.spec.set_name:
        Workspace.child(workspace.profiles, name)
        known = names_in(workspace.profiles)
        return next((other for other in known if other.casefold() == name.casefold()), name)
    alias = job.model.alias
    made = {item.name: item.manifest for item in list_profile_sets(workspace, bundled=False)}
    same = [name for name, manifest in made.items() if manifest.get("identity") == job.identity]
    if same:
        return alias if alias in same else same[0]
    if alias not in made and job.identity == plan_job(ProfileSpec(llm=job.spec.llm), workspace).identity:
        return alias
    template = next(iter(job.templates.values()))
    return f"{alias}-{template.name}{template.version}-{stable_hash(job.identity, 6)}"


def _in_tier(model: Model, spec: ProfileSpec) -> Model:
    """The model as the spec asks it; raises UsageError where it has no such tier."""
    by_api = model.engine == "openai" or bool(spec.base_urls)
    if spec.batch:
        if not by_api:
            raise UsageError(f"{model.alias} has no batches", remedy="Name a server that speaks the Batch API.")
        return model.at("batch")
    if spec.tier is None:
        return model
    if spec.tier not in model.tiers or not by_api:
        raise UsageError(
            f"{model.alias} has no tier {spec.tier}",
            remedy=f"Where its server has one: tiers = {{ {spec.tier} = 0.5 }} under [llms.{model.alias}], l2aco.toml.",
        )
    return model.at(spec.tier)


def refuse_other(job: Job, profiles: ProfileSet) -> None:
    """Raise UsageError unless the set was made in the job's way: one set never mixes two. Asked for while the set is
    locked, so that nobody makes it another in between."""
    if profiles.manifest.get("identity") != job.identity:
        raise UsageError(
            f"profile set '{profiles.name}' was made with another model, prompt or sampling",
            remedy="Choose another --set; one set never mixes them.",
        )
