"""What `generate_profiles` is asked to do."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from l2aco.llm.addresses import check_address
from l2aco.llm.keys import check_flags
from l2aco.llm.options import EngineOptions, RunLimits
from l2aco.shown import ShownSpec

FLEX_TIMEOUT_S = 900.0


class ProfileSpec(ShownSpec):
    """A profiling job. What determines an answer is `llm`, `prompt` and the sampling; the rest says how to get it.

    `llm` is an alias of the catalog, `provider:model` or a Hugging Face id; `prompt` is NAME or NAME@VERSION (None: the
    model's own, which is `plain` for all that are models).
    `samples` profiles of each entity are kept side by side. `pieces`: the most values asked for at a time; a profile of
    more takes several calls. Rates are per minute, times in seconds:
    `timeout_s` is by default 120, in the tier `flex` 900. `tier` and `batch` ask for slower answers at another price;
    `engine` ray has the workers of a Ray cluster (`ray_address`, else one on this machine) make the calls;
    without `wait` a job in batches is left as soon as they are sent.
    """

    llm: str
    prompt: str | None = None
    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int = 0
    max_tokens: int | None = Field(default=None, gt=0)
    samples: int = Field(default=1, ge=1)
    pieces: int | None = Field(default=None, ge=1)
    set_name: str | None = None

    base_urls: tuple[str, ...] = ()
    concurrency: int = Field(default=RunLimits.concurrency, ge=1, le=4096)
    requests_per_minute: float | None = Field(default=RunLimits.requests_per_minute, gt=0)
    tokens_per_minute: float | None = Field(default=RunLimits.tokens_per_minute, gt=0)
    budget_usd: float | None = Field(default=RunLimits.budget_usd, gt=0)
    budget_tokens: int | None = Field(default=RunLimits.budget_tokens, gt=0)
    timeout_s: float | None = Field(default=None, gt=0)
    tier: Literal["flex"] | None = None
    batch: bool = False
    engine: Literal["ray"] | None = None
    ray_address: str | None = None
    wait: bool = True
    attempts: int = Field(default=RunLimits.attempts, ge=1)
    backoff_s: float = Field(default=RunLimits.backoff_s, gt=0)
    break_after: int = Field(default=RunLimits.break_after, ge=1)
    limit: int | None = Field(default=None, ge=1)
    retry_failed: bool = RunLimits.retry_failed
    delay_s: float = Field(default=EngineOptions.delay_s, ge=0)
    keep_server: bool = EngineOptions.keep_server
    vllm_flags: tuple[str, ...] = ()

    @field_validator("base_urls")
    @classmethod
    def _addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            check_address(url)
        return urls

    @field_validator("vllm_flags")
    @classmethod
    def _no_key(cls, flags: tuple[str, ...]) -> tuple[str, ...]:
        check_flags(flags)
        return flags

    @property
    def call_timeout_s(self) -> float:
        """The longest that a call may take."""
        return self.timeout_s or (FLEX_TIMEOUT_S if self.tier == "flex" else EngineOptions.timeout_s)

    @model_validator(mode="after")
    def _batches_are_one_way(self) -> Self:
        if self.batch and (self.tier or self.pieces or len(self.base_urls) > 1):
            raise ValueError("batches go to one address, whole and in a tier of their own: no tier, no pieces")
        if self.engine == "ray" and (self.batch or self.pieces or len(self.base_urls) > 1):
            raise ValueError("Ray makes whole calls to one address: no batches, no pieces")
        if self.ray_address is not None and self.engine is None:
            raise ValueError("an address of a Ray cluster goes with the engine ray: --engine ray --address ADDRESS")
        if (self.batch or self.engine) and (self.requests_per_minute or self.tokens_per_minute):
            raise ValueError("a pace (--rpm, --tpm) is kept call by call: not in batches, not by the workers of Ray")
        if self.engine and self.timeout_s:
            raise ValueError("the workers of Ray keep no time limit of a call: leave out --timeout")
        if not (self.batch or self.wait):
            raise ValueError("only a job in batches can be left: add --batch")
        return self

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("several samples at temperature 0 would be equal: give a temperature, such as 0.8")
        return self
