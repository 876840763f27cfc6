"""Seconds and memory of the mixed model from 10,000 to 1,000,000 triples, against scikit-learn's ridge regression.

    python benchmarks/performance/mixed.py
    python benchmarks/performance/mixed.py --rows 1000000 --peer 0 --choose

The peer is the same model written as scikit-learn's Ridge(solver="lsqr") on the explicit sparse design (every effect a
column, scaled by its standard deviation), with the same variances; predictions of both are compared. Triples are
simulated: 20 lines a pair, one kernel of 64 directions. Every measurement is a process of its own, on one thread;
memory is its peak, the data included. --choose also times the choice of variances. Seconds are the process's CPU time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
from pathlib import Path

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
if Path(sys.path[0]) == Path(__file__).parent:
    sys.path.append(sys.path.pop(0))  # the neighbour profile.py would hide the standard library's
import numpy as np
from scipy import sparse

from l2aco.models.mixed.model import fit, score
from l2aco.models.mixed.state import Entities, Knowledge, State

VARIANCES = {
    "all|one": 10.0,
    "all|own": 0.04,
    "all|panel": 0.05,
    "drug|one": 0.06,
    "drug|own": 0.07,
    "drug|panel": 0.02,
    "pair|one": 0.13,
    "pair|panel": 0.05,
    "noise": 0.45,
}
ASKED = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,30000,100000,300000,1000000")
    parser.add_argument("--peer", type=int, default=100_000, help="The largest number of rows that the peer is given.")
    parser.add_argument("--choose", action="store_true")
    given = parser.parse_args()
    print("|rows|drugs|lines|model|fit s|choice s|score s|peak GB|differs|\n|" + "---|" * 9)
    for rows in map(int, given.rows.split(",")):
        kinds = ["mixed"] + ["ridge"] * (rows <= given.peer)
        found = {kind: alone(kind, rows, given.choose and kind == "mixed") for kind in kinds}
        for kind, result in found.items():
            apart = np.abs(np.array(result["asked"]) - found["mixed"]["asked"]).max() if kind == "ridge" else 0.0
            shown = "|".join(f"{result[part]:.1f}" for part in ("fit", "choice", "score", "peak"))
            print(f"|{rows:,}|{result['drugs']}|{result['lines']}|{kind}|{shown}|{apart:.1e}|", flush=True)


def alone(kind: str, rows: int, choose: bool) -> dict[str, float]:
    """What `measure` finds, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return json.loads(pool.apply(measure, (kind, rows, choose)))


def measure(kind: str, rows: int, choose: bool) -> str:
    a, b, c, scores, drugs, lines = simulated(rows)
    start = time.process_time()
    choice = 0.0
    if choose:
        fit(a, b, c, score=scores, drugs=drugs, lines=lines)
        choice = time.process_time() - start
        start = time.process_time()
    if kind == "mixed":
        state = fit(a, b, c, score=scores, drugs=drugs, lines=lines, variances=VARIANCES, tolerance=1e-6)
        fitted = time.process_time() - start
        start = time.process_time()
        asked = score(state, a[:ASKED], b[:ASKED], c[:ASKED], drugs=drugs, lines=lines)
    else:
        fitted, asked = ridge(a, b, c, scores, drugs, lines)
        start = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    times = {"fit": fitted, "choice": choice, "score": time.process_time() - start, "peak": peak}
    return json.dumps({**times, "drugs": drugs.size, "lines": lines.size, "asked": asked.tolist()})


def ridge(a, b, c, scores, drugs: Entities, lines: Entities):
    """CPU seconds of the peer's fit, and its predictions of the first rows."""
    from sklearn.linear_model import Ridge

    # the same target and kernel: fitted on all rows, as the mixed model does
    state: State = fit(a, b, c, score=scores, drugs=drugs, lines=lines, variances=VARIANCES, tolerance=1.0)
    start = time.process_time()
    x = design(state)
    model = Ridge(alpha=VARIANCES["noise"], fit_intercept=False, solver="lsqr", tol=1e-7, max_iter=1000).fit(x, state.y)
    return time.process_time() - start, x[:ASKED] @ model.coef_


def design(state: State) -> sparse.csr_array:
    """Every effect of every row as a column, times its standard deviation."""
    rows, phi = state.rows, state.phi["panel"]
    n, pair = len(rows), np.searchsorted(state.pair_keys, rows.pair_keys)
    blocks = []
    for group, groups in (([np.zeros(n, np.int64)], 1), ([rows.a, rows.b], rows.drugs), ([pair], len(state.pair_keys))):
        left = {1: "all", rows.drugs: "drug"}.get(groups, "pair")
        for right, factor in (("one", np.ones((rows.lines, 1))), ("own", None), ("panel", phi)):
            if f"{left}|{right}" not in VARIANCES:
                continue
            scale = np.sqrt(VARIANCES[f"{left}|{right}"])
            if factor is None:
                parts = [one_hot(g * rows.lines + rows.c, groups * rows.lines, np.full((n, 1), scale)) for g in group]
            else:
                parts = [one_hot(g, groups, factor[rows.c] * scale) for g in group]
            blocks.append(sum(parts[1:], parts[0]))
    return sparse.csr_array(sparse.hstack(blocks, format="csr"))


def one_hot(group, groups: int, values) -> sparse.csr_array:
    n, width = values.shape
    columns = (group[:, None] * width + np.arange(width)).ravel()
    return sparse.csr_array((values.ravel(), columns, np.arange(n + 1) * width), shape=(n, groups * width))


def simulated(rows: int):
    """Triples of 20 lines a pair: 5,000 drugs and 1,000 lines at a million rows, fewer below, and scores with effects
    of line, drugs and pairs."""
    rng = np.random.default_rng(0)
    share = (rows / 1_000_000) ** 0.5
    drugs, lines, pairs = max(40, int(5000 * share)), max(50, int(1000 * share)), rows // 20
    keys = np.unique(rng.integers(0, drugs * drugs, 3 * pairs))
    keys = keys[keys // drugs < keys % drugs]
    keys = np.sort(rng.permutation(keys)[:pairs])
    a, b = np.repeat(keys // drugs, 20), np.repeat(keys % drugs, 20)
    c = ((rng.integers(0, lines, len(keys))[:, None] + np.arange(20) * (lines // 20)) % lines).ravel()
    known = rng.standard_normal((lines, 64))
    slope, main = rng.standard_normal(drugs) * 0.2, rng.standard_normal(drugs) * 0.25
    signal = (
        main[a]
        + main[b]
        + (slope[a] + slope[b] + 0.2) * known[c, 0]
        + np.repeat(rng.standard_normal(len(keys)), 20) * 0.36
    )
    scores = 3.0 * (signal + 0.7 * rng.standard_normal(len(a)))
    return a, b, c, scores, Entities(drugs), Entities(lines, {"panel": Knowledge(known)})


if __name__ == "__main__":
    main()
