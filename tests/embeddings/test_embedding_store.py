"""The store as a reader and a notebook use it: what goes in comes out, and wrong input is refused whole."""

from __future__ import annotations

import numpy as np
import pytest
from small_stores import SPEC, some_records, some_vectors

from l2aco.embeddings.store import segments
from l2aco.embeddings.store.generation import Generation
from l2aco.embeddings.store.manifest import parse_manifest
from l2aco.embeddings.store.store import EmbeddingStore, Hit
from l2aco.errors import DamagedError, InputError, LockedError, UnknownNameError, UsageError
from l2aco.locks import WriterLock


def _listing(path):
    return {item.relative_to(path).as_posix(): item.stat().st_mtime_ns for item in path.rglob("*") if item.is_file()}


def test_vectors_come_back_in_the_order_of_ids_with_a_mask(make_store):
    store = make_store(10)
    table, mask = EmbeddingStore.open(store.path).vectors("drug", ["E7", "nobody", "E1", "E7"])
    expected = some_vectors(10)
    assert table.dtype == np.float32
    assert mask.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(table, np.stack([expected[7], np.zeros(16), expected[1], expected[7]]))


def test_a_name_leads_to_the_vector_of_its_id_and_a_wrong_kind_is_refused(make_store):
    store = make_store(6)
    row = store.records().row(2, named=True)
    table, mask = store.vectors(row["kind"], [row["name"].upper(), row["id"], "nobody"])
    assert mask.tolist() == [True, True, False] and table[0].any()
    np.testing.assert_array_equal(table[0], table[1])
    np.testing.assert_array_equal(store.vectors(row["kind"] + "s", [row["id"]])[0], table[:1])
    for ask in (lambda: store.vectors("gene", [row["id"]]), lambda: store.search(np.ones(16), kind="gene")):
        with pytest.raises(InputError, match="'gene' is no kind of entity"):
            ask()


def test_an_id_of_another_kind_is_not_known(make_store):
    _, mask = make_store(4).vectors("cell_line", ["E1", "E2"])
    assert mask.tolist() == [False, True]


def test_no_ids_give_an_empty_table(make_store):
    table, mask = make_store(4).vectors("drug", [])
    assert table.shape == (0, 16) and mask.shape == (0,)


def test_an_upsert_replaces_by_identity_and_leaves_the_rest(make_store):
    store = make_store(6)
    new = some_vectors(2, seed=1)
    report = store.upsert(some_records([4, 6], text="new text"), new)
    assert (report.added, report.replaced) == (1, 1)
    assert len(store) == 7 == EmbeddingStore.open(store.path).records().height
    np.testing.assert_array_equal(store.vectors("cell_line", ["E4", "E6"])[0], new)
    np.testing.assert_array_equal(store.vectors("cell_line", ["E2"])[0][0], some_vectors(6)[2])
    texts = dict(store.records(text=True).select("id", "text").iter_rows())
    assert texts["E4"] == "new text" and texts["E2"] == "text of 2"


def test_samples_are_averaged_and_normalised_again(make_store):
    store = make_store(2)
    vectors = some_vectors(2, seed=5)
    store.upsert(some_records([9]), vectors[:1])
    store.upsert(some_records([9], sample=1), vectors[1:])
    table, _ = store.vectors("drug", ["E9"])
    mean = vectors.mean(axis=0)
    np.testing.assert_allclose(table[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_profiles_of_several_sets_are_told_apart(make_store):
    store = make_store(2)
    other = some_vectors(1, seed=3)
    store.upsert(some_records([1], set="other", llm="qwen"), other)
    with pytest.raises(InputError, match="sets: other, s"):
        store.vectors("drug", ["E1"])
    np.testing.assert_array_equal(store.vectors("drug", ["E1"], where={"llm": "QWEN"})[0], other)
    np.testing.assert_array_equal(store.vectors("drug", ["E1"], where={"set": "s"})[0][0], some_vectors(2)[1])


def test_search_finds_what_numpy_finds(make_store):
    store = make_store(50)
    store.delete(where={"id": "E10"})
    vectors, query = some_vectors(50), some_vectors(1, seed=9)[0]
    order = [number for number in np.argsort(-vectors @ query) if number != 10]
    hits = store.search(5 * query, k=7)
    assert [hit.id for hit in hits] == [f"E{number}" for number in order[:7]]
    assert [hit.score for hit in hits] == pytest.approx([vectors[number] @ query for number in order[:7]], abs=1e-6)
    assert isinstance(hits[0], Hit) and hits[0].text == f"text of {order[0]}" and hits[0].llm == "test"


@pytest.mark.parametrize(
    ("conditions", "keep"),
    [
        ({"kind": "drug"}, lambda n: n % 2 == 1),
        ({"where": {"tissue": "SKIN"}}, lambda n: n % 3 == 0),
        ({"where": {"targets": "t2"}}, lambda n: n % 4 == 2),
        ({"kind": "drug", "where": {"tissue": "lung", "llm": "test"}}, lambda n: n % 2 == 1 and n % 3 != 0),
        ({"where": {"id": "e5"}}, lambda n: n == 5),
    ],
)
def test_filters_apply_before_ranking(make_store, conditions, keep):
    hits = make_store(40).search(some_vectors(1, seed=2)[0], k=40, **conditions)
    assert {hit.id for hit in hits} == {f"E{number}" for number in range(40) if keep(number)}


def test_a_large_filter_and_a_small_one_agree_with_numpy(make_store):
    store = make_store(4000)
    vectors, query = some_vectors(4000), some_vectors(1, seed=2)[0]
    for condition, keep in (({"tissue": "lung"}, lambda n: n % 3 != 0), ({"id": "E77"}, lambda n: n == 77)):
        best = [number for number in np.argsort(-vectors @ query) if keep(number)][:5]
        assert [hit.id for hit in store.search(query, 5, where=condition)] == [f"E{number}" for number in best]


def test_an_unknown_field_is_refused_with_a_suggestion(make_store):
    with pytest.raises(UnknownNameError, match="tissue"):
        make_store(4).search(some_vectors(1)[0], where={"tisue": "skin"})


@pytest.mark.parametrize("name", ["a[", "tissue]", 'x"', "x\\", "$", ".", "*", "a b"])
def test_a_name_that_is_no_json_path_is_an_unknown_field(make_store, name):
    with pytest.raises(UnknownNameError, match="unknown field"):
        make_store(4).search(some_vectors(1)[0], where={name: "skin"})


def test_a_field_may_have_any_name(make_store):
    store = make_store(2)
    for number, name in ((5, "drug class"), (7, "IC50 [nM]"), (9, "a.b")):
        store.upsert(some_records([number], fields={name: "yes"}), some_vectors(1, seed=number))
        assert [hit.id for hit in store.search(some_vectors(1)[0], where={name: "yes"})] == [f"E{number}"]


@pytest.mark.parametrize("bad", [np.zeros(16), np.full(16, np.nan), np.ones(8)])
def test_a_broken_query_is_refused(make_store, bad):
    with pytest.raises(InputError):
        make_store(4).search(bad)


def test_a_search_needs_room_for_a_result(make_store):
    with pytest.raises(UsageError, match="k is 0"):
        make_store(4).search(np.ones(16), k=0)


def test_an_empty_store_has_no_neighbours(tmp_path):
    store = EmbeddingStore.create(tmp_path / "empty", SPEC)
    assert store.search(np.ones(16)) == []
    assert store.records().height == 0 and len(EmbeddingStore.open(store.path)) == 0
    assert store.vectors("drug", ["x"])[1].tolist() == [False]


def _nan(vectors):
    vectors[1, 3] = np.nan
    return vectors


@pytest.mark.parametrize(
    ("records", "vectors", "message"),
    [
        (some_records([1, 2]), some_vectors(2, 8), "shape"),
        (some_records([1, 2]), some_vectors(3), "shape"),
        (some_records([1, 2]), _nan(some_vectors(2)), "row 1: 1 of 2 vectors are not finite"),
        (some_records([1, 2]), np.zeros((2, 16)), "are zero"),
        (some_records([1, 1]), some_vectors(2), "E1 stands twice"),
        (some_records([1], text="  \n"), some_vectors(1), "profile is empty"),
        (some_records([1], text="caf\udce9"), some_vectors(1), "not valid Unicode"),
        (some_records([1], id=""), some_vectors(1), "needs a kind and an id"),
    ],
)
def test_bad_records_and_vectors_are_refused_whole(make_store, records, vectors, message):
    store = make_store(3)
    before = _listing(store.path)
    with pytest.raises(InputError, match=message):
        store.upsert(records, vectors)
    assert _listing(store.path) == before
    assert len(EmbeddingStore.open(store.path)) == 3


def test_vectors_of_any_length_are_stored_as_unit_vectors(make_store):
    store = make_store(1)
    store.upsert(some_records([5]), 7 * some_vectors(1, seed=4))
    np.testing.assert_allclose(store.vectors("drug", ["E5"])[0], some_vectors(1, seed=4), atol=1e-6)


def test_a_reader_keeps_its_generation_until_it_reloads(make_store):
    writer = make_store(20)
    reader = EmbeddingStore.open(writer.path)
    writer.upsert(some_records([1], text="newer"), some_vectors(1, seed=8))
    writer.delete(kind="cell_line")
    writer.compact()
    writer.compact()
    assert len(reader) == 20
    np.testing.assert_array_equal(reader.vectors("drug", ["E1"])[0][0], some_vectors(20)[1])
    assert reader.search(some_vectors(20)[2], 1)[0].text == "text of 2"
    reader.reload()
    assert len(reader) == 10
    np.testing.assert_array_equal(reader.vectors("drug", ["E1"])[0], some_vectors(1, seed=8))


def test_a_generation_can_still_be_opened_after_the_next(make_store):
    writer = make_store(20)
    manifest = parse_manifest(writer.path / "manifest.json")
    writer.compact()
    assert len(EmbeddingStore(Generation.of(writer.path, manifest))) == 20
    writer.compact()
    with pytest.raises(DamagedError):
        EmbeddingStore(Generation.of(writer.path, manifest))


def test_opening_follows_a_writer_that_is_ahead(make_store, monkeypatch):
    writer = make_store(20)
    manifest = parse_manifest(writer.path / "manifest.json")
    writer.delete(kind="drug")
    writer.compact()
    writer.compact()
    answers = iter([manifest, writer.manifest])
    monkeypatch.setattr("l2aco.embeddings.store.generation.parse_manifest", lambda path: next(answers))
    assert len(EmbeddingStore.open(writer.path)) == 10


def test_a_second_writer_is_refused_and_readers_are_not(make_store):
    store = make_store(4)
    with WriterLock(store.path, "the embedding store"):
        with pytest.raises(LockedError, match="being written"):
            EmbeddingStore.open(store.path).upsert(some_records([9]), some_vectors(1))
        assert len(EmbeddingStore.open(store.path)) == 4


def test_small_pieces_are_joined_without_touching_the_large_one(make_store):
    store = make_store(2000)
    for number in range(20):
        store.upsert(some_records([3000 + number, number]), some_vectors(2, seed=number + 1))
    assert len(store.manifest.segments) == 21
    first = store.manifest.segments[0]
    store.optimise()
    assert store.manifest.segments[0] == first and len(store.manifest.segments) == 2
    assert len(store) == 2020
    for number in range(20):
        found, _ = store.vectors("drug" if number % 2 else "cell_line", [f"E{number}", f"E{3000 + number}"])
        np.testing.assert_array_equal(found, some_vectors(2, seed=number + 1)[::-1])


def test_compacting_drops_what_was_replaced(make_store):
    store = make_store(30)
    store.upsert(some_records(range(30), text="again"), some_vectors(30, seed=1))
    store.delete(where={"tissue": "skin"})
    assert store.manifest.total == 60
    store.compact()
    assert store.manifest.total == len(store) == 20 and store.manifest.dead is None
    np.testing.assert_array_equal(store.vectors("drug", ["E7"])[0][0], some_vectors(30, seed=1)[7])


def test_records_are_deleted_by_identity_whatever_another_writer_did(make_store):
    store = make_store(10)
    store.upsert(some_records([0, 1], text="newer"), some_vectors(2, seed=1))
    identities = [record.identity for record in some_records([5, 99])]
    EmbeddingStore.open(store.path).compact()
    assert store.delete_records(identities) == 1
    assert set(EmbeddingStore.open(store.path).records()["id"]) == {f"E{number}" for number in range(10)} - {"E5"}
    assert store.delete_records([]) == 0


def test_deleting_needs_a_condition(make_store):
    with pytest.raises(UsageError):
        make_store(2).delete()


def test_a_store_is_not_made_over_another(make_store):
    store = make_store(2)
    with pytest.raises(UsageError, match="exists already"):
        EmbeddingStore.create(store.path, SPEC)


def test_the_manifest_says_what_made_the_store(make_store):
    manifest = make_store(5).manifest
    assert manifest.encoder == SPEC and manifest.fingerprint == SPEC.fingerprint
    assert manifest.counts["kind"] == {"cell_line": 3, "drug": 2} and manifest.counts["records"] == 5
    assert all(len(file.sha256) == 64 for file in manifest.files())


@pytest.mark.parametrize("size", [7, 600, 5000])
def test_records_are_found_in_row_groups_of_any_size(size, make_store, monkeypatch):
    store = make_store(1)
    monkeypatch.setattr(segments, "ROW_GROUP", size)  # as another version may have written it
    store.upsert(some_records(range(1500)), some_vectors(1500))
    monkeypatch.undo()
    names = dict(store.records().select("row", "id").iter_rows())
    rows = np.array([1400, 3, 700, 699, 1, 1499])
    assert store.take(rows, ("id",))["id"].to_list() == [names[row] for row in rows]
