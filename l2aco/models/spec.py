"""What the aligner does: the frozen spec that the command line, a file and Python share."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from l2aco.models.choices import FusionName, LossName, ScopeName, VectorsName
from l2aco.shown import ShownSpec


class AlignSpec(ShownSpec):
    """How profile vectors meet a backbone's representations.

    `loss` pulls representations towards the adapted vectors; `fusion` also feeds the adapted vectors to the
    score. With `loss="none"` and `fusion="none"` the backbone stands alone.
    """

    loss: LossName = "infonce"
    """regression: predict the numbers of stores that hold numbers, known ones alone; stores of text take no part, and
    the score never reads the numbers, so there is no fusion with it."""
    weight_drug: float = Field(default=1.0, ge=0)
    weight_cell: float = Field(default=1.0, ge=0)
    """Of the losses of the two kinds; kl is one loss of both, weighted by their mean."""
    temperature: float = Field(default=0.07, gt=0)
    """Of infonce."""
    temperature_drug: float | None = Field(default=None, gt=0)
    temperature_cell: float | None = Field(default=None, gt=0)
    """Of infonce for one kind, where it is not `temperature`."""
    symmetric: bool = False
    """infonce in both directions: representation to vector and vector to representation."""
    gamma: float = Field(default=2.0, gt=0)
    """Exponent of sce."""
    adapter: Literal["linear", "mlp"] = "linear"
    fusion: FusionName | None = None
    """None: what the backbone does by default (`Backbone.fusion`)."""
    scope: ScopeName = "batch"
    """Which entities the loss runs over: the distinct ones of the batch, of the training rows, or all that are
    known (transductive: it reaches the entities that training never sees). Of infonce, l2, sce and regression."""
    vectors: VectorsName = "profiles"
    """The profiles' vectors, or a control: shuffled between the entities of a kind, or random directions."""
    draw: int = Field(default=0, ge=0)
    """Which draw of a control."""
    standardise: bool = True
    """Centre the vectors on the training entities and give every component a mean square of one. Raw embeddings of
    one kind point almost the same way, and an adapter sees little of what tells them apart."""
    mask_features: float = Field(default=0.0, ge=0, lt=1)
    """Share of a representation's dimensions that is dropped in training, drawn anew for every entity."""
    modality_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the entities whose representation is replaced by the adapted vector in training."""
    impute: bool = False
    """Replace the representation of entities without measured features or edges by the adapted vector."""
    missing: Literal["impute", "refuse"] = "impute"
    """Entities without a vector: take the mean vector of their kind (and leave them out of the loss), or stop."""

    @model_validator(mode="after")
    def _scope_has_a_loss(self) -> Self:
        if self.scope != "batch" and self.loss in ("kl", "none"):
            raise ValueError(
                f"scope = {self.scope} belongs to infonce, l2, sce and regression; the loss is {self.loss}"
            )
        return self

    @model_validator(mode="after")
    def _numbers_are_not_fused(self) -> Self:
        if self.loss == "regression" and (self.fusion not in (None, "none") or self.impute or self.modality_dropout):
            raise ValueError("regression only teaches: it goes with no fusion, impute or modality_dropout")
        return self

    @property
    def active(self) -> bool:
        """Whether vectors are used at all."""
        return self.loss != "none" or self.fusion not in (None, "none") or self.impute or self.modality_dropout > 0

    def for_kind(self, kind: Literal["drug", "cell"]) -> Self:
        """This spec with the temperature of a kind."""
        own = self.temperature_drug if kind == "drug" else self.temperature_cell
        return self if own is None else self.model_copy(update={"temperature": own})

    def for_backbone(self, fusion: str) -> Self:
        """This spec with a fusion in any case: its own, else the backbone's where vectors are used."""
        own = self.fusion or (fusion if self.active and self.loss != "regression" else "none")
        return self.model_copy(update={"fusion": own})
