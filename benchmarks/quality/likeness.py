"""From which likeness on do two cell lines agree in what is peculiar to them?

    python benchmarks/quality/likeness.py --workspace FOLDER --run RUN

RUN: of Mixed on drugcombdb. Its training lines are compared pair by pair: the likeness of their profiles, as
`l2aco recommend` names it, and the correlation over common drug pairs of what is peculiar to each line: its scores less
the mean that the pair has in the other lines, bounded by tanh(score / 20), less its own mean. Prints markdown: by
likeness, how many pairs of lines there are and their mean correlation; and the likeness of lines of different tissues,
and of the same.
"""

from __future__ import annotations

import argparse
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np

from l2aco.data.catalog import open_dataset
from l2aco.data.triples import Triples
from l2aco.recommend.own import alike, likeness, told_by
from l2aco.runs.run import open_run
from l2aco.workspace import Workspace

ENDS = (-1.0, -0.2, 0.0, 0.2, 0.4, 0.53, 0.65, 1.0)
SHARES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
COMMON = 200


def peculiar(triples: Triples) -> dict[int, dict[tuple[int, int], float]]:
    """By cell line and pair: the bounded score less the mean of the pair elsewhere and the mean of the line."""
    _, pair = np.unique(triples.drug_a.astype(np.int64) * 2**31 + triples.drug_b, return_inverse=True)
    score = np.tanh(triples.score / 20)
    count, total = np.bincount(pair), np.bincount(pair, score)
    several = count[pair] > 1
    rest = score - (total[pair] - score) / np.maximum(count[pair] - 1, 1)
    found: dict[int, dict[tuple[int, int], float]] = {}
    for line in np.unique(triples.cell_line[several]).tolist():
        rows = np.flatnonzero(several & (triples.cell_line == line))
        pairs = zip(triples.drug_a[rows].tolist(), triples.drug_b[rows].tolist(), strict=True)
        found[line] = dict(zip(pairs, (rest[rows] - rest[rows].mean()).tolist(), strict=True))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--run", required=True)
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    predictor, dataset = open_run(options.run, workspace).predictor("cpu"), open_dataset("drugcombdb", workspace)
    known, of_line, stores = predictor.inputs.cell_lines, peculiar(dataset.triples), [*predictor.inputs.cell_vectors]
    place = {line.id: row for row, line in enumerate(dataset.cell_lines)}
    alikes, agreements, same = [], [], []
    for one, other in combinations(np.asarray(predictor.inputs.train_cells).tolist(), 2):
        if not all({*stores} <= {*told_by(predictor, known[row])} for row in (one, other)):
            continue
        near = likeness(predictor, one, stores)
        assert near is not None
        alikes.append(float(near[other]))
        same.append(known[one].facts.get("tissue") == known[other].facts.get("tissue"))
        first, second = (of_line.get(place[known[row].id], {}) for row in (one, other))
        both = sorted(first.keys() & second.keys())
        enough = len(both) >= COMMON
        values = [[of[pair] for pair in both] for of in (first, second)]
        agreements.append(float(np.corrcoef(values)[0, 1]) if enough else np.nan)
    near, agreement = np.array(alikes), np.array(agreements)
    print(
        f"alike: more than {alike(predictor, stores):.3f}\n\n| likeness | pairs of lines | correlation |\n|---|---|---|"
    )
    for low, high in pairwise(ENDS):
        there = agreement[(near > low) & (near <= high) & np.isfinite(agreement)]
        error = there.std() / np.sqrt(max(len(there), 1))
        print(f"| {low:.2f} to {high:.2f} | {len(there)} | {there.mean():+.3f} ± {error:.3f} |")
    print("\n| share below | " + " | ".join(map(str, SHARES)) + " |\n|---|" + "---|" * len(SHARES))
    for name, rows in (("different tissues", ~np.array(same)), ("same tissue", np.array(same))):
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in np.quantile(near[rows], SHARES)) + " |")


if __name__ == "__main__":
    main()
