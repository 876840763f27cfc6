"""The two sums and the receptive field, against dense arithmetic on random graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import build_model, small_data

from l2aco.models.dropout import dropout
from l2aco.models.kg import sums
from l2aco.models.kg.blocks import (
    Block,
    Layer,
    distinct,
    mean_weights,
    receptive_field,
    symmetric_normalisation,
    with_self_loops,
)
from l2aco.models.kg.sampling import sample
from l2aco.models.spec import AlignSpec


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Block, np.random.Generator]:
    """Blocks with empty rows, empty columns or no edge at all, of one or several kinds."""
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    sources, targets = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    count, kinds = draw(st.integers(0, 25)), draw(st.integers(1, 3))
    drawn = np.stack([generator.integers(0, sources, count), generator.integers(0, targets, count)])
    edges = np.unique(drawn, axis=1)[:, ::-1]
    count = edges.shape[1]
    weight = generator.uniform(0.1, 2.0, count) if draw(st.booleans()) else None
    torch.set_default_dtype(torch.float64)
    try:
        return Block(edges, sources, targets, weight, generator.integers(0, kinds, count), kinds), generator
    finally:
        torch.set_default_dtype(torch.float32)


def block_of(layer: Layer) -> Block:
    """The block of a layer of one relation."""
    [edges], [sources], [targets] = layer.edges.values(), layer.sources.values(), layer.targets.values()
    return Block(edges, sources, targets, *layer.weights.values())


def tensor(generator: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(generator.normal(size=shape)).requires_grad_()


KERNELS = pytest.mark.parametrize("kernels", ["auto", "torch"])  # compiled loops and torch, for blocks so small


def dense_attention(
    block: Block, x: torch.Tensor, source: torch.Tensor, target: torch.Tensor, slope: float
) -> torch.Tensor:
    """One target and head at a time."""
    heads = source.shape[1]
    rows = []
    for node in range(block.num_dst):
        edges = (block.row == node).nonzero().flatten()
        for head in range(heads):
            logits = torch.nn.functional.leaky_relu(source[block.slot[edges], head] + target[node, head], slope)
            share = torch.softmax(logits, 0)
            rows.append((share[:, None] * x[block.col[edges], head % x.shape[1]]).sum(0))
    return torch.stack(rows).view(block.num_dst, heads, -1)


@KERNELS
@settings(deadline=None, max_examples=40)
@given(case=blocks())
def test_weighted_sum_is_a_sparse_product(kernels: str, case: tuple[Block, np.random.Generator]) -> None:
    block, generator = case
    block.kernels = kernels
    x = tensor(generator, block.num_src, 3)
    dense = torch.zeros(block.num_dst, block.num_src, dtype=torch.float64)
    weight = torch.ones(block.num_edges, dtype=torch.float64) if block.weight is None else block.weight
    dense.index_put_((block.row, block.col), weight, accumulate=True)

    def run(values: torch.Tensor) -> torch.Tensor:
        return sums.weighted_sum(block, values)

    torch.testing.assert_close(run(x), dense @ x)
    assert torch.autograd.gradcheck(run, (x,))


@KERNELS
@settings(deadline=None, max_examples=40)
@given(case=blocks())
def test_attention_is_a_softmax_over_in_edges(kernels: str, case: tuple[Block, np.random.Generator]) -> None:
    block, generator = case
    block.kernels, heads = kernels, 2
    x = tensor(generator, block.num_src, heads, 3)
    source, target = tensor(generator, block.num_src * block.kinds, heads), tensor(generator, block.num_dst, heads)

    def run(*inputs: torch.Tensor) -> torch.Tensor:
        return sums.attention_sum(block, *inputs, slope=0.2)

    torch.testing.assert_close(run(x, source, target), dense_attention(block, x, source, target, 0.2))
    assert torch.autograd.gradcheck(run, (x, source, target))


@KERNELS
@settings(deadline=None, max_examples=40)
@given(case=blocks())
def test_attention_over_shared_inputs_maps_them_to_logits(
    kernels: str, case: tuple[Block, np.random.Generator]
) -> None:
    block, generator = case
    block.kernels, heads = kernels, 2
    x, target = tensor(generator, block.num_src, 3), tensor(generator, block.num_dst, heads)
    source_map = tensor(generator, 3, block.kinds * heads)

    def run(*inputs: torch.Tensor) -> torch.Tensor:
        return sums.attention_sum(block, *inputs, slope=0.2)

    expected = dense_attention(block, x.unsqueeze(1), (x @ source_map).view(-1, heads), target, 0.2)
    torch.testing.assert_close(run(x, source_map, target), expected)
    assert torch.autograd.gradcheck(run, (x, source_map, target))


def test_attention_that_drops_edges_is_the_same_compiled_and_by_torch() -> None:
    generator = np.random.default_rng(0)
    block = Block(distinct(generator.integers(0, 9, (2, 40)), 9), 9, 9)
    inputs = tensor(generator, 9, 2, 3), tensor(generator, 9, 2), tensor(generator, 9, 2)
    found = []
    for block.kernels in ("auto", "torch"):
        torch.manual_seed(0)
        out = sums.attention_sum(block, *inputs, slope=0.2, dropout=0.5)
        found.append((out, *torch.autograd.grad(out.square().sum(), inputs)))
    torch.testing.assert_close(*found)


def test_attention_survives_logits_that_overflow_exp() -> None:
    block = Block(np.array([[0, 1], [0, 0]]), 2, 1)
    source = torch.tensor([[900.0], [899.0]])
    out = sums.attention_sum(block, torch.ones(2, 1, 1), source, torch.zeros(1, 1), slope=0.2)
    torch.testing.assert_close(out, torch.ones(1, 1, 1))


def test_attention_dropout_keeps_the_mean() -> None:
    block = Block(np.stack([np.arange(50), np.zeros(50, dtype=int)]), 50, 1)
    torch.manual_seed(0)
    inputs = (torch.ones(50, 1, 1), torch.zeros(50, 1), torch.zeros(1, 1))
    drawn = torch.stack([sums.attention_sum(block, *inputs, slope=0.2, dropout=0.5) for _ in range(400)])
    assert drawn.std() > 0.05
    assert drawn.mean().item() == pytest.approx(1.0, abs=0.03)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 12))
def test_a_receptive_field_computes_what_the_whole_graph_computes(seed: int, layers: int, nodes: int) -> None:
    draw = np.random.default_rng(seed)
    edges = with_self_loops(draw.integers(0, nodes, (2, draw.integers(0, 30))), nodes)
    weights = symmetric_normalisation(edges, nodes)
    targets = draw.permutation(nodes)[: draw.integers(1, nodes + 1)]
    found, rows = receptive_field(
        {"n": nodes}, {("n", "e", "n"): edges}, {"n": targets}, layers, {("n", "e", "n"): weights}
    )
    whole = np.zeros((nodes, nodes))
    whole[edges[1], edges[0]] = weights
    x = draw.normal(size=(nodes, 2))
    expected = np.linalg.matrix_power(whole, layers) @ x
    values = torch.from_numpy(x[rows["n"]])
    for layer in found:
        block = block_of(layer).double()
        assert block.num_src == len(values)
        values = sums.weighted_sum(block, values)
    np.testing.assert_allclose(values.numpy(), expected[targets], rtol=1e-5, atol=1e-7)
    assert len(rows["n"]) == np.count_nonzero(np.linalg.matrix_power((whole > 0).astype(float), layers)[targets].any(0))


@pytest.mark.parametrize("rate", [0.5, 0.2, 0.05])
def test_dropout_drops_its_share_and_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    x = torch.full((1000, 101), 3.0, requires_grad=True)
    dropped = dropout(x, rate, True)
    assert (dropped == 0).double().mean().item() == pytest.approx(rate, abs=0.005)
    assert dropped.mean().item() == pytest.approx(3.0, abs=0.03)
    dropped.sum().backward()
    assert torch.equal(x.grad == 0, dropped == 0)
    torch.manual_seed(0)
    assert torch.equal(dropout(x, rate, True), dropped)
    assert dropout(x, rate, False) is x


def sampled_sum(blocks: list[Block], neighbours: int, x: torch.Tensor) -> torch.Tensor:
    """The sums of the last block's targets, of neighbours drawn from the last layer to the first."""
    found, rows = [], np.arange(blocks[-1].num_dst)
    for block in reversed(blocks):
        sampled, rows = sample(block, rows, rows, neighbours)
        assert sampled.rowptr.diff().max() <= neighbours
        found.append(sampled)
    values = x[torch.from_numpy(rows)]
    for block in reversed(found):
        values = sums.weighted_sum(block, values)
    return values


def test_neighbour_sampling_is_bounded_and_right_on_average() -> None:
    draw = np.random.default_rng(0)
    edges = distinct(draw.integers(0, 40, (2, 500)), 40)
    relation = ("n", "e", "n")
    layers, rows = receptive_field(
        {"n": 40}, {relation: edges}, {"n": np.arange(5)}, 2, {relation: mean_weights(edges, 40)}
    )
    blocks = [block_of(layer) for layer in layers]
    x = torch.from_numpy(draw.normal(size=(len(rows["n"]), 3))).float()
    exact = x
    for block in blocks:
        exact = sums.weighted_sum(block, exact)
    torch.manual_seed(0)
    drawn = [sampled_sum(blocks, 3, x) for _ in range(800)]
    torch.testing.assert_close(torch.stack(drawn).mean(0), exact, atol=0.06, rtol=0)
    torch.testing.assert_close(sampled_sum(blocks, 1000, x), exact)


@pytest.mark.parametrize("kernels", ["auto", "dgl"])
@pytest.mark.parametrize("name", ["GCN", "SAGE", "KGNN", "GAT", "HGAT", "RGCN"])
def test_backbones_train_on_sampled_neighbours_and_score_on_all(name: str, kernels: str) -> None:
    if kernels == "dgl":
        pytest.importorskip("dgl")
    config = {"layers": 2, "dropout": 0.0, "kernels": kernels}
    few, all_sampled, whole = (
        build_model(name, config | {"neighbours": neighbours}, small_data(), AlignSpec(loss="none"))
        for neighbours in (1, 1000, None)
    )
    a, b, c = torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([0, 1])
    first, second = few(a, b, c).logits, few(a, b, c).logits
    assert not torch.equal(first, second)
    torch.testing.assert_close(all_sampled(a, b, c).logits, whole(a, b, c).logits)
    first.sum().backward()
    assert all(torch.isfinite(value.grad).all() for value in few.parameters() if value.grad is not None)
    few.eval(), whole.eval()
    assert torch.equal(few(a, b, c).logits, whole(a, b, c).logits)
