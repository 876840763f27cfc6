"""The catalog of language models: a short name leads to an engine, a model id, prices and traps."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from l2aco.errors import InputError, UnknownNameError
from l2aco.files import describe_validation
from l2aco.workspace import SETTINGS_FILE, Settings

BUNDLED = "bundled"
"""What stands as the engine of profiles that ship with L2aCo: nothing is asked."""
PROVIDERS = {
    "openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "together": ("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "deepseek": ("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "mistral": ("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "groq": ("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
}
"""`provider:model` for OpenAI-compatible APIs: address, and the variable that holds the key."""


class Model(BaseModel):
    """One entry of the catalog; catalog.toml says what each key means. `engine` is a name of `llm.engine.engines`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alias: str
    engine: str
    model: str
    revision: str | None = None
    base_url: str | None = None
    key: str | None = None
    context: int = Field(default=8192, gt=0)
    max_tokens: int = Field(default=2048, gt=0)
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    fixed_sampling: bool = False
    price_in: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)
    prices_as_of: str | None = None
    trust_remote_code: bool = False
    chat_template: str | None = None
    extra: dict[str, Any] = Field(default_factory=dict)
    serve: list[str] = Field(default_factory=list)
    note: str = ""

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """US dollars for so many tokens, None where no price is known."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6


def load_catalog(settings: Settings | None = None) -> dict[str, Model]:
    """Every model by alias, the user's entries of l2aco.toml laid over the shipped ones.

    Raises InputError that names the entry and key of l2aco.toml that is wrong.
    """
    shipped = tomllib.loads(Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8"))
    by_fold = {alias.casefold(): alias for alias in shipped}
    entries: dict[str, dict[str, Any]] = dict(shipped)
    for alias, entry in (settings.llms if settings else {}).items():
        name = by_fold.get(alias.casefold(), alias)
        entries[name] = {**entries.get(name, {}), **entry}
    return {alias: _parse(alias, entry) for alias, entry in entries.items()}


def _parse(alias: str, entry: dict[str, Any]) -> Model:
    try:
        return Model(alias=alias, **entry)
    except (ValidationError, TypeError) as error:
        what = describe_validation(error) if isinstance(error, ValidationError) else str(error)
        raise InputError(
            what, where=f"{SETTINGS_FILE}: [llms.{alias}]", remedy="`l2aco llms` lists examples."
        ) from None


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
