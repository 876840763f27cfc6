"""FAISS on a GPU, where faiss-gpu is installed and there is one: many queries at once, and training of an index.

A single query stays on the CPU: the vectors lie in mapped files, and copying them costs more than reading them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

MANY = 10**8
"""Queries x vectors from which copying the vectors to the GPU pays."""
MOST_RESULTS = 2048
"""FAISS finds no more neighbours on a GPU."""
TILE_BYTES = 2**30
"""Of vectors on the GPU at a time."""


@cache
def resources() -> Any:
    """What FAISS needs to work on the first GPU; None without a GPU or with the CPU build."""
    import faiss

    if not hasattr(faiss, "GpuIndexFlat"):
        return None
    import torch

    # FAISS may fail, not answer none, where there is no driver
    return faiss.StandardGpuResources() if torch.cuda.is_available() and faiss.get_num_gpus() else None


def takes(queries: np.ndarray, vectors: np.ndarray, k: int) -> bool:
    """Whether a search is to run on the GPU."""
    return len(queries) * len(vectors) >= MANY and k <= MOST_RESULTS and resources() is not None


def knn(queries: np.ndarray, vectors: np.ndarray, scores: np.ndarray, places: np.ndarray) -> None:
    """Fill scores and places (n, k) with the nearest of the vectors by inner product, best first."""
    import faiss

    faiss.knn_gpu(
        resources(),
        queries,
        vectors,
        scores.shape[1],
        D=scores,
        I=places,
        metric=faiss.METRIC_INNER_PRODUCT,
        vectorsMemoryLimit=TILE_BYTES,
    )


def speed_up_training(index: Any) -> None:
    """Let an IVF index find its lists on the GPU, if there is one."""
    import faiss

    if resources() is not None:
        flat = faiss.IndexFlatIP(index.d)
        index.clustering_index = faiss.index_cpu_to_gpu(resources(), 0, flat)  # type: ignore[attr-defined]
