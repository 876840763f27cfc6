"""What `l2aco embed` is asked to do."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from l2aco.embeddings.choices import IndexName, Precision
from l2aco.shown import ShownSpec


class Shard(BaseModel):
    """Part `number` of `of` parts of a profile set: neighbours in its order. Written `3/16`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(ge=1)
    of: int = Field(ge=1, le=10_000)

    @model_validator(mode="before")
    @classmethod
    def _parsed(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if (found := re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", value)) is None:
            raise ValueError(f"'{value}' is no shard: write 3/16")
        return {"number": int(found[1]), "of": int(found[2])}

    @model_validator(mode="after")
    def _is_one(self) -> Shard:
        if self.number > self.of:
            raise ValueError(f"there is no shard {self.number} of {self.of}")
        return self

    def of_rows(self, total: int) -> slice:
        """Which of `total` rows are its own."""
        return slice(total * (self.number - 1) // self.of, total * self.number // self.of)


class EmbedSpec(ShownSpec):
    """`sets`: names of profile sets; none means every set of the workspace, else the bundled `reference`."""

    sets: tuple[str, ...] = ()
    encoder: str | None = None
    """A name of the table, a folder or a Hugging Face id; None: `encoder` of l2aco.toml, else bge-large-en-v1.5."""
    device: str | None = None
    precision: Precision = "auto"
    index: IndexName | None = None
    """None keeps what the store has; a new one starts with `auto`."""
    budget_usd: float | None = Field(default=None, ge=0)
    """For an encoder that costs money: the most that this run may spend."""
    shard: Shard | None = None
    """This part of each set alone, into a store of its own; `store.merge` joins them."""
    executor: Literal["ray"] | None = None
    ray_address: str | None = None
    """Of a cluster; None: a Ray on this machine."""

    @model_validator(mode="after")
    def _agrees(self) -> EmbedSpec:
        if self.ray_address is not None and self.executor is None:
            raise ValueError("an address belongs to the executor ray: --executor ray --address ADDRESS")
        if self.shard is not None and self.index is not None:
            raise ValueError("a shard has no index of its own: the store that `l2aco store merge` makes gets one")
        return self
