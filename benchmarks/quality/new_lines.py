"""What is said of a new cell line: how often 90% intervals hold its scores, and what few measurements of it are worth.

    python benchmarks/quality/new_lines.py --workspace FOLDER [--folds 0 1 2] [--skip-few]

FOLDER holds drugcombdb and the stores reference--minilm and reference-panel--fields. Lines of the test fold are new to
a Mixed model that is fitted to the others. Intervals: the share of a line's scores that they hold, over lines. Few
measurements: of lines with at least 800 rows, 400 rows are held out and 0 to 400 others are taken up (`refit`), beside
the same model without kernels; mean AUROC over lines. Prints markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from l2aco.data.splits.spec import SplitSpec
from l2aco.data.triples import Triples
from l2aco.models.backbones.mixed import Mixed, MixedConfig
from l2aco.runs.spec import TrainSpec
from l2aco.training.prepare import Setup, prepare
from l2aco.workspace import Workspace

STORES = ("reference--minilm", "reference-panel--fields")
COUNTS = (0, 5, 20, 100, 400)
HELD_OUT, ENOUGH = 400, 800


def set_up(workspace: Workspace, fold: int) -> Setup:
    split = SplitSpec(setting="novel-cell", fold=fold)
    return prepare(TrainSpec(dataset="drugcombdb", backbone="Mixed", split=split, store=STORES), workspace)


def fitted(setup: Setup, knowledge: str) -> Mixed:
    """To training and validation rows, as a run is when it scores the test rows."""
    triples = setup.dataset.triples
    model = Mixed.fit(setup.inputs, MixedConfig(knowledge=knowledge), triples.take(setup.split.train))
    return model.refit(triples.take(setup.split.valid))


def coverage(model: Mixed, test: Triples) -> tuple[float, np.ndarray]:
    """Share of all test scores that their 90% interval holds, and that of each line."""
    found = model.expected(test.drug_a, test.drug_b, test.cell_line)
    assert found is not None
    target = model.state.target
    true = np.tanh((test.score - target.centre) / target.width)
    held = (true >= found.low) & (true <= found.high)
    return float(held.mean()), np.array([held[test.cell_line == line].mean() for line in np.unique(test.cell_line)])


def few(model: Mixed, test: Triples) -> np.ndarray:
    """(lines, counts): AUROC of the held-out rows of every large line after so many others are taken up."""
    lines, sizes = np.unique(test.cell_line, return_counts=True)
    found = []
    for line in lines[sizes >= ENOUGH].tolist():
        rows = np.random.default_rng(line).permutation(np.flatnonzero(test.cell_line == line))
        asked = test.take(rows[:HELD_OUT])
        aurocs = []
        for count in COUNTS:
            grown = model.refit(test.take(rows[HELD_OUT : HELD_OUT + count])) if count else model
            aurocs.append(roc_auc_score(asked.label, grown.logits(asked.drug_a, asked.drug_b, asked.cell_line)))
        found.append(aurocs)
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--skip-few", action="store_true")
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    for fold in options.folds:
        setup = set_up(workspace, fold)
        test = setup.dataset.triples.take(setup.split.test)
        models = {"no kernel": fitted(setup, "none"), "kernels": fitted(setup, "stores")}
        print(f"\nfold {fold}\n\n| intervals of 90% | hold | lines: least, quartiles, most | lines from 85% to 95% |")
        print("|---|---|---|---|")
        for name, model in models.items():
            whole, lines = coverage(model, test)
            ends = ", ".join(f"{value:.3f}" for value in np.quantile(lines, [0, 0.25, 0.5, 0.75, 1]))
            print(f"| {name} | {whole:.3f} | {ends} | {np.sum((lines >= 0.85) & (lines <= 0.95))} of {len(lines)} |")
        if options.skip_few:
            continue
        print("\n| measured pairs | " + " | ".join(map(str, COUNTS)) + " |\n|---|" + "---|" * len(COUNTS), flush=True)
        for name, model in models.items():
            table = few(model, test)
            print(
                f"| {name} ({len(table)} lines) | " + " | ".join(f"{x:.3f}" for x in table.mean(axis=0)) + " |",
                flush=True,
            )


if __name__ == "__main__":
    main()
