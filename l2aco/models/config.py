"""Hyper-parameters that every backbone has."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class BackboneConfig(BaseModel):
    """Each backbone extends it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    same_numbers: ClassVar[frozenset[str]] = frozenset()
    """Settings that change how something is computed and not what comes out: no part of a run's identity."""

    faithful: bool = False
    """Reproduce the published mathematics, with what it gets wrong."""
