"""Encoding on the workers of a Ray cluster: each holds the model and takes the next block of texts.

What they bring is checked, kept and resumed as what a model in this process makes. A worker that dies is started again
and given its block once more, so that it costs those texts alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from l2aco.clusters import start_ray
from l2aco.embeddings.encoders.base import Encoder, EncodeStats, EncodingInterrupted, PartlyEncodedError
from l2aco.embeddings.encoders.fields import FieldsEncoder
from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.embeddings.encoders.table import make_encoder
from l2aco.errors import L2aCoError, UsageError
from l2aco.progress import Progress, Silent

MOST_TEXTS = 256
"""Of a block: what is encoded again when a worker dies."""
BLOCKS = 4
"""For each worker, so that none waits long for the last."""
TRIES = 3
"""Of a block whose workers die; then its texts stay without a vector."""
_REMEDY = (
    "What is embedded is kept; the same command tries the rest. Workers need l2aco and the model, as this machine has."
)


@dataclass(frozen=True)
class _Block:
    """Vectors (n, D) of the texts at `places`, and what the worker's encoder said of them."""

    places: Sequence[int]
    vectors: np.ndarray
    long: tuple[int, ...]
    tokens: int
    precision: str


class RayEncoder(Encoder):
    """The same vectors as `encoder` makes here, by a worker on every GPU of a cluster, else on every core.

    Raises UsageError for one behind an API, which takes many calls at once anyway, and for one of numbers.
    """

    def __init__(self, encoder: Encoder, address: str | None = None) -> None:
        if encoder.spec.runtime == "openai" or isinstance(encoder, FieldsEncoder):
            raise UsageError(
                f"{encoder.spec.name} runs no model here, and needs no cluster", remedy="Leave out --executor."
            )
        super().__init__(encoder.spec, device=encoder.device, precision=encoder.precision)
        self.address = address
        self._pool: Any = None
        self._workers = 0

    def _encode(self, texts: list[str], progress: Progress) -> np.ndarray:
        pool = self._ready(progress)
        vectors = np.full((len(texts), self.spec.dimension), np.nan, dtype=np.float32)
        for places in self._blocks(texts):
            pool.submit(lambda worker, some: worker.encode.remote(*some), (places, [texts[n] for n in places]))
        try:
            failure = self._collect(vectors, progress)
        except KeyboardInterrupt:
            raise EncodingInterrupted(vectors) from None
        if failure is not None:
            raise failure if np.isnan(vectors).all() else PartlyEncodedError(failure, vectors)
        return vectors

    def _ready(self, progress: Progress) -> Any:
        """The workers, which start and load the model with their first block."""
        if self._pool is None:
            start_ray(self.address)
            import ray
            from ray.util import ActorPool

            held = ray.cluster_resources()
            on_gpus = self.device.split(":")[0] in ("auto", "cuda") and held.get("GPU", 0) >= 1
            self._workers = max(1, int(held.get("GPU" if on_gpus else "CPU", 1)))
            kind = ray.remote(_Worker).options(
                num_cpus=0 if on_gpus else 1, num_gpus=int(on_gpus), max_restarts=-1, max_task_retries=TRIES - 1
            )
            device = "auto" if on_gpus else "cpu"
            progress.say(f"Loading {self.spec.name} in {self._workers} workers of Ray ...")
            self._pool = ActorPool([kind.remote(self.spec, device, self.precision) for _ in range(self._workers)])
        return self._pool

    def _blocks(self, texts: list[str]) -> list[list[int]]:
        """Places of texts of like length, the longest first."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]), reverse=True)
        size = max(1, min(MOST_TEXTS, len(texts) // (self._workers * BLOCKS)))
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _collect(self, vectors: np.ndarray, progress: Progress) -> L2aCoError | None:
        """Put what comes into `vectors`; returns why rows are missing, where any are."""
        import ray

        failure: L2aCoError | None = None
        long: list[int] = []
        with progress.task(f"embedding with {self.spec.name}", total=len(vectors), unit="texts") as advance:
            while self._pool.has_next():
                try:
                    block = self._pool.get_next_unordered()
                except ray.exceptions.RayError as error:
                    *_, last = ["", *filter(None, map(str.strip, str(error).splitlines()))]
                    block = L2aCoError(f"workers of Ray died over some texts: {last[:300]}", remedy=_REMEDY)
                if isinstance(block, L2aCoError):
                    failure = block
                    continue
                vectors[block.places] = block.vectors
                long += block.long
                self.stats.tokens += block.tokens
                self.used_precision = block.precision
                advance(len(block.places))
        self.stats.long = tuple(sorted(long))
        return failure


class _Worker:
    """One model of a cluster; its first block waits for it."""

    def __init__(self, spec: EncoderSpec, device: str, precision: str) -> None:
        self.encoder = make_encoder(spec, device=device, precision=precision)

    def encode(self, places: Sequence[int], texts: list[str]) -> _Block | L2aCoError:
        """The vectors of some texts; an error of ours comes back as it is, without Ray's frames around it."""
        encoder = self.encoder
        encoder.stats = EncodeStats()
        try:
            vectors = encoder._encode(texts, Silent())
        except L2aCoError as error:
            return error
        long = tuple(places[row] for row in encoder.stats.long)
        return _Block(places, vectors, long, encoder.stats.tokens, encoder.used_precision)
