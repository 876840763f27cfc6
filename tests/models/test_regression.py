"""Numbers of a store as an auxiliary target: known ones alone, columns as training entities show them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_data import CELLS, DRUGS, small_data

from l2aco.errors import InputError, UsageError
from l2aco.models.alignment import Aligner
from l2aco.models.assemble import build_model, with_vectors
from l2aco.models.backbones import backbones
from l2aco.models.base import Backbone
from l2aco.models.spec import AlignSpec
from l2aco.models.vectors import Knowledge, prepare_vectors

A, B, C = torch.tensor([0, 1, 9, 0]), torch.tensor([4, 5, 6, 4]), torch.tensor([0, 1, 2, 0])
NETWORKS = [entry.name for entry in backbones if issubclass(entry.load(), Backbone)]


def panel(seed: int = 0) -> np.ndarray:
    """Numbers of the lines: one column is the same for all, one known to two lines only."""
    numbers = np.random.default_rng(seed).normal(size=(CELLS, 4)).astype(np.float32)
    numbers[:, 1] = 3.0
    numbers[2:, 2] = np.nan
    return numbers


def store(numbers: np.ndarray, columns: tuple[str, ...] = ("a", "b", "c", "d")) -> Knowledge:
    nobody = np.zeros(DRUGS, dtype=bool)
    nothing = np.zeros((DRUGS, numbers.shape[1]), dtype=np.float32)
    return Knowledge("panel", "fields", nothing, nobody, numbers, np.ones(CELLS, dtype=bool), columns)


def build(
    numbers: np.ndarray, name: str = "MLP", columns: tuple[str, ...] = ("a", "b", "c", "d"), **more: Any
) -> Aligner:
    align = AlignSpec(loss="regression", **more)
    bare = small_data().inputs(backbones.load(name), train_drugs=np.arange(8), train_cells=np.arange(4))
    return build_model(name, {"dropout": 0.0}, with_vectors(bare, align, [store(numbers, columns)]), align)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns_to_predict_the_known_numbers(name: str) -> None:
    model = build(panel(), name, scope="train")
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    seen = []
    for _ in range(60):
        loss = model(A, B, C).losses["align_cell"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(loss.item())
    assert seen[0] > 0.5 and seen[-1] < 0.1 * seen[0]
    assert "align_drug" not in model(A, B, C).losses, "no store says a number of drugs"


def test_by_hand_over_the_distinct_lines_of_the_batch() -> None:
    numbers = panel()
    model = build(numbers)
    train, telling = numbers[:4], [0, 2, 3]
    target = ((numbers - np.nanmean(train, axis=0)) / np.nanstd(train, axis=0).clip(1e-6))[:, telling]
    views = model.backbone.pool(model.backbone.encode())[1].mean(dim=1)
    error = (model.numbers["cell"].head(views).detach().numpy() - target)[:3]
    assert model(A, B, C).losses["align_cell"].item() == pytest.approx(np.nanmean(error**2), rel=1e-4)


def test_what_is_not_known_and_lines_beyond_training_teach_nothing() -> None:
    numbers = panel()
    other = numbers.copy()
    other[4:] += 9.0
    one, two = (build(values, scope="train")(A, B, C).losses["align_cell"] for values in (numbers, other))
    assert torch.equal(one, two)
    everybody = build(other, scope="all")(A, B, C).losses["align_cell"]
    assert not torch.equal(everybody, build(numbers, scope="all")(A, B, C).losses["align_cell"])


def test_the_score_never_reads_the_numbers() -> None:
    one, two = (build(panel(seed)).eval() for seed in (0, 1))
    two.load_state_dict(one.state_dict())
    assert torch.equal(one.score(one.tables(), A, B, C), two.score(two.tables(), A, B, C))


def test_a_store_of_text_and_numbers_that_tell_nobody_apart_are_refused() -> None:
    for numbers, columns in ((panel().clip(0, 1) * 0 + 1, ("a", "b", "c", "d")), (np.nan_to_num(panel()), ())):
        with pytest.raises(InputError, match="predicts numbers"):
            build(numbers, columns=columns)


def test_what_it_does_not_go_with_is_refused(lab, cli) -> None:
    from l2aco.training.request import make_spec

    for more in ({"align.fusion": "add"}, {"align.impute": True}):
        with pytest.raises(UsageError, match="only teaches"):
            make_spec({"align.loss": "regression", **more}, [], lab)
    said = cli("train", "--backbone", "MLP", "--align", "regression", "--set", "epochs=1", code=1).stderr
    assert "reference--toy holds text" in said and "--store reference-panel--fields" in said


def test_random_numbers_are_numbers_where_numbers_were() -> None:
    numbers = panel()
    lines = small_data().cell_lines
    align = AlignSpec(loss="regression", vectors="random")
    drawn = prepare_vectors(lines, numbers, None, align, seed=0, columns=("a", "b", "c", "d")).values
    assert np.array_equal(np.isnan(drawn), np.isnan(numbers)) and not np.allclose(drawn, numbers, equal_nan=True)
    np.testing.assert_allclose(
        np.linalg.norm(np.nan_to_num(drawn), axis=1), np.linalg.norm(np.nan_to_num(numbers), axis=1), rtol=1e-4
    )


def test_a_run_on_a_panel_predicts_newcomers_by_their_features(lab, cli) -> None:
    from l2aco.runs.run import open_run

    cli("embed", "reference-panel", "--encoder", "fields")
    given = ("--backbone", "MLP", "--align", "regression", "--store", "reference-panel--fields")
    cli("train", *given, "--set", "epochs=3")
    run = open_run(None, lab)
    assert run.history[-1]["align_cell"] < run.history[0]["align_cell"]
    assert "f0-regression-s0" in run.id
    (lab.root / "new.csv").write_text("name,kind,tissue\nX1,cell_line,skin\n")
    cli("predict", "--drug-a", "DB00530", "--drug-b", "DB00317", "--cell", "X1", "--entities", "new.csv")
