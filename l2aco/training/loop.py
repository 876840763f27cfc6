"""The one training loop: the only place that asks for gradients.

A batch is three index tensors (n,) and labels (n,) on the device; the model encodes the entities once a step and
gathers. The loss is binary cross-entropy with logits, averaged over the model's stochastic passes, plus the sum of the
losses that the model itself reports (alignment, R-drop), plus the paper's weight decay where asked for, plus one minus
the correlation of the logits with the score where that is a target too.

Every epoch draws its shuffle and its dropout from a seed of its own, so that a run that was interrupted goes on
with exactly the numbers it would have had, and no random state has to be saved.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from l2aco.errors import L2aCoError, UnavailableError
from l2aco.metrics import compute, get_metric
from l2aco.models.base import ScoringModel
from l2aco.models.losses import correlation_loss
from l2aco.models.recipe import Recipe
from l2aco.runs.scoring import Rows, score_rows
from l2aco.training.optim import Schedule, make_optimiser, norm_penalty

Record = dict[str, Any]
"""One epoch of the history: epoch, seconds, learning_rate, loss, its parts, and `valid_<metric>`."""


@dataclass
class FitState:
    """How far a fit is, and the best weights seen: all that is needed to go on from the end of an epoch."""

    epoch: int = 0
    best_epoch: int = 0
    best_value: float = math.nan
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    history: list[Record] = field(default_factory=list)

    def exhausted(self, recipe: Recipe) -> bool:
        return self.epoch >= recipe.epochs or self.epoch - self.best_epoch >= recipe.patience


class Fit:
    """A model on its way through a recipe. `run` trains to the end and leaves the best weights in the model.

    `state`, `optimiser` and `schedule` are what `training.checkpoint` saves and restores.
    """

    def __init__(self, model: ScoringModel, train: Rows, valid: Rows, recipe: Recipe, seed: int) -> None:
        self.model, self.train_rows, self.valid_rows = model, train, valid
        self.recipe, self.seed = recipe, seed
        self.metric = get_metric(recipe.metric)
        self.batches = math.ceil(len(train) / recipe.batch_size)
        self.optimiser = make_optimiser(model, recipe)
        self.schedule = Schedule(self.optimiser, recipe, math.ceil(self.batches / recipe.grad_accumulation))
        self.state = FitState()
        self._forward: Callable[..., Any] = torch.compile(model) if recipe.compile else model  # type: ignore[call-overload]

    def run(self, after_epoch: Callable[[Record], None] = lambda record: None) -> FitState:
        """Train until the epochs or the patience run out; `after_epoch` sees every new line of the history."""
        while not self.state.exhausted(self.recipe):
            record = self._epoch(self.state.epoch + 1)
            value = record[f"valid_{self.metric.name}"]
            self.schedule.after_epoch(value)
            self._remember(record, value)
            after_epoch(record)
        self.model.load_state_dict(self.state.best)
        return self.state

    def _remember(self, record: Record, value: float) -> None:
        state = self.state
        state.epoch = record["epoch"]
        state.history.append(record)
        # As long as no epoch had a usable validation value the newest weights are the best that can be known.
        if self.metric.better(value, state.best_value) or (math.isnan(value) and math.isnan(state.best_value)):
            state.best_value, state.best_epoch = value, state.epoch
            state.best = {name: item.detach().clone() for name, item in self.model.state_dict().items()}

    def _epoch(self, epoch: int) -> Record:
        started = time.perf_counter()
        torch.manual_seed(epoch_seed(self.seed, epoch))
        self.model.train()
        rate = self.optimiser.param_groups[0]["lr"]
        names: list[str] = []
        seen: list[torch.Tensor] = []
        for group in self._groups():
            for batch in group:
                parts = self._losses(batch)
                names = list(parts)
                values = torch.stack(list(parts.values()))
                (values.sum() / len(group)).backward()
                seen.append(values.detach())
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            self.schedule.after_step()
        losses = self._means(names, torch.stack(seen), epoch)
        probabilities = score_rows(self.model, self.valid_rows)
        if not np.isfinite(probabilities).all():
            raise not_finite("predictions of the validation rows", epoch, self)
        metric = compute(self.valid_rows.y.cpu().numpy(), probabilities, names=[self.metric.name])
        return {
            "epoch": epoch,
            "seconds": round(time.perf_counter() - started, 4),
            "learning_rate": rate,
            "loss": sum(losses.values()),
            **losses,
            f"valid_{self.metric.name}": metric[self.metric.name],
        }

    def _means(self, names: list[str], values: torch.Tensor, epoch: int) -> dict[str, float]:
        """Means of the parts of the loss over the steps of an epoch (steps, parts), read from the device once."""
        if not (finite := values.isfinite()).all():
            first = finite[int((~finite).any(dim=1).int().argmax())]
            broken = [name for name, good in zip(names, first.tolist(), strict=True) if not good]
            raise not_finite("the loss", epoch, self, broken)
        return dict(zip(names, values.double().mean(dim=0).tolist(), strict=True))

    def _groups(self) -> Iterator[list[Rows]]:
        """Shuffled batches, in groups that share an optimiser step."""
        order = torch.randperm(len(self.train_rows)).to(self.train_rows.y.device)
        batches = iter(self.train_rows.batches(order, self.batches))
        while group := list(islice(batches, self.recipe.grad_accumulation)):
            yield group

    def _losses(self, batch: Rows) -> dict[str, torch.Tensor]:
        kind = batch.y.device.type
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            try:
                output = self._forward(batch.a, batch.b, batch.c)
            except torch._dynamo.exc.BackendCompilerFailed as error:
                reason = str(error).splitlines()[0]
                raise UnavailableError(
                    f"torch.compile failed: {reason}", remedy="Train without it: --set compile=false"
                ) from None
        logits = output.logits.float() if batch.offset is None else output.logits.float() + batch.offset
        task = F.binary_cross_entropy_with_logits(logits, batch.y.expand_as(logits))
        parts = {"task": task}
        if batch.target is not None:
            parts["target"] = self.recipe.target_weight * correlation_loss(logits, batch.target)
        parts |= {name: part.float() for name, part in output.losses.items()}
        if (penalty := norm_penalty(self.model, self.recipe)) is not None:
            parts["norms"] = penalty
        return parts


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed for one epoch of one run; neighbouring seeds and epochs share no stream."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def not_finite(what: str, epoch: int, fit: Fit, parts: Sequence[str] = ()) -> L2aCoError:
    """The error for a training that has diverged; `parts` of the loss did so first."""
    rate = fit.recipe.learning_rate
    full = ", or use full precision: --set precision=fp32" if fit.recipe.precision == "bf16" else ""
    return L2aCoError(
        f"{what} became NaN or infinite in epoch {epoch}" + (f" ({', '.join(parts)})" if parts else ""),
        remedy=f"Lower the learning rate (it is {rate:g}): --set learning_rate={rate / 10:g}{full}",
    )
