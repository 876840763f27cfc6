"""What every encoder does around its model: distinct texts once, checked unit vectors out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.errors import InputError, L2aCoError, PartlyDoneError
from l2aco.progress import Progress, Silent

if TYPE_CHECKING:
    from l2aco.embeddings.store.segments import StoreRecord


@dataclass
class EncodeStats:
    """What the last `encode` did. `long` are the places of texts longer than the window."""

    texts: int = 0
    distinct: int = 0
    tokens: int = 0
    long: tuple[int, ...] = ()
    cost_usd: float | None = None


class PartlyEncodedError(PartlyDoneError):
    """An encoder behind an API answered for some texts only. `vectors` float32 (n, D): rows of NaN are missing."""

    def __init__(self, cause: L2aCoError, vectors: np.ndarray) -> None:
        super().__init__(cause.message, where=cause.where, remedy=cause.remedy)
        self.vectors = vectors


class EncodingInterrupted(KeyboardInterrupt):
    """The user stopped an encoder that has vectors for some texts; `vectors` as in PartlyEncodedError."""

    def __init__(self, vectors: np.ndarray) -> None:
        super().__init__()
        self.vectors = vectors


class Encoder(ABC):
    """Texts in, rows of length one out. The model loads on the first call."""

    facts: ClassVar[dict[str, Any]] = {}
    """For a third party's class: the fields of its EncoderSpec, without name and runtime."""

    def __init__(
        self,
        spec: EncoderSpec,
        *,
        device: str = "auto",
        precision: str = "auto",
        budget_usd: float | None = None,
    ) -> None:
        self.spec = spec
        self.device = device
        self.precision = precision
        self.budget_usd = budget_usd
        self.stats = EncodeStats()
        self.used_precision = "fp32"

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None, query: bool = False) -> np.ndarray:
        """float32 (n, D), rows L2-normalised; equal texts are encoded once.

        `query` puts the encoder's search instruction before each text. Raises InputError naming the place of a
        text that is empty or no text, L2aCoError when the model returns anything that is not a finite vector,
        PartlyEncodedError, or EncodingInterrupted, with what there is when an API answered for some texts only.
        """
        places = _distinct(texts)
        instruction = self.spec.query_instruction if query else self.spec.passage_instruction
        self.stats = EncodeStats(texts=len(texts), distinct=len(places))
        if not places:
            return np.zeros((0, self.spec.dimension), dtype=np.float32)
        partly: PartlyEncodedError | EncodingInterrupted | None = None
        try:
            vectors = self._encode([instruction + text for text in places], progress or Silent())
        except (PartlyEncodedError, EncodingInterrupted) as error:
            partly, vectors = error, error.vectors
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._check_size(vectors)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if partly is None and (not np.isfinite(norms).all() or (norms == 0).any()):
            raise L2aCoError(f"{self.spec.name} returned a vector that is not finite or is zero", where=self.spec.model)
        vectors /= norms
        rows = np.fromiter((places[text] for text in texts), dtype=np.int64, count=len(texts))
        long = set(self.stats.long)
        self.stats.long = tuple(place for place, row in enumerate(rows.tolist()) if row in long)
        if partly is not None:
            partly.vectors = vectors[rows]
            raise partly
        return vectors[rows]

    def for_set(self, name: str, schemas: Mapping[str, Any]) -> Encoder:
        """The encoder as the profile set `name` with these schemas needs it."""
        return self

    def encode_records(self, records: Sequence[StoreRecord], *, progress: Progress | None = None) -> np.ndarray:
        """`encode` for profiles; float32 (n, D)."""
        return self.encode([record.text for record in records], progress=progress)

    @abstractmethod
    def _encode(self, texts: list[str], progress: Progress) -> np.ndarray:
        """float (n, D) for distinct texts; fills `self.stats.tokens` and `.long` (rows of `texts`).

        Raises PartlyEncodedError or EncodingInterrupted where it has vectors for some of them.
        """

    def _check_size(self, vectors: np.ndarray) -> None:
        """Raise L2aCoError unless `vectors` are (n, D)."""
        if vectors.shape[1:] != (self.spec.dimension,):
            raise L2aCoError(
                f"{self.spec.name} makes vectors of size {vectors[0].size}, not {self.spec.dimension}",
                remedy="Correct `dimension` in the encoder's entry.",
            )


def _distinct(texts: Sequence[str]) -> dict[str, int]:
    places: dict[str, int] = {}
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise InputError("an empty text has no vector", where=f"text {number}")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(f"is not valid Unicode text ({error.reason})", where=f"text {number}") from None
        places.setdefault(text, len(places))
    return places
