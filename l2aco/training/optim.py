"""Optimiser, learning-rate schedule and weight decay from a recipe."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.optim.adam import adam

from l2aco.metrics import get_metric
from l2aco.models.compiled.sums import Unwritten
from l2aco.models.recipe import Recipe


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam or AdamW over every trainable parameter.

    Decoupled decay touches matrices and tables only: a decayed bias or normalisation gain regularises nothing.
    The paper's decay is a term of the loss instead, see `norm_penalty`.
    """
    parameters = [item for item in model.parameters() if item.requires_grad]
    decay = recipe.weight_decay if recipe.weight_decay_kind == "decoupled" else 0.0
    groups: list[dict[str, Any]] = [{"params": parameters, "weight_decay": 0.0}]
    if decay:
        groups = [
            {"params": [item for item in parameters if item.ndim > 1], "weight_decay": decay},
            {"params": [item for item in parameters if item.ndim <= 1], "weight_decay": 0.0},
        ]
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" or decay else TableAdam
    # fused: one pass over each table instead of a dozen; a sixth of the time on a CPU, where it is not the default
    return kind([group for group in groups if group["params"]], lr=recipe.learning_rate, fused=True)


class TableAdam(torch.optim.Adam):
    """Adam that takes the gradient of a table unwritten (`models.graph.loops.Unwritten`), in less time.

    The numbers and the state are those of torch's; a row that stands for several nodes moves as the mean of theirs
    would (`models.graph.blocks.Merger`). Gradients are taken so from a `backward()` inside `tables()`, and only there;
    elsewhere they are in `grad`, as for any other optimiser.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        self._unwritten: dict[Any, list[Any]] = {item: [] for item in parameters if item.device.type == "cpu"}

    @contextmanager
    def tables(self) -> Iterator[None]:
        """For a `backward()` inside."""
        for parameter, unwritten in self._unwritten.items():
            parameter.unwritten = unwritten
        try:
            yield
        finally:
            for parameter in self._unwritten:
                del parameter.unwritten

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            written = []
            for parameter in group["params"]:
                if unwritten := self._unwritten.get(parameter):
                    self._update_table(parameter, Unwritten.total(unwritten, parameter.grad), group)
                elif parameter.grad is not None:
                    written.append(parameter)
            self._update(written, group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
                self._unwritten.get(parameter, []).clear()

    def _update(self, parameters: list[Any], group: dict[str, Any]) -> None:
        states = [self._state(parameter) for parameter in parameters]
        means, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
        options = {"lr": group["lr"], "eps": group["eps"], "weight_decay": 0.0, "amsgrad": False, "maximize": False}
        beta1, beta2 = group["betas"]
        gradients = [parameter.grad for parameter in parameters]
        adam(parameters, gradients, means, squares, [], steps, fused=True, beta1=beta1, beta2=beta2, **options)

    def _update_table(self, table: Any, gradient: Any, group: dict[str, Any]) -> None:
        state = self._state(table)
        state["step"] += 1
        moments = state["exp_avg"], state["exp_avg_sq"]
        gradient.adam(table, *moments, group["betas"], group["eps"], float(group["lr"]), int(state["step"]))

    def _state(self, parameter: Any) -> dict[str, torch.Tensor]:
        state: dict[str, torch.Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state


def backward(loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Add the gradients of `loss` to those that the optimiser's next step takes."""
    with optimizer.tables() if isinstance(optimizer, TableAdam) else nullcontext():
        loss.backward()


def norm_penalty(model: nn.Module, recipe: Recipe) -> torch.Tensor | None:
    """weight decay x the sum of the 2-norms (not squared) of all parameters, as in the paper's code; else None."""
    if recipe.weight_decay_kind != "norms" or recipe.weight_decay == 0:
        return None
    norms = torch._foreach_norm([item for item in model.parameters() if item.requires_grad])
    return recipe.weight_decay * torch.stack(norms).sum()


class Schedule:
    """The learning rate over steps (one-cycle) or over validation values (plateau), or constant.

    `after_step` is called after every optimiser step, `after_epoch` with the validation value of an epoch.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: Recipe, steps_per_epoch: int) -> None:
        self.kind = recipe.schedule
        self._scheduler: Any = None
        if recipe.schedule == "one-cycle":
            self._scheduler = torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=recipe.learning_rate,
                total_steps=max(recipe.epochs * steps_per_epoch, 2),
                pct_start=0.3,
                cycle_momentum=False,
            )
        elif recipe.schedule == "plateau":
            self._scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer,
                mode="max" if get_metric(recipe.metric).higher else "min",
                factor=0.5,
                patience=max(recipe.patience // 4, 1),
            )

    def after_step(self) -> None:
        if self.kind == "one-cycle":
            self._scheduler.step()

    def after_epoch(self, value: float) -> None:
        if self.kind == "plateau" and not math.isnan(value):
            self._scheduler.step(value)

    def state_dict(self) -> dict[str, Any]:
        return {} if self._scheduler is None else self._scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._scheduler is not None:
            self._scheduler.load_state_dict(state)
