"""Test metrics of a model, and of the naive predictors that every model is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.metrics import best_threshold, compute
from l2aco.training.breakdown import breakdown, strata

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet
    from l2aco.data.splits import Split
    from l2aco.training.runs import Run

SHOWN = ("auroc", "auprc", "balanced_accuracy", "f1", "mcc", "brier")


def test_metrics(dataset: DataSet, split: Split, valid: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    """`test` and `valid` metrics for probabilities of the validation and the test rows, in the order of the split.

    The decision threshold comes from the validation rows; the metrics at 0.5 stand beside.
    """
    triples = dataset.triples
    threshold = best_threshold(triples.label[split.valid], valid)
    counts = np.bincount(triples.cell_line, minlength=len(dataset.cell_lines))
    found = breakdown(
        triples.label[split.test],
        test,
        triples.cell_line[split.test],
        threshold=threshold,
        groups={
            "stratum": strata(counts),
            "tissue": [line.facts.get("tissue") for line in dataset.cell_lines],
        },
    )
    found["per_cell_line"] = {
        dataset.cell_lines[line].id: values for line, values in found.pop("per_cell_line").items()
    }
    return {
        "test": found,
        "valid": {"rows": len(valid), **compute(triples.label[split.valid], valid, threshold=threshold)},
    }


test_metrics.__test__ = False  # type: ignore[attr-defined]  # a name that pytest would collect


def result_row(model: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the table that holds a model beside the naive predictors, from a `breakdown`."""
    return {
        "model": model,
        **{name: metrics["pooled"][name] for name in SHOWN},
        "macro_auroc": metrics["macro"]["auroc"],
        "rows": metrics["rows"],
        "cell_lines": metrics["cell_lines"],
    }


def evaluate_run(run: Run, device: str = "auto") -> dict[str, Any]:
    """The metrics of a run, computed anew from its weights and the data set: `test` and `valid`.

    Raises DamagedError for a corrupt checkpoint, MismatchError where data set, split or vectors have changed.
    """
    predictor = run.predictor(device)
    triples = predictor.dataset.triples

    def predict(rows: np.ndarray) -> np.ndarray:
        return predictor.predict(triples.drug_a[rows], triples.drug_b[rows], triples.cell_line[rows])

    split = predictor.split
    return test_metrics(predictor.dataset, split, predict(split.valid), predict(split.test))


def comparison(run: Run, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The run beside the naive predictors on the same test rows."""
    assert run.spec.backbone is not None
    return [result_row(run.spec.backbone, metrics["test"]), *run.metrics["baselines"]]


def summarise(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds and folds of the runs, and of the naive predictors beside them.

    The naive predictors know no seed: each fold counts once.
    """
    folds = {run.spec.split.fold: run for run in runs}
    results = {str(runs[0].spec.backbone): [result_row("", run.metrics["test"]) for run in runs]}
    for run in folds.values():
        for row in run.metrics["baselines"]:
            results.setdefault(row["model"], []).append(row)
    return [mean_row(model, rows) for model, rows in results.items()]


def mean_row(model: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over rows of `result_row`, with the standard deviation of AUROC and how many there were."""
    aurocs = np.array([row["auroc"] for row in rows], dtype=np.float64)
    names = (*SHOWN, "macro_auroc")
    means = {name: float(np.mean([row[name] for row in rows])) for name in names}
    spread = float(aurocs.std(ddof=1)) if len(rows) > 1 else None
    return {"model": model, "runs": len(rows), "auroc": means.pop("auroc"), "auroc_sd": spread, **means}


def group_rows(test: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The metrics of every stratum or tissue as rows of a table."""
    return [
        {name: group, "rows": values["rows"], "positives": values["positives"]} | {key: values[key] for key in SHOWN}
        for group, values in test.get(name, {}).items()
    ]
