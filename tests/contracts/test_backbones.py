"""What every registered backbone owes, alone and aligned. A backbone that is registered is tested here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_data import CELLS, DRUGS, build_model, permuted, small_data, vectors

from l2aco.errors import InputError, UsageError
from l2aco.models.alignment import Aligner
from l2aco.models.assemble import load_inputs
from l2aco.models.backbones import backbones
from l2aco.models.base import Backbone
from l2aco.models.spec import AlignSpec
from l2aco.testing import ALIGNMENTS, LONELY_CELL, LONELY_DRUG, A, B, C, check_backbone

NAMES = [entry.name for entry in backbones if issubclass(entry.load(), Backbone)]
every_backbone = pytest.mark.parametrize("name", NAMES)
ALONE = ALIGNMENTS["alone"]


def build(name: str, align: AlignSpec = ALONE, *, seed: int = 0, **config: object) -> Aligner:
    return build_model(name, config, small_data(), align, seed=seed, **vectors())


def predictions(model: Aligner) -> torch.Tensor:
    model.eval()
    with torch.inference_mode():
        return model.score(model.tables(), A, B, C)


@every_backbone
@pytest.mark.parametrize("align", ALIGNMENTS)
def test_it_keeps_the_contract(name: str, align: str) -> None:
    check_backbone(name, alignments={align: ALIGNMENTS[align]})


@every_backbone
def test_the_random_state_of_others_is_left_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    build(name, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)


@every_backbone
def test_numbering_entities_otherwise_changes_only_their_numbers(name: str) -> None:
    data = small_data()
    moved, place = permuted(data)
    torch.set_default_dtype(torch.float64)
    try:
        old = build_model(name, {}, data, ALONE)
        new = build_model(name, {}, moved, ALONE)
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
    """The weights of `old` with its embeddings in the order of the nodes and entities of `new`."""
    state = dict(old.state_dict())

    def reorder(key: str, rows: np.ndarray, moved: np.ndarray) -> None:
        """Row by row from where `rows` says who stands there to where `moved` does."""
        at = {row: number for number, row in enumerate(moved.tolist())}
        order = torch.tensor([at[row] for row in rows.tolist()])
        state[key] = torch.empty_like(state[key]).index_copy_(0, order, state[key])

    if hasattr(old.backbone, "field"):
        graph = old.backbone.graph
        whole = np.concatenate([graph.offset(kind) + place[kind] for kind in graph.nodes])
        for kind in old.backbone.field.embeddings:
            rows = old.backbone.field.nodes[kind]
            moved = (whole if kind == "node" else place[kind])[rows]
            reorder(f"backbone.field.embeddings.{kind}", moved, new.backbone.field.nodes[kind])
    for key in [key for key in state if key.endswith("own.weight")]:
        moved = place["drug" if "drug" in key else "cell_line"]
        reorder(key, moved, np.arange(len(moved)))
    return state


@every_backbone
def test_an_entity_without_edges_is_still_its_own(name: str) -> None:
    """Without a self-loop or a map of its own, it would be one with every other such entity."""
    data = small_data()
    if "graph" not in backbones.load(name).requires:
        pytest.skip("reads no graph")
    lonely = LONELY_DRUG
    model = build_model(name, {}, data, ALONE).eval()
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
    assert not model.drug.within[5] and not model.cell.within[0]


@every_backbone
def test_a_wrong_hyper_parameter_is_named(name: str) -> None:
    with pytest.raises(UsageError, match="wings"):
        build(name, wings=2)


@every_backbone
def test_heads_that_do_not_divide_the_width_are_refused(name: str) -> None:
    fields = backbones.load(name).Config.model_fields
    if "heads" not in fields or not {"hidden", "width"} & fields.keys():
        pytest.skip("has no heads that share a width")
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
    assert backbones.load(name).Config(faithful=True).dropout == 0.5
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
