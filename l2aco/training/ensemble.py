"""Making an ensemble of runs of one split: what each of them weighs, and the run that comes of it.

Nothing is trained. The weights, which are not negative and add up to one, are chosen on validation rows, nested: whole
groups of what the setting holds out (cell lines, say) are dealt into two halves; each member is calibrated on one half,
and the weights are those of the least cross-entropy on the other; then the other way round; the mean of both is taken.
So no row that chose weights had calibrated. What stopped the training of a network were all validation rows: the split
has no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from l2aco.data.catalog import open_dataset
from l2aco.data.dataset import DataSet
from l2aco.data.splits.make import held_out_groups, make_split
from l2aco.data.splits.spec import Split
from l2aco.errors import InputError, MismatchError, UsageError
from l2aco.files import sha256_file, stable_hash, write_json
from l2aco.models.estimator import Estimator
from l2aco.models.inputs import Inputs
from l2aco.models.spec import AlignSpec
from l2aco.progress import Progress, Silent
from l2aco.runs.calibration import fit_calibration, logit
from l2aco.runs.ensemble import ENSEMBLE, EQUAL_WEIGHTS, MEMBERS, Member, blend
from l2aco.runs.environment import describe_machine
from l2aco.runs.evaluate import result_row
from l2aco.runs.knowledge import load_knowledge
from l2aco.runs.run import FORMAT, Run, open_run, run_id
from l2aco.runs.spec import TrainSpec
from l2aco.training.prepare import Setup
from l2aco.training.trained import Trained, row_beside, save_run
from l2aco.workspace import Workspace


def make_ensemble(
    runs: Sequence[Run | str], workspace: Workspace | str | Path | None = None, progress: Progress = Silent()
) -> Run:
    """The run that predicts the weighted mean of the calibrated logits of `runs`.

    Raises UsageError for fewer than two runs or one named twice, MismatchError for runs that differ in data set or
    split, or whose data set or split is another today, and InputError where validation holds a single group.
    """
    workspace = Workspace.at(workspace)
    opened = [open_run(run, workspace) for run in runs]
    if len({run.id for run in opened}) < max(len(opened), 2):
        raise UsageError("an ensemble takes two runs or more, each of them once")
    return _ensemble(opened, workspace, progress)


def _ensemble(runs: Sequence[Run], workspace: Workspace, progress: Progress) -> Run:
    dataset, split = _common(runs, workspace)
    valid, test = ([_probabilities(run, part, split) for run in runs] for part in ("valid", "test"))
    label = dataset.triples.label[split.valid]
    weights = choose_weights(label, valid, held_out_groups(dataset, split, split.valid))
    members = [
        Member(
            run=run.id,
            manifest=sha256_file(run.path / "manifest.json"),
            weight=round(float(weight), 6),
            **run.metrics["calibration"],
        )
        for run, weight in zip(runs, weights, strict=True)
    ]
    setup = _setup(runs, dataset, split, workspace, progress)
    even = [member.model_copy(update={"weight": 1 / len(runs)}) for member in members]
    trained = Trained(
        valid=blend(valid, members),
        test=blend(test, members),
        facts={"members": len(members), "weights": {member.run: member.weight for member in members}},
        environment=describe_machine(setup.spec.threads),
        write=lambda folder: _write(members, folder),
        beside=[
            *(result_row(run.id, run.metrics["test"]) for run in runs),
            row_beside(EQUAL_WEIGHTS, dataset, split, blend(valid, even), blend(test, even)),
        ],
    )
    name = run_id(setup.spec, stable_hash([FORMAT, [member.model_dump() for member in members]], 7))
    return save_run(setup, trained, name, workspace)


def choose_weights(label: np.ndarray, probabilities: Sequence[np.ndarray], groups: np.ndarray) -> np.ndarray:
    """float64 (m,), not negative, of sum 1: see the module. label (n,); probabilities (n,) by each of m models; groups
    int64 (n,), each of which stays in one half. Raises InputError where there is one group only."""
    names, places, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise InputError(
            "validation holds a single group, so nothing is left to choose weights by once it has calibrated",
            remedy="Choose another setting or fold.",
        )
    side = np.empty(len(names), dtype=bool)
    side[np.argsort(-counts, kind="stable")] = np.isin(np.arange(len(names)) % 4, (0, 3))  # halves of like size
    half = side[places]
    found = []
    for calibrates in (half, ~half):
        calibrations = [fit_calibration(label[calibrates], p[calibrates]) for p in probabilities]
        judged = [fitted.apply(p[~calibrates]) for fitted, p in zip(calibrations, probabilities, strict=True)]
        found.append(_least_cross_entropy(label[~calibrates], np.stack([logit(p) for p in judged])))
    return np.asarray(np.mean(found, axis=0))


def _least_cross_entropy(label: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """The weights (m,) of logits (m, n), not negative and of sum 1; convex."""
    from scipy.optimize import minimize

    y = label.astype(np.float64)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = weights @ logits
        error = 1 / (1 + np.exp(-z)) - y
        return float(np.mean(np.logaddexp(0, z) - y * z)), logits @ error / len(y)

    size = len(logits)
    whole = {"type": "eq", "fun": lambda weights: weights.sum() - 1.0, "jac": lambda weights: np.ones(size)}
    start = np.full(size, 1 / size)
    found = minimize(loss, start, jac=True, method="SLSQP", bounds=[(0.0, 1.0)] * size, constraints=[whole]).x
    kept = np.clip(found, 0.0, None)
    return kept / kept.sum() if np.isfinite(kept).all() and kept.sum() > 0 else start


def _common(runs: Sequence[Run], workspace: Workspace) -> tuple[DataSet, Split]:
    """The data set and the split of all of them."""
    first = runs[0]
    for run in runs:
        run.check_format()
        for what in ("dataset_hash", "split_hash"):
            if run.manifest[what] != first.manifest[what]:
                raise MismatchError(
                    f"{run.id} was trained on another {what.removesuffix('_hash').replace('dataset', 'data set')} "
                    f"than {first.id}",
                    remedy="An ensemble is of runs of one data set, setting, fold and split.",
                )
    dataset = open_dataset(str(first.spec.dataset), workspace)
    split = make_split(dataset, first.spec.split)
    if (dataset.hash, split.hash) != (first.manifest["dataset_hash"], first.manifest["split_hash"]):
        raise MismatchError(
            f"the data set {dataset.name} or its split is not what the runs were trained on",
            remedy="Train the runs again.",
        )
    return dataset, split


def _probabilities(run: Run, part: str, split: Split) -> np.ndarray:
    table = run.predictions("valid" if part == "valid" else "test")
    assert np.array_equal(table["row"].to_numpy(), split.valid if part == "valid" else split.test)
    return table["probability"].to_numpy()


def _setup(runs: Sequence[Run], dataset: DataSet, split: Split, workspace: Workspace, progress: Progress) -> Setup:
    """What the saved run says of itself: the stores of all members, and a control where one of them is."""
    specs = [run.spec for run in runs]
    stores = tuple(dict.fromkeys(store for spec in specs for store in spec.store or ()))
    control = next((spec.align for spec in specs if spec.align.vectors != "profiles"), AlignSpec())
    spec = TrainSpec(
        dataset=specs[0].dataset,
        backbone=ENSEMBLE,
        config={"members": [run.id for run in runs]},
        split=specs[0].split,
        align=AlignSpec(loss="none", fusion="none", vectors=control.vectors, draw=control.draw),
        store=stores,
        seed=specs[0].seed,
    )
    knowledge = load_knowledge(stores, dataset, workspace, progress)
    return Setup(spec, Estimator, dataset, split, knowledge, Inputs(dataset.drugs, dataset.cell_lines))


def _write(members: Sequence[Member], folder: Path) -> None:
    write_json(folder / MEMBERS, [member.model_dump() for member in members])
