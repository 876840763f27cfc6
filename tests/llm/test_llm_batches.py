"""Batches over real HTTP: what is sent, taken in, asked again, and what a crash between two steps costs."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from batch_server import BatchApi, batch_server
from hypothesis import given
from hypothesis import strategies as st

from l2aco.errors import DamagedError
from l2aco.llm.batch_ledger import Ledger
from l2aco.llm.fake.server import FakeServer
from l2aco.llm.report import RunReport
from l2aco.llm.request import Reason
from l2aco.profiles.sets import ProfileSet
from l2aco.workspace import Workspace

Cli = Callable[..., Any]
PRICED = '[llms.m]\nengine = "openai"\nmodel = "m"\nbase_url = "{url}"\nprice_in = 1.0\nprice_out = 2.0\n'
MORE = "max_tokens = 300\ntiers = {{ batch = 0.5 }}\nbatch_requests = {most}\n"


def prepare(folder: Path, url: str, number: int, most: int = 50) -> Path:
    """A workspace whose model `m` is at `url`; returns the table of entities."""
    (folder / "l2aco.toml").write_text((PRICED + MORE).format(url=url, most=most))
    path = folder / "entities.csv"
    path.write_text("id,kind,name\n" + "".join(f"E{n},drug,Compound {n}\n" for n in range(number)))
    return path


def batch(cli: Cli, listed: Path, *more: object, code: int | None = 0) -> dict[str, Any]:
    result = cli("profile", "--llm", "m", "--batch", "--entities", listed, "--json", *more, code=code)
    return dict(json.loads(result.stdout[result.stdout.index("{\n") :]))


def check(folder: Path, api: BatchApi, number: int) -> None:
    """Every entity once, every call paid once, and the cost is that of the bill: in the ledger and in the records."""
    profiles = ProfileSet(folder / "profiles" / "m")
    records = list(profiles.records())
    assert len({record.entity_id for record in records}) == len(records) == number
    assert max(api.paid.values()) == 1
    bill = (api.tokens[0] * 1.0 + api.tokens[1] * 2.0) / 1e6 / 2
    ledger = Ledger(profiles.path)
    assert not ledger.open
    assert sum(item.usd or 0.0 for item in ledger.batches.values()) == pytest.approx(bill, abs=1e-9)
    assert sum(record.cost_usd or 0.0 for record in records) == pytest.approx(bill, abs=1e-9)
    assert not list(profiles.path.glob(".batches/*")), "the files of batches that are over are gone"


def test_all_that_can_happen_to_batches(cli: Cli, workspace: Workspace) -> None:
    with batch_server(broken=0.05, errors=0.05, expires={1}, drops={3, 9}, seconds=0.05) as (url, api):
        listed = prepare(workspace.root, url, 120)
        report = batch(cli, listed)
        assert (report["covered"], report["written"], report["failed"]) == (120, 120, 0)
        assert report["repairs"] > 0
        assert report["cost_usd"] == pytest.approx((api.tokens[0] + 2 * api.tokens[1]) / 2e6)
        check(workspace.root, api, 120)
        sent = api.calls
        assert batch(cli, listed)["written"] == 0
        assert api.calls == sent, "what is finished is not even asked about"


def test_left_and_gone_on_with(cli: Cli, workspace: Workspace) -> None:
    with batch_server(seconds=1.0) as (url, api):
        listed = prepare(workspace.root, url, 30)
        report = batch(cli, listed, "--wait", "no", code=1)
        assert "30 requests are in 1 batches" in report["stopped"]
        refused = cli("profile", "--llm", "m", "--entities", listed, code=2)
        assert "in batches that are not over" in refused.output
        assert "not over" in cli("profiles", "requests", "m", "--entities", listed, "-o", "out", code=2).output
        time.sleep(1.1)
        assert batch(cli, listed, "--wait", "no")["written"] == 30
        assert len(api.batches) == 1
        check(workspace.root, api, 30)


def test_a_batch_that_was_cancelled_ends_the_run_and_the_next_goes_on(cli: Cli, workspace: Workspace) -> None:
    with batch_server(cancelled={0}) as (url, api):
        listed = prepare(workspace.root, url, 20)
        report = batch(cli, listed, code=3)
        assert "was cancelled" in report["stopped"] and report["written"] == 10
        assert batch(cli, listed)["written"] == 10
        check(workspace.root, api, 20)


def test_a_batch_without_an_end_is_given_up_and_the_next_run_looks_again(cli: Cli, workspace: Workspace) -> None:
    with batch_server(seconds=1e9) as (url, api):
        listed = prepare(workspace.root, url, 10)
        batch(cli, listed, "--wait", "no", code=1)
        path = workspace.profiles / "m" / "batches.jsonl"
        events = [json.loads(line) for line in path.read_bytes().splitlines()]
        day = 25 * 3600 - 1  # the hour after the window is over in a second
        path.write_text("".join(json.dumps(event | {"at": event["at"] - day}) + "\n" for event in events))
        report = batch(cli, listed, code=1)
        assert f"{url} has not ended 1 batches (" in report["stopped"] and "within 25 hours" in report["stopped"]
        assert "not ended" in batch(cli, listed, code=1)["stopped"], "at once"
        api.seconds = 0.0
        assert batch(cli, listed)["written"] == 10
        check(workspace.root, api, 10)


def test_a_file_that_is_refused(cli: Cli, workspace: Workspace) -> None:
    bad = {"code": "invalid_request", "message": "This line is odd.", "line": 3, "param": None}
    with batch_server(invalid={0: bad}) as (url, _):
        listed = prepare(workspace.root, url, 10)
        report = batch(cli, listed, code=3)
        assert (report["written"], report["reasons"]) == (9, {"rejected": 1})
        assert batch(cli, listed, "--retry-failed")["written"] == 1
    poor = {"code": "billing_hard_limit_reached", "message": "Billing hard limit has been reached", "line": None}
    with batch_server(invalid={0: poor}) as (url, _):
        listed = prepare(workspace.root, url, 12)
        report = batch(cli, listed, code=3)
        assert "no credit" in report["stopped"] and report["failed"] == 0
        assert batch(cli, listed)["written"] == 2


def test_a_model_without_schemas_is_asked_in_another_way(cli: Cli, workspace: Workspace) -> None:
    with batch_server(no_schema=True, seconds=0.05) as (url, api):
        listed = prepare(workspace.root, url, 5)
        batch(cli, listed, code=None)
        first, second = (json.loads(api.files[f"file-{n}"].splitlines()[0]) for n in (0, 2))
        assert first["body"]["response_format"]["type"] == "json_schema"
        assert second["body"]["response_format"] == {"type": "json_object"}


def test_the_budget_counts_what_is_in_flight(cli: Cli, workspace: Workspace) -> None:
    with batch_server(seconds=0.05) as (url, api):
        listed = prepare(workspace.root, url, 60, most=10)
        report = batch(cli, listed, "--budget-usd", 0.015, code=3)
        assert report["stopped"] == "the budget is spent"
        spent = (api.tokens[0] + 2 * api.tokens[1]) / 2e6
        assert 0.01 < spent <= 0.015
        assert report["cost_usd"] == pytest.approx(spent)
        assert batch(cli, listed, "--budget-usd", 10)["covered"] == 60
        check(workspace.root, api, 60)


def test_a_key_goes_up_with_the_files_and_stays_out_of_them(
    cli: Cli, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-planted-0123456789-secret"
    monkeypatch.setenv("L2ACO_API_KEY", key)
    with batch_server() as (url, api):
        listed = prepare(workspace.root, url, 3)
        batch(cli, listed, "--base-url", url.replace("127.0.0.1", "localhost"))
        assert api.keys == {f"Bearer {key}"}
        assert not any(key.encode() in data for data in api.files.values())
    written = (path for path in workspace.root.rglob("*") if path.is_file())
    assert not any(key.encode() in path.read_bytes() for path in written)


def test_what_has_no_batches(cli: Cli, workspace: Workspace) -> None:
    assert "has no batches" in cli("profile", "--llm", "fake", "--batch", code=2).output
    assert "add --batch" in cli("profile", "--llm", "fake", "--wait", "no", code=2).output


def killed(folder: Path, number: int, most: int, kills: int, seed: int) -> None:
    """Run, kill -9 at any of the server's calls, run on to the end."""
    chance = random.Random(seed)
    arguments = ["profile", "-w", str(folder), "--llm", "m", "--batch", "-q", "--entities"]
    command = [sys.executable, "-c", "from l2aco.cli.main import app; app()", *arguments]
    with batch_server(broken=0.01, errors=0.01, expires={1}, seconds=0.5, hide_new=0.5) as (url, api):
        command.append(str(prepare(folder, url, number, most)))
        for _ in range(kills):
            wanted = api.calls + chance.randint(1, 12)
            process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
            while api.calls < wanted and process.poll() is None:
                time.sleep(0.001)
            time.sleep(chance.choice([0, 0, 0.01, 0.05]))
            process.send_signal(signal.SIGKILL)
            process.wait()
        done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
        assert done.returncode == 0, done.stderr
        check(folder, api, number)


def test_killed_at_two_moments(tmp_path: Path) -> None:
    killed(tmp_path, 80, 40, 2, seed=5)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_five_thousand_entities_killed_at_ten_moments(tmp_path: Path) -> None:
    killed(tmp_path, 5000, 1000, 10, seed=6)


def test_between_asking_for_a_batch_and_writing_its_id(
    cli: Cli, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies when the batch is created and not written down: it is found by its tag and adopted."""
    write = Ledger.write

    def die(self: Ledger, tag: str, state: str, **facts: Any) -> Any:
        if state == "created":
            raise KeyboardInterrupt
        return write(self, tag, state, **facts)

    with batch_server(hide_new=1.0) as (url, api):
        listed = prepare(workspace.root, url, 8)
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "write", die)
            cli("profile", "--llm", "m", "--batch", "--entities", listed, code=130)
        assert [item.state for item in Ledger(workspace.profiles / "m").open] == ["creating"]
        assert batch(cli, listed)["written"] == 8
        assert len(api.batches) == 1
        check(workspace.root, api, 8)


@given(st.lists(st.binary(max_size=30) | st.just(b'{"tag":"a","state":"begun"}'), max_size=4))
def test_a_ledger_of_any_lines(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    (folder / "batches.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    try:
        found = Ledger(folder).batches
    except DamagedError:
        return
    assert set(found) <= {"a"}


ODD: dict[str, tuple[str, str, Any]] = {
    "a list for a file": ("POST", "files", [1]),
    "a text for a file": ("POST", "files", b"hello"),
    "a file without an id": ("POST", "files", {}),
    "a list for a batch": ("GET", "batches/", [1]),
    "a status that is none": ("GET", "batches/", {"id": "x", "status": ["completed"]}),
    "errors that are none": ("GET", "batches/", {"id": "x", "status": "failed", "errors": [1]}),
    "an error of no line": (
        "GET",
        "batches/",
        {"id": "x", "status": "failed", "errors": {"data": [{"line": -9}, {"line": 10**30}]}},
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_a_server_that_answers_something_else_ends_the_run_in_one_message(
    cli: Cli, workspace: Workspace, what: str
) -> None:
    method, path, value = ODD[what]
    with batch_server(seconds=0.0) as (url, api):
        sound = api.handle
        odd = lambda *call: value if call[0] == method and call[1].startswith(f"/v1/{path}") else sound(*call)  # noqa: E731
        api.handle = odd  # type: ignore[method-assign]
        listed = prepare(workspace.root, url, 2)
        told = cli("profile", "--llm", "m", "--batch", "--entities", listed, "--attempts", 1, code=1)
    assert "Stopped: " in told.stderr + told.stdout
    assert not (workspace.root / "profiles" / "m" / "records.jsonl").exists()


def test_a_file_of_answers_without_an_end_is_broken_off(
    cli: Cli, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2aco.llm.batch_api.MAX_BYTES", 10_000)
    with batch_server(seconds=0.0) as (url, _):
        listed = prepare(workspace.root, url, 40)
        told = cli("profile", "--llm", "m", "--batch", "--entities", listed, "--attempts", 1, code=1)
    assert "larger than 10,000 bytes" in told.stderr + told.stdout
    assert sum(path.stat().st_size for path in workspace.root.rglob(".batches/*.output.jsonl")) == 0


def test_answers_that_tell_no_tokens_count_for_the_budget_all_the_same(cli: Cli, workspace: Workspace) -> None:
    with batch_server(seconds=0.0) as (url, api):
        sound = api.handle

        def silent(*call: Any) -> Any:
            found = sound(*call)
            return found.replace(b'"usage"', b'"useless"') if isinstance(found, bytes) else found

        api.handle = silent  # type: ignore[method-assign]
        report = batch(cli, prepare(workspace.root, url, 3))
    assert report["cost_usd"] == pytest.approx((api.tokens[0] + 2 * api.tokens[1]) / 2e6)
    assert sum(item.tokens_in for item in Ledger(workspace.root / "profiles" / "m").batches.values()) == api.tokens[0]


def test_a_server_without_batches_is_said_to_be_one(cli: Cli, workspace: Workspace) -> None:
    with FakeServer() as server:
        listed = prepare(workspace.root, server.url, 3)
        report = batch(cli, listed, "--wait", "no", code=1)
        assert f"{server.url} takes no batches" in report["stopped"]
        assert not Ledger(workspace.profiles / "m").open
        assert "Leave out --batch" in cli("profile", "--llm", "m", "--batch", "--entities", listed, code=1).stderr
        cli("profile", "--llm", "m", "--entities", listed)
        assert server.calls == 3


def test_an_upload_that_is_not_answered_ends_by_its_time_limit(cli: Cli, workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        listed = prepare(workspace.root, url, 3)
        started = time.monotonic()
        report = cli(
            *("profile", "--llm", "m", "--batch", "--wait", "no", "--entities", listed),
            *("--timeout", 0.3, "--attempts", 2),
            code=1,
        )
        assert time.monotonic() - started < 20
        assert f"Stopped: {url}: timeout: no answer in 0.3" in report.stderr
        assert f"{url}: timeout" in report.stderr.partition("Stopped")[0], "why it is tried again"


def test_the_wait_line_names_the_upload() -> None:
    report = RunReport(waiting_for="the upload to http://x/v1", failed=Counter({Reason.timeout: 1}))
    assert report.note().startswith("the upload to http://x/v1 · 1 failed")
