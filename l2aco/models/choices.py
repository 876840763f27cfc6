"""Words that the spec and the command line share, apart from the spec: l2aco --help loads no pydantic."""

from __future__ import annotations

from typing import Literal

OffsetName = Literal["none", "mixed", "pair", "additive"]
"""The cheap model that a network may stand on, see `models.offset`."""
LossName = Literal["infonce", "l2", "sce", "kl", "regression", "none"]
FusionName = Literal["none", "add", "gate", "concat"]
ScopeName = Literal["batch", "train", "all"]
VectorsName = Literal["profiles", "shuffled", "random"]
