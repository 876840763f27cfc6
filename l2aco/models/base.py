"""The backbone contract: what a predictor must offer so that the aligner and the training loop can use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from l2aco.models.config import BackboneConfig
from l2aco.models.inputs import Inputs
from l2aco.models.recipe import Recipe

START = 0.01
"""Standard deviation of fresh embeddings. On unseen cell lines 0.01 scores far above 0.05 and 0.1."""


@dataclass(frozen=True)
class Tables:
    """Representations of entities, one leading row each; the last dimension is the backbone's width.

    `drug` (Nd, ..., d) and `cell` (Nc, ..., d) are what alignment fuses vectors into; `extra` holds other
    tensors that `score` needs, such as token masks, each with one row an entity, named `drug_*` or `cell_*`.
    """

    drug: Tensor
    cell: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def with_representations(self, drug: Tensor, cell: Tensor) -> Tables:
        """The same tables with other representations of the same shapes."""
        return replace(self, drug=drug, cell=cell)

    @classmethod
    def joined(cls, first: Tables, second: Tables) -> Tables:
        """The entities of both, in this order."""
        extra = {name: torch.cat([table, second.extra[name]]) for name, table in first.extra.items()}
        return cls(torch.cat([first.drug, second.drug]), torch.cat([first.cell, second.cell]), extra)


class Backbone(nn.Module, ABC):
    """Represents drugs and cell lines, and scores a pair of drugs in a cell line.

    A subclass is built as `Subclass(inputs, config)`; its class attributes say what it needs. The order of
    the two drugs must not change `score`, except with `config.faithful`.
    """

    Config: ClassVar[type[BackboneConfig]] = BackboneConfig
    requires: ClassVar[frozenset[str]] = frozenset()
    """"graph", or names of features that the loader brings in `Inputs.features`."""
    uses: ClassVar[frozenset[str]] = frozenset()
    """Names of features that are read where the data set has them."""
    citation: ClassVar[str] = ""
    unread: ClassVar[str] = "it knows them by their ids alone"
    """What becomes of entities of which nothing is read, in words."""
    recipe: ClassVar[Recipe] = Recipe(batch_size=128)
    """How it is trained where nothing else is asked for."""
    recipe_faithful: ClassVar[Recipe | None] = None
    """The same of the faithful variant; None: as the other."""
    encodes_all: ClassVar[bool] = True
    """True where one pass over every entity is what `encode` does best (graphs); False where its cost is that of the
    rows asked for, so that an evaluation asks for them in pieces."""
    fusion: ClassVar[str] = "none"
    """The fusion of an aligned model where the spec names none."""
    stochastic_encode: ClassVar[bool] = True
    """False where `encode` has no dropout, so that all passes of a step share its result."""
    passes: int = 1
    """Stochastic passes of a training step; with more than one, their predictions are held together by a
    symmetric KL divergence of weight `consistency_weight` (R-drop)."""
    consistency_weight: float = 0.0

    drug_width: int
    cell_width: int
    """Last dimension of the tables."""

    def __init__(self, inputs: Inputs, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.num_drugs = inputs.num_drugs
        self.num_cells = inputs.num_cells

    @abstractmethod
    def encode(self, drugs: Tensor | None = None, cells: Tensor | None = None) -> Tables:
        """Represent the entities at these rows (int64, ascending), in this order; None stands for all of them.

        A backbone with `encodes_all` is asked for rows of both kinds, or of neither.
        """

    @abstractmethod
    def score(self, tables: Tables, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Logits (B,) of synergy for int64 rows (B,) of `tables`."""

    def pool(self, tables: Tables) -> tuple[Tensor, Tensor]:
        """The views that alignment sees: drug (Nd, Vd, d), cell (Nc, Vc, d).

        By default a vector is one view, and a stack (N, V, d) is V views.
        """
        return _views(tables.drug), _views(tables.cell)

    def measured(self) -> tuple[Tensor, Tensor] | None:
        """Bool (Nd,) and (Nc,): which entities have features or edges of their own; None where all have."""
        return None

    def newcomers(self, inputs: Inputs, usual: Tables) -> tuple[Tables, Tensor, Tensor]:
        """Represent entities that the model was not built with, after their features in `inputs`.

        Beside the tables: bool (Nd,) and (Nc,), of whom something was read. By default nothing is, and everybody is
        `usual` (1, ..., d), the mean of the entities in training.
        """

        def everybody(table: Tensor, count: int) -> Tensor:
            return table.expand(count, *table.shape[1:])

        counts = {"drug": inputs.num_drugs, "cell": inputs.num_cells}
        extra = {name: everybody(table, counts[name.split("_")[0]]) for name, table in usual.extra.items()}
        tables = Tables(everybody(usual.drug, counts["drug"]), everybody(usual.cell, counts["cell"]), extra)
        nobody = torch.zeros(counts["drug"], dtype=torch.bool), torch.zeros(counts["cell"], dtype=torch.bool)
        return tables, *nobody

    @classmethod
    def default_recipe(cls, *, faithful: bool) -> Recipe:
        """How the repaired or the faithful variant is trained where nothing else is asked for."""
        return cls.recipe_faithful or cls.recipe if faithful else cls.recipe


def _views(table: Tensor) -> Tensor:
    return table.unsqueeze(1) if table.dim() == 2 else table


class Output(NamedTuple):
    """`logits` (P, B), one row a stochastic pass; `losses`: weighted auxiliary losses, to be added up."""

    logits: Tensor
    losses: Mapping[str, Tensor]


class ScoringModel(Protocol):
    """What the training loop trains and a predictor calls: a torch module with a step and a score."""

    training: bool

    def __call__(self, a: Tensor, b: Tensor, c: Tensor) -> Output:
        """A training step's half, for int64 rows (B,) of drugs and cell lines."""

    def tables(self) -> Any:
        """What `score` reads of every entity. Evaluation only."""

    def score(self, tables: Any, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Logits (B,) for rows (B,). Evaluation only."""

    def train(self, mode: bool = True) -> Any: ...
    def eval(self) -> Any: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...
