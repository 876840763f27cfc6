"""Who may watch a training: the live table of the command line, Weights & Biases, TensorBoard, your own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.errors import UnavailableError, UnknownNameError
from l2aco.metrics import get_metric

if TYPE_CHECKING:
    from l2aco.runs.spec import TrainSpec
    from l2aco.workspace import Workspace


class Callback:
    """Watches one training; every method may be left as it is."""

    @contextmanager
    def watching(self, name: str, spec: TrainSpec) -> Iterator[None]:
        """Around the training of the run `name`."""
        yield

    def epoch(self, record: Mapping[str, Any]) -> None:
        """After every epoch: epoch, seconds, learning_rate, loss, its parts and valid_<metric>."""

    def end(self, metrics: Mapping[str, Any]) -> None:
        """After the run is saved, with the content of its metrics.json."""


class EpochTable(Callback):
    """One line an epoch, under a header: the loss and its parts, the validation metric, a star at the best so far."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    @contextmanager
    def watching(self, name: str, spec: TrainSpec) -> Iterator[None]:
        self._best = math.nan
        self._header = True
        yield

    def epoch(self, record: Mapping[str, Any]) -> None:
        metric = get_metric(next(name for name in record if name.startswith("valid_")).removeprefix("valid_"))
        if self._header:
            self._say("  ".join(f"{name:>12}" for name in record))
            self._header = False
        value = record[f"valid_{metric.name}"]
        star = " *" if metric.better(value, self._best) else ""
        if star:
            self._best = value
        cells = (f"{item:12d}" if isinstance(item, int) else f"{item:12.4g}" for item in record.values())
        self._say("  ".join(cells) + star)


class TensorBoard(Callback):
    """Writes event files to `folder/<run>`."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _no_tracking("tensorboard") from error
        self._open, self.folder = SummaryWriter, folder

    @contextmanager
    def watching(self, name: str, spec: TrainSpec) -> Iterator[None]:
        with self._open(str(self.folder / name)) as self._writer:
            yield

    def epoch(self, record: Mapping[str, Any]) -> None:
        for name, value in record.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, record["epoch"])

    def end(self, metrics: Mapping[str, Any]) -> None:
        for name, value in metrics["test"]["pooled"].items():
            self._writer.add_scalar(f"test/{name}", value)


class WeightsAndBiases(Callback):
    """Logs to Weights & Biases; project and key come from its own environment variables."""

    def __init__(self, folder: Path) -> None:
        try:
            import wandb
        except ImportError as error:
            raise _no_tracking("wandb") from error
        self._wandb, self.folder = wandb, folder

    @contextmanager
    def watching(self, name: str, spec: TrainSpec) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = spec.model_dump(mode="json")
        with self._wandb.init(name=name, config=config, dir=str(self.folder)) as self._run:
            yield

    def epoch(self, record: Mapping[str, Any]) -> None:
        self._run.log(dict(record), step=record["epoch"])

    def end(self, metrics: Mapping[str, Any]) -> None:
        self._run.summary.update({f"test/{name}": value for name, value in metrics["test"]["pooled"].items()})


TRACKERS = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def make_trackers(names: list[str], workspace: Workspace) -> list[Callback]:
    """The trackers called `names`; their files go to runs/.tracking. Raises UnavailableError without the extra."""
    for name in names:
        if name not in TRACKERS:
            raise UnknownNameError("tracker", name, TRACKERS)
    return [TRACKERS[name](workspace.runs / ".tracking" / name) for name in names]


def _no_tracking(package: str) -> UnavailableError:
    return UnavailableError(f"{package} is not installed", remedy="Install it with: pip install 'l2aco[tracking]'")
