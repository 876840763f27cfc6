"""How import, split, load and baselines grow, from ten thousand triples to a million with five million edges.

    python benchmarks/performance/data.py [--largest 1000000] [--out benchmarks/results/data.md]

Each size runs in a process of its own, so that its peak memory is its own. The peer is pandas, doing the same merge
of the same file: unordered pairs, mean score, threshold.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (10_000, 100_000, 1_000_000)
SEED = 0


def generate(folder: Path, triples: int) -> None:
    """triples.csv, edges.csv: 5,000 drugs, 1,000 lines, five edges a triple; the smaller sizes in proportion."""
    import polars as pl

    rng = np.random.default_rng(SEED)
    drugs = max(100, triples // 200)
    lines = max(50, triples // 1000)
    proteins, edges = max(500, triples // 50), 5 * triples
    a, b = rng.integers(0, drugs, triples), rng.integers(0, drugs, triples)
    pl.DataFrame(
        {
            "drug_a": np.char.add("D", a.astype(str)),
            "drug_b": np.char.add("D", b.astype(str)),
            "cell_line": np.char.add("L", rng.integers(0, lines, triples).astype(str)),
            "score": rng.normal(size=triples).round(4),
        }
    ).write_csv(folder / "triples.csv")
    half = edges // 2
    heads = np.concatenate(
        [np.char.add("D", rng.integers(0, drugs, half).astype(str)), rng.integers(0, proteins, half).astype(str)]
    )
    pl.DataFrame(
        {
            "relation": ["targets"] * half + ["interacts"] * half,
            "x_id": heads,
            "x_type": ["drug"] * half + ["protein"] * half,
            "y_id": rng.integers(0, proteins, 2 * half).astype(str),
            "y_type": ["protein"] * (2 * half),
        }
    ).write_csv(folder / "edges.csv")


def measure(folder: Path) -> dict[str, Any]:
    """Seconds of each step, and the peak memory of this process."""
    from l2aco.data.dataset import DataSet
    from l2aco.data.importing import ImportSpec, import_dataset
    from l2aco.data.splits.make import make_split
    from l2aco.data.splits.spec import SplitSpec
    from l2aco.runs.naive_means import PairMean
    from l2aco.workspace import Workspace

    times: dict[str, float] = {}

    def step(name: str, function: Any) -> Any:
        start = time.perf_counter()
        result = function()
        times[name] = time.perf_counter() - start
        return result

    workspace = Workspace(folder / "workspace")
    spec = ImportSpec(path=folder / "triples.csv", name="big", graph=folder / "edges.csv")
    made = step("import", lambda: import_dataset(spec, workspace))
    for setting in ("random", "novel-cell", "novel-drug", "novel-pair"):
        step(f"split {setting}", lambda setting=setting: make_split(made, SplitSpec(setting=setting)))
    dataset = DataSet(made.path)
    step("load triples", lambda: dataset.triples)
    step("load graph", lambda: dataset.graph)
    split = step("load split", lambda: make_split(dataset, SplitSpec(setting="novel-cell")))
    t = dataset.triples
    predictor = step("pair mean, fit", lambda: PairMean().fit(t, split.train))
    step(
        "pair mean, predict",
        lambda: predictor.predict(t.drug_a[split.test], t.drug_b[split.test], t.cell_line[split.test]),
    )
    graph = dataset.graph
    assert graph is not None
    return {
        "triples": len(t),
        "edges": graph.num_edges,
        "seconds": times,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def peer(folder: Path) -> dict[str, Any]:
    """pandas reads the same file and merges it in the same way."""
    import pandas as pd

    start = time.perf_counter()
    table = pd.read_csv(folder / "triples.csv")
    table = table[table.drug_a != table.drug_b]
    ends = np.sort(table[["drug_a", "drug_b"]].to_numpy().astype(str), axis=1)
    table = table.assign(drug_a=ends[:, 0], drug_b=ends[:, 1])
    merged = table.groupby(["drug_a", "drug_b", "cell_line"], as_index=False).score.mean()
    merged["label"] = (merged.score > 0).astype("int8")
    merged.to_parquet(folder / "pandas.parquet")
    return {"triples": len(merged), "seconds": time.perf_counter() - start}


def ours_like_peer(folder: Path) -> dict[str, Any]:
    """Only what the peer does: read, merge, write."""
    import polars as pl

    from l2aco.data.labels import LabelRule
    from l2aco.data.merge_rows import merge_rows
    from l2aco.data.sources.base import ReadOptions
    from l2aco.data.sources.table import Table

    start = time.perf_counter()
    merged = merge_rows(Table().read(folder / "triples.csv", ReadOptions()).rows, LabelRule())
    assert isinstance(merged.table, pl.DataFrame)
    merged.table.write_parquet(folder / "ours.parquet")
    return {"triples": len(merged.table), "seconds": time.perf_counter() - start}


PARTS = {"measure": measure, "peer": peer, "ours_like_peer": ours_like_peer}


def in_process(part: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--part", part, "--folder", str(folder)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def report(results: dict[int, dict[str, Any]]) -> str:
    from l2aco.bench.provenance import commit_of

    commit = commit_of(Path(__file__).parents[2])
    sizes = list(results)
    lines = [
        "# Data: import, split, load",
        "",
        f"`python benchmarks/performance/data.py`, {datetime.now(UTC):%Y-%m-%d}, commit {commit}, "
        f"{os.cpu_count()} CPU cores, {platform.machine()}, Python {platform.python_version()}.",
        "",
        "| step, seconds | " + " | ".join(f"{size:,} rows" for size in sizes) + " | growth, last step x10 |",
        "|---|" + "---|" * (len(sizes) + 1),
    ]
    for name in results[sizes[0]]["measure"]["seconds"]:
        values = [results[size]["measure"]["seconds"][name] for size in sizes]
        growth = f"{values[-1] / values[-2]:.1f}" if len(values) > 1 and values[-2] > 0.01 else ""
        lines.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + f" | {growth} |")
    for name, key in (("triples kept", "triples"), ("directed edges", "edges")):
        lines.append(f"| {name} | " + " | ".join(f"{results[size]['measure'][key]:,}" for size in sizes) + " | |")
    peaks = " | ".join(f"{results[size]['measure']['peak_gb']:.2f}" for size in sizes)
    lines += [f"| peak memory, GB | {peaks} | |", ""]
    for size in sizes:
        ours, theirs = results[size]["ours_like_peer"], results[size]["peer"]
        assert ours["triples"] == theirs["triples"], (ours, theirs)
        lines.append(
            f"- {size:,} rows, read + merge + write alone: {ours['seconds']:.2f} s, pandas {theirs['seconds']:.2f} s "
            f"(ratio {theirs['seconds'] / ours['seconds']:.1f}), the same {ours['triples']:,} triples."
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=SIZES[-1])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options.folder)))
        return
    results: dict[int, dict[str, Any]] = {}
    for size in (size for size in SIZES if size <= options.largest):
        with tempfile.TemporaryDirectory() as name:
            generate(Path(name), size)
            results[size] = {part: in_process(part, Path(name)) for part in PARTS}
    text = report(results)
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
