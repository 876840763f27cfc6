"""The backbone contract: what a predictor must offer so that the aligner and the training loop can use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from l2aco.models.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np

    from l2aco.data.dataset import DataSet
    from l2aco.data.graph import KnowledgeGraph


START = 0.01
"""Standard deviation of fresh embeddings. On unseen cell lines 0.01 scores far above 0.05 and 0.1."""


class BackboneConfig(BaseModel):
    """Hyper-parameters that every backbone has; each backbone extends it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    faithful: bool = False
    """Reproduce the published mathematics, with what it gets wrong."""


@dataclass(frozen=True)
class Inputs:
    """What the loader brings to a backbone: the data set and what `Backbone.requires` names."""

    dataset: DataSet
    num_drugs: int
    num_cells: int
    graph: KnowledgeGraph | None = None
    features: Mapping[str, Any] = field(default_factory=dict)
    """`FeatureTable` by name: every one in `requires` but the graph, and those in `uses` that the data set has."""
    train_drugs: np.ndarray | None = None
    """int64 rows of the drugs that occur in training rows; None where unknown."""
    train_cells: np.ndarray | None = None


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
