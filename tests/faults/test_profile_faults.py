"""Profiling under every fault: bad servers, kills at any moment, two writers, a planted key."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l2aco.llm.fake.server import FakeServer
from l2aco.profiles.sets import ProfileSet
from l2aco.workspace import Workspace

EVERY_FAULT = {
    "rate-limit": 0.06,
    "error": 0.04,
    "hang": 0.002,
    "cut-body": 0.04,
    "invalid-json": 0.05,
    "wrong-schema": 0.05,
    "length": 0.01,
    "refusal": 0.01,
    "empty": 0.01,
}
KEY = "sk-planted-0123456789-secret"


def entities(folder: Path, number: int) -> Path:
    path = folder / "entities.csv"
    rows = (f"E{place},{'drug' if place % 2 else 'cell_line'},Name {place}" for place in range(number))
    path.write_text("\n".join(["id,kind,name", *rows]) + "\n")
    return path


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from l2aco.cli.main import app; app()", "profile", "-w", str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_two_thousand_requests_through_every_fault(
    cli: Callable[..., Any], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("L2ACO_API_KEY", KEY)
    listed = entities(workspace.root, 2000)
    with FakeServer(delay_s=0.002, faults=EVERY_FAULT, slow_start_s=0.3, formats=("json_object",)) as server:
        result = cli(
            *("profile", "--llm", "gpt-4o-mini", "--base-url", server.url, "--entities", listed, "--timeout", 1.5),
            *("--concurrency", 48, "--json", "--verbose"),
            code=3,
        )
        stats = server.stats()
    report = json.loads(result.stdout)
    profiles = ProfileSet(workspace.profiles / "gpt-4o-mini")
    done = Counter((record.kind, record.entity_id) for record in profiles.records())
    failed = Counter((failure["kind"], failure["entity_id"]) for failure in profiles.failures())
    assert len(done) + len(failed) == 2000, "every entity is a profile or a recorded failure"
    assert not done.keys() & failed.keys()
    assert set(done.values()) == set(failed.values()) == {1}, "none twice"
    assert report["stopped"] is None
    assert (report["written"], report["failed"]) == (len(done), len(failed))
    assert stats["answered_twice"] == 0
    assert set(EVERY_FAULT) <= stats["faults"].keys(), "every fault happened"
    assert {failure["reason"] for failure in profiles.failures()} >= {
        "refused by the model",
        "cut off at max_tokens",
        "empty answer",
    }
    leaked = [path for path in workspace.root.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert leaked == []
    assert KEY not in result.output


def test_the_key_is_in_no_message_even_where_the_server_repeats_it(
    cli: Callable[..., Any], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("L2ACO_API_KEY", KEY)
    with FakeServer(faults={"error": 1.0}) as server:
        result = cli(
            *("profile", "--llm", "gpt-4o-mini", "--base-url", server.url, "--name", "x", "--kind", "drug"),
            *("--attempts", 2, "--verbose"),
            code=1,
        )
    failures = (workspace.profiles / "gpt-4o-mini" / "failures.jsonl").read_text()
    assert "Bearer [key]" in failures, "the server did repeat it"
    assert KEY not in failures + result.output


def kill_and_restart(folder: Path, number: int, kills: int, seed: int) -> None:
    """Run, kill -9 at random moments, run to the end; then check that nothing was lost or paid twice."""
    listed = entities(folder, number)
    chance = random.Random(seed)
    in_flight = 0
    with FakeServer(delay_s=0.02) as server:
        arguments = ("--llm", "qwen", "--base-url", server.url, "--entities", str(listed), "--concurrency", "16", "-q")
        for _ in range(kills):
            before = server.calls
            process = start(folder, *arguments)
            deadline = time.monotonic() + 60
            wanted = before + chance.randint(1, max(2, number // (kills + 1)))
            while server.calls < wanted and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
            process.wait()
            in_flight += 16
            time.sleep(0.05)
        process = start(folder, *arguments)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
        assert server.calls <= number + in_flight
    records = list(ProfileSet(folder / "profiles" / "qwen").records())
    assert len({record.key for record in records}) == len(records) == number
    assert {record.entity_id for record in records} == {f"E{place}" for place in range(number)}


def test_killed_at_five_moments(tmp_path: Path) -> None:
    kill_and_restart(tmp_path, 400, 5, seed=1)


@pytest.mark.long
def test_killed_at_twenty_moments(tmp_path: Path) -> None:
    kill_and_restart(tmp_path, 2000, 20, seed=2)


def test_the_fake_model_with_a_delay_survives_a_kill(tmp_path: Path) -> None:
    listed = entities(tmp_path, 60)
    arguments = ("--llm", "fake", "--delay", "0.2", "--concurrency", "4", "--entities", str(listed), "--json", "-q")
    process = start(tmp_path, *arguments)
    journal = tmp_path / "profiles" / "fake" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not journal.exists() or journal.read_bytes().count(b"\n") < 10):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    safe = len(list(ProfileSet(tmp_path / "profiles" / "fake").records()))
    assert safe >= 10
    process = start(tmp_path, *arguments)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    report = json.loads(output)
    assert report["finished_before"] == safe
    assert report["calls"] == 60 - safe
    ids = Counter(record.entity_id for record in ProfileSet(tmp_path / "profiles" / "fake").records())
    assert len(ids) == 60
    assert set(ids.values()) == {1}


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_says_so_and_keeps_what_is_finished(tmp_path: Path, sign: signal.Signals, code: int) -> None:
    listed = entities(tmp_path, 200)
    with FakeServer(delay_s=0.05) as server:
        arguments = ("--llm", "qwen", "--base-url", server.url, "--entities", str(listed), "--concurrency", "4", "-q")
        process = start(tmp_path, *arguments)
        deadline = time.monotonic() + 60
        while server.calls < 20 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(sign)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == code, output
    assert "Traceback" not in output and "The same command goes on where this one stopped." in output
    assert len(list(ProfileSet(tmp_path / "profiles" / "qwen").records())) >= 12


def test_two_writers_and_a_stale_lock(cli: Callable[..., Any], workspace: Workspace) -> None:
    listed = entities(workspace.root, 50)
    arguments = ("--llm", "fake", "--entities", str(listed), "-q")
    first = start(workspace.root, *arguments, "--delay", "30")
    journal = workspace.profiles / "fake" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while not (journal.exists() and (workspace.profiles / "fake" / "manifest.json").exists()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    second = cli("profile", *arguments, code=1)
    assert f"pid {first.pid}" in second.output
    first.send_signal(signal.SIGKILL)
    first.wait()
    cli("profile", *arguments)
    assert len(ProfileSet(workspace.profiles / "fake")) == 50


def test_a_full_disk_is_one_clear_error(
    cli: Callable[..., Any], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = entities(workspace.root, 20)
    real = os.write
    written = 0

    def write(handle: int, data: bytes) -> int:
        nonlocal written
        written += data.startswith(b'{"key"')
        if written > 5:
            raise OSError(28, "No space left on device")
        return real(handle, data)

    monkeypatch.setattr("l2aco.llm.journal.os.write", write)
    result = cli("profile", "--llm", "fake", "--entities", listed, code=1)
    assert "No space left on device" in result.output
    monkeypatch.setattr("l2aco.llm.journal.os.write", real)
    cli("profile", "--llm", "fake", "--entities", listed)
    assert len(ProfileSet(workspace.profiles / "fake")) == 20


def test_a_disk_that_fills_up_within_a_line_costs_that_line_alone(tmp_path: Path) -> None:
    listed = entities(tmp_path, 40)
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, resource.RLIM_INFINITY));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from l2aco.cli.main import app; app()"
    )
    command = [sys.executable, "-c", limited, "profile", "-w", str(tmp_path), "--llm", "fake"]
    done = subprocess.run([*command, "--entities", str(listed)], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Make room" in done.stderr and "Traceback" not in done.stderr
    safe = list(ProfileSet(tmp_path / "profiles" / "fake").records())
    assert 0 < len(safe) < 40
    process = start(tmp_path, "--llm", "fake", "--entities", str(listed), "--json", "-q")
    report = json.loads(process.communicate(timeout=60)[0])
    assert (report["finished_before"], report["written"]) == (len(safe), 40 - len(safe))
