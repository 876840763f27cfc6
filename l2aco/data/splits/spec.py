"""What a split is asked for, and what it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from l2aco.data.splits import SETTINGS
from l2aco.errors import UsageError
from l2aco.shown import Shown, ShownSpec

Array = np.ndarray[Any, np.dtype[Any]]


class SplitSpec(ShownSpec):
    """Which rows are trained on, chosen with, and tested on.

    setting: a name of the registry SETTINGS; S0 and S1 are aliases. fold of folds: which group of rows, lines, drugs,
    pairs or tissues is the test (not for long-tail). seed: shuffles the folds, and picks the shots. valid_share: of the
    training rows or groups, for validation. shots: rows of each tail line that may train (long-tail). tail: a line with
    at most so many triples is a tail line. both: test on rows with both drugs unseen instead of exactly one
    (novel-drug). stratify: spread the tissues evenly over the folds (novel-cell). matched: test on as many head
    lines thinned to the counts of the tail lines (long-tail), the size-matched control. released: use the fixed split
    that came with the source, or never; where None, use it if there is one.
    """

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
        return SETTINGS.get(value.strip().replace("_", "-").replace(" ", "-")).name

    @model_validator(mode="after")
    def _consistent(self) -> SplitSpec:
        setting = SETTINGS.load(self.setting)
        if self.fold >= self.folds and setting.folds_are_asked_for:
            remedy = f"Give a --fold of 0 to {self.folds - 1}."
            raise UsageError(f"there is no fold {self.fold} of {self.folds}", remedy=remedy)
        for name in ("both", "stratify", "matched"):
            if getattr(self, name) and name not in setting.options:
                owner = next(entry.name for entry in SETTINGS if name in entry.load().options)
                remedy = f"Leave it out, or take --setting {owner}."
                raise UsageError(f"'{name}' belongs to the setting {owner}, not {self.setting}", remedy=remedy)
        return self


@dataclass(frozen=True, repr=False)
class Split(Shown):
    """Row numbers of the triples, int64, sorted. `held_out`: ids (or pairs, tissues) that training never sees;
    `hash` of the spec and of the triples."""

    spec: SplitSpec
    hash: str
    train: Array
    valid: Array
    test: Array
    held_out: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, str]:
        """What it splits by, and how many rows each side has."""
        rows = ", ".join(f"{len(rows):,} {side}" for side, rows in self.sides.items())
        return {"setting": self.spec.setting, "fold": str(self.spec.fold), "rows": rows}

    @property
    def folder_name(self) -> str:
        return self.hash[:16]

    @property
    def sides(self) -> dict[str, Array]:
        """The rows by what they are for."""
        return {"training": self.train, "validation": self.valid, "test": self.test}
