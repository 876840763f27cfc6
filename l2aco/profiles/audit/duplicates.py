"""Profiles of different entities that say nearly the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from l2aco.profiles.record import ProfileRecord

NEAR = 0.9
_BLOCK = 1024


@dataclass(frozen=True, order=True)
class Twin:
    """Two different entities of one kind, and the cosine of their texts' TF-IDF vectors."""

    similarity: float
    first: str
    second: str
    kind: str


def find_twins(records: Iterable[ProfileRecord], near: float = NEAR) -> list[Twin]:
    """Pairs with a similarity of at least `near`, most alike first.

    Exact, in blocks: time grows with the square of the number of profiles, memory does not.
    """
    texts: dict[str, list[tuple[str, str]]] = {}
    for record in records:
        if record.sample == 0:
            texts.setdefault(record.kind, []).append((record.entity_name, record.text))
    found = [twin for kind, rows in texts.items() if len(rows) > 1 for twin in _twins(kind, rows, near)]
    return sorted(found, reverse=True)


def _twins(kind: str, rows: list[tuple[str, str]], near: float) -> Iterable[Twin]:
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    names = [name for name, _ in rows]
    vectors = TfidfVectorizer(sublinear_tf=True, dtype=np.float32).fit_transform(text for _, text in rows)
    for start in range(0, len(names), _BLOCK):
        block = (vectors[start : start + _BLOCK] @ vectors[start:].T).tocoo()
        for i, j, value in zip(block.row, block.col, block.data, strict=True):
            if i < j and value >= near:
                yield Twin(float(value), names[start + i], names[start + j], kind)
