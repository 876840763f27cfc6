"""What every registered backbone owes, alone and aligned. A backbone that is registered is tested here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_data import CELLS, DRUGS, LONELY_CELL, LONELY_DRUG, build_model, permuted, small_data, vectors

from l2aco.errors import InputError, UsageError
from l2aco.models.alignment import Aligner
from l2aco.models.assemble import load_inputs
from l2aco.models.backbones import backbones
from l2aco.models.base import Backbone
from l2aco.models.spec import AlignSpec

NAMES = [entry.name for entry in backbones if issubclass(entry.load(), Backbone)]
ALIGNED = {
    "alone": AlignSpec(loss="none"),
    "infonce": AlignSpec(),
    "l2-add-train": AlignSpec(loss="l2", fusion="add", scope="train"),
    "sce-gate-all": AlignSpec(loss="sce", fusion="gate", scope="all", adapter="mlp"),
    "kl-concat": AlignSpec(loss="kl", fusion="concat"),
    "masked": AlignSpec(mask_features=0.3, modality_dropout=0.4, impute=True, symmetric=True),
}
A = torch.tensor([0, 1, 2, 3, LONELY_DRUG, 5, 0])
B = torch.tensor([4, 5, 6, 7, 8, LONELY_DRUG, 4])
C = torch.tensor([0, 1, 2, 3, 4, 5, LONELY_CELL])

every_backbone = pytest.mark.parametrize("name", NAMES)
every_alignment = pytest.mark.parametrize("align", ALIGNED.values(), ids=ALIGNED.keys())


def build(name: str, align: AlignSpec = ALIGNED["alone"], *, seed: int = 0, **config: object) -> Aligner:
    return build_model(name, config, small_data(), align, seed=seed, **vectors())


def predictions(model: Aligner) -> torch.Tensor:
    model.eval()
    with torch.inference_mode():
        return model.score(model.tables(), A, B, C)


@every_backbone
def test_the_registry_tells_the_truth(name: str) -> None:
    entry = backbones.get(name)
    cls = entry.load()
    assert issubclass(cls, Backbone) and cls.citation
    assert set(entry.facts.get("requires", cls.requires)) == cls.requires
    assert cls.requires <= {"graph", *small_data().features}, "tests/small_data.py must bring what it needs"


@every_backbone
@every_alignment
def test_the_order_of_the_drugs_changes_no_prediction(name: str, align: AlignSpec) -> None:
    model = build(name, align).eval()
    with torch.inference_mode():
        tables = model.tables()
        torch.testing.assert_close(model.score(tables, A, B, C), model.score(tables, B, A, C), rtol=0, atol=1e-6)
        assert model.score(tables, A, B, C).std() > 0


@every_backbone
def test_no_triples_give_no_logits(name: str) -> None:
    model = build(name).eval()
    nothing = torch.empty(0, dtype=torch.int64)
    with torch.inference_mode():
        assert model.score(model.tables(), nothing, nothing, nothing).shape == (0,)


@every_backbone
@every_alignment
def test_gradients_are_finite_and_reach_the_backbone(name: str, align: AlignSpec) -> None:
    model = build(name, align).train()
    torch.manual_seed(0)
    output = model(A, B, C)
    assert output.logits.shape == (model.backbone.passes, len(A))
    (output.logits.square().sum() + sum(output.losses.values())).backward()
    gradients = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
    assert all(torch.isfinite(value).all() for value in gradients.values())
    assert any(key.startswith("backbone.") and value.abs().sum() > 0 for key, value in gradients.items())
    if align.loss in ("infonce", "l2", "sce"):
        assert {"align_drug", "align_cell"} <= set(output.losses)
        assert (
            gradients["drug.adapter.weight" if align.adapter == "linear" else "drug.adapter.0.weight"].abs().sum() > 0
        )


@every_backbone
def test_mixed_precision_changes_little(name: str) -> None:
    model = build(name, ALIGNED["l2-add-train"]).eval()
    exact = model(A, B, C).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(A, B, C)
    torch.testing.assert_close(output.logits.float(), exact, rtol=0.05, atol=0.05)
    (output.logits.float().sum() + sum(part.float() for part in output.losses.values())).backward()
    assert all(torch.isfinite(value.grad).all() for value in model.parameters() if value.grad is not None)


@every_backbone
@every_alignment
def test_weights_survive_saving(name: str, align: AlignSpec, tmp_path: Path) -> None:
    model = build(name, align, seed=0)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other = build(name, align, seed=1)
    assert not torch.equal(predictions(other), predictions(model))
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(predictions(other), predictions(model))


@every_backbone
def test_the_seed_alone_decides_the_start(name: str) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = build(name, ALIGNED["infonce"], seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(predictions(build(name, ALIGNED["infonce"], seed=3)), predictions(first))
    assert not torch.equal(predictions(build(name, ALIGNED["infonce"], seed=4)), predictions(first))


@every_backbone
def test_numbering_entities_otherwise_changes_only_their_numbers(name: str) -> None:
    data = small_data()
    moved, place = permuted(data)
    torch.set_default_dtype(torch.float64)
    try:
        old = build_model(name, {}, data, ALIGNED["alone"])
        new = build_model(name, {}, moved, ALIGNED["alone"])
    finally:
        torch.set_default_dtype(torch.float32)
    new.load_state_dict(renumbered(old, new, place))
    a, b, c = (
        torch.from_numpy(place[kind][rows.numpy()]) for kind, rows in (("drug", A), ("drug", B), ("cell_line", C))
    )
    old.eval(), new.eval()
    with torch.inference_mode():
        torch.testing.assert_close(
            new.score(new.tables(), a, b, c), old.score(old.tables(), A, B, C), rtol=1e-9, atol=1e-12
        )


def renumbered(old: Aligner, new: Aligner, place: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The weights of `old` with its node embeddings in the order of the nodes of `new`."""
    state = dict(old.state_dict())
    if hasattr(old.backbone, "field"):
        for kind, rows in old.backbone.field.nodes.items():
            key = f"backbone.field.embeddings.{kind}"
            if key in state:
                target = {row: at for at, row in enumerate(new.backbone.field.nodes[kind].tolist())}
                order = [target[row] for row in place[kind][rows].tolist()]
                state[key] = torch.empty_like(state[key]).index_copy_(0, torch.tensor(order), state[key])
    elif hasattr(old.backbone, "nodes"):
        graph = old.backbone.graph
        whole = np.concatenate([graph.offset(kind) + place[kind] for kind in graph.nodes])
        target = dict(zip(new.backbone.nodes.tolist(), new.backbone.merger.row_of.tolist(), strict=True))
        order = [target[row] for row in whole[old.backbone.nodes].tolist()]
        key, shared = "backbone.embedding", torch.from_numpy(old.backbone.merger.row_of)
        state[key] = torch.empty_like(state[key]).index_copy_(0, torch.tensor(order), state[key][shared])
    for kind, key in (("drug", "backbone.drug.own.weight"), ("cell_line", "backbone.cell.own.weight")):
        if key in state:
            state[key] = torch.empty_like(state[key]).index_copy_(0, torch.from_numpy(place[kind]), state[key])
    return state


@every_backbone
def test_an_unmeasured_entity_can_be_imputed_by_its_profile(name: str) -> None:
    model = build(name, AlignSpec(impute=True)).eval()
    measured = model.backbone.measured()
    if measured is None:
        pytest.skip("every entity of this backbone has features")
    tables = model.tables()
    for side, table, known in ((model.drug, tables.drug, measured[0]), (model.cell, tables.cell, measured[1])):
        assert side is not None and not known.all()
        expected = side.adapter(side.vectors)[~known] * (2 if model.spec.fusion == "add" else 1)
        seen = table[~known].reshape(len(expected), -1, expected.shape[1])
        torch.testing.assert_close(seen, expected.unsqueeze(1).expand_as(seen))


@every_backbone
def test_an_entity_without_edges_is_still_its_own(name: str) -> None:
    """Without a self-loop or a map of its own, it would be one with every other such entity."""
    data = small_data()
    if "graph" not in backbones.load(name).requires:
        pytest.skip("reads no graph")
    lonely = LONELY_DRUG
    model = build_model(name, {}, data, ALIGNED["alone"]).eval()
    with torch.inference_mode():
        tables = model.tables()
        assert torch.isfinite(tables.drug).all() and torch.isfinite(tables.cell).all()
        rows = tables.drug.reshape(DRUGS, -1)
        assert (rows - rows[lonely]).abs().sum(1).gt(1e-6).sum() == DRUGS - 1
        lines = tables.cell.reshape(CELLS, -1)
        assert (lines - lines[LONELY_CELL]).abs().sum(1).gt(1e-6).sum() == CELLS - 1


@every_backbone
@pytest.mark.parametrize("kind", ["drug_vectors", "cell_vectors"])
def test_vectors_that_are_not_finite_are_refused(name: str, kind: str) -> None:
    broken = vectors()
    broken[kind][2, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        build_model(name, {}, small_data(), AlignSpec(), **broken)


@every_backbone
def test_missing_vectors_are_imputed_or_refused(name: str) -> None:
    partial = vectors() | {"drug_mask": np.arange(DRUGS) != 5, "cell_mask": np.arange(CELLS) > 0}
    partial["drug_vectors"][5] = 0
    with pytest.raises(InputError, match="lacks 1 of 12 drugs \\(drug D05\\)"):
        build_model(name, {}, small_data(), AlignSpec(missing="refuse"), **partial)
    model = build_model(name, {}, small_data(), AlignSpec(fusion="add", scope="all"), **partial)
    assert torch.isfinite(predictions(model)).all()
    assert 5 not in model.drug.scope.tolist() and 0 not in model.cell.scope.tolist()


@every_backbone
def test_a_wrong_hyper_parameter_is_named(name: str) -> None:
    with pytest.raises(UsageError, match="wings"):
        build(name, wings=2)


@every_backbone
def test_heads_that_do_not_divide_the_width_are_refused(name: str) -> None:
    if "heads" not in backbones.load(name).Config.model_fields:
        pytest.skip("has no heads")
    with pytest.raises(UsageError, match="heads = 3"):
        build(name, heads=3)


@every_backbone
def test_evaluation_is_refused_while_training(name: str) -> None:
    model = build(name).train()
    with pytest.raises(RuntimeError, match="eval"):
        model.tables()


@pytest.mark.parametrize("name", [entry.name for entry in backbones if "graph" in entry.facts.get("requires", ())])
def test_the_faithful_variant_takes_the_published_dropout(name: str) -> None:
    assert build(name).backbone.config.dropout == 0.2
    assert build(name, faithful=True).backbone.config.dropout == 0.5
    assert build(name, faithful=True, dropout=0.1).backbone.config.dropout == 0.1
    assert build(name, faithful="no").backbone.config.dropout == 0.2


@pytest.mark.parametrize("name", [entry.name for entry in backbones if "graph" in entry.facts.get("requires", ())])
def test_the_faithful_variant_keeps_the_order_dependent_head(name: str) -> None:
    model = build(name, faithful=True).eval()
    with torch.inference_mode():
        tables = model.tables()
        if name == "HGAT":
            assert torch.equal(tables.drug, tables.drug[:1].expand_as(tables.drug)), "no message reaches a drug"
        tables = tables.with_representations(torch.randn_like(tables.drug), tables.cell)
        assert not torch.allclose(model.score(tables, A, B, C), model.score(tables, B, A, C), atol=1e-6)


@pytest.mark.parametrize("name", [entry.name for entry in backbones if "graph" in entry.facts.get("requires", ())])
def test_a_data_set_without_a_graph_is_refused(name: str) -> None:
    data = small_data()
    data.graph = None
    with pytest.raises(InputError, match="knowledge graph"):
        load_inputs(backbones.load(name), data)
