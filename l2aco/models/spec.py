"""What the aligner does: the frozen spec that the command line, a file and Python share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AlignSpec(BaseModel):
    """How profile vectors meet a backbone's representations.

    `loss` pulls representations towards the adapted vectors; `fusion` also feeds the adapted vectors to the
    score. With `loss="none"` and `fusion="none"` the backbone stands alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loss: Literal["infonce", "l2", "sce", "kl", "none"] = "infonce"
    weight_drug: float = Field(default=1.0, ge=0)
    weight_cell: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=0.07, gt=0)
    """Of infonce."""
    symmetric: bool = False
    """infonce in both directions: representation to vector and vector to representation."""
    gamma: float = Field(default=2.0, gt=0)
    """Exponent of sce."""
    adapter: Literal["linear", "mlp"] = "linear"
    fusion: Literal["none", "add", "gate", "concat"] = "none"
    scope: Literal["batch", "train", "all"] = "batch"
    """Which entities the loss runs over: the distinct ones of the batch, of the training rows, or all that are
    known (transductive: it reaches the entities that training never sees)."""
    vectors: Literal["profiles", "shuffled", "random"] = "profiles"
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

    @property
    def active(self) -> bool:
        """Whether vectors are used at all."""
        return self.loss != "none" or self.fusion != "none" or self.impute or self.modality_dropout > 0
