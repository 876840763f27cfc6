"""How far a probability is to be trusted on lines that were never seen, and what is gained by saying nothing.

    python benchmarks/quality/abstention.py --workspace FOLDER [--stores NAME ...]

FOLDER holds drugcombdb and the stores. For each of the five folds of novel-cell (seed 0) a Mixed model is fitted and
calibrated as a run is. Calibration: the expected calibration error of the test rows (15 bins), raw and calibrated.
Abstention: the AUROC of what is left once the most uncertain fifth of the test rows is given up, where uncertain is
near to a probability of one half; or of a wide posterior; or of a line that is unlike all others. Prints markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from l2aco.data.splits.make import held_out_groups
from l2aco.data.splits.spec import SplitSpec
from l2aco.metrics import get_metric
from l2aco.models.backbones.mixed import Mixed, MixedConfig
from l2aco.models.spec import AlignSpec
from l2aco.recommend.own import neighbours
from l2aco.runs.calibration import fit_calibration
from l2aco.runs.predictor import Predictor
from l2aco.runs.spec import TrainSpec
from l2aco.training.prepare import prepare
from l2aco.workspace import Workspace

STORES = ("reference--minilm", "reference-panel--fields")
SHARE = 0.2


def of_fold(
    workspace: Workspace, stores: tuple[str, ...], fold: int, kept: dict[str, list[np.ndarray]]
) -> dict[str, float]:
    """`kept` takes labels and probabilities of the test rows, for the error over all folds."""
    split = SplitSpec(setting="novel-cell", fold=fold)
    setup = prepare(TrainSpec(dataset="drugcombdb", backbone="Mixed", split=split, store=stores), workspace)
    triples, rows = setup.dataset.triples, setup.split
    valid, test = triples.take(rows.valid), triples.take(rows.test)
    first = Mixed.fit(setup.inputs, MixedConfig(), triples.take(rows.train))
    seen = first.probabilities(valid.drug_a, valid.drug_b, valid.cell_line)
    groups = held_out_groups(setup.dataset, setup.split, rows.valid)
    model = first.refit(valid)
    where = (test.drug_a, test.drug_b, test.cell_line)
    raw = model.probabilities(*where)
    ways = {
        "raw": raw,
        "slope and level": fit_calibration(valid.label, seen).apply(raw),
        "slope alone": fit_calibration(valid.label, seen, groups).apply(raw),
    }
    for name, values in {"label": test.label, **ways}.items():
        kept.setdefault(name, []).append(values)
    error = get_metric("calibration_error").function
    found = {f"error, {name}": error(test.label, value, 0.5) for name, value in ways.items()}
    calibrated = ways["slope alone"]
    predictor = Predictor(setup.inputs, model, AlignSpec(loss="none"), fit_calibration(valid.label, seen), 0.5)
    nearest = {
        line: max((near.likeness for near in neighbours(predictor, setup.dataset.cell_lines[line], 1)), default=0.0)
        for line in np.unique(test.cell_line).tolist()
    }
    uncertain = {
        "near one half": -np.abs(calibrated - 0.5),
        "wide posterior": model.moments(*where).variance,
        "unlike all lines": -np.array([nearest[line] for line in test.cell_line.tolist()]),
    }
    whole = roc_auc_score(test.label, calibrated)
    left = {name: value <= np.quantile(value, 1 - SHARE) for name, value in uncertain.items()}
    gains = {f"gain, {name}": roc_auc_score(test.label[at], calibrated[at]) - whole for name, at in left.items()}
    return {**found, "AUROC": whole, **gains}


def table(folds: Mapping[int, dict[str, float]]) -> str:
    lines = ["| | " + " | ".join(f"fold {fold}" for fold in folds) + " | mean |", "|---|" + "---|" * (len(folds) + 1)]
    for name in next(iter(folds.values())):
        values = [found[name] for found in folds.values()]
        lines.append(f"| {name} | " + " | ".join(f"{value:.3f}" for value in (*values, np.mean(values))) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--stores", nargs="+", default=STORES)
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    kept: dict[str, list[np.ndarray]] = {}
    print(table({fold: of_fold(workspace, tuple(options.stores), fold, kept) for fold in range(5)}))
    labels = np.concatenate(kept.pop("label"))
    for name, values in kept.items():
        error = get_metric("calibration_error").function(labels, np.concatenate(values), 0.5)
        print(f"\nover the rows of all folds, {name}: {error:.3f}")


if __name__ == "__main__":
    main()
