"""Approximate indexes: chosen by size, measured, filtered, with a tail that is searched exactly."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from small_stores import some_records, some_vectors

from l2aco.embeddings.store import gpu, stretches
from l2aco.embeddings.store import index as index_module
from l2aco.embeddings.store.exact import knn
from l2aco.embeddings.store.index import is_due, kind_for
from l2aco.embeddings.store.store import EmbeddingStore
from l2aco.errors import UsageError


@pytest.fixture(scope="module")
def clustered():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 32))
    return (centres[rng.integers(0, 40, 3000)] + 0.5 * rng.normal(size=(3000, 32))).astype(np.float32)


@pytest.fixture(params=["hnsw", "ivfpq"])
def indexed(request, clustered, tmp_path, make_store):
    store = make_store(1, dimension=32)
    store.upsert(some_records(range(3000)), clustered)
    store.optimise(request.param)
    return store


def _recall(store, queries, **more):
    shares = []
    for query in queries:
        true = {hit.id for hit in store.search(query, 10, exact=True, **more)}
        shares.append(len(true & {hit.id for hit in store.search(query, 10, **more)}) / len(true))
    return float(np.mean(shares))


def test_recall_is_measured_kept_and_true(indexed, clustered):
    info = indexed.manifest.index
    assert info.rows == 3001 and info.recall_at_10 >= 0.95 and info.queries == 200
    assert _recall(EmbeddingStore.open(indexed.path), clustered[500:600]) >= 0.95


def test_scores_of_an_approximate_search_are_exact(indexed, clustered):
    query = clustered[7] / np.linalg.norm(clustered[7])
    for hit in indexed.search(query, 5):
        own = clustered[int(hit.id[1:])]
        assert hit.score == pytest.approx(float(own @ query / np.linalg.norm(own)), abs=1e-5)


def test_an_upsert_is_found_at_once_without_a_new_index(indexed):
    file = indexed.manifest.index.file
    new = some_vectors(3, 32, seed=77)
    indexed.upsert(some_records([5000, 5001, 3]), new)
    assert indexed.manifest.index.file == file
    assert [indexed.search(row, 1)[0].id for row in new] == ["E5000", "E5001", "E3"]


def test_deleted_and_replaced_rows_never_come_back(indexed, clustered):
    assert indexed.search(clustered[8], 1)[0].id == "E8"
    indexed.delete(where={"id": "E8"})
    assert "E8" not in {hit.id for hit in indexed.search(clustered[8], 50)}


def test_filters_hold_in_the_index(indexed, clustered):
    hits = indexed.search(clustered[9], 20, where={"tissue": "lung"})
    assert len(hits) == 20 and all(int(hit.id[1:]) % 3 for hit in hits)
    assert _recall(indexed, clustered[600:640], where={"tissue": "lung"}) >= 0.9
    narrow = indexed.search(clustered[9], 5, where={"id": "E11"})
    assert [hit.id for hit in narrow] == ["E11"]


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_a_filter_that_keeps_what_is_far_from_the_query_loses_nothing(kind, clustered, make_store):
    """A graph, and probed lists, meet little of what such a filter keeps."""
    far = {"fields": {"tissue": "colon"}}
    others = np.random.default_rng(1).normal(size=(540, 32)) * 0.2 - 3 * clustered[:10].mean(axis=0)
    store = make_store(1, dimension=32)
    store.upsert(some_records(range(3000)), clustered)
    store.upsert(some_records(range(3000, 3500), **far), others[:500].astype(np.float32))
    store.optimise(kind)
    store.upsert(some_records(range(3500, 3540), **far), others[500:].astype(np.float32))
    assert store.manifest.index.rows == 3501
    for query in clustered[:10]:
        found, true = (store.search(query, 60, where={"tissue": "colon"}, exact=exact) for exact in (False, True))
        assert [hit.id for hit in found] == [hit.id for hit in true] and len({hit.id for hit in true}) == 60
        assert any(int(hit.id[1:]) >= 3500 for hit in true)


def test_compaction_builds_the_index_anew(indexed, clustered):
    indexed.delete(kind="drug")
    indexed.compact()
    assert indexed.manifest.index.rows == len(indexed) == 1500
    assert indexed.search(clustered[10], 1)[0].id == "E10"


def test_flat_drops_the_index_and_is_remembered(indexed):
    indexed.optimise("flat")
    assert indexed.manifest.index is None
    indexed.optimise()
    assert EmbeddingStore.open(indexed.path).manifest.index_choice == "flat"


def test_the_size_chooses_the_kind():
    assert [kind_for("auto", rows) for rows in (10, 100_000, 100_001, 1_000_000)] == ["flat", "flat", "hnsw", "ivfpq"]
    assert kind_for("hnsw", 10) == "hnsw"
    with pytest.raises(UsageError, match="no index"):
        kind_for("annoy", 10)


def test_an_index_that_lags_far_behind_is_due(indexed, monkeypatch):
    kind = indexed.manifest.index.kind
    assert not is_due(indexed.generation, kind)
    monkeypatch.setattr(index_module, "TAIL_ROWS", 10)
    indexed.upsert(some_records(range(4000, 4700)), some_vectors(700, 32))
    assert is_due(indexed.generation, kind)


def test_stretches_make_the_file_that_faiss_makes_of_the_whole(indexed, clustered, tmp_path, monkeypatch):
    info = indexed.manifest.index
    if info.kind == "hnsw":
        pytest.skip("a graph is built in memory")
    monkeypatch.setattr(stretches, "STRETCH_BYTES", 700 * (info.parameters["code_bytes"] + 8))
    new = index_module._new_index(indexed.generation, "ivfpq")
    blocks = np.array_split(indexed.rows(np.arange(3001)), 11)
    stretches.write_in_stretches(new, blocks, tmp_path / "stretches.faiss")
    for block in blocks:
        new.add(block)
    faiss.write_index(new, str(tmp_path / "whole.faiss"))
    assert (tmp_path / "stretches.faiss").read_bytes() == (tmp_path / "whole.faiss").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "stretches.faiss", "whole.faiss"]


def test_an_index_that_misses_too_much_is_not_used(make_store, monkeypatch):
    monkeypatch.setattr(index_module, "TARGET_RECALL", 1.01)
    store = make_store(500, dimension=32)
    store.optimise("hnsw")
    assert store.manifest.index is None
    assert store.search(some_vectors(500, 32)[3], 1)[0].id == "E3"


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_candidates_from_several_segments_get_their_exact_scores(kind, clustered, make_store):
    store = make_store(1, dimension=32)
    for first in range(0, 3000, 1000):
        store.upsert(some_records(range(first, first + 1000)), clustered[first : first + 1000])
    store.optimise(kind)
    assert len(store.generation.segments) > 2
    scores, rows = store.search_rows(clustered[::300], 10)
    starts = [segment.start for segment in store.generation.segments]
    assert {2, 3, 4} <= set(np.searchsorted(starts, rows.ravel(), side="right").tolist())
    for query, own_scores, own_rows in zip(clustered[::300], scores, rows, strict=True):
        np.testing.assert_allclose(own_scores, store.rows(own_rows) @ (query / np.linalg.norm(query)), atol=1e-5)
        assert (np.diff(own_scores) <= 0).all()


def test_faiss_on_a_gpu_finds_what_it_finds_on_the_cpu():
    if not faiss.get_num_gpus():
        pytest.skip("FAISS sees no GPU")
    queries, vectors = some_vectors(200, 64), some_vectors(gpu.MANY // 200, 64)
    assert gpu.takes(queries, vectors, 10)
    scores, places = knn(queries, vectors, 10)
    expected = np.sort(queries[:5] @ vectors.T, axis=1)[:, :-11:-1]
    np.testing.assert_allclose(scores[:5], expected, atol=1e-4)
    np.testing.assert_allclose((queries[:5, None] * vectors[places[:5]]).sum(2), expected, atol=1e-4)
