"""The pair head in compiled loops is the head in torch operations, dropout and gradients included."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l2aco.models import heads
from l2aco.models.heads import PairHead


def outcome(head: PairHead, inputs: list[torch.Tensor], rows: list[torch.Tensor]) -> list[torch.Tensor]:
    """Logits and all gradients, with the same random numbers every time."""
    torch.manual_seed(1)
    logits = head(*inputs, *rows)
    weight = torch.linspace(-1, 2, len(logits), dtype=logits.dtype)
    return [logits, *torch.autograd.grad((logits * weight).sum(), [*inputs, *head.parameters()])]


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1000),
    drugs=st.integers(1, 9),
    cells=st.integers(1, 5),
    triples=st.integers(1, 12),
    rate=st.sampled_from([0.0, 0.2, 0.5]),
    training=st.booleans(),
)
def test_the_compiled_head_is_the_head(seed: int, drugs: int, cells: int, triples: int, rate: float, training: bool):
    draw = np.random.default_rng(seed)
    head = PairHead(4, 3, 5, rate, symmetric=True).double().train(training)
    inputs = [torch.from_numpy(draw.normal(size=shape)).requires_grad_() for shape in ((drugs, 4), (cells, 3))]
    rows = [torch.from_numpy(draw.integers(0, count, triples)) for count in (drugs, drugs, cells)]
    found = outcome(head, inputs, rows)
    with mock.patch.object(heads, "for_cpu", return_value=False):
        expected = outcome(head, inputs, rows)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("row", [-1, 3])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_rows_outside_the_tables_are_refused(row: int, place: int) -> None:
    head = PairHead(4, 4, 5, 0.0, symmetric=True)
    rows = [torch.zeros(4, dtype=torch.int64) for _ in range(3)]
    rows[place][2] = row
    with pytest.raises(IndexError):
        head(torch.randn(3, 4), torch.randn(3, 4), *rows)


def test_a_drug_that_is_not_finite_makes_its_own_logits_not_finite() -> None:
    head = PairHead(4, 4, 5, 0.2, symmetric=True)
    drug, cell = torch.randn(3, 4), torch.randn(2, 4)
    drug[1] = torch.nan
    logits = head(drug, cell, torch.tensor([0, 1, 2]), torch.tensor([2, 2, 0]), torch.tensor([0, 1, 1]))
    assert logits.isnan().tolist() == [False, True, False]
