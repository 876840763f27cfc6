"""Real kills and corruptions: a training that dies goes on identically, and what no longer fits is refused."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from l2aco.bench.execute import run_suite
from l2aco.bench.suite import Suite, cells
from l2aco.errors import DamagedError, LockedError
from l2aco.files import sha256_file
from l2aco.locks import WriterLock
from l2aco.progress import Silent
from l2aco.runs.run import UNFINISHED, list_runs
from l2aco.runs.spec import TrainSpec
from l2aco.training.callbacks import Callback
from l2aco.training.network import STATE
from l2aco.training.train import train

SPEC = TrainSpec(backbone="GCN", epochs=12, patience=100, schedule="one-cycle")
MIXED = {"backbone": "Mixed", "config": {"draws": 2, "knowledge": "none"}}
SCRIPT = """
import sys
from l2aco.runs.spec import TrainSpec
from l2aco.training.train import train
from l2aco.workspace import Workspace
train(TrainSpec.model_validate_json(sys.argv[1]), Workspace(sys.argv[2]), state_seconds=0.0)
"""


def numbers(run):
    metrics = {name: value for name, value in run.metrics.items() if name != "training"}
    history = [{name: value for name, value in record.items() if name != "seconds"} for record in run.history]
    return json.dumps(metrics), json.dumps(history), run.manifest["files"]["model.safetensors"]


def test_kill_9_in_training_and_the_second_start_ends_with_identical_numbers(lab):
    whole = train(SPEC, lab)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, SPEC.model_dump_json(), str(lab.root)])
    try:
        state = lab.runs / UNFINISHED / whole.id / STATE
        deadline = time.monotonic() + 120
        while not state.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    said = []

    class Listener:
        from l2aco.progress import Silent

        task = Silent.task

        def say(self, text):
            said.append(text)

    assert [run.id for run in list_runs(lab)] == [whole.id], "a killed training must leave no run"
    resumed = train(SPEC, lab, Listener())
    assert any("going on after epoch" in line for line in said)
    assert resumed.id == f"{whole.id}-2"
    assert numbers(resumed) == numbers(whole)
    assert not (lab.runs / UNFINISHED / whole.id).exists()


def test_a_damaged_state_of_an_unfinished_run_is_one_clear_error(lab):
    class StopError(Exception):
        pass

    class Stop(Callback):
        def epoch(self, record):
            if record["epoch"] == 3:
                raise StopError

    with pytest.raises(StopError):
        train(SPEC, lab, callbacks=[Stop()], state_seconds=0.0)
    (state,) = (lab.runs / UNFINISHED).rglob(STATE)
    good = state.read_bytes()
    for bad in (good[: len(good) // 2], b"", b"not a checkpoint"):
        state.write_bytes(bad)
        with pytest.raises(DamagedError, match="cannot be read"):
            train(SPEC, lab)
    assert list_runs(lab) == []
    state.write_bytes(good)
    assert train(SPEC, lab).metrics["training"]["epochs"] == 12


def test_two_trainings_of_the_same_run_do_not_write_over_each_other(lab):
    done = train(SPEC, lab)
    with WriterLock(lab.runs / UNFINISHED / done.id, "the run"), pytest.raises(LockedError):
        train(SPEC, lab)


def test_a_run_that_somebody_else_trains_is_waited_for_and_taken(lab):
    suite = Suite.model_validate(
        {
            "name": "s",
            "dataset": ["demo"],
            "settings": ["novel-cell"],
            "folds": 2,
            "arms": [{"name": "one", "spec": MIXED}],
        }
    )
    waited = threading.Event()

    class First(Silent):
        def say(self, text):
            assert waited.wait(60) or "training" not in text

    class Second(Silent):
        def say(self, text):
            if "waiting for another process" in text:
                waited.set()

    (first, *_) = cells(suite, lab)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(train, first.spec, lab, First())
        while not any((lab.runs / UNFINISHED).glob("*/.writer.pid")):
            assert not one.done()
            time.sleep(0.01)
        other = pool.submit(train, first.spec, lab, Second(), reuse=True).result()
        done = one.result()
    outcome = run_suite(suite, lab)
    assert outcome.failed == []
    assert outcome.runs[0][1].id == other.id == done.id and len(list_runs(lab)) == 2
    assert not list((lab.runs / UNFINISHED).glob("*"))


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "pickle"])
def test_a_corrupt_checkpoint_is_one_clear_error(lab, cli, damage):
    run = train(TrainSpec(backbone="GCN", epochs=1), lab)
    weights = run.path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    if damage == "flipped":
        content[-5] ^= 1
        weights.write_bytes(content)
    elif damage == "cut":
        weights.write_bytes(content[:1000])
    elif damage == "missing":
        weights.unlink()
    else:
        weights.write_bytes(pickle.dumps({"weights": [1.0]}))
    for command in (("evaluate",), ("predict", "--drug-a", "DB00530", "--drug-b", "DB00317", "--cell", "A375")):
        error = cli(*command, code=1).stderr
        assert "model.safetensors" in error and "l2aco train --spec" in error and "Traceback" not in error


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("name", ["model.safetensors", "inputs.npz"])
def test_a_pickle_in_a_run_is_not_opened(lab, cli, name):
    """Who can write the folder can write its checksum too."""
    run = train(TrainSpec(backbone="GCN", epochs=1), lab)
    if name == "inputs.npz":
        np.savez(run.path / name, drugs=np.array([Bomb(lab.root / "ran")], dtype=object))
    else:
        (run.path / name).write_bytes(pickle.dumps(Bomb(lab.root / "ran")))
    manifest = json.loads((run.path / "manifest.json").read_text())
    manifest["files"][name] = sha256_file(run.path / name)
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    for command in (("evaluate",), ("predict", "--drug-a", "DB00530", "--drug-b", "DB00317", "--cell", "A375")):
        error = cli(*command, code=1).stderr
        assert name in error and "checksum" not in error and "Traceback" not in error
    assert not (lab.root / "ran").exists()


def test_a_run_outlives_its_data_set_and_its_store(lab, cli):
    import shutil

    run = train(TrainSpec(backbone="GCN", epochs=1), lab)
    before = json.loads(cli("evaluate", "--json").stdout)
    assert before["test"]["pooled"] == pytest.approx(run.metrics["test"]["pooled"])
    assert before["test"]["stratum"].keys() == run.metrics["test"]["stratum"].keys()
    shutil.rmtree(lab.data / "demo")
    shutil.rmtree(lab.embeddings / "reference--toy")
    assert json.loads(cli("evaluate", "--json").stdout) == before
    pair = ("predict", "--drug-a", "DB00530", "--drug-b", "DB00317", "--cell", "A375", "--json")
    assert 0 < json.loads(cli(*pair).stdout)[0]["probability"] < 1


def test_newcomers_are_not_read_from_a_store_of_another_encoder(lab, cli):
    import shutil

    from l2aco.embeddings.encoders.spec import EncoderSpec
    from l2aco.embeddings.store.segments import StoreRecord
    from l2aco.embeddings.store.store import EmbeddingStore

    train(TrainSpec(backbone="GCN", epochs=1), lab)
    path = lab.embeddings / "reference--toy"
    shutil.rmtree(path)
    other = EncoderSpec(name="other", runtime="hash", model="other", dimension=8, window=512)
    EmbeddingStore.create(path, other).upsert(
        [StoreRecord("cell_line", "BT-20", "BT-20", "about BT-20")], np.full((1, 8), 8**-0.5, dtype=np.float32)
    )
    pair = ("predict", "--drug-a", "DB00530", "--drug-b", "DB00317", "--cell")
    error = cli(*pair, "BT-20", code=1).stderr
    assert "trained on vectors of toy" in error and "holds those of other" in error
    assert cli(*pair, "A375").stdout


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing", "pickle"])
def test_damaged_inputs_are_one_clear_error(lab, cli, damage):
    run = train(TrainSpec(backbone="GCN", epochs=1), lab)
    inputs = run.path / "inputs.npz"
    content = bytearray(inputs.read_bytes())
    if damage == "missing":
        inputs.unlink()
    elif damage == "pickle":
        inputs.write_bytes(pickle.dumps({"drugs": []}))
    else:
        content[len(content) // 2] ^= 1
        inputs.write_bytes(content[:500] if damage == "cut" else content)
    for command in (("evaluate",), ("predict", "--drug-a", "DB00530", "--drug-b", "DB00317", "--cell", "A375")):
        error = cli(*command, code=1).stderr
        assert "inputs.npz" in error and "l2aco train --spec" in error and "Traceback" not in error


def test_a_run_of_another_version_shows_its_numbers_and_says_how_to_train_it_again(lab, cli):
    run = train(TrainSpec(backbone="GCN", epochs=1), lab)
    manifest = json.loads((run.path / "manifest.json").read_text())
    (run.path / "manifest.json").write_text(json.dumps({**manifest, "format": 5}))
    assert json.loads(cli("runs", "list", "--json").stdout)[0]["run"] == run.id
    assert "pair mean" in cli("runs", "show").stdout
    for command in (("evaluate",), ("recommend", "--cell", "A375")):
        error = cli(*command, code=1).stderr
        assert "another version" in error and f"l2aco train --spec {run.path / 'spec.toml'}" in error


def test_one_damaged_run_does_not_hide_the_others(lab, cli):
    first = train(TrainSpec(backbone="GCN", epochs=1), lab)
    second = train(TrainSpec(backbone="GCN", epochs=1, seed=1), lab)
    (first.path / "manifest.json").write_text('{"format": 1, "files"')
    result = cli("runs", "list", "--json")
    assert [row["run"] for row in json.loads(result.stdout)] == [second.id]
    assert first.id in result.stderr and "not readable JSON" in result.stderr
    assert json.loads(cli("evaluate", "--json").stdout)["run"] == second.id


def test_a_changed_metrics_file_is_noticed(lab):
    run = train(TrainSpec(backbone="GCN", epochs=1), lab)
    (run.path / "metrics.json").write_text((run.path / "metrics.json").read_text().replace("0.", "1.", 1))
    with pytest.raises(DamagedError, match="checksum"):
        list_runs(lab)[0].metrics  # noqa: B018
