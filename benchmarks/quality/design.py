"""What pairs that are chosen by `recommend --design` are worth beside random ones, for lines that were never seen.

    python benchmarks/quality/design.py --workspace FOLDER [--folds 0 1 2 3 4] [--draws 3]

FOLDER holds drugcombdb and the stores reference--minilm and reference-panel--fields. A Mixed model is fitted without
the lines of a fold, as in new_lines.py. Of each of its lines with at least 800 triples 400 rows are held out; from
the others 20 or 40 are chosen, or drawn at random, and their scores taken up. Prints the AUROC of the held-out rows,
the mean over lines and draws, as markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from l2aco.data.splits.spec import SplitSpec
from l2aco.data.triples import Triples
from l2aco.models.backbones.mixed import Mixed, MixedConfig
from l2aco.recommend.design import choose, unknown_of
from l2aco.runs.spec import TrainSpec
from l2aco.training.prepare import prepare
from l2aco.workspace import Workspace

STORES = ("reference--minilm", "reference-panel--fields")
HELD_OUT, ENOUGH = 400, 800
RANDOM = (20, 40, 80)
CHOSEN = (20, 40)


def of_line(model: Mixed, own: Triples, line: int, draws: int) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for draw in range(draws):
        rows = np.random.default_rng([line, draw]).permutation(len(own.label))
        asked, pool = own.take(rows[:HELD_OUT]), own.take(rows[HELD_OUT:])

        def reached(measured: Triples | None) -> float:
            grown = model if measured is None else model.refit(measured)
            return float(roc_auc_score(asked.label, grown.logits(asked.drug_a, asked.drug_b, asked.cell_line)))  # noqa: B023

        found.setdefault("nothing", []).append(reached(None))
        for count in RANDOM:  # the pool is in random order
            found.setdefault(f"{count} random", []).append(reached(pool.take(np.arange(count))))
        drugs, places = np.unique(np.stack([pool.drug_a, pool.drug_b]), return_inverse=True)
        one, other = places.reshape(2, -1)
        order, _ = choose(one, other, max(CHOSEN), unknown_of(model, line, drugs))
        for count in CHOSEN:
            found.setdefault(f"{count} chosen", []).append(reached(pool.take(np.array(order[:count]))))
    return {name: float(np.mean(values)) for name, values in found.items()}


def of_fold(workspace: Workspace, fold: int, draws: int) -> Iterator[dict[str, float]]:
    split = SplitSpec(setting="novel-cell", fold=fold)
    setup = prepare(TrainSpec(dataset="drugcombdb", backbone="Mixed", split=split, store=STORES), workspace)
    triples = setup.dataset.triples
    model = Mixed.fit(setup.inputs, MixedConfig(), triples.take(setup.split.train)).refit(
        triples.take(setup.split.valid)
    )
    test = triples.take(setup.split.test)
    lines, sizes = np.unique(test.cell_line, return_counts=True)
    for line in lines[sizes >= ENOUGH].tolist():
        yield of_line(model, test.take(np.flatnonzero(test.cell_line == line)), line, draws)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    found: list[dict[str, float]] = []
    for fold in options.folds:
        found += of_fold(Workspace(options.workspace), fold, options.draws)
        print(f"\nfolds to {fold}: {len(found)} lines\n\n| measured | AUROC | gain |\n|---|---|---|")
        resampled = np.random.default_rng(0).integers(0, len(found), (10_000, len(found)))
        for name in found[0]:
            values = np.array([one[name] for one in found])
            gain = values - np.array([one["nothing"] for one in found])
            low, high = np.quantile(gain[resampled].mean(axis=1), [0.025, 0.975])
            print(f"| {name} | {values.mean():.4f} | {gain.mean():+.4f} [{low:.4f}, {high:.4f}] |", flush=True)


if __name__ == "__main__":
    main()
