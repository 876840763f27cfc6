"""Kills, full disks, flipped bytes, missing files and two writers: the last committed generation stands."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from small_stores import SPEC, some_records, some_vectors

from l2aco.embeddings.store.repair import repair, verify
from l2aco.embeddings.store.store import EmbeddingStore
from l2aco.errors import DamagedError, L2aCoError, LockedError

WRITER = textwrap.dedent(
    """
    import sys
    import numpy as np
    from small_stores import some_records, some_vectors
    from l2aco.embeddings.store.store import EmbeddingStore

    store = EmbeddingStore.open(sys.argv[1])
    print("ready", flush=True)
    for step in range(int(sys.argv[2]), 10**6):
        # Every generation holds, for each entity, the text and vector of one and the same step.
        records = some_records(range(300), text=f"step {step}")
        store.upsert(records, some_vectors(300, seed=step))
        if step % 4 == 3:
            store.compact()
        print(step, flush=True)
    """
)


def make(path, rows=300):
    store = EmbeddingStore.create(path, SPEC)
    store.upsert(some_records(range(rows), text="step 0"), some_vectors(rows))
    return store


def consistent(path):
    """The step that every record of the store agrees on; its vectors must be those of the step, too."""
    store = EmbeddingStore.open(path)
    assert verify(path) == []
    (text,) = store.records(text=True)["text"].unique().to_list()
    step = int(text.split()[1])
    expected = some_vectors(300, seed=step)
    for kind, first in (("cell_line", 0), ("drug", 1)):
        ids = [f"E{number}" for number in range(first, 300, 2)]
        table, mask = store.vectors(kind, ids)
        assert mask.all()
        np.testing.assert_array_equal(table, expected[first::2])
    return step


def start_writer(path, step=1):
    folder = str(Path(__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(step)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": folder},
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def kill_at_random(path, seed):
    """Start a writer, kill it somewhere in its work; (last step it reported, step that the store holds)."""
    begin = consistent(path)
    process = start_writer(path, begin + 1)
    time.sleep(random.Random(seed).uniform(0.05, 1.2))
    process.send_signal(signal.SIGKILL)
    said = [int(line) for line in process.stdout.read().split()]
    process.wait()
    return max(said, default=begin), consistent(path)


@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(n, marks=pytest.mark.long) for n in range(5, 20))])
def test_a_killed_writer_loses_at_most_what_it_had_not_committed(tmp_path, seed):
    make(tmp_path / "s")
    said, held = kill_at_random(tmp_path / "s", seed)
    assert held in (said, said + 1)
    store = EmbeddingStore.open(tmp_path / "s")
    store.upsert(some_records(range(300), text="step 999"), some_vectors(300, seed=999))
    assert consistent(tmp_path / "s") == 999
    needed = {file.path for file in store.manifest.files()}
    on_disk = {item.relative_to(store.path).as_posix() for item in (store.path / "segments").iterdir()}
    assert len(on_disk - needed) <= 4, "what the killed writer left is swept"


HOLDER = """
import sys
from pathlib import Path
from l2aco.locks import WriterLock

with WriterLock(Path(sys.argv[1]), "the embedding store"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_writer_in_another_process_is_named_and_its_death_frees_the_store(tmp_path):
    store = make(tmp_path / "s")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(store.path)], **pipes) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=str(other.pid)):
            store.delete(where={"id": "E5"})
        assert len(EmbeddingStore.open(store.path)) == 300
        other.kill()
        other.wait()
    assert store.delete(where={"id": "E5"}) == 1


def test_a_full_disk_leaves_the_store_as_it_was(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    size = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(mount)]
    if shutil.which("mount") is None or subprocess.run(size, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        store = make(mount / "s")
        generation = store.manifest.generation
        with pytest.raises(L2aCoError, match="disk is full"):
            for number in range(50):
                store.upsert(some_records(range(300, 4300), text=f"step {number}"), some_vectors(4000))
        held = EmbeddingStore.open(mount / "s")
        assert held.manifest.generation == store.manifest.generation >= generation
        assert verify(mount / "s") == []
        held.delete(where={"id": "E5"})
        assert EmbeddingStore.open(mount / "s").vectors("drug", ["E5"])[1].tolist() == [False]
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def flip(path, at=0.5):
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 0x10
    path.write_bytes(data)


@pytest.fixture
def rich(tmp_path):
    """Two segments, replaced and deleted rows, and an index."""
    store = make(tmp_path / "s")
    store.upsert(some_records(range(200, 400), text="second"), some_vectors(200, seed=2))
    store.delete(where={"id": "E250"})
    store.optimise("hnsw")
    return store


def file_of(store, what):
    manifest = store.manifest
    chosen = {
        "vectors": manifest.segments[1].vectors,
        "records": manifest.segments[1].records,
        "dead": manifest.dead,
        "index": manifest.index.file,
    }
    return store.path / chosen[what].path


@pytest.mark.parametrize("what", ["vectors", "records", "dead", "index"])
@pytest.mark.parametrize("how", ["flip", "truncate", "remove"])
def test_damage_is_named_and_mended(rich, what, how):
    path = file_of(rich, what)
    if how == "flip":
        flip(path)
    elif how == "truncate":
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.unlink()
    with pytest.raises(DamagedError) as caught:
        EmbeddingStore.open(rich.path)
    assert str(path) in str(caught.value) and "store verify --repair s" in str(caught.value)
    (problem,) = verify(rich.path)
    assert problem.path == path.relative_to(rich.path).as_posix()
    assert repair(rich.path)
    assert verify(rich.path) == []
    store = EmbeddingStore.open(rich.path)
    index = store.manifest.index
    assert index is not None and index.rows == store.manifest.total
    if what in ("index", "dead"):
        # The list of dead rows remembers deletions, which the records do not: E250 is back.
        assert len(store) == (399 if what == "index" else 400)
        np.testing.assert_array_equal(store.vectors("drug", ["E301"])[0][0], some_vectors(200, seed=2)[101])
    else:
        assert len(store) == 200 and store.vectors("drug", ["E301"])[1].tolist() == [False]
        np.testing.assert_array_equal(store.vectors("drug", ["E11"])[0][0], some_vectors(300)[11])


@pytest.mark.parametrize("how", ["flip", "remove", "empty"])
def test_a_damaged_manifest_comes_back_whole(rich, how):
    before = rich.manifest
    path = rich.path / "manifest.json"
    if how == "remove":
        path.unlink()
    else:
        path.write_bytes(b"" if how == "empty" else path.read_bytes().replace(b'"dead_rows": 101', b'"dead_rows": 100'))
    with pytest.raises(DamagedError, match=r"manifest\.json.*\n.*--repair s"):
        EmbeddingStore.open(rich.path)
    assert [problem.path for problem in verify(rich.path)] == ["manifest.json"]
    assert "brought manifest.json back" in repair(rich.path)[0]
    assert EmbeddingStore.open(rich.path).manifest == before


def test_a_lost_copy_of_the_manifest_is_written_again(rich):
    (copy,) = (rich.path / "generations").glob(f"{rich.manifest.generation:08d}.json")
    copy.unlink()
    assert len(verify(rich.path)) == 1 and repair(rich.path)
    assert verify(rich.path) == [] and copy.exists()


def test_without_any_manifest_the_error_says_what_to_do(rich):
    (rich.path / "manifest.json").unlink()
    shutil.rmtree(rich.path / "generations")
    with pytest.raises(DamagedError, match="embed` again"):
        repair(rich.path)


def test_a_sound_store_is_not_touched_by_a_repair(rich):
    before = {path: path.stat().st_mtime_ns for path in rich.path.rglob("*") if path.suffix}
    assert repair(rich.path) == []
    assert {path: path.stat().st_mtime_ns for path in rich.path.rglob("*") if path.suffix} == before


def test_a_manifest_of_a_later_format_is_refused(rich):
    path = rich.path / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(DamagedError, match="has format 2, this L2aCo reads 1"):
        EmbeddingStore.open(rich.path)
