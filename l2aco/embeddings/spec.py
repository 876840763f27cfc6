"""What `l2aco embed` is asked to do."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from l2aco.embeddings.choices import IndexName, Precision
from l2aco.shown import ShownSpec


class EmbedSpec(ShownSpec):
    """`sets`: names of profile sets; none means every set of the workspace, else the bundled `reference`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sets: tuple[str, ...] = ()
    encoder: str | None = None
    """A name of the table, a folder or a Hugging Face id; None: `encoder` of l2aco.toml, else bge-large-en-v1.5."""
    device: str | None = None
    precision: Precision = "auto"
    index: IndexName | None = None
    """None keeps what the store has; a new one starts with `auto`."""
    budget_usd: float | None = Field(default=None, ge=0)
    """For an encoder that costs money: the most that this run may spend."""
