"""Exact search: FAISS's brute-force inner product over the mapped vectors as they lie on disk.

It is what `IndexFlatIP` runs, without a second copy of the vectors, and it sees an upsert at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from l2aco.embeddings.store import gpu
from l2aco.embeddings.store.generation import Generation
from l2aco.errors import InputError, UsageError

MOST_RESULTS = 1_000_000
FEW = 0.02
"""Fewer than this share of the rows are copied together before they are searched."""


def unit_queries(vectors: np.ndarray, dimension: int, k: int) -> np.ndarray:
    """float32 (n, D) of unit length; raises InputError for another shape, NaN or zero, UsageError for a wrong k."""
    queries = np.ascontiguousarray(vectors, dtype=np.float32)
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise InputError(f"a query of shape {queries.shape[1:]}, where the store holds vectors of size {dimension}")
    norms = np.sqrt(np.einsum("nd,nd->n", queries, queries))[:, None]
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise InputError("a query vector is not finite or is zero")
    check_k(k)
    return queries / norms


def check_k(k: int) -> None:
    """Raise UsageError for a number of results that no search can give."""
    if not 1 <= k <= MOST_RESULTS:
        raise UsageError(f"k is {k:,}", remedy=f"Ask for 1 to {MOST_RESULTS:,} results.")


def exact_search(
    generation: Generation, queries: np.ndarray, k: int, allowed: np.ndarray | None, first: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and rows (n, k) over the allowed rows from number `first` on; -1 where there are fewer."""
    if allowed is not None:
        rows = np.flatnonzero(allowed[first:]) + first
        if len(rows) <= max(FEW * len(allowed), 1000):
            scores, places = knn(queries, generation.rows(rows), min(k, len(rows)))
            return merge([(scores, rows[places])], len(queries), k)
    found = []
    for segment in generation.segments:
        skip = max(first - segment.start, 0)
        if skip >= segment.rows:
            continue
        part = None if allowed is None else allowed[segment.start + skip : segment.start + segment.rows]
        scores, places = knn(queries, segment.vectors[skip:], min(k, segment.rows - skip), part)
        found.append((scores, np.where(places < 0, -1, places + segment.start + skip)))
    return merge(found, len(queries), k)


def knn(
    queries: np.ndarray, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n, k), best first, and places (n, k), -1 where fewer are allowed."""
    import faiss

    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    places = np.full((len(queries), k), -1, dtype=np.int64)
    if k == 0 or not len(vectors):
        return scores, places
    if allowed is None and gpu.takes(queries, vectors, k):
        gpu.knn(queries, vectors, scores, places)
        return scores, places
    arguments: list[Any] = [
        faiss.swig_ptr(queries),
        faiss.swig_ptr(vectors),
        vectors.shape[1],
        len(queries),
        len(vectors),
        k,
        faiss.swig_ptr(scores),
        faiss.swig_ptr(places),
    ]
    if allowed is not None:
        bits = np.packbits(allowed, bitorder="little")
        arguments.append(faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits)))
    faiss.knn_inner_product(*arguments)
    return scores, places


def merge(found: list[tuple[np.ndarray, np.ndarray]], queries: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The best k of several result lists; equal scores by row number, so that the order is always the same."""
    missing = k - sum(scores.shape[1] for scores, _ in found)
    if missing > 0:
        found = [*found, (np.full((queries, missing), -np.inf, np.float32), np.full((queries, missing), -1, np.int64))]
    scores, rows = found[0] if len(found) == 1 else (np.concatenate(part, axis=1) for part in zip(*found, strict=True))
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
