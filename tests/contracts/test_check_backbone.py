"""`check_backbone` lets a good backbone through and finds every broken promise."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from l2aco.data.features.table import FeatureTable
from l2aco.entities import EntityKind
from l2aco.errors import UnknownNameError, UsageError
from l2aco.models.base import Backbone, Tables
from l2aco.models.config import BackboneConfig
from l2aco.models.spec import AlignSpec
from l2aco.testing import ALIGNMENTS, DRUGS, check_backbone


class Good(Backbone):
    """A learned vector and a map of the fingerprint, multiplied."""

    citation = "nobody"
    requires = frozenset({"morgan"})
    encodes_all = False

    def __init__(self, inputs: Any, config: BackboneConfig) -> None:
        super().__init__(inputs, config)
        self.drug_width = self.cell_width = 4
        table = inputs.features["morgan"]
        self.register_buffer("bits", torch.as_tensor(table.values), persistent=False)
        self.known = torch.as_tensor(table.mask)
        self.drug, self.cell = nn.Linear(self.bits.shape[1], 4), nn.Embedding(self.num_cells, 4)
        self.own = nn.Embedding(self.num_drugs, 4)

    def encode(self, drugs: Any = None, cells: Any = None) -> Tables:
        drugs = torch.arange(self.num_drugs) if drugs is None else drugs
        cells = torch.arange(self.num_cells) if cells is None else cells
        return Tables(self.drug(self.bits[drugs]) + self.own(drugs), self.cell(cells))

    def score(self, tables: Tables, a: Any, b: Any, c: Any) -> Any:
        return ((tables.drug[a] + tables.drug[b]) * tables.cell[c]).sum(-1)

    def measured(self) -> Any:
        return self.known, torch.ones(self.num_cells, dtype=torch.bool)


class Ordered(Good):
    def score(self, tables: Tables, a: Any, b: Any, c: Any) -> Any:
        return ((2 * tables.drug[a] + tables.drug[b]) * tables.cell[c]).sum(-1)


class Infinite(Good):
    def score(self, tables: Tables, a: Any, b: Any, c: Any) -> Any:
        product = super().score(tables, a, b, c)
        return product + (tables.cell[c] - tables.cell[c]).abs().sqrt().sum(-1)  # finite, unlike its gradient


class Deaf(Good):
    def encode(self, drugs: Any = None, cells: Any = None) -> Tables:
        tables = super().encode(drugs, cells)
        return Tables(tables.drug.detach(), tables.cell.detach())


class Unsaved(Good):
    def __init__(self, inputs: Any, config: BackboneConfig) -> None:
        super().__init__(inputs, config)
        self.hidden = torch.randn(4)

    def encode(self, drugs: Any = None, cells: Any = None) -> Tables:
        tables = super().encode(drugs, cells)
        return tables.with_representations(tables.drug * self.hidden, tables.cell)


class Unsorted(Good):
    def encode(self, drugs: Any = None, cells: Any = None) -> Tables:
        return super().encode(drugs if drugs is None else drugs.flip(0), cells)


class Whole(Good):
    def encode(self, drugs: Any = None, cells: Any = None) -> Tables:
        return super().encode()


class Constant(Good):
    def score(self, tables: Tables, a: Any, b: Any, c: Any) -> Any:
        return 0 * super().score(tables, a, b, c)


class Unseeded(Good):
    def __init__(self, inputs: Any, config: BackboneConfig) -> None:
        super().__init__(inputs, config)
        values = np.random.default_rng().normal(size=self.own.weight.shape)
        self.own.weight = nn.Parameter(torch.from_numpy(values).float())


class Mistaken(Good):
    def measured(self) -> Any:
        return self.known[:-1], torch.ones(self.num_cells, dtype=torch.bool)


class Narrow(Good):
    def __init__(self, inputs: Any, config: BackboneConfig) -> None:
        super().__init__(inputs, config)
        self.drug_width = 5


class Anonymous(Good):
    citation = ""


class Recipeless(Good):
    recipe: ClassVar[Any] = {"optimiser": "adam"}


def test_a_good_backbone_passes_alone_and_aligned() -> None:
    check_backbone(Good)


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (Ordered, "alignment alone: the order of the drugs changes predictions"),
        (Infinite, "some gradients are not finite"),
        (Deaf, "no gradient reaches the backbone"),
        (Unsaved, "a model with the weights of another predicts otherwise"),
        (Unsorted, "a drug asked for alone is another"),
        (Whole, "encode gives other drug rows than were asked for"),
        (Constant, "all predictions are the same"),
        (Unseeded, "one seed gives two models"),
        (Mistaken, r"measured\(\) must be bool \(12,\) for a drug"),
        (Narrow, r"the drug table is \(12, 4\)"),
        (Anonymous, "Anonymous has no citation"),
        (Recipeless, "a recipe of Recipeless is no Recipe"),
    ],
)
def test_a_broken_promise_is_named(broken: type[Backbone], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise) as caught:
        check_backbone(broken, alignments={"alone": ALIGNMENTS["alone"]})
    assert re.match(broken.__name__, str(caught.value)) or broken is Recipeless


def test_what_it_reads_may_be_given_and_must_be_known() -> None:
    class Foreign(Good):
        requires = frozenset({"morgan", "weight"})

    with pytest.raises(AssertionError, match="Foreign requires weight: give check_backbone such `features`"):
        check_backbone(Foreign)
    weight = FeatureTable(EntityKind.drug, np.ones((DRUGS, 1), dtype=np.float32), np.arange(DRUGS) > 2)
    check_backbone(Foreign, features={"weight": weight}, alignments={"infonce": AlignSpec()})


def test_names_and_settings_are_refused_as_everywhere() -> None:
    with pytest.raises(UnknownNameError, match="GCM"):
        check_backbone("GCM")
    with pytest.raises(UsageError, match="wings"):
        check_backbone("MLP", {"wings": 2})
