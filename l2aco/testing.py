"""What every backbone owes, as a check that anybody can run over their own.

    from l2aco.testing import check_backbone

    def test_contract():
        check_backbone(MyBackbone)  # or the name that it is registered by

It trains nothing and knows nothing of a backbone's insides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2aco.data.features.base import Feature, Listed
from l2aco.data.features.molecule_graphs import MoleculeGraphs
from l2aco.data.features.table import FeatureTable, GraphTable, Table
from l2aco.data.graph import KnowledgeGraph
from l2aco.entities import Entity, EntityKind
from l2aco.models.alignment import Aligner
from l2aco.models.assemble import build_model, with_vectors
from l2aco.models.backbones import backbones
from l2aco.models.base import Backbone, Tables
from l2aco.models.config import BackboneConfig
from l2aco.models.inputs import Inputs
from l2aco.models.recipe import Recipe
from l2aco.models.spec import AlignSpec
from l2aco.models.vectors import Knowledge

DRUGS, CELLS, PROTEINS = 12, 7, 30
LONELY_DRUG, LONELY_CELL = 11, 6
"""Entities without an edge and without a feature."""
A = torch.tensor([0, 1, 2, 3, LONELY_DRUG, 5, 0])
B = torch.tensor([4, 5, 6, 7, 8, LONELY_DRUG, 4])
C = torch.tensor([0, 1, 2, 3, 4, 5, LONELY_CELL])
"""Triples of the example, rows of its drugs and cell lines."""

ALIGNMENTS: Mapping[str, AlignSpec] = {
    "alone": AlignSpec(loss="none"),
    "infonce": AlignSpec(),
    "l2-add-train": AlignSpec(loss="l2", fusion="add", scope="train"),
    "sce-gate-all": AlignSpec(loss="sce", fusion="gate", scope="all", adapter="mlp"),
    "kl-concat": AlignSpec(loss="kl", fusion="concat"),
    "masked": AlignSpec(mask_features=0.3, modality_dropout=0.4, impute=True, symmetric=True),
}


@dataclass
class Example:
    """Entities, a graph and features, with everything that can be odd about them."""

    graph: KnowledgeGraph | None
    drugs: list[Entity]
    cell_lines: list[Entity]
    features: dict[str, Table] = field(default_factory=dict)
    name: str = "example"

    def inputs(self, backbone: Any, **train: Any) -> Inputs:
        """What a class of either kind is built from; `train_drugs` and `train_cells` may be given."""
        names = (backbone.requires - {"graph"}) | (backbone.uses & self.features.keys())
        ids = {EntityKind.drug: self.drugs, EntityKind.cell_line: self.cell_lines}
        features = {name: self.features[name] for name in sorted(names)}
        fitted: dict[str, Feature] = {
            name: Listed(name, [entity.id for entity in ids[table.kind]], table)
            if isinstance(table, FeatureTable)
            else MoleculeGraphs()
            for name, table in features.items()
        }
        graph = self.graph if "graph" in backbone.requires else None
        return Inputs(self.drugs, self.cell_lines, graph, features, fitted, **train)


def example(seed: int = 0) -> Example:
    """Random edges; one drug and one cell line without any, a relation and a type of nodes without any, a disease and a
    protein that lead nowhere else, two drugs and a cell line without a feature."""
    draw = np.random.default_rng(seed)
    nodes = {
        "drug": [f"D{number:02d}" for number in range(DRUGS)],
        "cell_line": [f"C{number}" for number in range(CELLS)],
        "protein": [f"P{number}" for number in range(PROTEINS + 1)],
        "tissue": ["lung", "skin"],
        "disease": ["E0", "E1"],
        "pathway": ["W0"],
    }
    relations = {
        ("drug", "targets", "protein"): np.stack([draw.integers(0, LONELY_DRUG, 40), draw.integers(0, PROTEINS, 40)]),
        ("cell_line", "overexpresses", "protein"): np.stack(
            [draw.integers(0, LONELY_CELL, 40), draw.integers(0, PROTEINS, 40)]
        ),
        ("protein", "interacts", "protein"): draw.integers(0, PROTEINS, (2, 60)),
        ("cell_line", "from_tissue", "tissue"): np.stack([np.arange(LONELY_CELL), np.arange(LONELY_CELL) % 2]),
        ("drug", "never_seen", "tissue"): np.zeros((2, 0), dtype=np.int64),
        ("disease", "linked_to", "protein"): np.array([[0], [PROTEINS]]),
        ("pathway", "holds", "drug"): np.zeros((2, 0), dtype=np.int64),
    }
    return Example(
        graph=KnowledgeGraph.build(nodes, relations),
        drugs=[Entity(key, EntityKind.drug, f"drug {key}") for key in nodes["drug"]],
        cell_lines=[Entity(key, EntityKind.cell_line, f"line {key}") for key in nodes["cell_line"]],
        features=_features(draw),
    )


def _features(draw: np.random.Generator) -> dict[str, Table]:
    known = np.ones(DRUGS, dtype=bool)
    known[[3, LONELY_DRUG]] = False
    bits = draw.integers(0, 2, (DRUGS, 32)).astype(np.float32) * known[:, None]
    lines = np.arange(CELLS) != LONELY_CELL
    tissues = np.eye(2, dtype=np.float32)[np.arange(CELLS) % 2] * lines[:, None]
    levels = draw.gamma(1.0, size=(CELLS, 6)).astype(np.float32) * lines[:, None]
    return {
        "morgan": FeatureTable(EntityKind.drug, bits, known),
        "tissue": FeatureTable(EntityKind.cell_line, tissues, lines, ("lung", "skin")),
        "expression": FeatureTable(EntityKind.cell_line, levels, lines),
        "molecule_graphs": _molecules(draw, known),
        "descriptors": FeatureTable(EntityKind.drug, (draw.normal(size=(DRUGS, 5)) * known[:, None]), known),
        "substructures": FeatureTable(EntityKind.drug, _pieces(draw, known), known, ("?", "CC", "N", "O", "c1")),
        "atom_pair": FeatureTable(EntityKind.drug, draw.integers(0, 2, (DRUGS, 16), np.uint8) * known[:, None], known),
    }


def _pieces(draw: np.random.Generator, known: np.ndarray) -> np.ndarray:
    """One to six pieces of each known drug, at 50 places."""
    there = np.arange(50) < draw.integers(1, 7, DRUGS)[:, None]
    return draw.integers(1, 6, (DRUGS, 50)) * there * known[:, None]


def _molecules(draw: np.random.Generator, known: np.ndarray) -> GraphTable:
    """A chain of one to six atoms for each known drug, the first of one atom."""
    sizes = np.where(known, np.maximum(1, draw.integers(0, 7, DRUGS)), 0)
    sizes[0] = 1
    start = np.concatenate([[0], sizes.cumsum()])
    inner = np.setdiff1d(np.arange(start[-1]), start[1:] - 1)
    bonds = np.stack([[inner, inner + 1], [inner + 1, inner]], axis=2).reshape(2, -1)  # drug by drug
    atoms = draw.dirichlet(np.ones(78), start[-1]).astype(np.float32)
    return GraphTable(EntityKind.drug, atoms, bonds, start, known)


def check_backbone(
    backbone: str | type[Backbone],
    config: Mapping[str, Any] = {},
    *,
    features: Mapping[str, Table] = {},
    alignments: Mapping[str, AlignSpec] = ALIGNMENTS,
) -> None:
    """Check a backbone against its contract, alone and aligned, on twelve drugs and seven cell lines.

    `config`: its hyper-parameters. `features`: tables of what it reads beside the graph, `morgan`, `tissue` and
    `expression`; (`DRUGS`, ...) or (`CELLS`, ...), at best with rows that are masked.

    Raises AssertionError with the first promise that is broken, and in which alignment; UnknownNameError for a name
    that nobody registered, UsageError for a hyper-parameter, and whatever the backbone itself raises.
    """
    cls: type[Backbone] = backbones.load(backbone) if isinstance(backbone, str) else backbone
    _check_facts(cls, backbones.get(backbone).facts if isinstance(backbone, str) else {})
    given = example()
    given.features |= features
    if unknown := cls.requires - {"graph", *given.features}:
        raise AssertionError(
            f"{cls.__name__} requires {', '.join(sorted(unknown))}: give check_backbone such `features`"
        )
    inputs = given.inputs(cls, train_drugs=np.arange(8), train_cells=np.arange(4))
    for name, align in alignments.items():
        case = Case(cls, dict(config), with_vectors(inputs, align, [_knowledge()]), align)
        for check in CHECKS:
            try:
                check(case)
            except AssertionError as broken:
                raise AssertionError(f"{cls.__name__}, alignment {name}: {broken}") from broken


@dataclass(frozen=True)
class Case:
    """A backbone in one alignment."""

    cls: type[Backbone]
    config: dict[str, Any]
    inputs: Inputs
    align: AlignSpec

    def model(self, seed: int = 0) -> Aligner:
        return build_model(self.cls, self.config, self.inputs, self.align, seed=seed)


def _knowledge() -> Knowledge:
    """A store that knows all but one of each kind."""
    draw = np.random.default_rng(2)
    drugs, cells = (draw.normal(size=(count, 9)).astype(np.float32) for count in (DRUGS, CELLS))
    return Knowledge("store", "encoder", drugs, np.arange(DRUGS) != 5, cells, np.arange(CELLS) != 2)


def _check_facts(cls: type[Backbone], facts: Mapping[str, Any]) -> None:
    """The class says what it is, and the registry repeats it truly."""
    assert issubclass(cls, Backbone), f"{cls.__name__} is no subclass of Backbone"
    assert cls.citation, f"{cls.__name__} has no citation"
    assert issubclass(cls.Config, BackboneConfig), f"{cls.__name__}.Config is no subclass of BackboneConfig"
    for faithful in (False, True):
        assert isinstance(cls.default_recipe(faithful=faithful), Recipe), f"a recipe of {cls.__name__} is no Recipe"
    if "requires" in facts:
        told, true = sorted(facts["requires"]), sorted(cls.requires)
        assert set(told) == set(true), f"the registry says that {cls.__name__} requires {told}; the class says {true}"


def _predictions(model: Aligner) -> Tensor:
    model.eval()
    with torch.inference_mode():
        return model.score(model.tables(), A, B, C)


def check_order(case: Case) -> None:
    """The order of the drugs changes no prediction, unless it is faithful to one that it does; no rows, no logits."""
    model = case.model().eval()
    with torch.inference_mode():
        tables = model.tables()
        there, back = model.score(tables, A, B, C), model.score(tables, B, A, C)
        nothing = model.score(tables, A[:0], B[:0], C[:0])
    assert there.shape == (len(A),) and nothing.shape == (0,), "score must give one logit for each triple"
    assert torch.isfinite(there).all(), "some predictions are not finite"
    assert there.std() > 0, "all predictions are the same"
    if not model.backbone.config.faithful:
        assert torch.allclose(there, back, rtol=0, atol=1e-5), "the order of the drugs changes predictions"


def check_tables(case: Case) -> None:
    """Tables and views are as wide as promised, and entities are the same alone as among all."""
    model = case.model().eval()
    backbone = model.backbone
    rows, lines = torch.tensor([0, 2, 5, LONELY_DRUG]), torch.tensor([1, LONELY_CELL])
    with torch.inference_mode():
        whole, some = backbone.encode(), backbone.encode(rows, lines)
        views = backbone.pool(whole)
        step = model(A, B, C).logits
    for kind, table, of_some, view, chosen, count, width in (
        ("drug", whole.drug, some.drug, views[0], rows, DRUGS, backbone.drug_width),
        ("cell", whole.cell, some.cell, views[1], lines, CELLS, backbone.cell_width),
    ):
        assert len(table) == count and table.shape[-1] == width, f"the {kind} table is {tuple(table.shape)}"
        assert view.dim() == 3 and view.shape[0] == count and view.shape[2] == width, f"pool gives {kind} {view.shape}"
        assert torch.isfinite(table).all(), f"some {kind} representations are not finite"
        assert of_some.shape == table[chosen].shape, f"encode gives other {kind} rows than were asked for"
        assert torch.allclose(of_some, table[chosen], rtol=1e-4, atol=1e-5), f"a {kind} asked for alone is another"
    assert step.shape == (1, len(A)), "in evaluation a step is one pass"
    assert torch.allclose(step[0], _predictions(model), rtol=1e-4, atol=1e-4), "a step and the tables score differently"


def check_gradients(case: Case) -> None:
    """Gradients are finite and reach the backbone, and the adapters where a loss is over them."""
    model = case.model().train()
    torch.manual_seed(0)
    output = model(A, B, C)
    passes = model.backbone.passes
    assert output.logits.shape == (passes, len(A)), f"{passes} passes must give as many rows of logits"
    loss = torch.stack([output.logits.square().sum(), *output.losses.values()]).sum()
    assert loss.requires_grad, "no gradient reaches the backbone"
    loss.backward()
    grads = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
    assert all(torch.isfinite(value).all() for value in grads.values()), "some gradients are not finite"
    reached = [key for key, value in grads.items() if value.any()]
    assert any(key.startswith("backbone.") for key in reached), "no gradient reaches the backbone"
    if case.align.loss in ("infonce", "l2", "sce"):
        assert {"align_drug", "align_cell"} <= output.losses.keys(), "a kind of entity is not aligned"
        assert all(any(key.startswith(f"{kind}.adapter") for key in reached) for kind in ("drug", "cell"))


def check_half_precision(case: Case) -> None:
    """Mixed precision changes little."""
    model = case.model().eval()
    with torch.inference_mode():
        exact = model(A, B, C).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = model(A, B, C).logits.float()
    assert torch.allclose(half, exact, rtol=0.05, atol=0.05), "mixed precision changes predictions by more than 0.05"


def check_state(case: Case) -> None:
    """The seed alone decides the start, and what `state_dict` holds is all that was learned."""
    torch.manual_seed(5)
    model, other = case.model(seed=3), case.model(seed=4)
    expected = _predictions(model)
    torch.manual_seed(6)
    assert torch.equal(_predictions(case.model(seed=3)), expected), "one seed gives two models"
    assert not torch.equal(_predictions(other), expected), "two seeds give one model"
    other.load_state_dict({name: values.clone() for name, values in model.state_dict().items()})
    assert torch.equal(_predictions(other), expected), "a model with the weights of another predicts otherwise"


def check_missing(case: Case) -> None:
    """Entities of whom nothing is read are known as such, and represented by their profile where that is asked for."""
    model = case.model().eval()
    measured = model.backbone.measured()
    if measured is None:
        return
    for known, count, kind in zip(measured, (DRUGS, CELLS), ("drug", "cell"), strict=True):
        assert known.dtype == torch.bool and known.shape == (count,), f"measured() must be bool ({count},) for a {kind}"
    imputed = build_model(case.cls, case.config, case.inputs, AlignSpec(impute=True, fusion="none")).eval()
    with torch.inference_mode():
        for adapter, known, table in zip(_adapters(imputed), measured, _both(imputed.tables()), strict=True):
            expected = adapter.replace(table, None)[~known]
            alike = torch.allclose(table[~known], expected, rtol=1e-4, atol=1e-5)
            assert alike, "an entity of whom nothing is read is not represented by its profile"


def check_newcomers(case: Case) -> None:
    """Entities that the model was not built with have representations like the others."""
    model = case.model().eval()
    new = [Entity("N0", EntityKind.drug, "new drug"), Entity("N1", EntityKind.cell_line, "new line")]
    told = {entity.key: {"store": np.ones(9, dtype=np.float32)} for entity in new}
    with torch.inference_mode():
        found, known = model.newcomers(case.inputs.of(new, told)), model.tables()
        for of_new, of_known in zip(_both(found), _both(known), strict=True):
            assert of_new.shape == (1, *of_known.shape[1:]), f"a newcomer is {tuple(of_new.shape)}"
            assert torch.isfinite(of_new).all(), "a newcomer is not finite"
        joined = Tables.joined(known, found)
        scored = model.score(joined, torch.tensor([0]), torch.tensor([DRUGS]), torch.tensor([CELLS]))
    assert torch.isfinite(scored).all(), "the score of a newcomer is not finite"


def _adapters(model: Aligner) -> Iterator[Any]:
    yield from (model.drug, model.cell)


def _both(tables: Tables) -> tuple[Tensor, Tensor]:
    return tables.drug, tables.cell


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_tables,
    check_order,
    check_gradients,
    check_half_precision,
    check_state,
    check_missing,
    check_newcomers,
)
