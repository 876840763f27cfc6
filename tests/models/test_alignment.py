"""The aligner: which entities meet which vectors, by what arithmetic, and when."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import CELLS, DRUGS, build_model, small_data, vectors

from l2aco.errors import InputError
from l2aco.models import losses
from l2aco.models.alignment import Aligner
from l2aco.models.spec import AlignSpec
from l2aco.models.vectors import prepare_vectors

A, B, C = torch.tensor([0, 1, 9, 0]), torch.tensor([4, 5, 6, 4]), torch.tensor([0, 1, 2, 0])


def build(align: AlignSpec, *, name: str = "GCN", **given: Any) -> Aligner:
    return build_model(name, {"dropout": 0.0}, small_data(), align, **(vectors() | given))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(0, 1000))
def test_infonce_by_hand(count: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    h, target = draw.normal(size=(2, count, 5))
    unit_h = h / np.linalg.norm(h, axis=1, keepdims=True)
    unit_t = target / np.linalg.norm(target, axis=1, keepdims=True)
    similar = np.exp(unit_h @ unit_t.T / 0.5)
    forth = -np.log(np.diag(similar) / similar.sum(1)).mean()
    back = -np.log(np.diag(similar) / similar.sum(0)).mean()
    one, other = torch.from_numpy(h), torch.from_numpy(target)
    assert losses.infonce(one, other, temperature=0.5).item() == pytest.approx(forth)
    assert losses.infonce(one, other, temperature=0.5, symmetric=True).item() == pytest.approx((forth + back) / 2)


def test_l2_sce_and_kl_by_hand() -> None:
    h, target = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    cosine = F.cosine_similarity(h, target)
    assert losses.l2(h, target).item() == pytest.approx((2 - 2 * cosine).mean().item())
    assert losses.sce(h, target, gamma=3).item() == pytest.approx(((1 - cosine) ** 3).mean().item())
    assert losses.sce(h, 2 * h, gamma=0.5).item() == pytest.approx(0.0, abs=1e-6)
    p, q = h[:, 0].sigmoid(), target[:, 0].sigmoid()
    forth = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    back = q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()
    assert losses.symmetric_kl(h[:, 0], target[:, 0]).item() == pytest.approx(((forth + back) / 2).mean().item())
    assert math.isfinite(losses.symmetric_kl(torch.tensor([900.0]), torch.tensor([-900.0])).item())


@pytest.mark.parametrize("loss", ["infonce", "l2", "sce"])
def test_an_entity_counts_once_however_often_it_occurs(loss: str) -> None:
    model = build(AlignSpec(loss=loss))
    once = model(A[:3], B[:3], C[:3]).losses
    often = model(A.repeat(5), B.repeat(5), C.repeat(5)).losses
    for name in ("align_drug", "align_cell"):
        torch.testing.assert_close(often[name], once[name])


def test_each_kind_has_its_temperature() -> None:
    alike, apart = build(AlignSpec()), build(AlignSpec(temperature_cell=0.5))
    plain, found = alike(A, B, C).losses, apart(A, B, C).losses
    assert torch.equal(found["align_drug"], plain["align_drug"])
    warm = build(AlignSpec(temperature=0.5))(A, B, C).losses
    torch.testing.assert_close(found["align_cell"], warm["align_cell"])
    assert not torch.equal(warm["align_cell"], plain["align_cell"])


def test_scopes_reach_the_entities_that_they_name() -> None:
    reached = {}
    for scope in ("batch", "train", "all"):
        model = build(AlignSpec(scope=scope))
        model.drug.vectors.requires_grad_()
        model.cell.vectors.requires_grad_()
        output = model(A, B, C)
        sum(output.losses.values()).backward()
        reached[scope] = [
            set(side.vectors.grad.abs().sum(1).nonzero().flatten().tolist()) for side in (model.drug, model.cell)
        ]
    assert reached["batch"] == [{0, 1, 4, 5, 6, 9}, {0, 1, 2}]
    assert reached["train"] == [set(range(8)), set(range(4))]
    assert reached["all"] == [set(range(DRUGS)), set(range(CELLS))]


def test_kl_leaves_out_what_has_no_vector() -> None:
    model = build(AlignSpec(loss="kl"))
    whole = model(A, B, C).losses["align_pair"]
    inside = (A != 0) & (B != 0) & (C != 1)
    assert 0 < inside.sum() < len(A)
    model.drug.known[0] = model.cell.known[1] = False
    left = model(A, B, C).losses["align_pair"]
    torch.testing.assert_close(left, model(A[inside], B[inside], C[inside]).losses["align_pair"])
    assert left != whole
    model.cell.known[:] = False
    assert model(A, B, C).losses["align_pair"] == 0


@pytest.mark.parametrize("loss", ["kl", "none"])
def test_a_scope_without_a_loss_over_entities_is_refused(loss: str) -> None:
    with pytest.raises(ValueError, match="scope = all belongs to"):
        AlignSpec(loss=loss, scope="all")


def test_weights_scale_each_kind() -> None:
    plain = build(AlignSpec())(A, B, C).losses
    scaled = build(AlignSpec(weight_drug=0.5, weight_cell=3.0))(A, B, C).losses
    torch.testing.assert_close(scaled["align_drug"], 0.5 * plain["align_drug"])
    torch.testing.assert_close(scaled["align_cell"], 3 * plain["align_cell"])


def test_without_loss_and_fusion_nothing_is_added() -> None:
    model = build(AlignSpec(loss="none"))
    assert model.drug is None and not model(A, B, C).losses
    assert not any("adapter" in key for key in model.state_dict())


@pytest.mark.parametrize("fusion", ["none", "add", "gate", "concat"])
def test_fusion_by_hand(fusion: str) -> None:
    model = build(AlignSpec(fusion=fusion)).eval()
    h, fused = model.backbone.encode().drug, model.tables().drug
    g = model.drug.adapter(model.drug.vectors)
    if fusion == "none":
        expected = h
    elif fusion == "add":
        expected = h + g
    else:
        mixed = model.drug.mix(torch.cat([h, g], dim=1))
        expected = mixed if fusion == "concat" else mixed.sigmoid() * h + (1 - mixed.sigmoid()) * g
    torch.testing.assert_close(fused, expected)


def test_kgnn_adds_the_profile_and_sage_does_not() -> None:
    assert build(AlignSpec(), name="KGNN").spec.fusion == "add"
    assert build(AlignSpec(fusion="gate"), name="KGNN").spec.fusion == "gate"
    assert build(AlignSpec(fusion="none"), name="KGNN").spec.fusion == "none"
    assert build(AlignSpec(), name="SAGE").spec.fusion == "none"
    assert build(AlignSpec(loss="none"), name="KGNN").drug is None


@pytest.mark.parametrize("option", [{"mask_features": 0.5}, {"modality_dropout": 0.5}])
def test_masking_belongs_to_training(option: dict[str, float]) -> None:
    model = build(AlignSpec(**option))
    model.train()
    torch.manual_seed(0)
    first, second = model(A, B, C).logits, model(A, B, C).logits
    assert not torch.equal(first, second)
    model.eval()
    bare = build(AlignSpec()).eval()
    torch.testing.assert_close(model.score(model.tables(), A, B, C), bare.score(bare.tables(), A, B, C))


def test_imputation_reaches_only_entities_without_edges() -> None:
    model, bare = build(AlignSpec(impute=True)).eval(), build(AlignSpec()).eval()
    same = (model.tables().drug == bare.tables().drug).all(1)
    assert torch.equal(same, model.backbone.measured()[0]) and not same.all()


def test_a_collapsed_adapter_shows() -> None:
    model = build(AlignSpec(loss="l2"))
    assert model.spread()["drug"] > 0.5
    with torch.no_grad():
        model.drug.adapter.weight.zero_()
        model.drug.adapter.bias.fill_(1.0)
    assert model.spread()["drug"] == pytest.approx(0.0, abs=1e-3)


def prepared(values: np.ndarray | None, mask: np.ndarray | None = None, seed: int = 0, **align: Any) -> Any:
    spec = AlignSpec(**({"standardise": False} | align))
    return prepare_vectors(small_data().drugs, values, mask, spec, seed=seed, train=np.arange(8))


def test_standardised_vectors_are_centred_on_the_training_entities() -> None:
    values = vectors()["drug_vectors"] + 10
    found = prepared(values, standardise=True).values
    centred = values - values[:8].mean(0)
    np.testing.assert_allclose(
        found / np.linalg.norm(found, axis=1, keepdims=True),
        centred / np.linalg.norm(centred, axis=1, keepdims=True),
        atol=1e-5,
    )
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.sqrt(found.shape[1]), rtol=1e-5)


def test_shuffling_moves_known_rows_among_known_entities() -> None:
    values, mask = vectors()["drug_vectors"], np.arange(DRUGS) != 3
    shuffled = prepared(values, mask, vectors="shuffled")
    assert not np.array_equal(shuffled.values[mask], values[mask])
    assert sorted(map(tuple, shuffled.values[mask])) == sorted(map(tuple, values[mask]))
    assert np.array_equal(shuffled.known, mask)
    again, other = prepared(values, mask, vectors="shuffled"), prepared(values, mask, vectors="shuffled", draw=1)
    assert np.array_equal(again.values, shuffled.values) and not np.array_equal(other.values, shuffled.values)
    assert not np.array_equal(prepared(values, mask, seed=1, vectors="shuffled").values, shuffled.values)


def test_random_vectors_keep_the_lengths_and_nothing_else() -> None:
    values = vectors()["drug_vectors"]
    random = prepared(values, vectors="random").values
    np.testing.assert_allclose(np.linalg.norm(random, axis=1), np.linalg.norm(values, axis=1), rtol=1e-5)
    assert abs(np.corrcoef(random.ravel(), values.ravel())[0, 1]) < 0.3


def test_a_missing_vector_becomes_the_mean_direction() -> None:
    values, mask = vectors()["drug_vectors"], np.arange(DRUGS) != 3
    found = prepared(values, mask).values
    mean = values[mask].mean(0)
    assert found[3] @ mean / np.linalg.norm(found[3]) / np.linalg.norm(mean) == pytest.approx(1.0)
    assert np.linalg.norm(found[3]) == pytest.approx(np.linalg.norm(values[mask], axis=1).mean(), rel=1e-5)
    assert np.array_equal(found[mask], values[mask])


@pytest.mark.parametrize(
    ("values", "mask", "message"),
    [
        (np.zeros((3, 4)), None, r"\(12, D\)"),
        (np.zeros((DRUGS, 4)), np.zeros(DRUGS, dtype=bool), "holds none of the 12 drugs"),
        (np.full((DRUGS, 4), np.inf), None, "not finite"),
    ],
)
def test_vectors_that_cannot_be_used_are_refused(values: Any, mask: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepared(values, mask)


def test_a_nan_row_that_is_masked_does_not_matter() -> None:
    values, mask = vectors()["drug_vectors"].copy(), np.arange(DRUGS) != 3
    values[3] = np.nan
    assert np.isfinite(prepared(values, mask).values).all()
