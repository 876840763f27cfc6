"""The fast path is the plain one: whole graph, PyG layers or dense algebra, float64, outputs and gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import reference
import torch
import torch.nn.functional as F
from small_data import DRUGS, build_model, small_data, vectors
from torch import Tensor

from l2aco.models.alignment import Aligner
from l2aco.models.spec import AlignSpec

A, B, C = torch.tensor([0, 1, 2, 3, 11, 0]), torch.tensor([4, 5, 6, 7, 8, 4]), torch.tensor([0, 1, 2, 3, 6, 5])
LABELS = torch.tensor([0.0, 1, 0, 1, 1, 0], dtype=torch.float64)
NAMES = ["GCN", "SAGE", "KGNN", "GAT", "HGAT", "HAN", "RGCN"]
SAMPLED = [name for name in NAMES if name != "HAN"]


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def build(name: str, align: AlignSpec = AlignSpec(fusion="add"), **config: Any) -> Aligner:
    return build_model(name, {"dropout": 0.0} | config, small_data(), align, **vectors()).double()


def loss_of(logits: Tensor, losses: dict[str, Tensor]) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, LABELS.expand_as(logits)) + sum(losses.values())


def plain_loss(model: Aligner) -> Tensor:
    """The loss by hand: the output map, alignment over distinct entities, fusion by addition, the head."""
    backbone, drug_side, cell_side = model.backbone, model.drug, model.cell
    assert drug_side is not None and cell_side is not None
    out = backbone.linear(F.relu(reference.hidden(model)))
    drug, cell = out[:DRUGS], out[DRUGS:]
    losses = {}
    for name, adapter, table, seen in (
        ("drug", drug_side, drug, torch.cat([A, B])),
        ("cell", cell_side, cell, C),
    ):
        rows = torch.tensor(sorted(set(seen.tolist())))
        h, g = F.normalize(table[rows], dim=1), F.normalize(adapter.adapter(adapter.vectors[rows]), dim=1)
        losses[name] = F.cross_entropy(h @ g.T / 0.07, torch.arange(len(rows)))
    drug, cell = (table + adapter.adapter(adapter.vectors) for adapter, table in ((drug_side, drug), (cell_side, cell)))
    return loss_of(reference.head(backbone.head, drug, cell, A, B, C), losses)


def gradients(model: Aligner) -> dict[str, Tensor]:
    """Those that are not zero."""
    return {key: value.grad for key, value in model.named_parameters() if value.grad is not None and value.grad.any()}


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "HAN"])
def test_same_loss_and_gradients_as_the_whole_graph(name: str, layers: int) -> None:
    fast, slow = build(name, layers=layers), build(name, layers=layers)
    output = fast(A, B, C)
    loss = loss_of(output.logits, output.losses)
    loss.backward()
    expected = plain_loss(slow)
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-8, atol=0)
    assert gradients(fast).keys() == gradients(slow).keys()
    torch.testing.assert_close(gradients(fast), gradients(slow), rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize("layers", [1, 2])
def test_han_has_the_hidden_vectors_and_gradients_of_pyg(layers: int) -> None:
    fast, slow = build("HAN", layers=layers), build("HAN", layers=layers)
    found, expected = fast.backbone.hidden(None, None), reference.hidden(slow)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-12)
    for values in (found, expected):
        values.square().sum().backward()
    assert gradients(fast).keys() == gradients(slow).keys()
    torch.testing.assert_close(gradients(fast), gradients(slow), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("kernels", ["torch", "dgl"])
@pytest.mark.parametrize("name", NAMES)
def test_all_kernels_give_the_same_numbers(name: str, kernels: str) -> None:
    if kernels == "dgl":
        pytest.importorskip("dgl")
    results = []
    for chosen in ("auto", kernels):
        model = build(name, kernels=chosen, layers=2)
        output = model(A, B, C)
        loss_of(output.logits, output.losses).backward()
        results.append((output.logits, gradients(model)))
    torch.testing.assert_close(*results, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["GCN", "SAGE", "HGAT"])
def test_dgl_agrees_in_single_precision(name: str) -> None:
    pytest.importorskip("dgl")
    torch.set_default_dtype(torch.float32)
    results = []
    for kernels in ("auto", "dgl"):
        model = build_model(name, {"dropout": 0.0, "kernels": kernels}, small_data(), AlignSpec(), **vectors())
        output = model(A, B, C)
        (output.logits.sum() + sum(output.losses.values())).backward()
        results.append((output.logits, gradients(model)))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["GCN", "GAT", "HGAT", "HAN"])
def test_dgl_runs_in_mixed_precision(name: str) -> None:
    pytest.importorskip("dgl")
    torch.set_default_dtype(torch.float32)
    model = build_model(name, {"kernels": "dgl"}, small_data(), AlignSpec(loss="none")).eval()
    exact = model(A, B, C).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(A, B, C).logits
    torch.testing.assert_close(half.float(), exact, rtol=0.05, atol=0.05)


def test_dgl_finds_packaging_where_setuptools_carries_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib
    import sys

    from l2aco.models.kg.dgl_sums import provide_setuptools_extern

    for name in [name for name in sys.modules if name.startswith("setuptools.extern")]:
        monkeypatch.delitem(sys.modules, name)
    provide_setuptools_extern()
    version = importlib.import_module("setuptools.extern.packaging").version
    assert version.parse("1.10") > version.parse("1.9")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("config", [{"layers": 1}, {"layers": 2}, {"layers": 2, "neighbours": 100}])
def test_a_small_step_encodes_only_its_own_entities_with_the_same_loss_and_gradients(
    name: str, config: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "HAN" and "neighbours" in config:
        pytest.skip("cannot be sampled")
    few = (torch.tensor([5, 0]), torch.tensor([2, 5]), torch.tensor([6, 1]))
    found, asked = [], []
    for repeats in (1, 4):  # four times the same triples are as many as need all entities
        model = build(name, **config)
        encode = model.backbone.encode
        monkeypatch.setattr(model.backbone, "encode", lambda *rows, encode=encode: asked.append(rows) or encode(*rows))
        output = model(*(rows.repeat(repeats) for rows in few))
        (output.logits.square().mean() + sum(output.losses.values())).backward()
        found.append((output.logits[:, : len(few[0])], output.losses, gradients(model)))
    assert [rows.tolist() for rows in asked[0]] == [[0, 2, 5], [1, 6]] and asked[-1] == (None, None)
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-12)
