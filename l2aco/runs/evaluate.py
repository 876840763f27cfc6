"""Test metrics of a model, and of the naive predictors that every model is held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from l2aco.entities import Entity, EntityKind
from l2aco.errors import DamagedError
from l2aco.files import checked_spec, read_json, stable_hash, with_nan, write_json
from l2aco.metrics import best_threshold, by_group, compute
from l2aco.runs.breakdown import breakdown, strata
from l2aco.runs.contents import NaiveRows, checked
from l2aco.runs.ensemble import EQUAL_WEIGHTS
from l2aco.runs.ranking import calibration, ranking, risk_coverage

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet
    from l2aco.data.splits.spec import Split, SplitSpec
    from l2aco.models.vectors import Knowledge
    from l2aco.runs.run import Run
    from l2aco.workspace import Workspace

SHOWN = ("auroc", "auprc", "balanced_accuracy", "f1", "mcc", "brier")


class Scored(NamedTuple):
    """Rows (n,) that a model scored: labels 0/1, probabilities, and the number of each row's cell line."""

    label: np.ndarray
    probability: np.ndarray
    cell_line: np.ndarray


def test_metrics(
    cell_lines: Sequence[Entity], triples_per_line: np.ndarray, valid: Scored, test: Scored
) -> dict[str, Any]:
    """`test` and `valid` metrics. `triples_per_line` (Nc,): of each line in the whole data set, for the strata.

    The decision threshold comes from the validation rows; the metrics at 0.5 stand beside.
    """
    threshold = best_threshold(valid.label, valid.probability)
    found = breakdown(
        *test,
        threshold=threshold,
        groups={
            "stratum": strata(triples_per_line),
            "tissue": [line.facts.get("tissue") for line in cell_lines],
        },
    )
    found["per_cell_line"] = {cell_lines[line].id: values for line, values in found.pop("per_cell_line").items()}
    valid_metrics = compute(valid.label, valid.probability, threshold=threshold)
    return {"test": found, "valid": {"rows": len(valid.label), **valid_metrics}}


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


def naive_baselines(dataset: DataSet, split: Split, knowledge: Sequence[Knowledge] = ()) -> list[dict[str, Any]]:
    """The naive predictors on the test rows, as rows of the table; kNN over profiles where there is `knowledge`.

    They are fitted on training and validation rows. They depend on data set, split and vectors alone, so that the rows
    are kept beside the splits and computed once.
    """
    from l2aco.runs.naive import neighbours, predict_naive, predictions

    rows = _kept(dataset, split, (), lambda: predict_naive(dataset, split))
    names = {one.store: "profile" if len(knowledge) == 1 else one.store for one in knowledge}
    if knowledge:
        lines = {names[one.store]: (one.cell_vectors, one.cell_mask) for one in knowledge}
        drugs = {names[one.store]: (one.drug_vectors, one.drug_mask) for one in knowledge}
        of = [(names[one.store], one.hash) for one in knowledge]
        rows += _kept(dataset, split, of, lambda: predictions(neighbours(lines, drugs), dataset, split))
    return rows


def _kept(
    dataset: DataSet, split: Split, vectors: Sequence[tuple[str, str]], predict: Callable[[], dict[str, np.ndarray]]
) -> list[dict[str, Any]]:
    """Rows of the table for what `predict` gives, or those that were made of it before."""
    from l2aco.runs.naive import VERSION

    path = dataset.path / "naive" / f"{stable_hash([VERSION, dataset.hash, split.hash, vectors], 16)}.json"
    with suppress(DamagedError):
        return list(checked(NaiveRows, with_nan(read_json(path)), path))
    rows = naive_rows(dataset, split, predict())
    write_json(path, rows)
    return rows


def naive_rows(dataset: DataSet, split: Split, predicted: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Rows of the table for probabilities (test rows,) by name; the threshold is the share of positives among training
    and validation rows."""
    triples = dataset.triples
    threshold = float(triples.label[np.concatenate([split.train, split.valid])].mean())
    label, line = triples.label[split.test], triples.cell_line[split.test]
    return [
        result_row(name, breakdown(label, probabilities, line, threshold=threshold))
        for name, probabilities in predicted.items()
    ]


def evaluate_naive(
    dataset: DataSet | str, split: SplitSpec, *, knowledge: Sequence[Knowledge] = ()
) -> list[dict[str, Any]]:
    """Mean test metrics of the naive predictors over the folds of a setting."""
    from l2aco.data.catalog import open_or_simulate
    from l2aco.data.splits.make import make_split, num_folds

    dataset = open_or_simulate(dataset)
    found: dict[str, list[dict[str, Any]]] = {}
    for fold in range(num_folds(dataset, split)):
        made = make_split(dataset, split.model_copy(update={"fold": fold}))
        for row in naive_baselines(dataset, made, knowledge):
            found.setdefault(row["model"], []).append(row)
    return [mean_row(model, rows) for model, rows in found.items()]


def evaluate_run(run: Run | str, device: str = "auto") -> dict[str, Any]:
    """`test`: the metrics of a run's test rows, computed anew from its weights; `valid` as they were, since a backbone
    that is fitted at once has taken up those rows since; `ranking` of the test rows, `abstention` and `calibration` of
    their calibrated probabilities (`runs.ranking`).

    Raises DamagedError for a corrupt file, MismatchError for a run of another version.
    """
    from l2aco.runs.run import open_run

    run = open_run(run)
    predictor = run.predictor(device)

    def rows_of(part: Literal["valid", "test"], *, anew: bool) -> Scored:
        rows = run.predictions(part)
        asked = (rows["drug_a"].to_list(), rows["drug_b"].to_list(), rows["cell_line"].to_list())
        probability = predictor.predict(*asked) if anew else rows["probability"].to_numpy()
        return Scored(rows["label"].to_numpy(), probability, predictor.rows(EntityKind.cell_line, asked[2]))

    triples = run.counts(EntityKind.cell_line)["triples"].to_numpy()
    lines = predictor.entities(EntityKind.cell_line)
    test = rows_of("test", anew=True)
    shown = predictor.calibration.apply(test.probability)
    return test_metrics(lines, triples, rows_of("valid", anew=False), test) | {
        "ranking": ranking(test.label, test.probability, by_group(test.cell_line)),
        "abstention": risk_coverage(test.label, shown),
        "calibration": calibration(test.label, shown),
    }


def comparison(run: Run, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The run beside the naive predictors on the same test rows, without those that say the same of every row."""
    assert run.spec.backbone is not None
    return [result_row(run.spec.backbone, metrics["test"]), *_telling(run)]


def _telling(run: Run) -> list[dict[str, Any]]:
    return [row for row in run.metrics["baselines"] if row["auroc"] != 0.5]


def better_naive(run: Run) -> dict[str, Any] | None:
    """The best naive predictor among those whose AUROC on the run's test rows is above the run's by what three digits
    show, as its row. The members of an ensemble, whose rows stand beside its own, are not naive."""
    ours = run.metrics["test"]["pooled"]["auroc"]
    members = {*run.metrics["training"].get("weights", ()), EQUAL_WEIGHTS}
    better = [row for row in _telling(run) if round(row["auroc"], 3) > round(ours, 3) and row["model"] not in members]
    return max(better, key=lambda row: row["auroc"], default=None)


def warnings_of(*runs: Run) -> list[str]:
    """What nobody may overlook who reads the runs' numbers: simulated data, and a naive predictor that ranks better."""
    simulated = any(run.simulated for run in runs)
    found = ["SIMULATED data: these numbers mean nothing about real drugs."] if simulated else []
    for run in runs:
        if (better := better_naive(run)) is not None:
            ours = run.metrics["test"]["pooled"]["auroc"]
            found.append(
                f"A naive predictor ranks the test rows better: {better['model']}, AUROC {better['auroc']:.3f}, "
                f"against {ours:.3f}{f' of {run.id}' if len(runs) > 1 else ''}."
            )
    return found


def summarise(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds and folds of the runs, and of the naive predictors beside them.

    The naive predictors know no seed: each fold counts once.
    """
    folds = {run.spec.split.fold: run for run in runs}
    results = {str(runs[0].spec.backbone): [result_row("", run.metrics["test"]) for run in runs]}
    for run in folds.values():
        for row in _telling(run):
            results.setdefault(row["model"], []).append(row)
    return [mean_row(model, rows) for model, rows in results.items()]


def mean_row(model: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over rows of `result_row`, with the standard deviation of AUROC and how many rows there were.

    A metric that a fold does not have (AUROC of a tissue with one class) is left out of its mean.
    """
    names = (*SHOWN, "macro_auroc")
    known = {name: [row[name] for row in rows if not np.isnan(row[name])] for name in names}
    means = {name: float(np.mean(values)) if values else float("nan") for name, values in known.items()}
    spread = float(np.std(known["auroc"], ddof=1)) if len(known["auroc"]) > 1 else None
    return {"model": model, "runs": len(rows), "auroc": means.pop("auroc"), "auroc_sd": spread, **means}


def group_rows(test: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The metrics of every stratum or tissue as rows of a table."""
    return [
        {name: group, "rows": values["rows"], "positives": values["positives"]} | {key: values[key] for key in SHOWN}
        for group, values in test.get(name, {}).items()
    ]


def naive_table(
    dataset_name: str,
    setting: str,
    folds: int,
    seed: int,
    store: str | None,
    workspace: Workspace,
    *,
    own: bool = False,
) -> list[dict[str, Any]]:
    """`evaluate_naive` for names: a data set, a setting, and optionally the store of the kNN predictors.

    `own`: not on the fixed split that came with the source.
    """
    from l2aco.data.catalog import open_or_simulate
    from l2aco.data.splits.spec import SplitSpec
    from l2aco.runs.knowledge import load_knowledge

    given = {"setting": setting, "folds": folds, "seed": seed, "released": False if own else None}
    split = checked_spec(SplitSpec, given)
    dataset = open_or_simulate(dataset_name, workspace)
    knowledge = load_knowledge([store] if store is not None else [], dataset, workspace)
    return evaluate_naive(dataset, split, knowledge=knowledge)
