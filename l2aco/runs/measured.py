"""Measurements for a run that is finished, taken up without training: a user's, or those that its split held out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from l2aco.data.catalog import open_dataset
from l2aco.data.labels import UNLABELLED, LabelRule
from l2aco.data.sources.table import FITS, ROLES
from l2aco.data.splits.make import make_split
from l2aco.data.triples import Triples
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, MismatchError, UnknownNameError
from l2aco.models.backbones import backbones
from l2aco.models.estimator import Estimator
from l2aco.progress import Progress, Silent
from l2aco.runs.ensemble import ENSEMBLE
from l2aco.runs.pairs import COLUMNS, Pair, resolve_pairs
from l2aco.runs.predictor import needs_training
from l2aco.tables import read_raw

if TYPE_CHECKING:
    from l2aco.runs.newcomers import Acquaintances
    from l2aco.runs.predictor import Predictor
    from l2aco.runs.run import Run


@dataclass(frozen=True)
class Measured:
    """Pairs in cell lines; score and label float64 (n,), NaN where a file has no such column."""

    entities: list[tuple[Entity, Entity, Entity]]
    score: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.entities)

    @property
    def everybody(self) -> list[Entity]:
        """All drugs and cell lines."""
        return [entity for three in self.entities for entity in three]

    def labels(self, rule: LabelRule) -> np.ndarray:
        """int8 (n,): as they are given, else by `rule` of the score; UNLABELLED where neither says."""
        given = np.nan_to_num(self.label, nan=UNLABELLED).astype(np.int8)
        return np.where(np.isnan(self.label), rule.apply(self.score), given)

    def taken_up_by(self, predictor: Predictor) -> Predictor:
        """`predictor`, told of everybody, with these measurements; raises UsageError as `Predictor.learned`."""
        one, other, line = (list(column) for column in zip(*self.entities, strict=True))
        a, b = predictor.rows(EntityKind.drug, one), predictor.rows(EntityKind.drug, other)
        c, whole = predictor.rows(EntityKind.cell_line, line), np.ones(len(self), dtype=np.int64)
        first, second = np.minimum(a, b), np.maximum(a, b)
        return predictor.learned(Triples(first, second, c, self.score, self.label, whole, whole == 0))


def check_takes_up(run: Run) -> None:
    """Raises UsageError where a run takes up no measurements: before names are looked up and the model is loaded."""
    if run.spec.backbone == ENSEMBLE or not issubclass(backbones.load(str(run.spec.backbone)), Estimator):
        raise needs_training()


def read_measured(path: Path, acquaintances: Acquaintances, progress: Progress = Silent()) -> Measured:
    """Measurements out of a table with columns for two drugs, a cell line and a score, or a label, called as `l2aco
    data import` knows them. Raises InputError with file and line for what is empty, no number, twice there or not
    known, and where the run models what the table does not have. A column of scores that is called otherwise is named
    to `progress`."""
    roles = [*COLUMNS, "score", "label"]
    table = read_raw(path).by_role({role: ROLES[role] for role in roles}, optional=("score", "label"), fits=FITS)
    said = [role for role in ("score", "label") if table.names.get(role) is not None]
    if not said:
        raise InputError("has neither a score nor a label", where=path, remedy="Add a column called score.")
    modelled = "label" if acquaintances.run.metrics["training"].get("target", "label") == "label" else "score"
    if modelled not in said:
        raise InputError(
            f"has {said[0]}s and no {modelled}s, and the run models {modelled}s",
            where=path,
            remedy=f"Add a column called {modelled}, or name a run that models {said[0]}s "
            f"(`l2aco train --backbone Mixed --set target={said[0]}`).",
        )
    if not len(table):
        raise InputError("holds no measurement", where=path, remedy="Add a line for each, or leave --measured out.")
    table.require(*COLUMNS, *said)
    values = {"score": table.numbers, "label": table.labels}
    score, label = (
        values[role](role).to_numpy() if role in said else np.full(len(table), np.nan) for role in ("score", "label")
    )
    columns = table.frame.select(COLUMNS).iter_rows()
    pairs = [Pair(a, b, c, where=table.where(number)) for number, (a, b, c) in enumerate(columns)]
    entities = resolve_pairs(pairs, acquaintances)
    first: dict[tuple[frozenset[str], str], str | None] = {}
    for pair, (one, other, line) in zip(pairs, entities, strict=True):
        same = first.setdefault((frozenset((one.id, other.id)), line.id), pair.where)
        if same != pair.where:
            raise InputError(f"measures the same as {same}", where=pair.where, remedy="Give their mean on one line.")
    if (column := table.names.get("score")) is not None and column.casefold() != "score":
        progress.say(f"column '{column}' of {path} is read as the score")
    return Measured(entities, score, label)


def held_out_rows(run: Run, predictor: Predictor) -> Triples:
    """The test rows of a run, as rows of its predictor. Raises InputError where its data set is gone, MismatchError
    where that or its split has changed."""
    remedy = "Leave out --held-out, or bring the data set as it was."
    try:
        dataset = open_dataset(str(run.spec.dataset), run.workspace)
    except UnknownNameError:
        told = f"the data set {run.spec.dataset}, whose rows the run held out, is not here"
        raise InputError(told, where=run.workspace.data, remedy=remedy) from None
    if dataset.hash != run.manifest["dataset_hash"]:
        raise _unlike(dataset.name, remedy)
    split = make_split(dataset, run.spec.split)
    if split.hash != run.manifest["split_hash"]:
        raise _unlike(f"the split of {dataset.name}", remedy)
    rows = dataset.triples.take(split.test)
    drugs, lines = (predictor.rows(kind, dataset.entities(kind)) for kind in EntityKind)
    a, b = drugs[rows.drug_a], drugs[rows.drug_b]
    return replace(rows, drug_a=np.minimum(a, b), drug_b=np.maximum(a, b), cell_line=lines[rows.cell_line])


def _unlike(what: str, remedy: str) -> MismatchError:
    return MismatchError(
        f"{what} has changed since the run was trained, so that nobody can tell which rows it held out",
        remedy="Train it again. " + remedy,
    )
