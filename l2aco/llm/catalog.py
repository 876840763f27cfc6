"""The catalog of language models: a short name leads to an engine, a model id, prices and traps."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from l2aco.errors import InputError, L2aCoError, UnknownNameError
from l2aco.files import describe_validation
from l2aco.llm.addresses import check_address, origin
from l2aco.llm.keys import OWNERS, PROVIDERS, check_flags, check_owner
from l2aco.workspace import Settings

_NO_FLAG = r"^[^-\s]"
"""Of what is handed to a server's command line: it must not be taken for a flag."""
Tier = Literal["batch", "flex"]
"""Slower ways of being answered, at another price."""
BUNDLED = "bundled"
"""What stands as the engine of profiles that ship with L2aCo: nothing is asked."""


class Model(BaseModel):
    """One entry of the catalog; catalog.toml says what each key means. `engine` is a name of `llm.engine.engines`.

    Raises UsageError for an address that is none, InputError for a key that has no business there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    alias: str
    engine: str
    model: str = Field(pattern=_NO_FLAG)
    revision: str | None = Field(default=None, pattern=_NO_FLAG)
    base_url: str | None = None
    key: str | None = None
    context: int = Field(default=8192, gt=0)
    max_tokens: int = Field(default=2048, gt=0)
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    fixed_sampling: bool = False
    price_in: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)
    prices_as_of: str | None = None
    tiers: dict[Tier, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    tier: Tier | None = None
    batch_requests: int = Field(default=50_000, gt=0)
    batch_bytes: int = Field(default=190_000_000, gt=0)
    trust_remote_code: bool = False
    chat_template: str | None = None
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    serve: list[str] = Field(default_factory=list)
    prompt: str = "plain"
    note: str = ""

    @model_validator(mode="after")
    def _keys_stay_at_home(self) -> Self:
        if self.base_url is not None:
            check_address(self.base_url)
        if self.key is not None:
            check_owner(self.key, self.base_url)
        check_flags(self.serve)
        return self

    def at(self, tier: Tier) -> Self:
        """The model as it is asked in a tier, at the prices of it."""
        factor = self.tiers.get(tier, 1.0)
        prices = {name: getattr(self, name) for name in ("price_in", "price_out")}
        changed = {name: None if price is None else price * factor for name, price in prices.items()}
        return self.model_copy(update={**changed, "tier": tier})

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """US dollars for so many tokens, None where no price is known."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6


def load_catalog(settings: Settings | None = None) -> dict[str, Model]:
    """Every model by alias, the entries of the settings laid over the shipped ones.

    Raises InputError that names the entry and key that is wrong; one key in two entries goes to one address.
    """
    shipped = tomllib.loads(Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8"))
    by_fold = {alias.casefold(): alias for alias in shipped}
    entries: dict[str, dict[str, Any]] = dict(shipped)
    for alias, entry in (settings.llms if settings else {}).items():
        name = by_fold.get(alias.casefold(), alias)
        entries[name] = {**entries.get(name, {}), **entry}
    models = {alias: _parse(alias, entry) for alias, entry in entries.items()}
    homes: dict[str, str] = {}
    for alias, model in models.items():
        home = origin(model.base_url or "")
        if model.key and model.key not in OWNERS and homes.setdefault(model.key, home) != home:
            raise InputError(
                f"{model.key} would go to {homes[model.key]} and to {home}",
                where=f"settings, [llms.{alias}]",
                remedy="Give each address a key of its own.",
            )
    return models


def _parse(alias: str, entry: dict[str, Any]) -> Model:
    try:
        if "tier" in entry:
            raise TypeError("tier: said with --tier or --batch; tiers holds what they cost")
        return Model(alias=alias, **entry)
    except (ValidationError, TypeError, L2aCoError) as error:
        what = describe_validation(error) if isinstance(error, ValidationError) else str(error)
        raise InputError(what, where=f"settings, [llms.{alias}]", remedy="`l2aco llms` lists examples.") from None


def resolve_model(name: str, settings: Settings | None = None) -> Model:
    """The model called `name`: an alias in any case, `provider:model`, or a Hugging Face id (`owner/model`).

    A Hugging Face id runs through vLLM. Raises UnknownNameError with the nearest aliases, InputError for an entry of
    the folder that needs trust.
    """
    catalog = load_catalog(settings)
    if settings is not None:
        settings.require_trust(f"llms.{name}")
    for alias, model in catalog.items():
        if name.casefold() in (alias.casefold(), model.model.casefold()):
            return model
    provider, colon, rest = name.partition(":")
    if colon and rest and provider.casefold() in PROVIDERS:
        url, key = PROVIDERS[provider.casefold()]
        return Model(alias=_plain(name), engine="openai", model=rest, base_url=url, key=key, context=32768)
    if colon and rest and provider.casefold() in ("vllm", "transformers"):
        return Model(alias=_plain(rest), engine=provider.casefold(), model=rest)
    if Path(name).expanduser().is_dir() or (name.count("/") == 1 and " " not in name):
        return Model(alias=_plain(name), engine="vllm", model=name)
    providers = ", ".join(f"{item}:MODEL" for item in (*PROVIDERS, "transformers"))
    raise UnknownNameError(
        "language model", name, catalog, remedy=f"{providers} and Hugging Face ids (OWNER/MODEL) work too."
    )


def _plain(name: str) -> str:
    """A name that can be a folder's: of a local folder its last part, of an id all of it."""
    if Path(name).expanduser().is_dir():
        name = Path(name).expanduser().resolve().name
    return "".join(char if char.isalnum() or char in "._-" else "-" for char in name.strip("/")).strip("-.") or "model"
