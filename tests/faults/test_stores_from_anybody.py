"""Stores, exports and model folders that somebody else made: nothing of them runs, leaks, or leaves its folder."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from any_bytes import DEEP
from small_stores import SPEC, profile, save_bert, some_records, some_vectors, write_set
from werkzeug import Response

from l2aco.embeddings.encoders.table import make_encoder, resolve_encoder
from l2aco.embeddings.encoders.trust import trusted_encoder
from l2aco.embeddings.find import search_text
from l2aco.embeddings.store import exchange_parquet, generation
from l2aco.embeddings.store.exchange import export_store, import_store
from l2aco.embeddings.store.repair import repair, verify
from l2aco.embeddings.store.store import EmbeddingStore
from l2aco.errors import DamagedError, InputError, L2aCoError, LockedError, UnavailableError, UsageError
from l2aco.files import atomic_folder, sha256_bytes, stable_hash

KEY = "sk-very-secret"


@pytest.fixture
def store(workspace):
    found = EmbeddingStore.create(workspace.embeddings / "s", SPEC)
    found.upsert(some_records(range(60)), some_vectors(60))
    found.upsert(some_records([3, 70]), some_vectors(2, seed=1))
    return found


def rewrite(root, **changes):
    """The manifest with other values, and a checksum that fits."""
    value = json.loads((root / "manifest.json").read_text())
    value.pop("checksum")
    value |= changes
    value["checksum"] = stable_hash(value)
    for path in (root / "manifest.json", *(root / "generations").glob(f"*{value['generation']}.json")):
        path.write_text(json.dumps(value))


def says(store, **facts):
    """The store, with an encoder of these facts in its manifest."""
    rewrite(store.path, encoder=SPEC.model_copy(update=facts).model_dump(mode="json"))
    return EmbeddingStore.open(store.path)


# What it says of its encoder


@pytest.fixture
def listener(httpserver, monkeypatch):
    """A server that answers every call with vectors, and remembers texts and keys."""
    monkeypatch.setenv("L2ACO_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY + "-openai")
    httpserver.heard = []

    def handle(request):
        texts = json.loads(request.data)["input"]
        httpserver.heard.append((texts, request.headers.get("Authorization", "")))
        data = [{"index": place, "embedding": [1.0] * 16} for place in range(len(texts))]
        return Response(json.dumps({"data": data, "usage": {"prompt_tokens": 1}}), content_type="application/json")

    httpserver.expect_request("/v1/embeddings", method="POST").respond_with_handler(handle)
    return httpserver


def test_an_address_in_an_imported_file_gets_no_text_and_never_a_key(store, listener, workspace, cli):
    url = listener.url_for("/v1")
    export_store(says(store, runtime="openai", base_url=url), workspace.root / "x.parquet")
    cli("store", "import", "x.parquet", "--name", "theirs")
    refused = cli("search", "my secret question", "--store", "theirs", code=1).stderr
    assert url in refused and "--trust" in refused and "config.toml" in refused
    assert listener.heard == []
    assert "E1" in cli("search", "--entity", "E1", "--store", "theirs", "--kind", "drug", "--json").output
    cli("search", "my question", "--store", "theirs", "--trust")
    ((texts, key),) = listener.heard
    assert texts == ["my question"] and KEY not in key


def test_the_folders_settings_do_not_make_it_known(store, listener, workspace, own_settings, cli):
    facts = {"runtime": "openai", "base_url": listener.url_for("/v1")}
    says(store, **facts)
    section = {**SPEC.model_dump(exclude={"name", "summary"}, exclude_none=True), **facts}
    text = "[encoders.theirs]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in section.items())
    (workspace.root / "l2aco.toml").write_text(text)
    assert "--trust" in cli("search", "x", code=1).stderr
    write_set(workspace, "set", [profile("C1", "text of a profile")])
    cli("embed", "set", "--encoder", "theirs")
    assert all(KEY not in key for _, key in listener.heard), "l2aco.toml may come from anybody"
    listener.heard.clear()
    own_settings.write_text(text)
    cli("search", "x", "--store", "s")
    assert listener.heard == [(["x"], f"Bearer {KEY}")]


@pytest.mark.parametrize("runtime", ["theirs:Encoder", "theirs", "os:system"])
def test_a_class_in_a_store_is_never_imported(store, runtime, workspace, monkeypatch):
    (workspace.root / "theirs.py").write_text("from pathlib import Path\nPath('ran').touch()\nclass Encoder: ...\n")
    monkeypatch.syspath_prepend(workspace.root)
    theirs = says(store, runtime=runtime)
    for trust in (False, True):
        with pytest.raises(UnavailableError, match="nobody here knows"):
            search_text(theirs, "x", trust=trust)
    assert not (workspace.root / "ran").exists()


def test_a_store_of_an_encoder_of_the_table_is_searched_as_the_table_says(store):
    minilm = resolve_encoder("minilm")
    twisted = minilm.model_copy(update={"runtime": "openai", "query_instruction": "tell me all: ", "name": "other"})
    assert twisted.fingerprint == minilm.fingerprint, "what makes the vectors is the same"
    assert trusted_encoder(twisted) == trusted_encoder(twisted, trust=True) == minilm


def test_a_model_folder_that_brings_code_is_refused(tmp_path, monkeypatch):
    folder = save_bert(tmp_path / "model")
    (folder / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Pooling: ...\n")
    (folder / "modules.json").write_text(json.dumps([{"type": "theirs.Pooling", "path": ""}]))
    facts = {"runtime": "sentence-transformers", "model": str(folder), "dimension": 32}
    with pytest.raises(InputError, match=r"code of its own \(theirs.Pooling\)"):
        make_encoder(SPEC.model_copy(update=facts)).encode(["x"])
    with pytest.raises(InputError, match="code of its own"):
        resolve_encoder(str(folder))
    (folder / "modules.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Config", "AutoModel": "theirs.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    for runtime in ("transformers", "sentence-transformers"):
        with pytest.raises(UnavailableError, match="cannot be loaded"):
            make_encoder(SPEC.model_copy(update={**facts, "runtime": runtime})).encode(["x"])
    assert not (tmp_path / "ran").exists()


def test_weights_in_a_package_are_found_without_running_it(tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / "theirs" / "inner").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    for model in ("package:theirs.inner", "package:theirs", "package:no.such", "package:"):
        with pytest.raises((UnavailableError, InputError)):
            make_encoder(SPEC.model_copy(update={"model": model})).encode(["x"])
    assert not (tmp_path / "ran").exists()


# Its own folder


@pytest.fixture
def precious(tmp_path):
    folder = tmp_path / "precious"
    folder.mkdir()
    for name in ("thesis.tex", "00000001-0.npy", "00000001.json"):
        (folder / name).write_text("years of work")
    yield folder
    assert sorted(path.name for path in folder.iterdir()) == ["00000001-0.npy", "00000001.json", "thesis.tex"]
    assert {path.read_text() for path in folder.iterdir()} == {"years of work"}


@pytest.mark.parametrize("name", ["segments", "dead", "index", "generations"])
def test_a_linked_folder_in_a_store_is_not_followed(store, precious, name, cli):
    (store.path / name).mkdir(exist_ok=True)
    for path in (store.path / name).iterdir():
        shutil.copy(path, store.path / path.name)
    shutil.rmtree(store.path / name)
    (store.path / name).symlink_to(precious)
    for arguments in (("compact", "s"), ("verify", "s", "--repair")):
        result = cli("store", *arguments, code=None)
        assert result.exit_code == (0 if name == "index" and "verify" in arguments else 1), result.output


def test_what_is_not_of_a_store_stays(store, precious):
    for name in ("thesis.tex", "mine.npy", "99999999-0.npy", ".00000001-0.npy.swp"):
        (store.path / "segments" / name).write_text("mine")
    (store.path / "segments" / "00000001-7.npy").symlink_to(precious / "thesis.tex")
    (store.path / "segments" / "00000002-7.npy").symlink_to(precious)
    (store.path / "generations" / "notes.json").write_text("mine")
    (store.path / "segments" / "00000001-8.npy").write_text("left by a killed writer")
    (store.path / "segments" / ".00000001-8.npy.abcdefgh.partial").write_text("left by a killed writer")
    for _ in range(3):
        store.compact()
    left = {path.name for path in (store.path / "segments").iterdir()} - {
        Path(file.path).name for copy in (store.path / "generations").glob("0*.json") for file in files_in(copy)
    }
    links = {"00000001-7.npy", "00000002-7.npy"}
    assert left == {"thesis.tex", "mine.npy", "99999999-0.npy", ".00000001-0.npy.swp", *links}
    assert (store.path / "generations" / "notes.json").exists()


def files_in(path):
    from l2aco.embeddings.store.manifest import parse_manifest

    return parse_manifest(path).files()


def test_the_pid_of_a_writer_is_not_written_through_a_link(store, precious):
    (store.path / ".writer.pid").symlink_to(precious / "thesis.tex")
    store.delete(where={"id": "E5"})


def test_a_folder_that_is_no_store_does_not_become_one(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds 'thesis\.tex', which is not of a store"):
        EmbeddingStore.create(tmp_path / "mine", SPEC)
    assert [path.name for path in (tmp_path / "mine").iterdir() if path.name[0] != "."] == ["thesis.tex"]


def test_an_export_replaces_only_an_export(store, tmp_path):
    (tmp_path / "out" / "drug_map.tsv").mkdir(parents=True)
    (tmp_path / "out" / "drug_map.tsv" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds 'drug_map\.tsv', which is not of an export"):
        export_store(store, tmp_path / "out", force=True)
    (tmp_path / "x.records.tsv").write_text("mine")
    with pytest.raises(UsageError, match=r"x\.records\.tsv: exists already"):
        export_store(store, tmp_path / "x.faiss")
    assert (tmp_path / "x.records.tsv").read_text() == "mine" and not (tmp_path / "x.faiss").exists()


OUTSIDE = ("", "../other/x", "/etc/passwd", "~/x", "segments/../../x", "segments/./x", "segments/a/b", "generations/x")
ODD = ("segments/", "segments\\x", "segments/.x", "segments/\0", "segments/x\n")


@pytest.mark.parametrize("path", [*OUTSIDE, *ODD])
def test_the_files_of_a_manifest_are_plain_names_inside(store, path):
    value = json.loads((store.path / "manifest.json").read_text())
    value["segments"][0]["vectors"]["path"] = path
    rewrite(store.path, segments=value["segments"])
    (problem,) = verify(store.path)
    assert problem.path == "manifest.json" and "path" in problem.message
    with pytest.raises(DamagedError, match="is no manifest"):
        EmbeddingStore.open(store.path)
    rewrite(store.path, segments=value["segments"], generation=7)
    shutil.copy(store.path / "manifest.json", store.path / "generations" / "00000007.json")
    assert "copy of generation" in repair(store.path)[0]
    assert verify(store.path) == []


def test_one_file_does_not_stand_for_two(store):
    value = json.loads((store.path / "manifest.json").read_text())
    value["segments"][1] |= {name: value["segments"][0][name] for name in ("vectors", "records", "rows")}
    rewrite(store.path, segments=value["segments"])
    assert "one file stands for two" in verify(store.path)[0].message


# Two at once


IMPORTER = """
import sys, time
from pathlib import Path
from l2aco.embeddings.store.exchange import import_store
from l2aco.embeddings.store.store import EmbeddingStore

real = EmbeddingStore.upsert
def slow(self, *arguments, **more):
    report = real(self, *arguments, **more)
    print("half", flush=True)
    sys.stdin.readline()
    return report

EmbeddingStore.upsert = slow
import_store(Path(sys.argv[1]), Path(sys.argv[2]))
print("done", flush=True)
"""


@pytest.fixture
def half(store, tmp_path):
    """An import of x.parquet as `t`, in another process, which waits in its middle."""
    export_store(store, tmp_path / "x.parquet")
    arguments = [sys.executable, "-c", IMPORTER, str(tmp_path / "x.parquet"), str(tmp_path / "t")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "half\n"
        yield process
        process.kill()


def test_two_imports_of_one_name_do_not_both_succeed(half, tmp_path):
    with pytest.raises(LockedError, match=f"the folder t is being written by another process .pid {half.pid}"):
        import_store(tmp_path / "x.parquet", tmp_path / "t")
    half.stdin.write("\n")
    half.stdin.flush()
    assert half.stdout.readline() == "done\n"
    with pytest.raises(UsageError, match="exists already"):
        import_store(tmp_path / "x.parquet", tmp_path / "t")
    assert len(EmbeddingStore.open(tmp_path / "t")) == 61


def test_a_store_that_appears_during_an_import_is_not_replaced(half, tmp_path):
    mine = EmbeddingStore.create(tmp_path / "t", SPEC)
    mine.upsert(some_records([1]), some_vectors(1))
    half.stdin.write("\n")
    half.stdin.flush()
    assert half.stdout.readline() == "", "it failed"
    assert len(EmbeddingStore.open(tmp_path / "t")) == 1


def test_what_a_killed_import_left_goes_with_the_next_writer(half, tmp_path):
    half.send_signal(signal.SIGKILL)
    half.wait()
    assert (tmp_path / ".t.partial").exists()
    import_store(tmp_path / "x.parquet", tmp_path / "another")
    assert not list(tmp_path.glob(".*.partial"))
    assert len(import_store(tmp_path / "x.parquet", tmp_path / "t")) == 61


def test_a_folder_that_is_being_replaced_is_not_brought_back(tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "old").touch()
    with atomic_folder(tmp_path / "t", replace=True) as partial:
        (partial / "new").touch()
        failed = []
        other = threading.Thread(target=lambda: failed.append(_try_to_make(tmp_path / "t")))
        other.start()
        other.join()
        assert isinstance(failed[0], LockedError)
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["new"]


def _try_to_make(path):
    try:
        with atomic_folder(path, replace=True):
            return None
    except L2aCoError as error:
        return error


# Damage


def contents(store):
    return store.records(text=True).drop("row", "hash").rows(), store.rows(store.records()["row"].to_numpy()).tobytes()


def test_a_flipped_bit_in_an_export_is_found_or_harmless(store, tmp_path):
    export_store(store, tmp_path / "x.parquet")
    data, sound = (tmp_path / "x.parquet").read_bytes(), contents(store)
    chance = random.Random(0)
    found = 0
    for number in range(150):
        at, bit = chance.randrange(len(data)), chance.randrange(8)
        flipped = bytearray(data)
        flipped[at] ^= 1 << bit
        (tmp_path / "y.parquet").write_bytes(flipped)
        try:
            assert contents(import_store(tmp_path / "y.parquet", tmp_path / f"t{number}")) == sound, (at, bit)
        except L2aCoError:
            found += 1
            assert not (tmp_path / f"t{number}").exists()
    assert found > 50


def test_a_changed_text_or_vector_or_order_in_an_export_is_found(store, tmp_path):
    import pyarrow.parquet as pq

    export_store(store, tmp_path / "x.parquet")
    table, facts = pq.read_table(tmp_path / "x.parquet"), pq.read_metadata(tmp_path / "x.parquet").metadata
    names = table.column("name").to_pylist()
    changed = {
        "order": table.take([*range(1, 61), 0]),
        "row": table.slice(1),
        "name": table.set_column(table.column_names.index("name"), "name", [["x", *names[1:]]]),
    }
    for what, other in changed.items():
        pq.write_table(other.replace_schema_metadata(facts), tmp_path / "y.parquet")
        with pytest.raises(DamagedError, match="does not match its checksum"):
            import_store(tmp_path / "y.parquet", tmp_path / what)
    pq.write_table(table.replace_schema_metadata(facts), tmp_path / "y.parquet")
    assert contents(import_store(tmp_path / "y.parquet", tmp_path / "same")) == contents(store)


def test_an_export_of_an_earlier_version_is_read_and_told_apart(store, tmp_path, workspace, cli):
    import pyarrow.parquet as pq

    export_store(store, tmp_path / "x.parquet")
    table, facts = pq.read_table(tmp_path / "x.parquet"), pq.read_metadata(tmp_path / "x.parquet").metadata
    pq.write_table(table.replace_schema_metadata({b"l2aco.encoder": facts[b"l2aco.encoder"]}), tmp_path / "y.parquet")
    assert "carries no checksum" in cli("store", "import", tmp_path / "y.parquet", "--name", "y").stderr


def test_a_manifest_of_another_version_is_left_alone(store, workspace, cli):
    rewrite(store.path, format=99)
    before = {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()}
    for arguments in (
        ("verify", "s"),
        ("verify", "s", "--repair"),
        ("compact", "s"),
        ("info", "s"),
        ("export", "s", "x.parquet"),
        ("search", "x", "--store", "s"),
    ):
        result = cli("store", *arguments, code=1)
        assert "has format 99, this L2aCo reads 1" in result.output
    assert "left out" in cli("store", "list").stderr
    with pytest.raises(DamagedError, match="format 99"):
        store.upsert(some_records([1]), some_vectors(1))
    (store.path / "manifest.json").write_text("damaged")
    assert "has format 99" in cli("store", "verify", "s", "--repair", code=1).output
    (store.path / "manifest.json").write_bytes(before[store.path / "manifest.json"])
    assert {path: path.read_bytes() for path in before if path.exists()} == before


def with_file(store, what, data):
    """The store, with other bytes in one file of its first segment, which the manifest knows."""
    value = json.loads((store.path / "manifest.json").read_text())
    info = value["segments"][0][what] if what != "dead" else value["dead"]
    (store.path / info["path"]).write_bytes(data)
    info |= {"bytes": len(data), "sha256": sha256_bytes(data)}
    rewrite(store.path, segments=value["segments"], dead=value["dead"])
    return info["path"]


def npy(array, tmp_path):
    np.save(tmp_path / "x.npy", array)
    return (tmp_path / "x.npy").read_bytes()


@pytest.mark.parametrize(
    ("what", "array", "message"),
    [
        ("vectors", some_vectors(59), "holds float32"),
        ("vectors", some_vectors(60).astype(">f4"), "holds >f4"),
        ("vectors", np.asfortranarray(some_vectors(60)), "holds float32"),
        ("dead", np.array([2**40]), "ascending"),
        ("dead", np.array([-1]), "ascending"),
        ("dead", np.array([3.0]), "holds float64"),
        ("dead", np.arange(5), "not 1 row numbers"),
    ],
)
def test_verify_refuses_what_every_other_command_refuses(store, tmp_path, what, array, message):
    path = with_file(store, what, npy(array, tmp_path))
    with pytest.raises(DamagedError, match=message):
        EmbeddingStore.open(store.path)
    problems = [problem for problem in verify(store.path) if problem.path == path]
    assert len(problems) == 1 and message in problems[0].message
    assert repair(store.path) and verify(store.path) == []


def test_records_without_a_column_or_a_value_are_damage(store, tmp_path):
    import polars as pl

    frame = pl.read_parquet(store.path / store.manifest.segments[0].records.path)
    nobody = pl.lit(None, pl.String)
    for changed in (frame.drop("id"), frame.with_columns(aliases=nobody), frame.with_columns(sample=pl.lit("x"))):
        changed.write_parquet(tmp_path / "x.parquet")
        with_file(store, "records", (tmp_path / "x.parquet").read_bytes())
        assert verify(store.path)[0].path == store.manifest.segments[0].records.path
        with pytest.raises(DamagedError):
            EmbeddingStore.open(store.path).records()


def astray(index):
    """An index with one number changed that FAISS would follow out of its memory."""
    import faiss

    if isinstance(index, faiss.IndexHNSW):
        graph = index.hnsw
        faiss.rev_swig_ptr(graph.neighbors.data(), graph.neighbors.size())[:] = 10**9
    else:
        lists = faiss.downcast_InvertedLists(index.invlists)
        full = next(number for number in range(lists.nlist) if lists.list_size(number))
        faiss.rev_swig_ptr(lists.get_ids(full), 1)[0] = 10**12
    return index


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_an_index_that_leads_faiss_astray_is_not_searched(store, kind):
    import faiss

    store.upsert(some_records(range(100, 1100)), some_vectors(1000, seed=2))
    store.optimise(kind)
    assert verify(store.path) == []
    path = store.path / store.manifest.index.file.path
    faiss.write_index(astray(faiss.read_index(str(path))), str(path))
    data = path.read_bytes()
    told = store.manifest.index.model_dump(mode="json")
    told["file"] |= {"bytes": len(data), "sha256": sha256_bytes(data)}
    rewrite(store.path, index=told)
    with pytest.raises(DamagedError, match=r"neighbor|a row that is none"):
        EmbeddingStore.open(store.path).search(np.ones(16), 5)
    assert verify(store.path)[0].path == told["file"]["path"]
    assert "build it again" in repair(store.path)[0]
    assert len(EmbeddingStore.open(store.path).search(np.ones(16), 5)) == 5


# Bounds


def test_a_search_for_very_many_is_one_message_before_a_model_loads(store, cli):
    for number in ("1000000000000", "0", "-3"):
        assert "Ask for 1 to" in cli("search", "x", "-k", number, code=2).stderr
        assert "Ask for 1 to" in cli("search", "--entity", "E1", "-k", number, code=2).stderr
    with pytest.raises(UsageError, match="k is 10,000,000"):
        store.search(np.ones(16), k=10**7)
    assert len(store.search(np.ones(16), k=100_000)) == 61


@pytest.mark.parametrize("text", [*DEEP, "[]", "null", "5", '"x"', '{"format": 1}', '{"format": [1]}', "{}"])
def test_a_manifest_that_is_nonsense_is_one_message(store, cli, text):
    (store.path / "manifest.json").write_text(text)
    for arguments in (("verify", "s"), ("info", "s"), ("compact", "s"), ("list",)):
        result = cli("store", *arguments, code=None)
        assert "manifest.json" in result.output and isinstance(result.exception, SystemExit | None)
    assert "brought manifest.json back" in cli("store", "verify", "s", "--repair").stdout


def test_a_file_of_kilobytes_that_claims_gigabytes_is_refused(store, tmp_path, monkeypatch):
    import polars as pl

    export_store(store, tmp_path / "x.parquet")
    text = "x" * 3_000_000
    big = pl.read_parquet(tmp_path / "x.parquet").with_columns(text=pl.lit(text))
    facts = SPEC.model_dump_json()
    big = pl.concat([big] * 8).with_columns(id=pl.int_range(pl.len()).cast(pl.String))
    big.write_parquet(tmp_path / "y.parquet", metadata={"l2aco.encoder": facts})
    assert (tmp_path / "y.parquet").stat().st_size < 2**20
    with pytest.raises(InputError, match="the column text holds more than"):
        import_store(tmp_path / "y.parquet", tmp_path / "t")
    rows = pl.DataFrame({"id": pl.repeat("x", 5_000_000, eager=True)})
    rows.write_parquet(tmp_path / "z.parquet", metadata={"l2aco.encoder": facts})
    with pytest.raises(InputError, match="lacks the column 'kind'"):
        import_store(tmp_path / "z.parquet", tmp_path / "t")


def test_rows_that_a_manifest_claims_take_no_memory(store):
    value = json.loads((store.path / "manifest.json").read_text())
    value["segments"][0]["rows"] = 2**31
    rewrite(store.path, segments=value["segments"])
    assert verify(store.path)
    with pytest.raises(DamagedError):
        EmbeddingStore.open(store.path)


# One message


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"\x80\x04.", b"\x93NUMPY\x01\x00v\x00" + b"(" * 118])
def test_a_damaged_header_of_an_array_is_one_message(store, monkeypatch, cli, damage):
    monkeypatch.setattr(generation, "CHECK_ON_OPEN", 0)  # as a store above 64 MB
    path = store.path / store.manifest.segments[0].vectors.path
    data = path.read_bytes()
    path.write_bytes((damage + data[len(damage) :]) if damage else b"\0" * len(data))
    assert path.name in (said := cli("store", "info", "s", code=1).stderr) and "--repair s" in said
    assert "took out segment" in cli("store", "verify", "s", "--repair").stdout


def odd(frame):
    import polars as pl

    yield frame.drop("vector"), "vector"
    yield frame.drop("fields"), "lacks the column 'fields'"
    yield frame.with_columns(vector=pl.lit("x")), "the column vector holds"
    yield frame.with_columns(vector=pl.lit([1.0, 2.0], pl.Array(pl.Float32, 2))), "where the encoder gives 16"
    yield frame.with_columns(vector=pl.lit(None, pl.Array(pl.Float32, 16))), "or none"
    yield frame.with_columns(sample=pl.lit("x")), "in the column 'sample'"
    yield frame.with_columns(sample=pl.lit(2**40)), "cannot be read"
    yield frame.with_columns(kind=pl.lit("elephant")), "is of no kind"
    yield frame.with_columns(fields=pl.lit("[1]")), "no JSON object"
    yield frame.with_columns(fields=pl.lit(str(DEEP[1]))), "no JSON object"
    yield frame.with_columns(id=pl.lit(None, pl.String)), "a record without id"
    yield frame.with_columns(aliases=pl.lit(None, pl.String)), "a record without aliases"
    yield frame.with_columns(text=pl.lit(b"\xff\xfe")), "in the column 'text'"
    yield frame.with_columns(id=pl.lit("x")), "stands twice"


def test_an_import_with_missing_or_odd_columns_is_one_message(store, tmp_path, workspace, cli):
    import polars as pl

    export_store(store, tmp_path / "x.parquet")
    for frame, message in odd(pl.read_parquet(tmp_path / "x.parquet")):
        frame.write_parquet(tmp_path / "y.parquet", metadata={"l2aco.encoder": SPEC.model_dump_json()})
        assert message in cli("store", "import", tmp_path / "y.parquet", code=1).stderr
    assert [path.name for path in workspace.embeddings.iterdir()] == ["s"]


def test_a_record_that_comes_again_in_another_piece_is_no_silent_replacement(store, tmp_path, monkeypatch):
    import polars as pl

    monkeypatch.setattr(exchange_parquet, "PIECE_ROWS", 40)
    export_store(store, tmp_path / "x.parquet")
    frame = pl.read_parquet(tmp_path / "x.parquet")
    pl.concat([frame, frame[:1]]).write_parquet(
        tmp_path / "y.parquet", metadata={"l2aco.encoder": SPEC.model_dump_json()}
    )
    with pytest.raises(InputError, match="holds a record twice"):
        import_store(tmp_path / "y.parquet", tmp_path / "t")


FULL = textwrap.dedent(
    """
    import sys
    from l2aco.cli.main import app
    app(sys.argv[1:])
    """
)


def test_a_full_disk_in_an_import_or_an_export_is_one_message(store, tmp_path):
    store.upsert(some_records(range(100, 4000)), some_vectors(3900))
    export_store(store, tmp_path / "x.parquet")
    export_store(store, tmp_path / "paper")
    mount = tmp_path / "small"
    mount.mkdir()
    size = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(mount)]
    if shutil.which("mount") is None or subprocess.run(size, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        for arguments in (
            ("store", "import", str(tmp_path / "x.parquet"), "-w", str(mount)),
            ("store", "import", str(tmp_path / "paper"), "-w", str(mount)),
            *(
                ("store", "export", "s", str(mount / name), "-w", str(store.path.parents[1]))
                for name in ("y.parquet", "y.faiss", "y")
            ),
        ):
            done = subprocess.run([sys.executable, "-c", FULL, *arguments], capture_output=True, text=True)
            assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
            assert "full" in done.stderr or "No space left" in done.stderr
            left = [path.relative_to(mount).as_posix() for path in mount.rglob("*") if path.is_file()]
            assert left == [], "nothing is half there"
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_workspace_of_all_this_still_lists_its_sound_stores(store, workspace, cli):
    for number, text in enumerate(["[]", DEEP[0], '{"format": 99}']):
        shutil.copytree(store.path, workspace.embeddings / f"bad{number}")
        (workspace.embeddings / f"bad{number}" / "manifest.json").write_text(text)
    (workspace.embeddings / "folder" / "manifest.json").mkdir(parents=True)
    (workspace.embeddings / "dangling").symlink_to(workspace.root / "nowhere")
    listed = cli("store", "list", "--json")
    assert [row["store"] for row in json.loads(listed.stdout)] == ["s"]
    assert listed.stderr.count("left out") == 4
