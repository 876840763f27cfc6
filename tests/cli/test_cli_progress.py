"""What is seen of a long job: in a terminal of 80 columns, in a pipe, and from another shell."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l2aco.cli.progress import Standing, duration, lines, panel
from l2aco.llm.batch_ledger import Ledger
from l2aco.profiles.sets import ProfileSet
from l2aco.profiles.watching import Watched
from l2aco.workspace import Workspace

NOTE = (
    "$12.3456 · 3 failed (2 cut off at max_tokens, 1 refused by the model) · 9,876,543 tokens, 812/s out · 64 in flight"
)


class Clock:
    """Time that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("columns", [80, 110])
def test_a_terminal_shows_count_time_and_cost_before_all_else(columns: int) -> None:
    from rich.console import Console

    clock = Clock()
    standing = Standing("gpt-4o-mini writes profiles", 100_000, "profiles", clock)
    for _ in range(50):
        clock.now += 1
        standing.advance(246, NOTE)
    out = io.StringIO()
    with panel(Console(file=out, width=columns, force_terminal=True, color_system=None), standing, keep=True):
        pass
    shown = [line for line in out.getvalue().replace("\r", "\n").split("\n") if "of 100,000" in line]
    assert shown and all(len(line.split("\x1b")[0].rstrip()) <= columns for line in shown)
    assert "12,300 of 100,000 (12%) · 0:50, 5:57 left · $12.3456" in shown[-1]


def test_a_pipe_gets_a_line_now_and_then_also_where_nothing_comes() -> None:
    said: list[str] = []
    standing = Standing("work", 10, "things")
    with lines(said.append, standing, every_s=0.1) as advance:
        advance(1, "$0.10")
        time.sleep(0.25)
        before = len(said)
        assert before >= 1, "a line by the clock alone"
    assert said[0].startswith("work: 1 of 10 (10%)") and "$0.10" in said[0]


def test_a_pipe_gets_a_line_at_a_milestone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2aco.cli.progress.MILESTONE_AFTER_S", 0.0)
    said: list[str] = []
    with lines(said.append, Standing("work", 10, "things")) as advance:
        advance(4, "$0.50")
    assert "4 of 10 (40%)" in said[0] and "$0.50" in said[0]


def test_a_short_job_says_nothing_in_a_pipe() -> None:
    said: list[str] = []
    with lines(said.append, Standing("work", 10, "things")) as advance:
        for _ in range(10):
            advance(1)
    assert said == []


def test_a_wait_is_said() -> None:
    clock = Clock()
    standing = Standing("work", None, "things", clock)
    standing.advance(1, "64 in flight")
    clock.now = 11
    assert "waiting for 11 s · 64 in flight" in standing.words()


def test_what_has_one_piece_shows_its_time_alone() -> None:
    clock = Clock()
    standing = Standing("fitting Forest", None, "", clock)
    clock.now = 30
    assert standing.words() == "0:30"


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (3723, "1:02:03"), (50 * 3600 + 60, "2 d 02:01")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_watching_a_run_from_another_shell(cli: Callable[..., Any], workspace: Workspace) -> None:
    listed = Path("entities.csv")
    listed.write_text("id,kind,name\n" + "".join(f"E{n},drug,Compound {n}\n" for n in range(40)))
    code = "from l2aco.cli.main import app; app()"
    command = ["profile", "--llm", "fake", "--delay", "0.4", "--concurrency", "2", "--entities", str(listed), "-q"]
    run = subprocess.Popen([sys.executable, "-c", code, *command], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        folder = workspace.profiles / "fake"
        deadline = time.monotonic() + 60
        while not ((folder / "journal.jsonl").exists() and (folder / "journal.jsonl").stat().st_size > 2000):
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.02)
        seen = json.loads(cli("profiles", "watch", "fake", "--json").stdout)
        assert seen["writer"] == run.pid and 0 < seen["profiles"] < 40 and seen["requested"] == 40
        assert seen["sample"]["entity_name"].startswith("Compound")
        text = cli("profiles", "watch", "fake", "--once").stdout
        assert seen["rate"] is None and "profiles/s" not in text
        assert f"process {run.pid}" in text and " of 40" in text and "Fake:" in text
        watched = Watched(ProfileSet(folder))
        first = watched.look()
        while watched.look().profiles == first.profiles:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        run.wait(60)
    after = watched.look()
    assert (after.profiles, after.writer) == (40, None)
    assert "nobody writes it" in cli("profiles", "watch", "fake").stdout


def test_watching_ends_with_the_writer_also_where_batches_are_left(
    cli: Callable[..., Any], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2aco.cli.profiles_watch._LOOK_EVERY_S", 0.02)
    cli("profile", "--llm", "fake", "--name", "A", "--kind", "drug")
    folder = workspace.profiles / "fake"
    Ledger(folder).write("a", "created", requests=30)
    writer = subprocess.Popen(["sleep", "0.3"])
    (folder / ".writer.pid").write_text(str(writer.pid))
    threading.Thread(target=writer.wait, daemon=True).start()
    told = cli("profiles", "watch", "fake").stdout
    assert f"process {writer.pid}" in told and told.rstrip().endswith("30 in batches · nobody writes it")


def test_a_dry_run_says_how_long_once_that_was_measured(cli: Callable[..., Any], workspace: Workspace) -> None:
    listed = Path("entities.csv")
    listed.write_text("id,kind,name\n" + "".join(f"E{n},drug,Compound {n}\n" for n in range(30)))
    dry = ("profile", "--llm", "fake", "--entities", listed, "--dry-run", "--delay", 0.2, "--concurrency", 4)
    assert "not known yet" in cli(*dry).stdout
    told = cli(*dry, "--probe", 2)
    assert "Measured on 2 profiles" in told.stderr and "one by one" in told.stdout
    plan = json.loads(cli(*dry, "--json").stdout)
    assert (plan["finished"], plan["requested"]) == (2, 30)
    assert 0.2 <= plan["seconds_a_call"] < 2
    assert plan["seconds"] == pytest.approx(28 * plan["seconds_a_call"] / 4)
    stopped = cli(*dry, "--probe", 2, "--budget-tokens", 5, code=3)
    assert "The probe stopped: the budget" in stopped.stderr and "Nothing was measured" in stopped.stderr
    assert "Measured on" not in stopped.output and not stopped.stdout
