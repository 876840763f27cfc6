"""MLP: fingerprints of both drugs, tissue and expression of the cell line (DeepSynergy, Preuer et al. 2018).

The backbone for data without a knowledge graph. Every entity also has a learned embedding, so that one without any
feature can be trained on, and one that training never saw says next to nothing beyond its features.

Differs from DeepSynergy: each entity is encoded once, and drugs meet in the head that the graph backbones use, which
makes it independent of their order by construction instead of by showing every pair twice; `faithful` keeps a head
that depends on the order. Expression is standardised on the cell lines of training.

Shapes: fingerprint (Nd, 1024) -> hidden (Nd, 256) -> ReLU, dropout -> (Nd, 64); tissue and expression (Nc, F) likewise.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from torch import Tensor

from l2aco.data.features.table import FeatureTable, Scaling
from l2aco.entities import EntityKind
from l2aco.errors import InputError
from l2aco.models.base import Backbone, Tables
from l2aco.models.config import BackboneConfig
from l2aco.models.heads import PairHead
from l2aco.models.inputs import Inputs
from l2aco.models.recipe import Recipe
from l2aco.models.towers import Tower


class MLP(Backbone):
    """See the module."""

    citation = "Preuer et al. DeepSynergy: predicting anti-cancer drug synergy with deep learning. Bioinformatics 2018."
    requires = frozenset({"morgan", "tissue"})
    uses = frozenset({"expression"})
    encodes_all = False
    recipe = Recipe(batch_size=2048, learning_rate=3e-3, epochs=120)

    class Config(BackboneConfig):
        hidden: int = Field(default=256, ge=1)
        """Width between an entity's features and its representation."""
        out: int = Field(default=64, ge=1)
        """Width of the representations that are aligned and scored."""
        dropout: float = Field(default=0.5, ge=0, lt=1)

    config: Config

    def __init__(self, inputs: Inputs, config: Config) -> None:
        super().__init__(inputs, config)
        self.drug_width = self.cell_width = config.out
        self.scaling = self._expression_scaling(inputs)
        self.drug = Tower([inputs.features["morgan"]], config)
        self.cell = Tower(self._of_cells(inputs), config)
        self.head = PairHead(config.out, config.out, config.out, config.dropout, symmetric=not config.faithful)

    def _expression_scaling(self, inputs: Inputs) -> Scaling | None:
        if "expression" not in inputs.features:
            return None
        table = checked(inputs.features["expression"])
        every_line = np.arange(inputs.num_cells)
        return table.scaling(every_line if inputs.train_cells is None else inputs.train_cells, logged=not table.signed)

    def _of_cells(self, inputs: Inputs) -> list[FeatureTable]:
        expression = [] if self.scaling is None else [self.scaling.of(inputs.features["expression"])]
        return [inputs.features["tissue"], *expression]

    def encode(self, drugs: Tensor | None = None, cells: Tensor | None = None) -> Tables:
        return Tables(self.drug(drugs), self.cell(cells))

    def score(self, tables: Tables, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return self.head(tables.drug, tables.cell, a, b, c)

    def newcomers(self, inputs: Inputs, usual: Tables) -> tuple[Tables, Tensor, Tensor]:
        drugs, drug_known = self.drug.newcomers([inputs.features["morgan"]])
        cells, cell_known = self.cell.newcomers(self._of_cells(inputs))
        return Tables(drugs, cells), drug_known, cell_known

    def measured(self) -> tuple[Tensor, Tensor]:
        """Drugs with a fingerprint, cell lines with a tissue or expression."""
        return self.drug.known, self.cell.known


def checked(expression: FeatureTable) -> FeatureTable:
    """The table; raises InputError unless it is one row of finite numbers for each cell line."""
    kind, values = expression.kind, expression.values
    problem = None
    if kind is not EntityKind.cell_line or values.ndim != 2:
        problem = f"has the shape {values.shape} and describes a {kind.value.replace('_', ' ')}"
    elif not np.isfinite(values).all():
        problem = "holds values that are not finite"
    if problem is None:
        return expression
    raise InputError(
        f"the feature 'expression' {problem}: MLP reads one row of finite numbers for each cell line",
        remedy="Import the data set with another table for it, or with this one under another name.",
    )
