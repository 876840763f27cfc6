"""What a run is made from: `TrainSpec`, and `Recipe`, its optimisation part with every value filled in."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from l2aco.data.splits.spec import SplitSpec
from l2aco.errors import UsageError
from l2aco.files import describe_validation
from l2aco.models.recipe import Recipe
from l2aco.models.spec import AlignSpec


class TrainSpec(BaseModel):
    """One run. None means "the default", which `training.choose.complete` writes in before anything is trained.

    `store` names the embedding store; `llm` and `encoder` choose one where `store` is None. `config` holds the
    backbone's hyper-parameters.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str | None = None
    backbone: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    split: SplitSpec = Field(default_factory=lambda: SplitSpec(setting="novel-cell"))
    align: AlignSpec = Field(default_factory=AlignSpec)
    store: str | None = None
    llm: str | None = None
    encoder: str | None = None
    seed: int = Field(default=0, ge=0, lt=2**63)
    device: str = "auto"
    threads: int = Field(default=1, ge=1)
    """CPU threads of this process: small graphs gain nothing from more, and lose under load."""

    epochs: int | None = None
    batch_size: int | None = None
    optimiser: Literal["adam", "adamw"] | None = None
    learning_rate: float | None = None
    schedule: Literal["none", "one-cycle", "plateau"] | None = None
    weight_decay: float | None = None
    weight_decay_kind: Literal["decoupled", "norms"] | None = None
    patience: int | None = None
    metric: str | None = None
    grad_accumulation: int | None = None
    precision: Literal["fp32", "bf16"] | None = None
    compile: bool | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self.recipe(Recipe())
        return self

    def recipe(self, defaults: Recipe) -> Recipe:
        """The optimisation values: those given here, else `defaults` (a backbone's)."""
        given = {name: getattr(self, name) for name in Recipe.model_fields if getattr(self, name) is not None}
        try:
            return Recipe.model_validate({**defaults.model_dump(), **given})
        except ValidationError as error:
            raise UsageError(describe_validation(error)) from None
