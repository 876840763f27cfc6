"""The picture of a training: loss parts and validation metric over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.metrics import compute, get_metric
from l2aco.pictures import PAGE, legend, new_picture, save_picture

if TYPE_CHECKING:
    from l2aco.training.prepare import Setup

NOT_LOSSES = ("epoch", "seconds", "learning_rate", "loss")


def plot_history(
    history: Sequence[Mapping[str, Any]],
    metric: str,
    title: str,
    path: Path,
    *,
    best_epoch: int,
    naive: tuple[str, float] | None = None,
) -> None:
    """Write a PNG and an SVG with the parts of the loss on the left and the validation metric on the right.

    best_epoch: the one whose weights are kept. naive: name and value of a naive predictor on the same rows.
    """
    from matplotlib.ticker import MaxNLocator

    validation = f"valid_{metric}"
    parts = [name for name in history[0] if name not in NOT_LOSSES and name != validation]
    epochs = [record["epoch"] for record in history]
    figure, (left, right) = new_picture(PAGE, 2.7, panels=2, title=title)
    for name in parts:
        left.plot(epochs, [record[name] for record in history], label=name, marker="." if len(epochs) < 2 else None)
    left.set(xlabel="epoch", ylabel="training loss")
    legend(left)
    measured = [record[validation] for record in history]
    right.plot(epochs, measured, color="tab:green", label="this run")
    if best_epoch in epochs:
        right.plot(
            best_epoch, measured[epochs.index(best_epoch)], "o", color="tab:green", label=f"kept: epoch {best_epoch}"
        )
    if naive is not None:
        right.axhline(naive[1], color="black", linewidth=0.8, linestyle="--", label=f"{naive[0]} ({naive[1]:.3f})")
    right.set(xlabel="epoch", ylabel=f"{get_metric(metric).title}, validation rows")
    legend(right)
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    save_picture(figure, path)


def best_naive(setup: Setup, metric: str) -> tuple[str, float] | None:
    """The naive predictor of labels, fitted on training rows, that does best on the validation rows, and its value."""
    from l2aco.runs.naive import MEANS

    triples, split = setup.dataset.triples, setup.split
    asked = triples.take(split.valid)
    found = {}
    for name, make in MEANS.items():
        model = make()
        model.fit(triples, split.train)
        predicted = model.predict(asked.drug_a, asked.drug_b, asked.cell_line)
        found[name] = compute(asked.label, predicted, threshold=float(triples.label[split.train].mean()))[metric]
    known = {name: value for name, value in found.items() if np.isfinite(value)}
    choose = max if get_metric(metric).higher else min
    return choose(known.items(), key=lambda item: item[1]) if known else None
