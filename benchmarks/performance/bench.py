"""How soon a suite that is nearly done goes on, and how long the report of one that is done takes.

    python benchmarks/performance/bench.py [--workspace FOLDER --suite SUITE] [--turns 3]

A suite of a hundred cells on the demo, of which ninety are there: until the first of the others begins. With a
workspace, the whole command for a suite of which all runs are there, and the report in it. Each in a process of its
own; prints markdown: the least of all turns by wall clock, and of the processor (OMP_NUM_THREADS=1); the report once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from l2aco.progress import Silent

L2ACO = [sys.executable, "-c", "from l2aco.cli.main import app; app()"]
ARMS, FOLDS, THERE = 20, 5, 90


class UntilBegun(Silent):
    """Ends the process where the first cell would be trained."""

    def task(self, label: str, total: int | None = None, unit: str = "") -> Any:
        sys.exit(total != ARMS * FOLDS - THERE)


def write_suite(path: Path, cells: int | None) -> None:
    """A hundred models of the demo; at most so many are trained by one command."""
    budget = "" if cells is None else f"[budget]\ncells = {cells}\n"
    arms = "".join(f'[[arms]]\nname = "{n}"\nspec.config.draws = {n}\n' for n in range(2, 2 + ARMS))
    path.write_text(
        f'title = "A hundred cells"\ndataset = ["demo"]\nfolds = {FOLDS}\n{budget}'
        f'[spec]\nbackbone = "Mixed"\nconfig.knowledge = "none"\n{arms}'
    )


def begin(suite: Path, workspace: Path) -> None:
    """In a process of its own: go on with a suite, as far as its first new cell."""
    from l2aco.bench.execute import run_suite
    from l2aco.bench.suite import load_suite
    from l2aco.workspace import Workspace

    run_suite(load_suite(str(suite)), Workspace(workspace), UntilBegun())


def report(suite: str, workspace: Path) -> None:
    """In a process of its own: make the report of a suite, and print how long that took, once its runs were found."""
    from l2aco.bench.execute import run_suite
    from l2aco.bench.report import make_report
    from l2aco.bench.suite import load_suite
    from l2aco.workspace import Workspace

    root = Workspace(workspace)
    outcome = run_suite(load_suite(suite, budget={"hours": 1e-9}), root)
    start, worked = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        make_report(outcome, root, f"l2aco bench run {suite}").save(Path(folder))
    found = time.perf_counter() - start, time.process_time() - worked
    print(f"| its report, of {len(outcome.runs)} runs | {found[0]:.1f} | {found[1]:.1f} |")


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    start = time.perf_counter()
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=one_thread)
    _, status, used = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, command
    return time.perf_counter() - start, used.ru_utime + used.ru_stime


def least(name: str, command: list[str], turns: int) -> None:
    clock, worked = map(min, zip(*(timed(command) for _ in range(turns)), strict=True))
    print(f"| {name} | {clock:.1f} | {worked:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--suite", default="knowledge")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--begin", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--report", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.begin:
        begin(*given.begin)
        return
    if given.report:
        report(given.suite, given.workspace)
        return
    print("| | least, s | of the processor, s |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root, suite = Path(folder, "w"), Path(folder, "hundred.toml")
        write_suite(suite, THERE)
        timed([*L2ACO, "bench", "run", str(suite), "--workspace", str(root)])
        write_suite(suite, None)
        least(
            f"until a suite of {ARMS * FOLDS} cells, {THERE} of them there, begins its next",
            [sys.executable, __file__, "--begin", str(suite), str(root)],
            given.turns,
        )
    if given.workspace:
        command = [*L2ACO, "bench", "run", given.suite, "--workspace", str(given.workspace), "--hours", "1e-9", "-o"]
        with tempfile.TemporaryDirectory() as folder:
            least(f"`bench run {given.suite}`, all of it there", [*command, f"{folder}/report"], given.turns)
        own = [sys.executable, __file__, "--report", "--suite", given.suite, "--workspace", str(given.workspace)]
        sys.stdout.flush()
        subprocess.run(own, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main()
