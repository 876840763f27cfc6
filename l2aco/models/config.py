"""Hyper-parameters that every backbone has."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class BackboneConfig(BaseModel):
    """Each backbone extends it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    faithful: bool = False
    """Reproduce the published mathematics, with what it gets wrong."""
