"""`compile=true` trains to the same numbers as the model itself."""

from __future__ import annotations

import shutil

import pytest
import torch
from small_data import CELLS, DRUGS, build_model, small_data, vectors

from l2aco.models.recipe import Recipe
from l2aco.models.spec import AlignSpec
from l2aco.runs.scoring import Rows
from l2aco.training.loop import Fit, Record

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
SLOW = pytest.mark.long  # half a minute to several minutes of compilation each


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", ["RGCN", *(pytest.param(name, marks=SLOW) for name in ("GCN", "KGNN", "GAT", "HGAT", "HAN", "MLP"))]
)
def test_compiled_training_follows_the_same_losses(name: str) -> None:
    plain, compiled = history(name, compiled=False), history(name, compiled=True)
    assert plain[0]["loss"] != pytest.approx(plain[1]["loss"], rel=1e-2)
    assert [record["loss"] for record in compiled] == pytest.approx([record["loss"] for record in plain], rel=1e-4)


def history(name: str, *, compiled: bool) -> list[Record]:
    """Two epochs without dropout, whose random numbers a compiled model draws in another order."""
    model = build_model(name, {"dropout": 0.0}, small_data(), AlignSpec(), **vectors())
    generator = torch.Generator().manual_seed(0)
    recipe = Recipe(epochs=2, batch_size=20, compile=compiled)
    return Fit(model, rows(60, generator), rows(30, generator), recipe, seed=0).run().history


def rows(count: int, generator: torch.Generator) -> Rows:
    a, b = torch.randint(0, DRUGS, (2, count), generator=generator)
    c = torch.randint(0, CELLS, (count,), generator=generator)
    return Rows(a, b, c, (torch.rand(count, generator=generator) < 0.5).float())
