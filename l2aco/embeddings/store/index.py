"""Approximate indexes: which kind a store's size asks for, how one is built and measured, how it is searched.

An index only proposes candidates. They are scored again with the stored float32 vectors, so every score that a
search returns is exact; what can go missing is a neighbour, and how often that happens is measured when the
index is built and kept in the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import numpy as np

from l2aco.embeddings.store import gpu
from l2aco.embeddings.store.exact import exact_search, merge, unit_queries
from l2aco.embeddings.store.generation import Generation
from l2aco.embeddings.store.index_file import map_index, write_index
from l2aco.embeddings.store.manifest import CANDIDATES, EFFORT, FileInfo, IndexInfo
from l2aco.embeddings.store.stretches import write_in_stretches
from l2aco.errors import UsageError
from l2aco.progress import Advance, Progress

CHOICES = ("auto", "flat", "hnsw", "ivfpq")
FLAT_ROWS = 100_000
"""Up to so many rows an exact search takes a few dozen milliseconds: nothing is gained by an approximate one."""
HNSW_ROWS = 300_000
"""Above, a graph takes too long to build, and IVF-PQ a hundredth of its memory."""
TARGET_RECALL = 0.975
"""What an index must reach on its own rows: queries from outside find less, and 0.95 is promised for them."""
SAMPLE = 200
SEED = 0
TAIL_SHARE, TAIL_ROWS = 0.2, 50_000
"""An index is built again when more rows than both have been added behind it."""
NARROW = 0.1
"""A filter that leaves a smaller share of the rows is answered exactly: fast there, and certain."""

PARAMETERS: dict[str, dict[str, Any]] = {
    "hnsw": {"efforts": (32, 64, 128, 256, 512), "candidates": (2,)},
    "ivfpq": {"efforts": (8, 16, 32, 64, 128, 256), "candidates": (10, 20, 40)},
}
"""The steps in which a kind of index may try harder, and how many candidates for each result."""


def check_choice(choice: str) -> None:
    if choice not in CHOICES:
        raise UsageError(f"'{choice}' is no index", remedy=f"Use one of {', '.join(CHOICES)}.")


def kind_for(choice: str, rows: int) -> str:
    """The kind of index that `choice` means for a store of so many rows."""
    check_choice(choice)
    if choice != "auto":
        return choice
    return "flat" if rows <= FLAT_ROWS else "hnsw" if rows <= HNSW_ROWS else "ivfpq"


def is_due(generation: Generation, kind: str) -> bool:
    """Whether an index of `kind` is to be built: there is none, another, or one that lags far behind."""
    index = generation.manifest.index
    if kind == "flat" or not len(generation):
        return False
    if index is None or index.kind != kind:
        return True
    return generation.manifest.total - index.rows > max(TAIL_SHARE * index.rows, TAIL_ROWS)


def search(
    generation: Generation, vectors: np.ndarray, k: int, allowed: np.ndarray | None, exact: bool
) -> tuple[np.ndarray, np.ndarray]:
    """See `EmbeddingStore.search_rows`."""
    queries = unit_queries(vectors, generation.dimension, k)
    info = generation.manifest.index
    if exact or info is None or (allowed is not None and allowed.sum() < NARROW * len(allowed)):
        return exact_search(generation, queries, k, allowed)
    effort = int(info.parameters[EFFORT[info.kind]])
    head = None if allowed is None else allowed[: info.rows]
    near = propose(generation.approximate, info.kind, queries, k * int(info.parameters[CANDIDATES]), effort, head)
    scores, rows = rescore(generation, queries, near, k)
    if generation.manifest.total > info.rows:
        tail = exact_search(generation, queries, k, allowed, first=info.rows)
        scores, rows = merge([(scores, rows), tail], len(queries), k)
    wanted = min(k, info.rows) if head is None else min(near.shape[1], int(head.sum()))
    short = (near >= 0).sum(axis=1) < wanted
    if short.any():  # what a filter keeps lies where the index does not look
        scores[short], rows[short] = exact_search(generation, queries[short], k, allowed)
    return scores, rows


def propose(
    index: Any, kind: str, queries: np.ndarray, wanted: int, effort: int, allowed: np.ndarray | None
) -> np.ndarray:
    """Candidate rows int64 (n, wanted) of each query, -1 where there are fewer."""
    import faiss

    wanted = min(max(wanted, 20), index.ntotal)
    options: dict[str, Any] = {}
    if allowed is not None:
        bits = np.packbits(allowed, bitorder="little")
        options["sel"] = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
    if kind == "hnsw":
        parameters = faiss.SearchParametersHNSW(efSearch=max(effort, wanted), **options)  # type: ignore[attr-defined]
    else:
        parameters = faiss.SearchParametersIVF(nprobe=effort, **options)  # type: ignore[call-arg]
    _, rows = index.search(queries, wanted, params=parameters)
    return rows


def rescore(generation: Generation, queries: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Candidates (n, c) by their exact score: the best k, as (scores, rows)."""
    import faiss

    rows = np.sort(rows, axis=1)
    scores = np.full(rows.shape, -np.inf, dtype=np.float32)
    starts = [segment.start for segment in generation.segments] + [generation.manifest.total]
    for query, near, own in zip(queries, rows, scores, strict=True):
        edges = np.searchsorted(near, starts).tolist()
        for segment, (start, stop) in zip(generation.segments, pairwise(edges), strict=True):
            if start < stop:  # a run of candidates, read where they lie in the mapped file
                places = near[start:stop] - segment.start
                faiss.fvec_inner_products_by_idx(  # type: ignore[attr-defined]
                    faiss.swig_ptr(own[start:stop]),
                    faiss.swig_ptr(query),
                    faiss.swig_ptr(segment.vectors),
                    faiss.swig_ptr(places),
                    generation.dimension,
                    1,
                    len(places),
                )
    return merge([(scores, rows)], len(queries), k)


def build_index(generation: Generation, kind: str, file: str, progress: Progress) -> IndexInfo | None:
    """Write an index over all rows, and find the least effort that reaches TARGET_RECALL.

    None, with a line that says so, where no effort reaches it: the store is then searched exactly.
    """

    total, path = generation.manifest.total, generation.root / "index" / file
    with progress.task(f"building {kind} over {total:,} vectors", total=total, unit="vectors") as advance:
        new = _new_index(generation, kind)
        shape = _shape(new, kind)
        if kind == "hnsw":
            for block in _blocks(generation, advance):
                new.add(block)
            write_index(new, path)
        else:
            write_in_stretches(new, _blocks(generation, advance), path)
        del new
    index = map_index(path, kind)
    effort, candidates, recall, queries = _tune(generation, index, kind)
    name = EFFORT[kind]
    progress.say(f"{kind} index: recall@10 {recall:.3f} at {name} {effort}, on {queries} of its own rows.")
    if recall < TARGET_RECALL:
        progress.say("That is too little: the store is searched exactly.")
        path.unlink()
        return None
    parameters = {name: effort, CANDIDATES: candidates, **shape}
    return IndexInfo(
        kind=kind,
        rows=total,
        parameters=parameters,
        recall_at_10=round(recall, 4),
        queries=queries,
        file=FileInfo.of(generation.root, path),
    )


def _blocks(generation: Generation, advance: Advance) -> Iterator[np.ndarray]:
    """float32 (b, D): all rows, as they lie in the mapped files."""
    for segment in generation.segments:
        for start in range(0, segment.rows, 65_536):
            block = np.ascontiguousarray(segment.vectors[start : start + 65_536])
            yield block
            advance(len(block))


def _new_index(generation: Generation, kind: str) -> Any:
    """An empty index of the store's size, trained where its kind needs that."""
    import faiss

    d, total = generation.dimension, generation.manifest.total
    inner = faiss.METRIC_INNER_PRODUCT
    if kind == "hnsw":
        # fp16 in the graph: half the memory, and candidates are scored again in float32.
        graph = faiss.IndexHNSWSQ(d, faiss.ScalarQuantizer.QT_fp16, 32, inner)  # type: ignore[arg-type]
        graph.hnsw.efConstruction = 100
        return graph
    lists = int(2 ** np.round(np.log2(np.sqrt(total))))
    codes = next(size for size in range(max(d // 4, 1), 0, -1) if d % size == 0)
    index = faiss.IndexIVFPQ(faiss.IndexFlatIP(d), d, lists, codes, 8, inner)
    index.cp.niter, index.cp.seed = 10, SEED
    index.pq.cp.niter, index.pq.cp.seed, index.pq.cp.max_points_per_centroid = 8, SEED, 64
    gpu.speed_up_training(index)
    rng = np.random.default_rng(SEED)
    wanted = min(total, max(40 * lists, 20_000))
    index.train(generation.rows(np.sort(rng.choice(total, wanted, replace=False))))
    return index


def _shape(index: Any, kind: str) -> dict[str, int]:
    return {"M": 32} if kind == "hnsw" else {"nlist": int(index.nlist), "code_bytes": int(index.code_size)}


def _tune(generation: Generation, index: Any, kind: str) -> tuple[int, int, float, int]:
    """(effort, candidates, recall@10, queries): the least that reaches the target, else the most that was tried.

    The queries are rows of the store; each is left out of its own neighbours.
    """
    rng = np.random.default_rng(SEED)
    rows = np.sort(rng.choice(np.flatnonzero(generation.alive), min(SAMPLE, len(generation)), replace=False))
    queries = generation.rows(rows)
    allowed = None if generation.manifest.dead is None else generation.alive
    _, truth = exact_search(generation, queries, 11, allowed)
    effort, candidates, recall = 0, 0, 0.0
    for effort, candidates in product(PARAMETERS[kind]["efforts"], PARAMETERS[kind]["candidates"]):
        near = propose(index, kind, queries, 11 * candidates, effort, allowed)
        recall = recall_at_10(rows, truth, rescore(generation, queries, near, 11)[1])
        if recall >= TARGET_RECALL:
            break
    return effort, candidates, recall, len(rows)


def recall_at_10(own: np.ndarray, truth: np.ndarray, found: np.ndarray) -> float:
    """Share of the ten true neighbours (n, 11) that were found (n, 11), each query's own row left out."""
    shares = []
    for row, true, seen in zip(own, truth, found, strict=True):
        wanted = [item for item in true.tolist() if item not in (row, -1)][:10]
        got = set(seen.tolist()) - {row}
        shares.append(sum(item in got for item in wanted) / max(len(wanted), 1))
    return float(np.mean(shares))
