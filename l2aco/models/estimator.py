"""Backbones of the second kind: predictors that are fitted at once instead of trained by gradients. No torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from l2aco.data.triples import Triples
from l2aco.entities import EntityKind
from l2aco.models.config import BackboneConfig
from l2aco.models.inputs import Inputs
from l2aco.progress import Progress, Silent

Array = np.ndarray[Any, np.dtype[Any]]
EDGE = 1e-7
"""How near to 0 and 1 a probability stands apart from them."""


@dataclass(frozen=True)
class Expected:
    """What measurements would come out at, float64 (n,) each: `mean`, and the ends of the central interval that holds
    the `share` of them, noise included. scale: what the numbers are, in words."""

    mean: Array
    low: Array
    high: Array
    share: float
    scale: str


class Estimator(ABC):
    """Scores a pair of drugs in a cell line after what it has been fitted to; the order of the pair changes nothing.

    Class attributes say what it reads, as those of `models.base.Backbone` do. Profile vectors reach it by store, in
    `Inputs.drug_vectors` and `cell_vectors`, raw; a control's are shuffled or random already. Rows are int64 (n,) of
    `Inputs.drugs` and `cell_lines`, and behind them those of the newcomers that `admit` was told of.
    """

    Config: ClassVar[type[BackboneConfig]] = BackboneConfig
    requires: ClassVar[frozenset[str]] = frozenset()
    uses: ClassVar[frozenset[str]] = frozenset()
    citation: ClassVar[str] = ""
    unread: ClassVar[str] = "it knows them by their ids alone"

    @classmethod
    def defaults_for(cls, setting: str) -> dict[str, Any]:
        """Hyper-parameters whose default depends on what the split holds out."""
        return {}

    @classmethod
    @abstractmethod
    def fit(
        cls, inputs: Inputs, config: Any, triples: Triples, *, seed: int = 0, progress: Progress = Silent()
    ) -> Self:
        """Learn from `triples`, whose rows are those of `inputs`."""

    @abstractmethod
    def refit(self, triples: Triples) -> Self:
        """What it is once it also knows these measurements; nothing that was chosen is chosen anew."""

    def take_up(self, triples: Triples) -> Self:
        """`refit` for what a user has just measured. Where that lies at the strong end of what can be measured, a model
        that can promise it expects no less of the pair afterwards."""
        return self.refit(triples)

    def judged_on(self, triples: Triples) -> Self:
        """What it is once its intervals are as wide as these measurements, which it does not know yet, ask for; what it
        expects stays."""
        return self

    @abstractmethod
    def admit(self, newcomers: Inputs) -> Self:
        """One that also scores these entities."""

    def reads(self, kind: EntityKind) -> bool:
        """Whether anything but who they are tells the entities of a kind apart: else all newcomers are alike."""
        return True

    @abstractmethod
    def probabilities(self, a: Array, b: Array, c: Array) -> Array:
        """float64 (n,): of synergy."""

    def logits(self, a: Array, b: Array, c: Array) -> Array:
        """float64 (n,): of `probabilities`, finite."""
        p = np.clip(self.probabilities(a, b, c), EDGE, 1 - EDGE)
        return np.asarray(np.log(p) - np.log1p(-p))

    def expected(self, a: Array, b: Array, c: Array, share: float = 0.9) -> Expected | None:
        """The scores of these rows (n,); None where the model knows no variance, or no scores."""
        return None

    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """All that was learned, without pickles."""

    @classmethod
    @abstractmethod
    def restore(cls, inputs: Inputs, config: Any, arrays: Mapping[str, Array]) -> Self:
        """The estimator whose `arrays()` these are."""

    def facts(self) -> dict[str, Any]:
        """What a reader of the run wants to know of the fit, such as chosen weights; JSON."""
        return {}
