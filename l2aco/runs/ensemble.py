"""An ensemble of runs as what a predictor asks: a weighted mean of its members' calibrated logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, RootModel, ValidationError

from l2aco.entities import EntityKind
from l2aco.errors import DamagedError
from l2aco.files import describe_validation, read_json, sha256_file
from l2aco.models.inputs import Inputs
from l2aco.runs.calibration import Calibration, logit
from l2aco.runs.contents import Name

if TYPE_CHECKING:
    from l2aco.runs.predictor import Scorer
    from l2aco.runs.run import Run

ENSEMBLE = "Ensemble"
"""In the place of a backbone's name."""
MEMBERS = "members.json"
EQUAL_WEIGHTS = "equal weights"
"""The row of the mean with equal weights, beside the ensemble's own."""
Array = np.ndarray[Any, np.dtype[Any]]


class Member(BaseModel):
    """A run, known by the checksum of its manifest; weight: its share of the mean, of logits calibrated by slope and
    intercept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Name
    manifest: str
    weight: FiniteFloat
    slope: FiniteFloat
    intercept: FiniteFloat


class Members(RootModel[Annotated[list[Member], Field(min_length=2)]]):
    """What members.json holds."""


def blend(probabilities: Sequence[Array], members: Sequence[Member]) -> Array:
    """float64 (n,): the ensemble's probabilities, from those (n,) of each member."""
    total = np.zeros(len(probabilities[0]))
    for found, member in zip(probabilities, members, strict=True):
        total += member.weight * logit(Calibration(member.slope, member.intercept).apply(found))
    return np.asarray(1 / (1 + np.exp(-total)))


@dataclass(frozen=True)
class Blend:
    """The members' scorers; of the newcomers each reads its own part, `Inputs.below`."""

    members: Sequence[Member]
    scorers: Sequence[Scorer]

    def admit(self, newcomers: Inputs) -> Self:
        """One that also scores these entities, whose rows stand behind the others."""
        told = zip(self.scorers, newcomers.below, strict=True)
        return replace(self, scorers=[scorer.admit(inputs) for scorer, inputs in told])

    def reads(self, kind: EntityKind) -> bool:
        """Whether one of them tells newcomers of a kind apart."""
        return any(scorer.reads(kind) for scorer in self.scorers)

    def probabilities(self, a: Array, b: Array, c: Array) -> Array:
        """float64 (n,): of synergy, for int64 rows (n,)."""
        return blend([scorer.probabilities(a, b, c) for scorer in self.scorers], self.members)


def read_members(run: Run) -> list[Member]:
    """What an ensemble is made of; raises DamagedError."""
    path = run.file(MEMBERS)
    try:
        return Members.model_validate(read_json(path, run.again)).root
    except ValidationError as error:
        raise DamagedError(describe_validation(error), where=path, remedy=run.again) from None


def open_member(run: Run, member: Member) -> Run:
    """A member of `run`, with the checksum that it had then: so no run is a part of itself. Raises DamagedError."""
    manifest = run.path.parent / member.run / "manifest.json"
    if not manifest.is_file() or sha256_file(manifest) != member.manifest:
        raise DamagedError(
            f"is an ensemble, and its member {member.run} is gone or is not what it was",
            where=run.path,
            remedy="Bring the member back, or make another: l2aco ensemble RUN RUN ...",
        )
    return run.sibling(member.run)


def load_ensemble(run: Run, inputs: Inputs, device: str) -> tuple[Inputs, Blend]:
    """The members of `run`, ready to score, and `inputs` with theirs below; raises DamagedError where one is gone or is
    not what it was."""
    members = read_members(run)
    predictors = [open_member(run, member).predictor(device) for member in members]
    below = [predictor.inputs for predictor in predictors]
    return replace(inputs, below=below), Blend(members, [predictor.scorer for predictor in predictors])
