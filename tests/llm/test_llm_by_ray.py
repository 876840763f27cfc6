"""A local Ray makes the calls; a worker that is killed costs its rows alone."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_server import batch_server

from l2aco import clusters
from l2aco.llm.fake.server import FakeServer
from l2aco.profiles.sets import ProfileSet
from l2aco.workspace import Workspace


def kill_one_worker(server: FakeServer, after: int, killed: list[int]) -> None:
    """kill -9 to a worker that makes calls, once so many have come."""
    import psutil

    deadline = time.monotonic() + 600
    while server.calls < after and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in psutil.Process().children(recursive=True):
        if "ray::MapWorker" in " ".join(process.cmdline()) or "ray::MapBatches" in " ".join(process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)
            return


def entities(count: int) -> Path:
    listed = Path("entities.csv")
    listed.write_text("id,kind,name\n" + "".join(f"E{n},drug,Compound {n}\n" for n in range(count)))
    return listed


def asked_of(server: FakeServer, cluster: str, count: int) -> tuple[object, ...]:
    at = ("--base-url", server.url, "--address", cluster)
    return ("profile", "--llm", "qwen", "--engine", "ray", *at, "--entities", entities(count))


def test_the_workers_of_a_cluster_make_the_calls(apart: Callable[..., str], workspace: Workspace, cluster: str) -> None:
    with FakeServer() as server:
        ask = asked_of(server, cluster, 20)
        apart(*ask)
        records = list(ProfileSet(workspace.profiles / "qwen").records())
        assert sorted(record.entity_id for record in records) == sorted(f"E{n}" for n in range(20))
        paid = server.calls
        apart(*ask)
        assert server.calls == paid == 20


@pytest.fixture
def silent() -> Iterator[str]:
    """Where somebody listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("command", ["profile", "bench"])
def test_where_no_cluster_answers_is_said_at_once(
    cli: Callable[..., Any], workspace: Workspace, silent: str, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setattr(clusters, "PATIENCE_S", 0.5)
    with FakeServer() as server, batch_server() as (url, _):
        web = url.partition("//")[2].partition("/")[0]
        Path("s.toml").write_text('dataset = ["demo"]\n[spec]\nbackbone = "Logistic"\n[[arms]]\nname = "a"\n')
        profile = ("profile", "--llm", "qwen", "--engine", "ray", "--base-url", server.url, "--entities", entities(2))
        ask = profile if command == "profile" else ("bench", "run", "s.toml", "--executor", "ray")
        for address, words in (
            ("127.0.0.1:1", "no Ray cluster answers"),
            ("ray://127.0.0.1:1", "no Ray cluster answers"),
            (silent, "no Ray cluster answers"),
            (web, "what answers is no Ray cluster"),
            ("nowhere", "is no address of a Ray cluster"),
        ):
            said = cli(*ask, "--address", address, code=1).stderr
            assert words in said and address in said and "ray start --head" in said.replace("\n", " ")
        assert server.calls == 0


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_two_thousand_entities_and_one_dead_worker(
    apart: Callable[..., str], workspace: Workspace, cluster: str
) -> None:
    killed: list[int] = []
    with FakeServer(delay_s=0.005) as server:
        killer = threading.Thread(target=kill_one_worker, args=(server, 500, killed))
        killer.start()
        apart(*asked_of(server, cluster, 2000))
        killer.join()
        calls = server.calls
    assert killed, "a worker was killed on the way"
    records = list(ProfileSet(workspace.profiles / "qwen").records())
    assert len({record.entity_id for record in records}) == len(records) == 2000
    assert calls <= 2000 + 600, "its rows alone were asked again"
