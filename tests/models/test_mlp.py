"""MLP on what it may find: all features, some, none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_data import CELLS, DRUGS, build_model, small_data

from l2aco.data.features.table import FeatureTable
from l2aco.entities import EntityKind
from l2aco.errors import InputError
from l2aco.models.spec import AlignSpec
from l2aco.testing import Example

ALONE = AlignSpec(loss="none")
TRAIN = np.array([0, 2, 3])


def nameless() -> Example:
    """Nothing is known of any entity: no graph, no fingerprint, no tissue, no expression."""
    data = small_data()
    data.graph = None
    data.features = {
        "morgan": FeatureTable(EntityKind.drug, np.zeros((DRUGS, 32), np.uint8), np.zeros(DRUGS, bool)),
        "tissue": FeatureTable(EntityKind.cell_line, np.zeros((CELLS, 0), np.float32), np.zeros(CELLS, bool)),
    }
    return data


def test_without_any_feature_it_learns_embeddings() -> None:
    model = build_model("MLP", {"dropout": 0.0}, nameless(), ALONE)
    a, b, c = torch.tensor([0, 1, 2, 3]), torch.tensor([4, 5, 6, 7]), torch.tensor([0, 0, 1, 1])
    wanted = torch.tensor([1.0, 0.0, 0.0, 1.0])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(200):
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(model(a, b, c).logits[0], wanted).backward()
        optimiser.step()
    model.eval()
    assert torch.equal(model.score(model.tables(), a, b, c) > 0, wanted > 0)
    drugs, lines = model.backbone.measured()
    assert not drugs.any() and not lines.any()


def test_expression_is_standardised_on_the_training_lines_alone() -> None:
    data = small_data()
    values = build_model("MLP", {}, data, ALONE, train_cells=TRAIN).backbone.cell.values[:, 2:]
    torch.testing.assert_close(values[TRAIN].mean(0), torch.zeros(6), atol=1e-6, rtol=0)
    data.features["expression"].values[4] *= 100
    again = build_model("MLP", {}, data, ALONE, train_cells=TRAIN).backbone.cell.values[:, 2:]
    torch.testing.assert_close(again[TRAIN], values[TRAIN])
    assert not torch.allclose(again[4], values[4])


def test_where_no_training_line_has_expression_none_is_read() -> None:
    data = small_data()
    table = data.features["expression"]
    known = np.arange(CELLS) == 5
    data.features["expression"] = FeatureTable(table.kind, 1e4 * table.values * known[:, None], known)
    values = build_model("MLP", {}, data, ALONE, train_cells=TRAIN).backbone.cell.values[:, 2:]
    assert torch.equal(values, torch.zeros(CELLS, 6))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (FeatureTable(EntityKind.drug, np.ones((DRUGS, 4), np.float32), np.ones(DRUGS, bool)), "describes a drug"),
        (FeatureTable(EntityKind.cell_line, np.ones((CELLS, 4, 2)), np.ones(CELLS, bool)), "shape"),
        (FeatureTable(EntityKind.cell_line, np.full((CELLS, 4), np.nan), np.ones(CELLS, bool)), "not finite"),
    ],
)
def test_what_is_no_expression_is_refused(table: FeatureTable, expected: str) -> None:
    data = small_data()
    data.features["expression"] = table
    with pytest.raises(InputError, match=expected):
        build_model("MLP", {}, data, ALONE)


@pytest.mark.parametrize("shift", [0.0, -1.0])
def test_counts_go_through_a_logarithm_and_signed_values_do_not(shift: float) -> None:
    data = small_data()
    table = data.features["expression"]
    levels = np.exp(table.values * 3) + shift
    data.features["expression"] = FeatureTable(table.kind, levels, np.ones(CELLS, bool))
    data.features["expression"].values[0, 0] = min(shift, 0.0)
    values = build_model("MLP", {}, data, ALONE, train_cells=TRAIN).backbone.cell.values[:, 3]
    raw = levels[:, 1] if shift else np.log2(1 + levels[:, 1])
    expected = (raw - raw[TRAIN].mean()) / raw[TRAIN].std()
    torch.testing.assert_close(values.numpy(), expected.astype(np.float32), rtol=1e-4, atol=1e-5)
