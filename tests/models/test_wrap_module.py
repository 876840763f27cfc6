"""The example of docs/backbones.md: a model not written for L2aCo, trained aligned through the same contract."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_data import CELLS, DRUGS, knowledge, small_data, vectors

from l2aco.data.features.table import FeatureTable
from l2aco.entities import EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.models.alignment import Aligner
from l2aco.models.assemble import build_model, with_vectors
from l2aco.models.config import BackboneConfig
from l2aco.models.inputs import Inputs
from l2aco.models.molecules import MoleculeBatch
from l2aco.models.spec import AlignSpec
from l2aco.models.wrap import wrap_module
from l2aco.testing import check_backbone

DOCS = Path(__file__).parents[2] / "docs" / "backbones.md"


@pytest.fixture(scope="module")
def wrapped() -> Any:
    """The class that the page's first Python block leaves behind as `Backbone`."""
    code = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)[0]
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCS), "exec"), names)
    return names["MyBackbone"]


def cell_proteins() -> FeatureTable:
    known = np.arange(CELLS) != 2
    values = np.random.default_rng(0).normal(size=(CELLS, 20)).astype(np.float32) * known[:, None]
    return FeatureTable(EntityKind.cell_line, values, known)


def test_it_keeps_the_contract(wrapped: Any) -> None:
    check_backbone(wrapped, features={"cell_proteins": cell_proteins()})


def build(wrapped: Any, align: AlignSpec, *, faithful: bool = False) -> Aligner:
    data = small_data()
    data.features["cell_proteins"] = cell_proteins()
    given = vectors()
    torch.manual_seed(0)
    trained = {name: given.pop(name) for name in ("train_drugs", "train_cells")}
    inputs = with_vectors(data.inputs(wrapped, **trained), align, [knowledge(**given)] if align.active else [])
    return Aligner(wrapped(inputs, BackboneConfig(faithful=faithful)), align, inputs)


A, B, C = torch.tensor([0, 1, 9, 3]), torch.tensor([4, 5, 6, 7]), torch.tensor([0, 1, 2, 0])


class OfPairs(torch.nn.Module):
    """A module that reshapes by the number of its rows, which no rows do not tell, and gives two views of a drug."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.drug, self.cell = (
            torch.nn.Linear(inputs.features[name].values.shape[1], 6) for name in ("morgan", "tissue")
        )

    def views(self, x: torch.Tensor) -> torch.Tensor:
        return self.drug(x).view(x.size(0), -1, 3)


def test_a_module_that_cannot_encode_no_rows_is_wrapped() -> None:
    wrapped = wrap_module(
        OfPairs,
        drug_feature="morgan",
        cell_feature="tissue",
        encode_drug=lambda module, x: module.views(x),
        encode_cell=lambda module, x: module.cell(x).view(x.size(0), -1),
        score=lambda module, a, b, c: ((a * b).flatten(1) * c).sum(1),
        citation="none",
    )
    model = build(wrapped, AlignSpec())
    losses = model(A, B, C).losses
    assert losses["align_drug"] > 0 and losses["align_cell"] > 0
    tables = model.eval().tables()
    assert tables.drug.shape == (DRUGS, 2, 3) and tables.cell.shape == (CELLS, 6)
    torch.testing.assert_close(model.score(tables, A, B, C), model(A, B, C).logits[0])


def test_only_the_entities_of_the_batch_are_encoded(wrapped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(wrapped, AlignSpec())
    asked = []
    encode = model.backbone.encode
    monkeypatch.setattr(model.backbone, "encode", lambda *rows: asked.append(rows) or encode(*rows))
    model(A, B, C)
    assert [row.tolist() for row in asked[0]] == [[0, 1, 3, 4, 5, 6, 7, 9], [0, 1, 2]]
    whole = build(wrapped, AlignSpec(scope="all"))
    encode = whole.backbone.encode
    monkeypatch.setattr(whole.backbone, "encode", lambda *rows: asked.append(rows) or encode(*rows))
    whole(A, B, C)
    assert [row.tolist() for row in asked[1]] == [list(range(DRUGS)), list(range(CELLS))]


@pytest.mark.parametrize("align", [AlignSpec(loss="none"), AlignSpec(fusion="gate", impute=True)])
def test_tables_in_chunks_score_like_a_step(wrapped: Any, align: AlignSpec) -> None:
    model = build(wrapped, align).eval()
    tables = model.tables(chunk=5)
    assert len(tables.drug) == DRUGS and len(tables.cell) == CELLS
    scored = model.score(tables, A, B, C)
    torch.testing.assert_close(scored, model(A, B, C).logits[0])
    torch.testing.assert_close(scored, model.score(tables, B, A, C))


def test_faithful_leaves_the_order_of_the_drugs_to_the_module(wrapped: Any) -> None:
    ours, theirs = (build(wrapped, AlignSpec(loss="none"), faithful=value).eval() for value in (False, True))
    theirs.load_state_dict(ours.state_dict())
    one, other = theirs(A, B, C).logits[0], theirs(B, A, C).logits[0]
    assert not torch.allclose(one, other)
    torch.testing.assert_close(ours(A, B, C).logits[0], (one + other) / 2)


def test_it_learns(wrapped: Any) -> None:
    model = build(wrapped, AlignSpec(fusion="add")).train()
    labels = torch.tensor([0.0, 1.0, 0.0, 1.0])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    torch.manual_seed(0)
    losses = []
    for _ in range(60):
        output = model(A, B, C)
        loss = F.binary_cross_entropy_with_logits(output.logits[0], labels) + sum(output.losses.values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


class OfMolecules(torch.nn.Module):
    """Atoms through a layer and summed by drug, pieces of SMILES through an embedding."""

    def __init__(self, inputs: Inputs, *, width: int = 6, broken: str = "") -> None:
        super().__init__()
        if broken == "make":
            raise KeyError("no such thing")
        self.broken = broken
        self.atom = torch.nn.Linear(78, width)
        self.cell = torch.nn.Linear(inputs.features["tissue"].values.shape[1], width)

    def drug(self, batch: MoleculeBatch) -> torch.Tensor:
        h = self.atom(batch.atoms)
        return h.new_zeros(batch.drugs, h.shape[1]).index_add(0, batch.owner, h)

    def line(self, x: torch.Tensor) -> torch.Tensor:
        if self.broken == "cell":
            return self.cell(x[:, :-1])
        return self.cell(x)[:1] if self.broken == "shape" else self.cell(x)


def of_molecules(**given: Any) -> Any:
    return wrap_module(
        given.pop("make", OfMolecules),
        drug_feature="molecule_graphs",
        cell_feature="tissue",
        encode_drug=lambda module, batch: module.drug(batch),
        encode_cell=lambda module, x: module.line(x),
        score=given.pop("score", lambda module, a, b, c: (a * b * c).sum(1)),
    )


def test_molecules_are_wrapped_without_a_citation() -> None:
    check_backbone(of_molecules(), {"width": 5}, alignments={"infonce": AlignSpec()})


class OfPieces(torch.nn.Module):
    def __init__(self, inputs: Inputs, width: int = 4) -> None:
        super().__init__()
        self.piece = torch.nn.Embedding(8, width)
        self.cell = torch.nn.Linear(inputs.features["tissue"].values.shape[1], width)


def test_tokens_stay_whole_numbers() -> None:
    wrapped = wrap_module(
        OfPieces,
        drug_feature="substructures",
        cell_feature="tissue",
        encode_drug=lambda module, codes: module.piece(codes).mean(1),
        encode_cell=lambda module, x: module.cell(x),
        score=lambda module, a, b, c: (a * b * c).sum(1),
    )
    check_backbone(wrapped, alignments={"alone": AlignSpec(loss="none")})


def test_parameters_of_the_maker_are_hyper_parameters() -> None:
    wrapped = of_molecules()
    assert {"width", "broken", "faithful"} == wrapped.Config.model_fields.keys() and wrapped.__name__ == "OfMolecules"
    inputs = small_data().inputs(wrapped)
    assert build_model(wrapped, {"width": 3}, inputs, AlignSpec(loss="none")).backbone.drug_width == 3
    for wrong in ({"width": "wide"}, {"wings": 2}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            build_model(wrapped, wrong, inputs, AlignSpec(loss="none"))
    for make in (lambda inputs, depth: OfMolecules(inputs), partial(lambda inputs, depth, width: OfMolecules(inputs))):
        with pytest.raises(UsageError, match="<lambda>: the hyper-parameter 'depth' has no default"):
            of_molecules(make=make)


@pytest.mark.parametrize("name", ["features", "sees", "faithful"])
def test_a_hyper_parameter_that_hides_what_every_backbone_has_is_refused(name: str) -> None:
    namespace: dict[str, Any] = {"OfMolecules": OfMolecules}
    exec(f"def make(inputs, {name}=1): return OfMolecules(inputs)", namespace)
    with pytest.raises(UsageError, match=f"make: a hyper-parameter cannot be called '{name}'"):
        of_molecules(make=namespace["make"])


def test_features_of_the_other_kind_are_refused_by_name() -> None:
    wrapped = wrap_module(
        OfMolecules,
        drug_feature="tissue",
        cell_feature="molecule_graphs",
        encode_drug=lambda module, x: x,
        encode_cell=lambda module, x: x,
        score=lambda module, a, b, c: (a * b * c).sum(1),
    )
    with pytest.raises(UsageError, match="OfMolecules: drug_feature = 'tissue' is of the other kind"):
        build_model(wrapped, {}, small_data().inputs(wrapped), AlignSpec(loss="none"))


def test_fingerprints_are_floats_to_a_module() -> None:
    wrapped = wrap_module(
        lambda inputs, width=4: torch.nn.ModuleDict(
            {"drug": torch.nn.Linear(16, width), "line": torch.nn.Linear(2, width)}
        ),
        drug_feature="atom_pair",
        cell_feature="tissue",
        encode_drug=lambda module, x: module["drug"](x),
        encode_cell=lambda module, x: module["line"](x),
        score=lambda module, a, b, c: (a * b * c).sum(1),
    )
    check_backbone(wrapped, alignments={"alone": AlignSpec(loss="none")})


@pytest.mark.parametrize(
    ("broken", "said", "line"),
    [
        ("make", "OfMolecules failed: KeyError: 'no such thing'", 'raise KeyError("no such thing")'),
        ("cell", "OfMolecules failed: RuntimeError: mat1 and mat2", "return self.cell(x[:, :-1])"),
        ("shape", r"OfMolecules: encode_cell must give \(7, d\) for 7 rows, not \(1, 6\)", "encode_cell=lambda"),
    ],
)
def test_what_a_module_does_wrong_is_said_with_its_class_and_line(broken: str, said: str, line: str) -> None:
    wrapped = of_molecules()
    with pytest.raises(InputError, match=said) as caught:
        build_model(wrapped, {"broken": broken}, small_data().inputs(wrapped), AlignSpec(loss="none")).backbone.encode()
    file, _, number = str(caught.value.where).rpartition(":")
    assert Path(file) == Path(__file__) and line in Path(file).read_text().splitlines()[int(number) - 1]


def test_a_score_of_another_shape_is_refused() -> None:
    wrapped = of_molecules(score=lambda module, a, b, c: a * b * c)
    model = build_model(wrapped, {}, small_data().inputs(wrapped), AlignSpec(loss="none"))
    with pytest.raises(InputError, match=r"score must give one logit a triple, \(4,\), not \(4, 6\)"):
        model(A, B, C)
