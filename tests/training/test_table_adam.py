"""Adam that takes a table's gradient unwritten is torch's Adam: same weights, same state, same checkpoints. Rows that
stand for several nodes move as those would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from small_data import SmallData, build_model, small_data

from l2aco.data.graph import KnowledgeGraph
from l2aco.models.backbones.gcn import GCN
from l2aco.models.spec import AlignSpec
from l2aco.training.optim import TableAdam, backward

STEPS = [
    (torch.tensor([5, 0]), torch.tensor([2, 5]), torch.tensor([6, 1])),
    (torch.tensor([0, 1]), torch.tensor([4, 2]), torch.tensor([0, 1])),
    (torch.tensor([5, 3]), torch.tensor([2, 7]), torch.tensor([6, 2])),
    (torch.tensor([1, 2]), torch.tensor([9, 8]), torch.tensor([6, 3])),
]


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def each_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two nodes share a row."""
    monkeypatch.setattr(GCN, "merges", False)


def trained(
    kind: type[torch.optim.Adam],
    accumulation: int = 1,
    norms: float = 0.0,
    name: str = "GCN",
    data: SmallData | None = None,
) -> Any:
    torch.manual_seed(0)
    model = build_model(name, {"dropout": 0.0}, data or small_data(), AlignSpec(loss="none")).double()
    optimizer = kind(model.parameters(), lr=0.01, fused=True)
    for number, rows in enumerate(STEPS, 1):
        penalty = norms * sum(value.norm() for value in model.parameters()) if norms else 0.0
        backward(model(*rows).logits.square().sum() + penalty, optimizer)
        if number % accumulation == 0:
            optimizer.step()
            optimizer.zero_grad()
    return model, optimizer


@pytest.mark.parametrize("options", [{}, {"accumulation": 2}, {"norms": 0.1}, {"name": "HGAT"}, {"name": "KGNN"}])
@pytest.mark.usefixtures("each_its_own")
def test_table_adam_is_adam(options: dict[str, Any]) -> None:
    (ours, our_optimizer), (theirs, their_optimizer) = (
        trained(kind, **options) for kind in (TableAdam, torch.optim.Adam)
    )
    expected = dict(theirs.named_parameters())
    for key, value in ours.named_parameters():
        torch.testing.assert_close(
            value, expected[key], rtol=1e-9, atol=1e-12, msg=lambda text, key=key: f"{key}: {text}"
        )
    torch.testing.assert_close(our_optimizer.state_dict()["state"], their_optimizer.state_dict()["state"])


def many_alike() -> SmallData:
    """The small data with 200 proteins, most of which have the same neighbours as another, but for their number of
    interactions: weights in proportion, not equal."""
    data, draw = small_data(), np.random.default_rng(3)
    assert data.graph is not None
    nodes = data.graph.nodes | {"protein": [f"P{number}" for number in range(200)]}
    relations = {
        ("drug", "targets", "protein"): np.stack([draw.integers(0, 3, 150), draw.integers(0, 200, 150)]),
        ("cell_line", "overexpresses", "protein"): np.stack([draw.integers(0, 3, 150), draw.integers(0, 200, 150)]),
        ("protein", "interacts", "protein"): draw.integers(0, 200, (2, 300)),
    }
    data.graph = KnowledgeGraph.build(nodes, relations)
    return data


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_shared_row_trains_as_the_nodes_that_share_it(accumulation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = many_alike()
    shared, _ = trained(TableAdam, accumulation, data=data)
    merger = shared.backbone.merger
    assert len(shared.backbone.embedding) < len(merger.row_of) / 2
    assert any(len(set(merger.share[merger.row_of == row])) > 1 for row in merger.row_of)
    monkeypatch.setattr(GCN, "merges", False)
    each, _ = trained(torch.optim.Adam, accumulation, data=data)
    means = merger.means(each.backbone.embedding.detach())
    torch.testing.assert_close(shared.backbone.embedding.detach(), means, rtol=1e-9, atol=1e-12)
    a, b, c = (torch.cat(rows) for rows in zip(*STEPS, strict=True))
    torch.testing.assert_close(shared(a, b, c).logits, each(a, b, c).logits, rtol=1e-9, atol=1e-12)


def test_the_table_of_a_small_gcn_step_gets_its_gradient_unwritten() -> None:
    model = build_model("GCN", {"dropout": 0.0}, small_data(), AlignSpec(loss="none")).double()
    table, start = model.backbone.embedding, model.backbone.embedding.detach().clone()
    optimizer = TableAdam(model.parameters(), lr=0.01, fused=True)
    assert model.backbone.encodes_rows(2)
    backward(model(*STEPS[0]).logits.sum(), optimizer)
    assert table.grad is None
    optimizer.step()
    assert not torch.equal(table, start)
    moved = table.detach().clone()
    optimizer.zero_grad()
    optimizer.step()
    assert torch.equal(table, moved), "a gradient was taken twice"
    model(*STEPS[0]).logits.sum().backward()
    assert table.grad is not None and table.grad.any(), "outside the loop gradients are where torch has them"


def test_a_state_goes_from_one_to_the_other_and_back() -> None:
    _, saved = trained(torch.optim.Adam)
    model, optimizer = trained(TableAdam)
    optimizer.load_state_dict(saved.state_dict())
    backward(model(*STEPS[0]).logits.sum(), optimizer)
    optimizer.step()
    assert {int(state["step"]) for state in optimizer.state.values()} == {len(STEPS) + 1}
    saved.load_state_dict(optimizer.state_dict())
