"""What a split is asked for, and what it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from l2aco.errors import UnknownNameError, UsageError

Array = np.ndarray[Any, np.dtype[Any]]


SETTINGS = ("random", "long-tail", "novel-cell", "novel-drug", "novel-pair", "novel-tissue")


ALIASES = {"s0": "long-tail", "s1": "novel-cell"}


VERSIONS = {**dict.fromkeys(SETTINGS, 1), "novel-drug": 2}
"""Of the rules of each setting: a split that was made by other rules is made again."""


class SplitSpec(BaseModel):
    """Which rows are trained on, chosen with, and tested on.

    setting: see SETTINGS; S0 and S1 are aliases. fold of folds: which group of rows, lines, drugs, pairs or tissues
    is the test (not for long-tail). seed: shuffles the folds, and picks the shots. valid_share: of the training
    rows or groups, for validation. shots: rows of each tail line that may train (long-tail). tail: a line with at
    most so many triples is a tail line. both: test on rows with both drugs unseen instead of exactly one
    (novel-drug). stratify: spread the tissues evenly over the folds (novel-cell). matched: test on as many head
    lines thinned to the counts of the tail lines (long-tail), the size-matched control. released: use the fixed split
    that came with the source, or never; where None, use it if there is one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    setting: str = "novel-cell"
    fold: int = Field(default=0, ge=0)
    folds: int = Field(default=5, ge=2, le=1000)
    seed: int = Field(default=0, ge=0)
    valid_share: float = Field(default=0.1, gt=0, lt=0.5)
    shots: int = Field(default=20, ge=0)
    tail: int = Field(default=100, ge=1)
    both: bool = False
    stratify: Literal["tissue"] | None = None
    matched: bool = False
    released: bool | None = None

    @field_validator("setting")
    @classmethod
    def _known_setting(cls, value: str) -> str:
        folded = value.strip().casefold().replace("_", "-").replace(" ", "-")
        folded = ALIASES.get(folded, folded)
        if folded not in SETTINGS:
            raise UnknownNameError("setting", value, [*SETTINGS, *ALIASES])
        return folded

    @model_validator(mode="after")
    def _consistent(self) -> SplitSpec:
        if self.fold >= self.folds and self.setting != "novel-tissue":
            raise UsageError(f"there is no fold {self.fold} of {self.folds}", remedy="Folds are counted from 0.")
        for name, setting in (("both", "novel-drug"), ("stratify", "novel-cell"), ("matched", "long-tail")):
            if getattr(self, name) and self.setting != setting:
                raise UsageError(f"'{name}' belongs to the setting {setting}, not {self.setting}")
        return self


@dataclass(frozen=True)
class Split:
    """Row numbers of the triples, int64, sorted. `held_out`: ids (or pairs, tissues) that training never sees;
    `hash` of the spec and of the triples."""

    spec: SplitSpec
    hash: str
    train: Array
    valid: Array
    test: Array
    held_out: list[str] = field(default_factory=list)

    @property
    def folder_name(self) -> str:
        return self.hash[:16]
