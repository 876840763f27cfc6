"""The picture of a training: loss parts and validation metric over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from l2aco.files import atomic_path
from l2aco.metrics import get_metric

NOT_LOSSES = ("epoch", "seconds", "learning_rate", "loss")


def plot_history(history: Sequence[Mapping[str, Any]], metric: str, title: str, path: Path) -> None:
    """Write a PNG with the parts of the loss on the left and the validation metric on the right."""
    from matplotlib.figure import Figure

    validation = f"valid_{metric}"
    parts = [name for name in history[0] if name not in NOT_LOSSES and name != validation]
    epochs = [record["epoch"] for record in history]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in parts:
        left.plot(epochs, [record[name] for record in history], label=name)
    left.set(xlabel="epoch", ylabel="training loss")
    left.legend(frameon=False)
    right.plot(epochs, [record[validation] for record in history], color="tab:green")
    right.set(xlabel="epoch", ylabel=f"validation {get_metric(metric).title}")
    figure.suptitle(title, fontsize=9)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
