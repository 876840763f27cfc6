"""Real kills and corruptions: a training that dies goes on identically, and what no longer fits is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from l2aco.errors import DamagedError, LockedError, MismatchError
from l2aco.files import WriterLock
from l2aco.runs.run import UNFINISHED, list_runs
from l2aco.runs.spec import TrainSpec
from l2aco.training.train import STATE, train

SPEC = TrainSpec(backbone="GCN", epochs=12, patience=100, schedule="one-cycle")
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

    from l2aco.training.callbacks import Callback

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
        import pickle

        weights.write_bytes(pickle.dumps({"weights": [1.0]}))
    for command in (("evaluate",), ("predict", "--drug-a", "DB00530", "--drug-b", "DB00317", "--cell", "A375")):
        error = cli(*command, code=1).stderr
        assert "model.safetensors" in error and "l2aco train --spec" in error and "Traceback" not in error


def test_a_changed_data_set_is_refused(lab, cli):
    train(TrainSpec(backbone="GCN", epochs=1), lab)
    manifest = lab.data / "demo" / "manifest.json"
    changed = json.loads(manifest.read_text())
    changed["hash"] = "0" * 64
    manifest.write_text(json.dumps(changed))
    error = cli("evaluate", code=1).stderr
    assert "the data set demo has changed" in error and "l2aco train --spec" in error


def test_a_store_of_another_encoder_or_with_other_vectors_is_refused(lab, cli):
    import shutil

    from l2aco.embeddings.encoders.spec import EncoderSpec
    from l2aco.embeddings.store.segments import StoreRecord
    from l2aco.embeddings.store.store import EmbeddingStore, open_store

    run = train(TrainSpec(backbone="GCN", epochs=1), lab)
    dataset = run.predictor().dataset
    entities = [*dataset.drugs, *dataset.cell_lines]
    records = [StoreRecord(item.kind.value, item.id, item.name, f"about {item.name}") for item in entities]
    rng = np.random.default_rng(9)

    def vectors(width):
        drawn = rng.standard_normal((len(records), width)).astype(np.float32)
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    path = lab.embeddings / "reference--toy"
    shutil.rmtree(path)
    other = EncoderSpec(name="other", runtime="hash", model="other", dimension=8, window=512)
    EmbeddingStore.create(path, other).upsert(records, vectors(8))
    error = cli("evaluate", code=1).stderr
    assert "trained on vectors of toy" in error and "holds those of other" in error
    shutil.rmtree(path)
    toy = EncoderSpec(name="toy", runtime="hash", model="toy", dimension=16, window=512)
    EmbeddingStore.create(path, toy).upsert(records, vectors(16))
    with pytest.raises(MismatchError, match="have changed"):
        run.predictor()
    assert len(open_store("reference--toy", lab)) == len(records)


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
