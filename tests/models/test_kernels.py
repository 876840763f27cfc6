"""The two primitives and the receptive field, against dense arithmetic on random graphs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import build_model, small_data

from l2aco.models.compiled.dropout import dropout, relu_dropout
from l2aco.models.kg import sums as kernels
from l2aco.models.kg.blocks import (
    Block,
    Restricted,
    distinct,
    mean_weights,
    merged,
    receptive_field,
    symmetric_normalisation,
    with_self_loops,
)
from l2aco.models.kg.sampling import sample_blocks
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


def tensor(generator: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(generator.normal(size=shape)).requires_grad_()


def on(path: str) -> AbstractContextManager[Any]:
    """Sums by the compiled loops of a CPU, or by the torch operations of every other device."""
    return nullcontext() if path == "compiled" else mock.patch.object(kernels, "for_cpu", return_value=False)


PATHS = pytest.mark.parametrize("path", ["compiled", "torch"])


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


@PATHS
@settings(deadline=None, max_examples=40)
@given(case=blocks())
def test_weighted_sum_is_a_sparse_product(path: str, case: tuple[Block, np.random.Generator]) -> None:
    block, generator = case
    x = tensor(generator, block.num_src, 3)
    dense = torch.zeros(block.num_dst, block.num_src, dtype=torch.float64)
    weight = torch.ones(block.num_edges, dtype=torch.float64) if block.weight is None else block.weight
    dense.index_put_((block.row, block.col), weight, accumulate=True)

    def run(values: torch.Tensor) -> torch.Tensor:
        with on(path):
            return kernels.weighted_sum(block, values)

    torch.testing.assert_close(run(x), dense @ x)
    assert torch.autograd.gradcheck(run, (x,))


@PATHS
@settings(deadline=None, max_examples=40)
@given(case=blocks())
def test_attention_is_a_softmax_over_in_edges(path: str, case: tuple[Block, np.random.Generator]) -> None:
    block, generator = case
    heads = 2
    x = tensor(generator, block.num_src, heads, 3)
    source, target = tensor(generator, block.num_src * block.kinds, heads), tensor(generator, block.num_dst, heads)

    def run(*inputs: torch.Tensor) -> torch.Tensor:
        with on(path):
            return kernels.attention_sum(block, *inputs, slope=0.2)

    torch.testing.assert_close(run(x, source, target), dense_attention(block, x, source, target, 0.2))
    assert torch.autograd.gradcheck(run, (x, source, target))


@PATHS
@settings(deadline=None, max_examples=40)
@given(case=blocks())
def test_attention_over_shared_inputs_maps_them_to_logits(path: str, case: tuple[Block, np.random.Generator]) -> None:
    block, generator = case
    heads = 2
    x, target = tensor(generator, block.num_src, 3), tensor(generator, block.num_dst, heads)
    source_map = tensor(generator, 3, block.kinds * heads)

    def run(*inputs: torch.Tensor) -> torch.Tensor:
        with on(path):
            return kernels.input_attention_sum(block, *inputs, slope=0.2)

    expected = dense_attention(block, x.unsqueeze(1), (x @ source_map).view(-1, heads), target, 0.2)
    torch.testing.assert_close(run(x, source_map, target), expected)
    assert torch.autograd.gradcheck(run, (x, source_map, target))


@settings(deadline=None, max_examples=60)
@given(blocks(), st.data())
def test_a_restricted_block_gives_the_rows_of_its_targets(
    case: tuple[Block, np.random.Generator], data: st.DataObject
) -> None:
    block, generator = case
    rows = torch.tensor(sorted(data.draw(st.sets(st.integers(0, block.num_dst - 1), min_size=1))))
    some, heads = Restricted(block, rows), 2
    x, logit = tensor(generator, block.num_src, 3), tensor(generator, block.num_dst, heads)
    by_head = tensor(generator, block.num_src, heads, 3)
    source, source_map = (
        tensor(generator, block.num_src * block.kinds, heads),
        tensor(generator, 3, block.kinds * heads),
    )
    options = {"slope": 0.2}
    for found, whole, inputs in (
        (kernels.weighted_sum(some, x), kernels.weighted_sum(block, x), (x,)),
        (
            kernels.attention_sum(some, by_head, source, logit[rows], **options),
            kernels.attention_sum(block, by_head, source, logit, **options),
            (by_head, source, logit),
        ),
        (
            kernels.input_attention_sum(some, x, source_map, logit[rows], **options),
            kernels.input_attention_sum(block, x, source_map, logit, **options),
            (x, source_map, logit),
        ),
    ):
        torch.testing.assert_close(found, whole[rows])
        grad = torch.from_numpy(generator.normal(size=found.shape))
        torch.testing.assert_close(
            torch.autograd.grad(found, inputs, grad), torch.autograd.grad(whole[rows], inputs, grad)
        )
    assert some.num_edges == sum(int((block.row == row).sum()) for row in rows)


def test_attention_that_drops_edges_is_the_same_compiled_and_by_torch() -> None:
    generator = np.random.default_rng(0)
    block = Block(distinct(generator.integers(0, 9, (2, 40)), 9), 9, 9)
    inputs = tensor(generator, 9, 2, 3), tensor(generator, 9, 2), tensor(generator, 9, 2)
    found = []
    for path in ("compiled", "torch"):
        torch.manual_seed(0)
        with on(path):
            out = kernels.attention_sum(block, *inputs, slope=0.2, dropout=0.5)
        found.append((out, *torch.autograd.grad(out.square().sum(), inputs)))
    torch.testing.assert_close(*found)


def test_attention_survives_logits_that_overflow_exp() -> None:
    block = Block(np.array([[0, 1], [0, 0]]), 2, 1)
    source = torch.tensor([[900.0], [899.0]])
    out = kernels.attention_sum(block, torch.ones(2, 1, 1), source, torch.zeros(1, 1), slope=0.2)
    torch.testing.assert_close(out, torch.ones(1, 1, 1))


def test_attention_dropout_keeps_the_mean() -> None:
    block = Block(np.stack([np.arange(50), np.zeros(50, dtype=int)]), 50, 1)
    torch.manual_seed(0)
    inputs = (torch.ones(50, 1, 1), torch.zeros(50, 1), torch.zeros(1, 1))
    drawn = torch.stack([kernels.attention_sum(block, *inputs, slope=0.2, dropout=0.5) for _ in range(400)])
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
        block = layer.block(("n", "e", "n")).double()
        assert block.num_src == len(values)
        values = kernels.weighted_sum(block, values)
    np.testing.assert_allclose(values.numpy(), expected[targets], rtol=1e-5, atol=1e-7)
    assert len(rows["n"]) == np.count_nonzero(np.linalg.matrix_power((whole > 0).astype(float), layers)[targets].any(0))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 6))
def test_sources_that_no_sum_can_tell_apart_are_merged_and_no_others(seed: int, nodes: int, own: int) -> None:
    draw, relation = np.random.default_rng(seed), ("n", "e", "n")
    own = min(own, nodes)
    edges = distinct(np.stack([draw.integers(0, nodes, 25), draw.integers(0, own, 25)]), nodes)
    leads = np.zeros((nodes, own))
    leads[edges[0], edges[1]] = draw.choice([1.0, 2.0, 3.0], edges.shape[1]) * draw.uniform(0.1, 2.0, nodes)[edges[0]]
    given_rows = {"n": np.arange(own)}
    (layer,), rows = receptive_field(
        {"n": nodes}, {relation: edges}, given_rows, 1, {relation: leads[edges[0], edges[1]]}
    )
    torch.set_default_dtype(torch.float64)
    try:
        block = merged(layer, relation).block(relation)
    finally:
        torch.set_default_dtype(torch.float32)
    x = draw.normal(size=(nodes, 2))[rows["n"]]
    means = block.merger.means(torch.from_numpy(x))
    assert len(means) == block.num_src
    found = kernels.weighted_sum(block, means).numpy()
    np.testing.assert_allclose(found, leads[rows["n"]].T @ x, rtol=1e-9, atol=1e-12)
    assert block.merger.row_of[:own].tolist() == list(range(own)), "targets stay where they are, each its own"
    columns = leads[rows["n"]][own:] / leads[rows["n"]][own:].sum(1, keepdims=True)
    assert block.num_src == own + len(np.unique(columns.round(6), axis=0))


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


@pytest.mark.parametrize("shape", [(3000, 33), (7, 33), (0, 4)])
def test_relu_and_dropout_in_one_pass_are_both_one_after_the_other(shape: tuple[int, int]) -> None:
    found = []
    for both in (relu_dropout, lambda x, *given: dropout(torch.relu(x), *given)):
        torch.manual_seed(0)
        x = torch.randn(shape, requires_grad=True)
        out = both(x, 0.3, True)
        (out * torch.arange(out.numel()).view(shape)).sum().backward()
        found.append((out, x.grad))
    torch.testing.assert_close(*found)
    assert relu_dropout(torch.full((400, 400), torch.nan), 0.5, True).isnan().any()


def sampled_sum(blocks: list[Block], rows: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    values = x[rows]
    for block in blocks:
        values = kernels.weighted_sum(block, values)
    return values


def test_neighbour_sampling_is_bounded_and_right_on_average() -> None:
    draw = np.random.default_rng(0)
    edges = distinct(draw.integers(0, 40, (2, 500)), 40)
    relation = ("n", "e", "n")
    layers, rows = receptive_field(
        {"n": 40}, {relation: edges}, {"n": np.arange(5)}, 2, {relation: mean_weights(edges, 40)}
    )
    blocks = [layer.block(relation) for layer in layers]
    x = torch.from_numpy(draw.normal(size=(len(rows["n"]), 3))).float()
    exact = sampled_sum(blocks, torch.arange(len(x)), x)
    torch.manual_seed(0)
    drawn = []
    for _ in range(800):
        found, needed = sample_blocks(blocks, np.arange(5), 3)
        assert all(block.rowptr.diff().max() <= 3 for block in found)
        drawn.append(sampled_sum(found, needed, x))
    torch.testing.assert_close(torch.stack(drawn).mean(0), exact, atol=0.06, rtol=0)
    everything, needed = sample_blocks(blocks, np.arange(5), 1000)
    torch.testing.assert_close(sampled_sum(everything, needed, x), exact)


@pytest.mark.parametrize("engine", ["fast", "pyg", "dgl"])
@pytest.mark.parametrize("name", ["GCN", "SAGE", "KGNN", "GAT", "HGAT", "RGCN"])
def test_backbones_train_on_sampled_neighbours_and_score_on_all(name: str, engine: str) -> None:
    if engine == "dgl":
        pytest.importorskip("dgl")
    config = {"layers": 2, "dropout": 0.0, "engine": engine}
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
