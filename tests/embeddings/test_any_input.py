"""Whatever lies in a file that the store reads, it is read or refused in one message."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from any_bytes import altered_json, arrays, dumps, feed, frames, json_texts, json_values, kept, mutated, some_bytes
from hypothesis import strategies as st
from small_stores import SPEC, some_records, some_vectors

from l2aco.embeddings.encoders.fetch import describe_folder
from l2aco.embeddings.encoders.table import make_encoder, resolve_encoder
from l2aco.embeddings.find import choose_store, search_entity
from l2aco.embeddings.store import generation
from l2aco.embeddings.store.exchange import export_store, import_store
from l2aco.embeddings.store.info import describe, summarise
from l2aco.embeddings.store.repair import repair, verify
from l2aco.embeddings.store.segments import HEAVY, LIGHT
from l2aco.embeddings.store.store import EmbeddingStore
from l2aco.errors import L2aCoError
from l2aco.files import sha256_bytes, stable_hash
from l2aco.workspace import Settings, Workspace

ROWS = 40


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A store with two segments, dead rows and an index."""
    store = EmbeddingStore.create(tmp_path_factory.mktemp("sound") / "s", SPEC)
    store.upsert(some_records(range(ROWS)), some_vectors(ROWS))
    store.upsert(some_records([3, 50]), some_vectors(2, seed=1))
    store.optimise("hnsw")
    return store


@pytest.fixture
def broken(sound, workspace):
    """`broken({path: bytes}, manifest=...)` is a copy of the store with these files, and a manifest that knows them."""

    root = workspace.embeddings / "s"
    shutil.copytree(sound.path, root)
    put_back = kept(root)

    def write(files, *, manifest=None, knows=True):
        put_back()
        value = json.loads((root / "manifest.json").read_text()) if manifest is None else manifest
        for path, data in files.items():
            (root / path).write_bytes(data)
            value = told(value, path, data) if knows else value
        if isinstance(value, dict):
            value.pop("checksum", None)
            value["checksum"] = stable_hash(value)
        for copy in (root / "manifest.json", *(root / "generations").glob(f"*{sound.manifest.generation}.json")):
            copy.write_text(dumps(value))
        return root

    def told(value, path, data):
        """The manifest with the size and checksum that a file has now."""
        facts = {"bytes": len(data), "sha256": sha256_bytes(data)}
        text = json.dumps(value)
        return json.loads(text, object_hook=lambda item: {**item, **facts} if item.get("path") == path else item)

    return write


def use(root):
    """What the commands do with a store; a store that opens and verifies can be used in every way."""
    workspace = Workspace(root.parents[1])
    problems = verify(root)
    try:
        store = choose_store(workspace, root.name)
        describe(store), summarise(store)
        store.records(text=True)
        store.vectors("drug", ["E1", "E3"])
        store.search(np.ones(16), 5, "drug", {"tissue": "skin"})
        store.search(np.ones(16), 5)
        search_entity(store, "E1", 3)
    except L2aCoError as error:
        usual = ("unknown", "several profiles", "not finite", "no embedding store")
        assert problems or any(word in str(error) for word in usual), f"verify says sound, and then: {error}"


def test_the_store_of_these_tests_is_sound(broken):
    root = broken({})
    assert verify(root) == []
    use(root)


def test_any_manifest(broken):
    def read(text):
        root = broken({})
        (root / "manifest.json").write_text(text)
        use(root)
        repair(root)

    feed(json_texts(), read)


def test_a_manifest_with_anything_in_its_places(broken, sound):
    valid = json.loads((sound.path / "manifest.json").read_text())

    def read(value):
        try:
            root = broken({}, manifest=value)
        except UnicodeEncodeError:  # no hash can be made of it
            return
        use(root)
        repair(root)

    feed(altered_json(valid), read)


def paths_of(store):
    (first, second), manifest = store.manifest.segments, store.manifest
    return {
        "vectors": first.vectors.path,
        "few vectors": second.vectors.path,
        "records": first.records.path,
        "few records": second.records.path,
        "dead": manifest.dead.path,
    }


@pytest.mark.parametrize("what", ["vectors", "records", "few records", "dead"])
@pytest.mark.parametrize("knows", [True, False], ids=["as its manifest says", "as nobody says"])
def test_files_with_any_bytes(broken, sound, monkeypatch, what, knows):
    monkeypatch.setattr(generation, "CHECK_ON_OPEN", 0)  # as a store above 64 MB
    path = paths_of(sound)[what]
    valid = (sound.path / path).read_bytes()
    feed(mutated(valid), lambda data: use(broken({path: data}, knows=knows)), files=8)


def test_an_index_that_is_not_as_written_never_reaches_faiss(broken, sound, monkeypatch):
    monkeypatch.setattr(generation, "CHECK_ON_OPEN", 0)
    path = sound.manifest.index.file.path
    valid = (sound.path / path).read_bytes()
    feed(mutated(valid), lambda data: use(broken({path: data}, knows=False)))


@pytest.mark.parametrize("what", ["vectors", "dead"])
def test_files_with_any_array(broken, sound, tmp_path, what):
    def read(array):
        np.save(tmp_path / "x.npy", array)
        use(broken({paths_of(sound)[what]: (tmp_path / "x.npy").read_bytes()}))

    feed(arrays(ROWS, 16) if what == "vectors" else arrays(1, 1), read, files=2)


def test_records_in_any_table(broken, sound, tmp_path):
    def read(frame):
        frame.write_parquet(tmp_path / "x.parquet")
        use(broken({paths_of(sound)["few records"]: (tmp_path / "x.parquet").read_bytes()}))

    feed(frames((*LIGHT, *HEAVY), 2), read)


def imported(source, target):
    shutil.rmtree(target, ignore_errors=True)
    try:
        assert verify(import_store(source, target).path) == []
    except L2aCoError:
        assert not target.exists()
        raise


@pytest.fixture(scope="module")
def exported(sound, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export_store(sound, folder / "x.parquet")
    dense = EmbeddingStore.open(shutil.copytree(sound.path, folder / "s"))
    dense.compact()
    export_store(dense, folder / "paper")
    export_store(dense, folder / "LLM_DATA")
    return folder


def test_an_import_of_any_bytes(exported, tmp_path):
    def read(data):
        (tmp_path / "x.parquet").write_bytes(data)
        imported(tmp_path / "x.parquet", tmp_path / "s")

    feed(mutated((exported / "x.parquet").read_bytes()), read)


def test_an_import_of_any_table(tmp_path):
    import polars as pl

    def read(parts):
        frame, encoder, vectors = parts
        if vectors is not None and vectors.ndim == 2 and len(vectors) == frame.height and vectors.shape[1]:
            frame = frame.with_columns(pl.Series("vector", vectors, pl.Array(pl.Float32, vectors.shape[1])))
        frame.write_parquet(tmp_path / "x.parquet", metadata={"l2aco.encoder": encoder})
        imported(tmp_path / "x.parquet", tmp_path / "s")

    encoders = st.just(SPEC.model_dump_json()) | altered_json(SPEC.model_dump()).map(dumps) | json_values().map(dumps)
    tables = frames((*LIGHT, *HEAVY), 3)
    vectors = st.none() | arrays(3, 16).filter(lambda array: array.dtype.kind == "f")
    feed(st.tuples(tables, encoders, vectors), read)


@pytest.mark.parametrize(
    "what", ["paper/drug_embed_all.npy", "paper/drug_map.tsv", "paper/cell_ids.tsv", "LLM_DATA/cell_map.csv"]
)
def test_an_import_of_the_papers_layout_with_any_bytes(exported, tmp_path, what):
    part = Path(what).parent
    shutil.copytree(exported / part, tmp_path / part)
    valid = (tmp_path / what).read_bytes()

    def read(data):
        (tmp_path / what).write_bytes(data)
        imported(tmp_path / part, tmp_path / "s")

    feed(mutated(valid) | some_bytes(), read)


def test_an_import_of_the_papers_layout_with_any_array(exported, tmp_path):
    shutil.copytree(exported / "paper", tmp_path / "paper")

    def read(array):
        np.save(tmp_path / "paper" / "cell_embed_all.npy", array)
        imported(tmp_path / "paper", tmp_path / "s")

    feed(arrays(21, 16), read)


@pytest.mark.parametrize("name", ["config.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"])
def test_a_model_folder_with_anything_in_its_configuration(tmp_path, name):
    files = {
        "config.json": {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "max_position_embeddings": 64},
        "modules.json": [{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}],
        "1_Pooling/config.json": {"word_embedding_dimension": 8, "pooling_mode_cls_token": True},
        "sentence_bert_config.json": {"max_seq_length": 32},
        "config_sentence_transformers.json": {"prompts": {"query": "q: "}},
    }
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "model.safetensors").touch()
    for path, value in files.items():
        (tmp_path / path).write_text(json.dumps(value))
    assert describe_folder(tmp_path).dimension == 8

    def read(text):
        (tmp_path / name).write_text(text)
        describe_folder(tmp_path)

    feed(altered_json(files[name]).map(dumps) | json_texts(), read, files=4)


def test_a_section_of_the_settings_with_anything_in_it():
    valid = {
        "runtime": "transformers",
        "model": "/m",
        "dimension": 8,
        "window": 32,
        "pooling": "cls",
        "base_url": "http://x",
    }

    def read(section):
        if isinstance(section, dict):
            make_encoder(resolve_encoder("mine", Settings(encoders={"mine": section})))

    feed(altered_json(valid), read)
