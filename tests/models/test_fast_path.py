"""The fast path is the plain one: whole graph, PyG layers or dense algebra, float64, outputs and gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_data import CELLS, DRUGS, build_model, small_data, vectors
from torch import Tensor
from torch_geometric.nn import GATConv, SAGEConv

from l2aco.models.alignment import Aligner
from l2aco.models.kg.blocks import distinct
from l2aco.models.spec import AlignSpec

A, B, C = torch.tensor([0, 1, 2, 3, 11, 0]), torch.tensor([4, 5, 6, 7, 8, 4]), torch.tensor([0, 1, 2, 3, 6, 5])
LABELS = torch.tensor([0.0, 1, 0, 1, 1, 0], dtype=torch.float64)
ENGINES = ["pyg", "dgl"]


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def build(name: str, align: AlignSpec = AlignSpec(fusion="add"), **config: Any) -> Aligner:
    model = build_model(name, {"dropout": 0.0} | config, small_data(), align, **vectors())
    return model.double()


def loss_of(logits: Tensor, losses: dict[str, Tensor]) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, LABELS.expand_as(logits)) + sum(losses.values())


def plain_head(model: Aligner, drug: Tensor, cell: Tensor) -> Tensor:
    """The head as it is written on paper: concatenate, map, both orders; then what the pair does together."""
    head = model.backbone.head
    first, second, pair = head.drug.weight.split([2 * head.hidden, 2 * head.hidden, head.hidden])
    line, context = head.cell.weight.split([2 * head.hidden, head.hidden])
    line_bias, context_bias = head.cell.bias.split([2 * head.hidden, head.hidden])

    def ordered(one: Tensor, other: Tensor) -> Tensor:
        x = torch.cat([drug[one], drug[other], cell[C]], dim=1) @ torch.cat([first, second, line], dim=1).T + line_bias
        gate, skip = x.chunk(2, dim=1)
        return F.relu(gate) + skip

    hidden = (ordered(A, B) + ordered(B, A)) / 2
    joint = (drug[A] @ pair.T) * (drug[B] @ pair.T) * (1 + torch.tanh(cell[C] @ context.T + context_bias))
    of_hidden, of_joint = head.out.weight.split(head.hidden, dim=1)
    return (hidden @ of_hidden.T + joint @ of_joint.T + head.out.bias).squeeze(1)


def plain_output(model: Aligner, hidden: Tensor) -> Tensor:
    """Logits and alignment by hand from hidden vectors of drugs, then cell lines."""
    out = model.backbone.linear(F.relu(hidden))
    drug, cell = out[:DRUGS], out[DRUGS:]
    assert model.drug is not None and model.cell is not None
    losses = {}
    for name, side, table, seen in (
        ("drug", model.drug, drug, torch.cat([A, B])),
        ("cell", model.cell, cell, C),
    ):
        rows = torch.tensor(sorted(set(seen.tolist())))
        h, g = F.normalize(table[rows], dim=1), F.normalize(side.adapter(side.vectors[rows]), dim=1)
        losses[name] = F.cross_entropy(h @ g.T / 0.07, torch.arange(len(rows)))
    logits = plain_head(
        model, drug + model.drug.adapter(model.drug.vectors), cell + model.cell.adapter(model.cell.vectors)
    )
    return loss_of(logits, losses)


def node_embedding(backbone: Any) -> Tensor:
    """The row of each node that the first layer reads; several may share one."""
    return backbone.embedding[torch.from_numpy(backbone.merger.row_of)]


def whole_embedding(model: Aligner) -> Tensor:
    """The learned rows in a table over all nodes; rows outside the receptive field are random, to no effect."""
    table = torch.randn(model.backbone.graph.num_nodes, model.backbone.config.embedding)
    return table.index_copy(0, torch.from_numpy(model.backbone.nodes), node_embedding(model.backbone))


def plain_gcn(model: Aligner) -> Tensor:
    """D^-1/2 (A + I) D^-1/2 X W, dense."""
    count = model.backbone.graph.num_nodes
    adjacency = torch.eye(count)
    edges = model.backbone.graph.edge_index()
    adjacency[edges[1], edges[0]] = 1.0
    scale = adjacency.sum(1).rsqrt()
    x = whole_embedding(model)
    for number, conv in enumerate(model.backbone.convs):
        x = (scale[:, None] * adjacency * scale) @ (F.relu(x) if number else x) @ conv.lin.weight.T + conv.bias
    return scored(model, x)


def plain_kgnn(model: Aligner) -> Tensor:
    """Three SAGEConv layers of PyG over all nodes."""
    graph = model.backbone.graph
    edges = torch.from_numpy(distinct(graph.edge_index(), graph.num_nodes))
    x = whole_embedding(model)
    for number, conv in enumerate(model.backbone.convs):
        x = SAGEConv.forward(conv, F.relu(x) if number else x, edges)
    return scored(model, x)


def plain_hgat(model: Aligner) -> Tensor:
    """One GATConv of PyG a relation over all nodes of its types, summed."""
    graph, field = model.backbone.graph, model.backbone.field
    x = {}
    for kind, ids in graph.nodes.items():
        x[kind] = torch.randn(len(ids), model.backbone.config.embedding)
        if kind in field.embeddings:
            x[kind] = x[kind].index_copy(0, torch.from_numpy(field.nodes[kind]), field.embeddings[kind])
    for number, (convs, own) in enumerate(zip(model.backbone.convs, model.backbone.own, strict=True)):
        if number:
            x = {kind: F.relu(values) for kind, values in x.items()}
        out = {kind: own[kind](x[kind]) for kind in own}
        for relation, pairs in graph.edges.items():
            source, _, target = relation
            if target in out and "-".join(relation) in convs:
                conv = convs["-".join(relation)]
                size = (len(x[source]), len(x[target]))
                message = GATConv.forward(conv, (x[source], x[target]), torch.from_numpy(pairs), size=size)
                out[target] = out[target] + message
        x = out
    return torch.cat([x["drug"], x["cell_line"]])


def scored(model: Aligner, x: Tensor) -> Tensor:
    graph = model.backbone.graph
    rows = [graph.offset("drug") + np.arange(DRUGS), graph.offset("cell_line") + np.arange(CELLS)]
    return x[torch.from_numpy(np.concatenate(rows))]


@pytest.mark.parametrize(
    ("name", "config", "plain"),
    [
        ("GCN", {}, plain_gcn),
        ("GCN", {"layers": 3}, plain_gcn),
        ("KGNN", {}, plain_kgnn),
        ("HGAT", {}, plain_hgat),
        ("HGAT", {"layers": 2}, plain_hgat),
    ],
)
def test_same_loss_and_gradients_as_the_whole_graph(name: str, config: dict[str, Any], plain: Any) -> None:
    fast, slow = build(name, **config), build(name, **config)
    output = fast(A, B, C)
    loss = loss_of(output.logits, output.losses)
    loss.backward()
    expected = plain_output(slow, plain(slow))
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-8, atol=0)
    theirs = dict(slow.named_parameters())
    for key, value in fast.named_parameters():
        gradient = theirs[key].grad
        assert (value.grad is None) == (gradient is None), key
        if gradient is not None:
            torch.testing.assert_close(
                value.grad, gradient, rtol=1e-8, atol=1e-13, msg=lambda text, key=key: f"{key}: {text}"
            )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["GCN", "SAGE", "KGNN", "GAT", "HGAT", "HAN", "RGCN"])
def test_every_engine_gives_the_same_numbers(name: str, engine: str) -> None:
    if engine == "dgl":
        pytest.importorskip("dgl")
    results = []
    for chosen in ("fast", engine):
        model = build(name, engine=chosen, layers=2)
        model.backbone.passes = 1
        output = model(A, B, C)
        loss_of(output.logits, output.losses).backward()
        gradients = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
        results.append((output.logits, {key: value for key, value in gradients.items() if value.any()}))
    (ours, our_gradients), (theirs, their_gradients) = results
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-12)
    assert our_gradients.keys() == their_gradients.keys()
    for key, value in our_gradients.items():
        torch.testing.assert_close(value, their_gradients[key], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["GCN", "SAGE", "HGAT"])
def test_dgl_agrees_in_single_precision(name: str) -> None:
    pytest.importorskip("dgl")
    torch.set_default_dtype(torch.float32)
    results = []
    for engine in ("fast", "dgl"):
        model = build_model(name, {"dropout": 0.0, "engine": engine}, small_data(), AlignSpec(), **vectors())
        output = model(A, B, C)
        (output.logits.sum() + sum(output.losses.values())).backward()
        results.append((output.logits, {key: value.grad for key, value in model.named_parameters()}))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-5)
    for key, value in results[0][1].items():
        torch.testing.assert_close(value, results[1][1][key], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["GCN", "GAT", "HGAT", "HAN"])
def test_dgl_runs_in_mixed_precision(name: str) -> None:
    pytest.importorskip("dgl")
    torch.set_default_dtype(torch.float32)
    model = build_model(name, {"engine": "dgl"}, small_data(), AlignSpec(loss="none")).eval()
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


@pytest.mark.parametrize("name", ["GCN", "SAGE", "KGNN", "GAT", "HGAT", "RGCN"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_small_step_encodes_only_its_own_entities_with_the_same_loss_and_gradients(name: str, layers: int):
    few = (torch.tensor([5, 0]), torch.tensor([2, 5]), torch.tensor([6, 1]))
    found = []
    for restricts in (True, False):
        torch.manual_seed(0)
        model = build(name, layers=layers)
        model.backbone.restricts = restricts
        assert model.backbone.encodes_rows(len(few[0])) is restricts
        output = model(*few)
        (output.logits.square().sum() + sum(output.losses.values())).backward()
        gradients = {key: value.grad for key, value in model.named_parameters()}
        found.append((output, gradients))
    (restricted, of_few), (whole, of_all) = found
    torch.testing.assert_close(restricted.logits, whole.logits, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(restricted.losses, whole.losses, rtol=1e-10, atol=1e-12)
    for key, gradient in of_all.items():
        expected = torch.zeros_like(of_few[key]) if gradient is None else gradient
        torch.testing.assert_close(
            of_few[key], expected, rtol=1e-8, atol=1e-12, msg=lambda text, key=key: f"{key}: {text}"
        )


@pytest.mark.parametrize("name", ["GCN", "SAGE", "KGNN", "GAT", "HGAT", "RGCN"])
@pytest.mark.parametrize("config", [{"layers": 1}, {"layers": 2}, {"layers": 2, "neighbours": 100}])
def test_steps_looked_up_together_give_the_outputs_of_each_alone(name: str, config: dict[str, int]):
    batches = [
        (torch.tensor([5, 0]), torch.tensor([2, 5]), torch.tensor([6, 1])),
        (torch.tensor([11]), torch.tensor([11]), torch.tensor([0])),
        (torch.tensor([1, 0]), torch.tensor([0, 9]), torch.tensor([6, 6])),
    ]
    model = build(name, **config)
    steps = model.steps(batches)
    assert [len(step.drugs) for step in steps] == [3, 1, 3] and [len(step.cells) for step in steps] == [2, 1, 1]
    for batch, step in zip(batches, steps, strict=True):
        together, alone = model(*batch, step), model(*batch)
        torch.testing.assert_close(together.logits, alone.logits, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(together.losses, alone.losses, rtol=1e-10, atol=1e-12)
