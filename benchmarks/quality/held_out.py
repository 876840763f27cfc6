"""What a new line gains where a run also takes up the lines that its split held out (`l2aco recommend --held-out`).

    python benchmarks/quality/held_out.py --workspace FOLDER RUN [RUN ...]

RUN: of Mixed, on novel cell lines. Each of its test lines is in turn the one that nobody screened: the others' rows are
taken up, and the line's own pairs are ranked with them and without. Prints markdown: means over lines of at least 100
test rows with both labels, and the gain with the interval of 95% over resampled lines.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from l2aco.metrics import ndcg_at
from l2aco.runs.measured import held_out_rows
from l2aco.runs.run import Run, open_run
from l2aco.workspace import Workspace

ENOUGH, TOP = 100, 20
MEASURES = ("AUROC", "NDCG@20", "Brier score")


def gains(run: Run) -> list[tuple[list[float], list[float]]]:
    """The measures of each line, without the others' rows and with them."""
    predictor = run.predictor()
    rows = held_out_rows(run, predictor)
    found = []
    for line in np.unique(rows.cell_line):
        own, others = (rows.take(np.flatnonzero((rows.cell_line == line) == here)) for here in (True, False))
        if len(own) < ENOUGH or len(np.unique(own.label)) < 2:
            continue
        asked = own.drug_a, own.drug_b, own.cell_line
        told = predictor.learned(others, new=False)
        values = (one.predict_rows(*asked, calibrated=True) for one in (predictor, told))
        without, with_them = ([*measured(own.label, value)] for value in values)
        found.append((without, with_them))
    return found


def measured(label: np.ndarray, value: np.ndarray) -> tuple[float, float, float]:
    return float(roc_auc_score(label, value)), ndcg_at(label, value, TOP), float(np.mean((value - label) ** 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("runs", nargs="+")
    options = parser.parse_args()
    runs = [open_run(name, Workspace(options.workspace)) for name in options.runs]
    values = np.array([both for run in runs for both in gains(run)])
    draws = np.random.default_rng(0).integers(0, len(values), (10_000, len(values)))
    print(f"{len(values)} lines\n\n| | as trained | held-out lines taken up | gain |\n|---|---|---|---|")
    for place, measure in enumerate(MEASURES):
        before, after = values[:, 0, place], values[:, 1, place]
        low, high = np.quantile((after - before)[draws].mean(axis=1), [0.025, 0.975])
        gain = f"{(after - before).mean():+.4f} [{low:.4f}, {high:.4f}]"
        print(f"| {measure} | {before.mean():.3f} | {after.mean():.3f} | {gain} |")


if __name__ == "__main__":
    main()
