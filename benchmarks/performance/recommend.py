"""How long a person waits for a list, for a wrong name, and for the pages of a workspace.

    python benchmarks/performance/recommend.py --workspace FOLDER --run RUN [--turns 5] [--cell A375]

RUN: of Mixed on drugcombdb, whose 572 drugs make 163,306 pairs. By wall clock, each turn in processes of its own: all
pairs of a line ranked by a loaded model (the first list, for which intervals are drawn, and the next line's); the whole
command, with the most memory that it held; the command with a name that nobody knows; and `l2aco explore` from its start
until its first page is there. Prints markdown: the least of all turns, and the load of the machine at that time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

L2ACO = [sys.executable, "-c", "from l2aco.cli.main import app; app()"]
WRONG = "NO-SUCH-LINE"


def ranked(workspace: str, run: str, cell: str) -> dict[str, float]:
    """Seconds, in this process, once everything is loaded."""
    from l2aco.recommend.asked import Only
    from l2aco.recommend.rank import open_desk
    from l2aco.runs.run import open_run
    from l2aco.workspace import Workspace

    found = open_run(run, Workspace(Path(workspace)))
    other = next(line.name for line in found.entities("cell_line") if line.name != cell)
    desk = open_desk(found, [cell, other], only=Only(unmeasured=False))
    seconds = {}
    for name, line in zip(("ranked, after loading", "ranked, the next line"), desk.lines, strict=True):
        begin = time.perf_counter()
        count = desk.recommend(line, 10).ranked
        seconds[f"{name} ({count:,} pairs)"] = time.perf_counter() - begin
    return seconds


def command(*arguments: str, code: int = 0) -> tuple[float, float]:
    """Seconds, and GB at most."""
    begin = time.perf_counter()
    process = subprocess.Popen([*L2ACO, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    assert os.waitstatus_to_exitcode(status) == code, arguments
    return seconds, used.ru_maxrss * 1024 / 1e9


def explored(workspace: str) -> float:
    """Seconds until the first page has been read."""
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
    process.wait()
    return seconds


def turn(workspace: str, run: str, cell: str) -> dict[str, float]:
    """What one turn of everything takes, by name."""
    ranking = [sys.executable, __file__, "--workspace", workspace, "--run", run, "--cell", cell, "--one"]
    found: dict[str, float] = json.loads(subprocess.run(ranking, check=True, capture_output=True, text=True).stdout)
    ask = ("recommend", run, "--workspace", workspace, "--all-pairs", "--cell")
    found["the whole command"], found["its memory, GB"] = command(*ask, cell)
    found["a wrong name"], _ = command(*ask, WRONG, code=2)
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
    best: dict[str, tuple[float, float]] = {}
    for _ in range(given.turns):
        for name, value in turn(given.workspace, given.run, given.cell).items():
            best[name] = min(best.get(name, (value + 1.0, 0.0)), (value, os.getloadavg()[0]))
    print("| | least | load |\n|---|---|---|")
    for name, (value, load) in best.items():
        print(f"| {name} | {value:.2f}{'' if re.search('GB', name) else ' s'} | {load:.1f} |")


if __name__ == "__main__":
    main()
