"""The training loop, on a model small enough to see through: what it optimises, when it stops, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from any_bytes import feed, mutated
from torch import nn
from torch.nn import functional as F

from l2aco.errors import L2aCoError
from l2aco.models.base import Output
from l2aco.models.recipe import Recipe
from l2aco.runs.scoring import Rows, score_rows
from l2aco.training.checkpoint import load_state, save_state
from l2aco.training.loop import Fit, epoch_seed


class Toy(nn.Module):
    """Learned drug and cell embeddings with dropout, one auxiliary loss, and two stochastic passes on request."""

    def __init__(self, drugs: int = 8, cells: int = 5, passes: int = 1, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.drug, self.cell = nn.Embedding(drugs, 6), nn.Embedding(cells, 6)
        self.out = nn.Linear(6, 1)
        self.passes = passes

    def tables(self):
        return self.drug.weight, self.cell.weight

    def score(self, tables, a, b, c):
        drug, cell = tables
        return self.out(F.dropout((drug[a] + drug[b]) * cell[c], 0.3, self.training)).squeeze(-1)

    def forward(self, a, b, c):
        logits = torch.stack([self.score(self.tables(), a, b, c) for _ in range(self.passes)])
        return Output(logits, {"align_drug": 0.01 * self.drug.weight.square().mean()})


def rows(n: int = 200, seed: int = 0, one_class: bool = False) -> Rows:
    rng = np.random.default_rng(seed)
    a, b, c = rng.integers(0, 8, n), rng.integers(0, 8, n), rng.integers(0, 5, n)
    label = np.ones(n) if one_class else ((a + b + 3 * c) % 4 < 2).astype(float)
    return Rows(*(torch.as_tensor(x) for x in (a, b, c)), torch.as_tensor(label, dtype=torch.float32))


def fit(
    recipe: Recipe | None = None, seed: int = 3, train: Rows | None = None, valid: Rows | None = None, **toy
) -> Fit:
    recipe = recipe or Recipe(epochs=12, batch_size=32, learning_rate=0.02)
    return Fit(Toy(**toy), train or rows(), valid or rows(60, 1), recipe, seed)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: item.clone() for name, item in model.state_dict().items()}


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def without_time(history):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


def test_it_learns_and_leaves_the_best_weights_in_the_model():
    run = fit(Recipe(epochs=40, batch_size=32, learning_rate=0.03))
    state = run.run()
    losses = [record["task"] for record in state.history]
    assert losses[-1] < 0.8 * losses[0]
    values = [record["valid_auroc"] for record in state.history]
    assert state.best_value == max(values) and values[state.best_epoch - 1] == state.best_value
    assert all(torch.equal(run.model.state_dict()[name], item) for name, item in state.best.items())
    auroc = [record["valid_auroc"] for record in state.history][state.best_epoch - 1]
    from l2aco.metrics import compute

    now = compute(run.valid_rows.y.numpy(), score_rows(run.model, run.valid_rows), names=["auroc"])["auroc"]
    assert now == auroc


def test_the_same_seed_gives_the_same_numbers_whatever_the_global_random_state_was():
    first = fit()
    first.run()
    torch.manual_seed(999)
    torch.rand(17)
    second = fit()
    second.run()
    assert without_time(first.state.history) == without_time(second.state.history)
    assert same(first.model, second.model)
    other = fit(seed=4)
    other.run()
    assert without_time(other.state.history) != without_time(first.state.history)


@pytest.mark.parametrize("schedule", ["none", "one-cycle", "plateau"])
@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
def test_a_fit_that_was_interrupted_goes_on_with_identical_numbers(tmp_path, schedule, optimiser):
    recipe = Recipe(epochs=9, batch_size=32, learning_rate=0.02, schedule=schedule, optimiser=optimiser, patience=4)
    whole = fit(recipe)
    whole.run()

    class KilledError(Exception):
        pass

    def stop(record):
        if record["epoch"] == 4:
            save_state(broken, tmp_path / "state.pt")
            raise KilledError

    broken = fit(recipe)
    with pytest.raises(KilledError):
        broken.run(stop)
    resumed = fit(recipe, seed=3)
    load_state(resumed, tmp_path / "state.pt")
    assert resumed.state.epoch == 4
    resumed.run()
    assert without_time(resumed.state.history) == without_time(whole.state.history)
    assert same(resumed.model, whole.model)


def test_training_stops_when_the_metric_no_longer_improves_in_its_own_direction():
    for metric, higher in (("auroc", True), ("brier", False)):
        state = fit(Recipe(epochs=300, batch_size=64, learning_rate=0.05, patience=5, metric=metric)).run()
        values = [record[f"valid_{metric}"] for record in state.history]
        assert len(values) < 300
        assert state.best_epoch == len(values) - 5
        assert values[state.best_epoch - 1] == (max(values) if higher else min(values))


def test_gradient_accumulation_equals_a_larger_batch_without_dropout():
    def trained(recipe: Recipe) -> nn.Module:
        run = fit(recipe)
        run.model.score = lambda tables, a, b, c: run.model.out(  # the toy without its dropout
            (tables[0][a] + tables[0][b]) * tables[1][c]
        ).squeeze(-1)
        run.run()
        return run.model

    large = trained(Recipe(epochs=3, batch_size=100, learning_rate=0.02))
    parts = trained(Recipe(epochs=3, batch_size=50, learning_rate=0.02, grad_accumulation=2))
    small = trained(Recipe(epochs=3, batch_size=50, learning_rate=0.02))
    for a, b in zip(large.state_dict().values(), parts.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert not same(small, parts)


def test_the_gradient_of_accumulated_batches_is_their_mean():
    def gradients(recipe: Recipe) -> list[torch.Tensor]:
        run, seen = fit(recipe), []
        run.model.eval = run.model.train = lambda *_: run.model  # no dropout
        run.model.training = False
        run.optimiser.register_step_pre_hook(lambda *_: seen.append(run.model.out.weight.grad.clone()))
        run._epoch(1)
        return seen

    whole = gradients(Recipe(epochs=1, batch_size=200))
    parts = gradients(Recipe(epochs=1, batch_size=50, grad_accumulation=4))
    assert len(whole) == len(parts) == 1
    torch.testing.assert_close(parts[0], whole[0], rtol=1e-4, atol=1e-6)


def test_one_cycle_rises_to_the_learning_rate_and_falls_to_nothing_and_plateau_halves():
    recipe = Recipe(epochs=10, batch_size=50, learning_rate=0.02, schedule="one-cycle", patience=10)
    rates = [record["learning_rate"] for record in fit(recipe).run().history]
    top = rates.index(max(rates))
    assert 0 < top < 9 and max(rates) == pytest.approx(0.02, rel=0.05)
    assert rates[0] < 0.25 * max(rates) and rates[-1] < 0.1 * max(rates)
    recipe = Recipe(epochs=60, batch_size=50, learning_rate=0.5, schedule="plateau", patience=12)
    rates = [record["learning_rate"] for record in fit(recipe).run().history]
    assert set(rates) <= {0.5 / 2**n for n in range(20)} and min(rates) < 0.5


def test_passes_are_averaged_and_auxiliary_losses_are_added():
    run = fit(passes=3)
    record = run._epoch(1)
    assert record["loss"] == pytest.approx(record["task"] + record["align_drug"])
    assert 0.3 < record["task"] < 1.2, "three passes must be averaged, not summed"


def test_the_paper_weight_decay_is_a_sum_of_norms_and_a_part_of_the_loss():
    run = fit(Recipe(epochs=1, batch_size=10_000, weight_decay=0.1, weight_decay_kind="norms"))
    expected = 0.1 * sum(item.norm().item() for item in run.model.parameters())
    assert run._epoch(1)["norms"] == pytest.approx(expected, rel=1e-5)


def test_decoupled_decay_shrinks_matrices_and_spares_biases():
    groups = fit(Recipe(weight_decay=0.1)).optimiser.param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert all(item.ndim == 1 for item in groups[1]["params"])


def test_fewer_rows_than_a_batch_and_a_single_stray_row_are_trained_on():
    assert fit(train=rows(7)).run().epoch > 0
    run = fit(Recipe(epochs=1, batch_size=100), train=rows(201))
    sizes = [len(batch) for group in run._groups() for batch in group]
    assert sum(sizes) == 201 and max(sizes) <= 100 and min(sizes) >= 67


def test_every_row_is_seen_once_an_epoch():
    numbered = rows(50)
    run = fit(Recipe(epochs=1, batch_size=8), train=Rows(numbered.a, numbered.b, numbered.c, torch.arange(50.0)))
    seen = torch.cat([batch.y for group in run._groups() for batch in group])
    assert sorted(seen.tolist()) == list(range(50)) and seen.tolist() != list(range(50))


def test_one_class_only_in_validation_trains_to_the_end_on_the_last_weights():
    state = fit(Recipe(epochs=6, batch_size=32, patience=2), valid=rows(20, one_class=True)).run()
    assert state.epoch == 6 and state.best_epoch == 6 and np.isnan(state.best_value)


def test_a_loss_that_is_no_number_stops_with_the_part_and_a_remedy():
    run = fit()
    with torch.no_grad():
        run.model.out.weight[0, 0] = float("nan")
    with pytest.raises(L2aCoError, match=r"NaN or infinite in epoch 1 \(task\)") as caught:
        run.run()
    assert "learning_rate=" in caught.value.remedy


def test_weights_that_break_after_the_last_loss_are_not_kept():
    run = fit(Recipe(epochs=1, batch_size=200, learning_rate=1e38))
    with pytest.raises(L2aCoError, match="predictions of the validation rows became NaN or infinite in epoch 1"):
        run.run()


def test_an_undefined_validation_value_never_replaces_a_number(monkeypatch):
    values = iter([0.5, float("nan"), 0.3, float("nan"), 0.4, 0.45])
    monkeypatch.setattr("l2aco.training.loop.compute", lambda *_, names: {name: next(values) for name in names})
    run = fit(Recipe(epochs=6, batch_size=32, patience=5, metric="mcc"))
    kept = {}
    run.run(lambda record: kept.setdefault(record["epoch"], weights(run.model)))
    assert (run.state.best_epoch, run.state.best_value) == (1, 0.5)
    assert all(torch.equal(kept[1][name], value) for name, value in run.model.state_dict().items())


def test_half_precision_trains_to_nearly_the_same_losses():
    recipe = Recipe(epochs=3, batch_size=32, learning_rate=0.02)
    full, half = (fit(recipe.model_copy(update={"precision": kind})).run().history for kind in ("fp32", "bf16"))
    assert [record["loss"] for record in half] == pytest.approx([record["loss"] for record in full], rel=0.02)
    assert [record["loss"] for record in half] != [record["loss"] for record in full]


def test_epoch_seeds_do_not_collide():
    seeds = {epoch_seed(seed, epoch) for seed in range(40) for epoch in range(40)}
    assert len(seeds) == 1600


def test_any_state_of_an_unfinished_run(tmp_path):
    path = tmp_path / "state.pt"
    stopped = fit(Recipe(epochs=1, batch_size=32))
    stopped.run()
    save_state(stopped, path)

    def read(data):
        path.write_bytes(data)
        load_state(fit(), path)

    feed(mutated(path.read_bytes()), read)
