"""How long a person waits for a list, for a wrong name, and for the pages of a workspace.

    python benchmarks/performance/recommend.py --workspace FOLDER --run RUN [--turns 5] [--cell A375]

RUN: of Mixed on drugcombdb, whose 572 drugs make 163,306 pairs. Each turn in processes of its own: all pairs of a line
ranked by a loaded model (the first list, for which intervals are drawn, and the next line's); the whole command, with
the most memory that it held; the command with a name that nobody knows; and `l2aco explore` from its start until its
first page is there. Prints markdown: the least of all turns, by wall clock, with the load of the machine at that time,
and of the processor, which is what a machine that does nothing else would need (OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

L2ACO = [sys.executable, "-c", "from l2aco.cli.main import app; app()"]
WRONG = "NO-SUCH-LINE"


def ranked(workspace: str, run: str, cell: str) -> dict[str, tuple[float, float]]:
    """Seconds by the clock and of the processor, in this process, once everything is loaded."""
    from l2aco.recommend.asked import Only
    from l2aco.recommend.rank import open_desk
    from l2aco.runs.run import open_run
    from l2aco.workspace import Workspace

    found = open_run(run, Workspace(Path(workspace)))
    other = next(line.name for line in found.entities("cell_line") if line.name != cell)
    desk = open_desk(found, [cell, other], only=Only(unmeasured=False))
    seconds = {}
    for name, line in zip(("ranked, after loading", "ranked, the next line"), desk.lines, strict=True):
        begin, worked = time.perf_counter(), time.process_time()
        count = desk.recommend(line, 10).ranked
        seconds[f"{name} ({count:,} pairs)"] = time.perf_counter() - begin, time.process_time() - worked
    return seconds


def command(*arguments: str, code: int = 0) -> tuple[float, float, float]:
    """Seconds by the clock and of the processor, and GB at most."""
    begin = time.perf_counter()
    process = subprocess.Popen([*L2ACO, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    assert os.waitstatus_to_exitcode(status) == code, arguments
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9


def explored(workspace: str) -> tuple[float, float]:
    """Seconds by the clock and of the processor until the first page has been read."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [*L2ACO, "explore", "--workspace", workspace], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(address) as page:
        assert page.status == 200 and page.read()
    seconds = time.perf_counter() - begin
    process.terminate()
    _, _, used = os.wait4(process.pid, 0)
    return seconds, used.ru_utime + used.ru_stime


def turn(workspace: str, run: str, cell: str) -> dict[str, tuple[float, float]]:
    """What one turn of everything takes, by name."""
    ranking = [sys.executable, __file__, "--workspace", workspace, "--run", run, "--cell", cell, "--one"]
    found: dict[str, tuple[float, float]] = json.loads(
        subprocess.run(ranking, check=True, stdout=subprocess.PIPE).stdout
    )
    ask = ("recommend", run, "--workspace", workspace, "--all-pairs", "--cell")
    clock, worked, memory = command(*ask, cell)
    found[f"the whole command ({memory:.1f} GB)"] = clock, worked
    found["a wrong name"] = command(*ask, WRONG, code=2)[:2]
    found["explore, until the first page"] = explored(workspace)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--cell", default="A375")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(ranked(given.workspace, given.run, given.cell)))
        return
    clock: dict[str, tuple[float, float]] = {}
    worked: dict[str, float] = {}
    for _ in range(given.turns):
        for name, (seconds, of_processor) in turn(given.workspace, given.run, given.cell).items():
            clock[name] = min(clock.get(name, (math.inf, 0.0)), (seconds, os.getloadavg()[0]))
            worked[name] = min(worked.get(name, math.inf), of_processor)
    print("| | least, s | at a load of | of the processor, s |\n|---|---|---|---|")
    for name, (seconds, load) in clock.items():
        print(f"| {name} | {seconds:.1f} | {load:.1f} | {worked[name]:.1f} |")


if __name__ == "__main__":
    main()
