"""What a run is made from: `TrainSpec`, and `Recipe`, its optimisation part with every value filled in."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, create_model, field_validator, model_validator

from l2aco.data.splits.spec import SplitSpec
from l2aco.files import checked_spec
from l2aco.models.choices import OffsetName
from l2aco.models.recipe import Recipe
from l2aco.models.spec import AlignSpec
from l2aco.shown import ShownSpec

_FIELDS: dict[str, Any] = {
    name: (field.annotation | None, None)  # type: ignore[operator]
    for name, field in Recipe.model_fields.items()
}
GivenRecipe: Any = create_model("GivenRecipe", __base__=ShownSpec, **_FIELDS)
"""The values of a `Recipe` as far as somebody gave them; None where nobody did."""


class TrainSpec(GivenRecipe):
    """One run. None means "the default", which `training.choose.complete` writes in before anything is trained.

    `store` names the embedding stores, () being none; `llm` and `encoder` choose one where `store` is None. `config`
    holds the backbone's hyper-parameters; the values of `Recipe` are fields too.
    """

    dataset: str | None = None
    backbone: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    split: SplitSpec = Field(default_factory=lambda: SplitSpec(setting="novel-cell"))
    align: AlignSpec = Field(default_factory=AlignSpec)
    store: tuple[str, ...] | None = None
    llm: str | None = None
    encoder: str | None = None
    offset: OffsetName = "none"
    """The cheap model whose logits are added to a network's."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    device: str = "auto"
    threads: int = Field(default=1, ge=1)
    """CPU threads of this process: small graphs gain nothing from more, and lose under load."""

    @model_validator(mode="before")
    @classmethod
    def _as_runs_of_format_5_wrote_it(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = {"optimiser" if name == "optimizer" else name: value for name, value in values.items()}
        if isinstance(config := values.get("config"), dict):  # else it is refused as what it is
            values["config"] = {name: value for name, value in config.items() if name != "engine"}
        return values

    @field_validator("store", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self.recipe(Recipe())
        return self

    def recipe(self, defaults: Recipe) -> Recipe:
        """The optimisation values: those given here, else `defaults` (a backbone's)."""
        given = {name: getattr(self, name) for name in Recipe.model_fields if getattr(self, name) is not None}
        return checked_spec(Recipe, {**defaults.model_dump(), **given})
