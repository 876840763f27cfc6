"""Encoding with a model in this process: one loop for every library.

Texts are tokenised once and sorted by length; a batch holds as many as fit a budget of padded tokens, so that
no batch carries more padding than needed and memory stays bounded. With several GPUs each takes the next
batch.
"""

from __future__ import annotations

import copy
import queue
import threading
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.embeddings.encoders.base import Encoder
from l2aco.embeddings.encoders.fetch import model_folder
from l2aco.errors import L2aCoError, UnavailableError, UsageError
from l2aco.progress import Advance, Progress

if TYPE_CHECKING:
    import torch

BATCH_TOKENS = {"cpu": 4096, "cuda": 65536, "mps": 16384}
"""Padded tokens in one batch, by device type: enough to fill it, small enough for its caches and memory."""


@dataclass
class Window:
    """One run of the model: at most a window of token ids of text number `text`."""

    text: int
    ids: list[int]


class LocalEncoder(Encoder):
    """An encoder whose model runs here. A child says how to load it and how a batch becomes vectors."""

    _models: list[tuple[str, Any]] | None = None
    tokenizer: Any = None

    @abstractmethod
    def _load(self, folder: Path, device: str, dtype: torch.dtype) -> tuple[Any, Any]:
        """(tokenizer, model) from a folder, the model in evaluation mode on `device`."""

    @abstractmethod
    def _forward(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(b, D) pooled vectors of a padded batch of token ids (b, t)."""

    def _encode(self, texts: list[str], progress: Progress) -> np.ndarray:
        models = self._ready(progress)
        windows = self._windows(texts)
        order = sorted(windows, key=lambda window: len(window.ids), reverse=True)
        batches = _batches(order, BATCH_TOKENS[models[0][0].split(":")[0]])
        self.stats.tokens = sum(len(window.ids) for window in windows)
        vectors = np.zeros((len(texts), self.spec.dimension), dtype=np.float32)
        with progress.task(f"embedding with {self.spec.name}", total=len(windows), unit="texts") as advance:
            for batch, rows in self._run(models, batches, advance):
                rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
                weights = np.array([len(window.ids) for window in batch], dtype=np.float32)
                np.add.at(vectors, [window.text for window in batch], rows * weights[:, None])
        return vectors

    def _ready(self, progress: Progress) -> list[tuple[str, Any]]:
        """(device, model) pairs, loaded on the first call; one replica for each GPU that is used."""
        if self._models is None:
            import torch

            devices = _devices(self.device)
            dtype = _dtype(devices[0], self.precision)
            self.used_precision = {torch.float16: "fp16", torch.bfloat16: "bf16"}.get(dtype, "fp32")
            folder = model_folder(self.spec)
            progress.say(f"Loading {self.spec.name} on {', '.join(devices)} ({self.used_precision}) ...")
            try:
                self.tokenizer, model = self._load(folder, devices[0], dtype)
            except L2aCoError:
                raise
            except Exception as error:  # whatever a library says of a model's files
                said = (str(error) or type(error).__name__).splitlines()[0][:300]
                raise UnavailableError(
                    f"the model of {self.spec.name} cannot be loaded: {said}", where=folder
                ) from error
            replicas = [copy.deepcopy(model).to(device) for device in devices[1:]]
            self._models = list(zip(devices, [model, *replicas], strict=True))
        return self._models

    def _windows(self, texts: list[str]) -> list[Window]:
        """Token ids of every text; a longer one is cut, or becomes several windows."""
        windows: list[Window] = []
        long: list[int] = []
        for start in range(0, len(texts), 1024):
            coded = self.tokenizer(
                texts[start : start + 1024],
                truncation=True,
                max_length=self.spec.window,
                return_overflowing_tokens=True,
                return_attention_mask=False,
                return_token_type_ids=False,
            )
            last = -1
            for ids, sample in zip(coded["input_ids"], coded["overflow_to_sample_mapping"], strict=True):
                number = start + int(sample)
                if number == last and (not long or long[-1] != number):
                    long.append(number)
                if number != last or self.spec.long == "chunk":
                    windows.append(Window(number, ids))
                last = number
        self.stats.long = tuple(long)
        return windows

    def _run(
        self, models: list[tuple[str, Any]], batches: list[list[Window]], advance: Advance
    ) -> list[tuple[list[Window], np.ndarray]]:
        """Vectors of every batch; each model takes the next batch that is left."""
        todo: queue.SimpleQueue[list[Window]] = queue.SimpleQueue()
        for batch in batches:
            todo.put(batch)
        done: list[tuple[list[Window], np.ndarray]] = []
        failed: list[BaseException] = []

        def work(device: str, model: Any) -> None:
            while not failed:
                try:
                    batch = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    rows = self._vectors(model, device, batch)
                except BaseException as error:
                    failed.append(error)
                    return
                done.append((batch, rows))
                advance(len(batch))

        threads = [threading.Thread(target=work, args=pair, daemon=True) for pair in models[1:]]
        for thread in threads:
            thread.start()
        work(*models[0])
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return done

    def _vectors(self, model: Any, device: str, batch: list[Window]) -> np.ndarray:
        import torch

        padded = self.tokenizer.pad({"input_ids": [window.ids for window in batch]}, return_tensors="pt")
        with torch.inference_mode():
            rows = self._forward(model, {name: value.to(device) for name, value in padded.items()})
        return rows.float().cpu().numpy()


def _batches(order: list[Window], budget: int) -> list[list[Window]]:
    batches: list[list[Window]] = []
    for window in order:
        if batches and (len(batches[-1]) + 1) * len(batches[-1][0].ids) <= budget:
            batches[-1].append(window)
        else:
            batches.append([window])
    return batches


def _devices(device: str) -> list[str]:
    """`auto` is every CUDA GPU, else Apple's, else the CPU; raises UnavailableError for one that is not there."""
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        return ["mps"] if torch.backends.mps.is_available() else ["cpu"]
    named = [part.strip() for part in device.split(",")]
    for part in named:
        kind, _, number = part.partition(":")
        if kind not in BATCH_TOKENS or (number and not number.isdigit()):
            raise UsageError(f"'{part}' is no device", remedy="Use auto, cpu, cuda:0 or cuda:0,cuda:1.")
        missing = {
            "cuda": int(number or 0) >= torch.cuda.device_count(),
            "mps": not torch.backends.mps.is_available(),
        }
        if missing.get(kind):
            raise UnavailableError(f"there is no device {part}", remedy="Use --device auto or cpu.")
    return named


def _dtype(device: str, precision: str) -> torch.dtype:
    """fp16 on a GPU, fp32 elsewhere: bf16 is six times slower on a CPU without units for it, and less exact."""
    import torch

    named = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    if precision != "auto":
        if precision not in named:
            raise UsageError(f"'{precision}' is no precision", remedy="Use auto, fp32, fp16 or bf16.")
        return named[precision]
    if device.startswith("cuda"):
        return torch.float16
    return torch.float32
