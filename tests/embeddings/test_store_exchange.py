"""Moving stores: the paper's layout, Parquet and FAISS, there and back."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from small_stores import SPEC, profile, some_records, some_vectors, write_set

from l2aco.embeddings.encoders.spec import UNKNOWN
from l2aco.embeddings.encoders.trust import trusted_encoder
from l2aco.embeddings.store.exchange import export_store, import_store
from l2aco.embeddings.store.segments import StoreRecord
from l2aco.embeddings.store.store import EmbeddingStore
from l2aco.errors import InputError, MismatchError, UnavailableError, UsageError
from l2aco.profiles.sets import open_profile_set


def _table(store):
    frame = store.records(text=True).drop("row", "hash", "long")
    return frame.rows(), store.rows(store.records()["row"].to_numpy())


def test_the_papers_layout_round_trips(make_store, tmp_path):
    store = make_store(11)
    assert "paper" in export_store(store, tmp_path / "qwen")
    names = (tmp_path / "qwen" / "drug_map.tsv").read_text()
    assert names.startswith("0\tEntity 1\n1\tEntity 3\n")
    array = np.load(tmp_path / "qwen" / "cell_embed_all.npy")
    assert array.dtype == np.float32 and array.shape == (6, 16)
    back = import_store(tmp_path / "qwen", tmp_path / "back", encoder=SPEC)
    for kind in ("drug", "cell_line"):
        ids = store.records().filter(kind=kind)["id"].to_list()
        np.testing.assert_array_equal(back.vectors(kind, ids)[0], store.vectors(kind, ids)[0])
    columns = ("kind", "id", "name", "llm")
    assert sorted(back.records().select(columns).rows()) == sorted(store.records().select(columns).rows())


def test_the_layout_of_the_feature_part_round_trips(make_store, tmp_path):
    store = make_store(11)
    export_store(store, tmp_path / "LLM_DATA")
    assert {path.name for path in (tmp_path / "LLM_DATA").iterdir()} == {
        *("5_l_drug_embeddings.npy", "5_l_cell_embeddings.npy", "drug_map_with_smiles.csv", "cell_map.csv"),
        *("drug_ids.tsv", "cell_ids.tsv"),
    }
    drugs = (tmp_path / "LLM_DATA" / "drug_map_with_smiles.csv").read_text()
    assert drugs.startswith("name,processed_smiles,index\nEntity 1,,0\nEntity 3,,1\n")
    back = import_store(tmp_path / "LLM_DATA", tmp_path / "back", encoder=SPEC)
    columns = ("kind", "id", "name", "llm")
    assert sorted(back.records().select(columns).rows()) == sorted(store.records().select(columns).rows())
    for kind in ("drug", "cell_line"):
        ids = store.records().filter(kind=kind)["id"].to_list()
        np.testing.assert_array_equal(back.vectors(kind, ids)[0], store.vectors(kind, ids)[0])
    export_store(store, tmp_path / "LLM_DATA", force=True)


def test_the_feature_part_keeps_any_name_and_may_lack_a_kind(tmp_path):
    names = ["NA", "none", "5.0", 'a "b", c', "-"]
    store = EmbeddingStore.create(tmp_path / "s", SPEC)
    records = [StoreRecord(kind="drug", id=f"D{n}", name=name, text=name, set="x") for n, name in enumerate(names)]
    store.upsert(records, some_vectors(len(names)))
    export_store(store, tmp_path / "LLM_DATA")
    assert not list((tmp_path / "LLM_DATA").glob("*cell*"))
    back = import_store(tmp_path / "LLM_DATA", tmp_path / "back", encoder=SPEC)
    assert sorted(back.records()["name"]) == sorted(names)


def test_the_release_itself_is_not_taken_for_an_export(make_store, tmp_path):
    release = tmp_path / "LLM_DATA"
    release.mkdir()
    (release / "cell_map.csv").write_text("name,index\na,0\n")
    with pytest.raises(UsageError, match="not exported from here"):
        export_store(make_store(3), release, force=True)
    assert (release / "cell_map.csv").read_text() == "name,index\na,0\n"


def test_the_feature_part_of_a_release(tmp_path):
    """As it is published: rows in any order, and no ids of ours."""
    release = tmp_path / "LLM_DATA"
    release.mkdir()
    vectors = some_vectors(3)
    np.save(release / "5_l_drug_embeddings.npy", vectors)
    table = 'name,processed_smiles,index\nb,CC,1\n"c, d",,2\na,C,0\n'
    (release / "drug_map_with_smiles.csv").write_text(table)
    store = import_store(release, tmp_path / "s", llm="gpt-5")
    np.testing.assert_allclose(store.vectors("drug", ["a", "b", "c, d"])[0], vectors, atol=1e-6)
    for wrong, words in (
        (table.replace(",1\n", ",2\n"), r"smiles\.csv:3: row 2 stands twice"),
        (table.replace(",1\n", ",3\n"), r"smiles\.csv:2: row 3 is beyond the 3 vectors"),
        (table.replace(",1\n", ",one\n"), r"smiles\.csv:2: does not give a name"),
        (table.replace("a,C,0\n", ""), r"smiles\.csv: names no row 0 of 5_l_drug_embeddings\.npy"),
        ("name\na\n", "has no columns name and index"),
    ):
        (release / "drug_map_with_smiles.csv").write_text(wrong)
        with pytest.raises(InputError, match=words):
            import_store(release, tmp_path / "t")
        assert not (tmp_path / "t").exists()


def test_a_release_without_our_ids_takes_them_from_a_profile_set(tmp_path, workspace):
    release = tmp_path / "gpt-4o-mini"
    release.mkdir()
    vectors = 3 * some_vectors(2, 1024).astype(np.float64)
    np.save(release / "cell_embed_bge.npy", vectors)
    (release / "cell_map.tsv").write_text("1\t MCF-7 \n0\ta375\n")
    write_set(workspace, "mine", [profile("A375", "a melanoma line"), profile("MCF7", "a luminal line")])
    store = import_store(release, tmp_path / "s", profiles=open_profile_set("mine", workspace), llm="gpt-4o-mini")
    table, mask = store.vectors("cell_line", ["A375", "MCF7"])
    assert mask.all() and store.dimension == 1024
    np.testing.assert_allclose(table, vectors / 3, atol=1e-6)
    assert store.search(table[1], 1)[0].text == "a luminal line"
    assert store.records()["llm"].unique().to_list() == ["gpt-4o-mini"]
    assert store.encoder.runtime == UNKNOWN
    with pytest.raises(UnavailableError, match="not known"):
        trusted_encoder(store.encoder)


def _release(folder):
    folder.mkdir()
    np.save(folder / "drug_embed_all.npy", some_vectors(3))
    (folder / "drug_map.tsv").write_text("0\ta\n1\tb\n2\tc\n")
    return folder


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b"0\ta\n1\tb\n", r"names no row 2 of drug_embed_all\.npy"),
        (b"0\ta\n1\tb\n3\tc\n", r"drug_map\.tsv:3: row 3 is beyond the 3 vectors"),
        (b"0\ta\n0\tb\n2\tc\n", r"drug_map\.tsv:2: row 0 stands twice"),
        (b"0\ta\n1 b\n2\tc\n", r"drug_map\.tsv:2: is not 2 columns"),
        (b"0\ta\n1\tcaf\xe9\n2\tc\n", "not UTF-8"),
        (None, r"drug_map\.tsv: is missing"),
    ],
)
def test_a_broken_map_is_refused_with_its_line(tmp_path, lines, message):
    release = _release(tmp_path / "r")
    (release / "drug_map.tsv").unlink() if lines is None else (release / "drug_map.tsv").write_bytes(lines)
    with pytest.raises(InputError, match=message):
        import_store(release, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_broken_arrays_are_refused(tmp_path):
    release = _release(tmp_path / "r")
    np.save(release / "drug_embed_all.npy", np.array([{"pickled": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read"):
        import_store(release, tmp_path / "s")
    vectors = some_vectors(3)
    vectors[1] = np.nan
    np.save(release / "drug_embed_all.npy", vectors)
    with pytest.raises(InputError, match="row 1"):
        import_store(release, tmp_path / "s")
    np.save(release / "drug_embed_all.npy", some_vectors(3))
    np.save(release / "cell_embed_all.npy", some_vectors(1, 8))
    (release / "cell_map.tsv").write_text("0\tx\n")
    with pytest.raises(InputError, match="different sizes"):
        import_store(release, tmp_path / "s")
    assert not (tmp_path / "s").exists() and not list(tmp_path.glob(".s*"))


def test_parquet_round_trips_with_everything(make_store, tmp_path):
    store = make_store(40)
    store.upsert(some_records([5, 50], aliases=("five", "V"), prompt="p@2", sample=1, key="k"), some_vectors(2, seed=3))
    store.delete(where={"id": "E8"})
    export_store(store, tmp_path / "out.parquet")
    back = import_store(tmp_path / "out.parquet", tmp_path / "back")
    (records, vectors), (expected, table) = _table(back), _table(store)
    assert records == expected
    np.testing.assert_array_equal(vectors, table)
    assert back.encoder == store.encoder
    with pytest.raises(MismatchError, match="holds vectors of test"):
        other = SPEC.model_copy(update={"window": 8, "name": "else"})
        import_store(tmp_path / "out.parquet", tmp_path / "other", encoder=other)


def test_a_parquet_file_from_elsewhere_is_refused(make_store, tmp_path):
    make_store(3).records().write_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="names no encoder"):
        import_store(tmp_path / "x.parquet", tmp_path / "s")
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read"):
        import_store(tmp_path / "x.parquet", tmp_path / "s")
    with pytest.raises(InputError, match="no such file"):
        import_store(tmp_path / "nothing", tmp_path / "s")


def test_a_faiss_index_reads_in_faiss_alone(make_store, tmp_path):
    import faiss

    store = make_store(9)
    export_store(store, tmp_path / "x.faiss")
    index = faiss.read_index(str(tmp_path / "x.faiss"))
    query = some_vectors(9)[4:5]
    lines = (tmp_path / "x.records.tsv").read_text().splitlines()
    assert lines[1 + int(index.search(query, 1)[1][0, 0])].split("\t")[1] == "E4"


def test_nothing_is_overwritten_unasked(make_store, tmp_path):
    store = make_store(3)
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="--force"):
        export_store(store, tmp_path / "out")
    export_store(store, tmp_path / "out", force=True)
    assert (tmp_path / "out" / "drug_map.tsv").exists()
    with pytest.raises(UsageError, match="exists already"):
        import_store(tmp_path / "out", store.path)
    shutil.rmtree(tmp_path / "out")


def test_a_folder_that_holds_anything_else_is_not_replaced(make_store, tmp_path):
    store = make_store(3)
    export_store(store, tmp_path / "out")
    export_store(store, tmp_path / "out", force=True)
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"out: holds 'thesis\.tex'"):
        export_store(store, tmp_path / "out", force=True)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"
    with pytest.raises(UsageError, match="is a file"):
        export_store(store, tmp_path / "out" / "thesis.tex", force=True)


def test_names_with_unusual_line_ends_come_back(make_store, tmp_path):
    store = make_store(2)
    store.upsert(some_records([5], name="sepa\u2028rator", llm="a\x85b"), some_vectors(1, seed=5))
    store.delete(where={"llm": "test"})
    export_store(store, tmp_path / "out")
    back = import_store(tmp_path / "out", tmp_path / "back", encoder=SPEC)
    assert back.records().select("name", "llm").rows() == [("sepa\u2028rator", "a\x85b")]


def test_several_profiles_of_an_entity_do_not_fit_the_papers_layout(make_store, tmp_path):
    store = make_store(3)
    store.upsert(some_records([1], set="other"), some_vectors(1))
    with pytest.raises(InputError, match="Export to Parquet"):
        export_store(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()
