"""How a model is optimised, every value filled in."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from l2aco.metrics import get_metric


class Recipe(BaseModel):
    """How a model is optimised. What a user leaves out comes from the backbone's own defaults, then from these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=1024, ge=1)
    optimiser: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["none", "one-cycle", "plateau"] = "none"
    weight_decay: float = Field(default=0.0, ge=0)
    weight_decay_kind: Literal["decoupled", "norms"] = "decoupled"
    """`norms` adds weight_decay x the sum of all parameters' 2-norms to the loss, as the paper's code does."""
    patience: int = Field(default=20, ge=1)
    """Epochs without a better validation value after which training stops."""
    metric: str = "auroc"
    """The validation metric that stops training and chooses the weights."""
    target: Literal["label", "score", "rank"] = "label"
    """What is learned: the label alone; or, beside it, a robust function of the score (`models.mixed.target`) or its
    rank, by one minus its correlation with the logits of a batch."""
    target_weight: float = Field(default=1.0, gt=0)
    """Of that beside the cross-entropy of the label."""
    grad_accumulation: int = Field(default=1, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False

    @property
    def changed(self) -> dict[str, Any]:
        """The values that somebody chose."""
        return self.model_dump(exclude_unset=True)

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        return get_metric(name).name
