"""A cell line in, ranked drug pairs out.

Every unordered pair of the chosen drugs is scored by a run's model. A pair that was measured in this cell line is
marked with its label; its record in the other cell lines and the training triples of either drug stand beside it, so
that a reader sees what the data say and what the model adds.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.catalog import open_dataset
from l2aco.data.labels import UNLABELLED, LabelRule
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.progress import Progress, Silent
from l2aco.recommend.own import NOBODY, Neighbour, neighbours, rank_correlation
from l2aco.recommend.recommendation import RankedPair, Recommendation
from l2aco.recommend.told import Told, vectors_told
from l2aco.runs.measured import Measured, read_measured
from l2aco.runs.newcomers import Acquaintances

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from l2aco.data.dataset import DataSet
    from l2aco.models.estimator import Expected
    from l2aco.runs.predictor import Predictor
    from l2aco.runs.run import Run


def rank_pairs(
    run: Run,
    cell_line: str,
    *,
    top: int = 10,
    drugs: Sequence[str] = (),
    min_triples: int = 0,
    told: Told = Told(),
    measured: Path | None = None,
    device: str = "auto",
    progress: Progress = Silent(),
) -> Recommendation:
    """The `top` pairs for `cell_line` (id, name or alias), by the model of `run`.

    `drugs` restricts the pairs to these drugs (ids, names or aliases; at least two); the default is every drug with
    a measured combination. `min_triples` leaves out drugs that fewer training triples hold. The cell line and the drugs
    named may be ones that the run was not trained with, see `runs.newcomers`; `told` is what is known of a cell line
    that no store holds. `measured`: a table of measurements that are taken up first, see `runs.measured`. Raises
    UnknownNameError with the nearest names, before the model is loaded, and InputError where fewer than two drugs are
    left.
    """
    if top < 1:
        raise UsageError("--top must be at least 1")
    acquaintances = Acquaintances(run)
    cell = _line(run, acquaintances, cell_line, told)
    trained = dict(run.counts(EntityKind.drug).select("id", "training_triples").iter_rows())
    chosen = _often_trained(_drugs(run, acquaintances, drugs), trained, min_triples)
    if told and acquaintances.gone:
        raise InputError(
            f"the run reads {' and '.join(acquaintances.gone)}, which this workspace does not have",
            remedy="Bring it: `l2aco store export` where it is, `l2aco store import` here, or `l2aco embed`.",
        )
    if told:
        vectors = vectors_told(cell, told, acquaintances.stores, run.workspace, progress)
        acquaintances = Acquaintances(run, [cell], {cell.key: vectors})
    known = None if measured is None else read_measured(measured, acquaintances)
    predictor = _introduced(run, acquaintances, [cell, *chosen, *(known.everybody if known else [])], device)
    predictor = predictor if known is None else known.taken_up_by(predictor)
    of_drugs = predictor.rows(EntityKind.drug, chosen)
    one, other = (numbers.ravel() for numbers in np.triu_indices(len(chosen), k=1))
    line = predictor.rows(EntityKind.cell_line, [cell])
    raw = predictor.predict_rows(of_drugs[one], of_drugs[other], np.repeat(line, len(one)))
    like = neighbours(predictor, cell)
    order = np.argsort(-raw, kind="stable")[:top]  # calibrated ones are equal near 0 and 1
    expected = predictor.expected_rows(of_drugs[one[order]], of_drugs[other[order]], np.repeat(line, len(order)))
    pairs = [(chosen[one[which]], chosen[other[which]]) for which in order]
    numbers, record = _numbers(predictor, raw[order], expected), _Record(run, cell, like, known)
    lines = run.counts(EntityKind.cell_line)
    return Recommendation(
        cell_line=cell.name,
        run=run.id,
        seen_in_training=bool(lines.filter(id=cell.id)["training_triples"].sum()),
        pairs=_ranked(pairs, numbers, predictor.threshold, record, trained),
        simulated=run.simulated,
        outranked=_outranked(run),
        lacking=tuple(predictor.lacking(cell)),
        newcomer=not lines["id"].is_in([cell.id]).any(),
        correlation=_correlation(predictor, raw, of_drugs[one], of_drugs[other]),
        neighbours=tuple(like),
        threshold=predictor.threshold,
        scale=None if expected is None else expected.scale,
        measured=0 if known is None else len(known),
    )


def _line(run: Run, acquaintances: Acquaintances, name: str, told: Told) -> Entity:
    """The cell line called `name`, or a new one where something is told of it."""
    if not name.strip():
        raise UsageError("the cell line has no name", remedy="Name it with --cell.")
    try:
        found = acquaintances.resolve(EntityKind.cell_line, name)
    except UnknownNameError:
        if not told:
            raise
        return Entity(name.strip(), EntityKind.cell_line, name.strip())
    if told and found.key in {line.key for line in run.entities(EntityKind.cell_line)}:
        raise UsageError(
            f"the run knows {found.name} already", remedy="Leave out what is told of it, or give the line another name."
        )
    return found


def _introduced(run: Run, acquaintances: Acquaintances, entities: Sequence[Entity], device: str) -> Predictor:
    """A predictor that knows these entities, and a line of which nothing is known where the run is no control."""
    nobody = [NOBODY] if run.spec.align.vectors == "profiles" else []
    return acquaintances.admit(run.predictor(device), [*entities, *nobody])


def _correlation(predictor: Predictor, raw: np.ndarray, one: np.ndarray, other: np.ndarray) -> float | None:
    """Of the ranks of `raw` with those of a line of which nothing is known; None for a control, and of few pairs."""
    if predictor.align.vectors != "profiles" or len(raw) < FEWEST_PAIRS:
        return None
    line = predictor.rows(EntityKind.cell_line, [NOBODY])
    return rank_correlation(raw, predictor.predict_rows(one, other, np.repeat(line, len(one))))


def _drugs(run: Run, acquaintances: Acquaintances, names: Sequence[str]) -> list[Entity]:
    if not names:
        counts = run.counts(EntityKind.drug)
        measured = set(counts.filter(counts["triples"] > 0)["id"].to_list())
        return [drug for drug in run.entities(EntityKind.drug) if drug.id in measured]
    wanted = {drug.id: drug for drug in (acquaintances.resolve(EntityKind.drug, name) for name in names)}
    if len(wanted) < 2:
        raise InputError("a pair needs two different drugs", remedy="Name at least two.")
    return sorted(wanted.values(), key=lambda drug: drug.id)


def _often_trained(drugs: Sequence[Entity], trained: Mapping[str, int], least: int) -> list[Entity]:
    chosen = [drug for drug in drugs if trained.get(drug.id, 0) >= least]
    if len(chosen) < 2:
        raise InputError(
            f"{len(chosen)} of the drugs have {least:,} training triples or more; a pair needs two",
            remedy="Lower --min-triples, or name other drugs.",
        )
    return chosen


def _outranked(run: Run) -> str | None:
    from l2aco.runs.evaluate import better_naive

    naive = better_naive(run)
    if naive is None:
        return None
    ours = run.metrics["test"]["pooled"]["auroc"]
    return f"the naive predictor '{naive['model']}' ranks better (AUROC {naive['auroc']:.3f}, this run {ours:.3f})"


def _numbers(predictor: Predictor, raw: np.ndarray, expected: Expected | None) -> dict[str, np.ndarray]:
    """float64 (n,) by the fields of a `RankedPair`."""
    numbers = {"probability": raw, "calibrated": predictor.calibration.apply(raw)}
    if expected is None:
        return numbers
    return numbers | {"expected": expected.mean, "expected_low": expected.low, "expected_high": expected.high}


FEWEST_PAIRS = 10
"""Below, how alike two lists are is chance."""


class _Record:
    """What was measured of a pair: what `told` says, else what the run's data set holds today, where it is there.

    like: the lines that are most like the one asked for. A score alone is labelled by the data set's rule, and has no
    label where that is gone or gives none.
    """

    def __init__(self, run: Run, line: Entity, like: Sequence[Neighbour], told: Measured | None) -> None:
        self._line, self._near = line.id, {neighbour.entity.id for neighbour in like}
        self._labels: dict[frozenset[str], dict[str, int]] = {}
        self._scores: dict[frozenset[str], float] = {}
        rule = LabelRule(kind="shipped")
        self._here = False
        with suppress(UnknownNameError):
            dataset = open_dataset(str(run.spec.dataset), run.workspace)
            rule = dataset.label_rule
            self._read(dataset)
            self._here = True
        if told is not None:
            self._hear(told, told.labels(rule))

    def _hear(self, told: Measured, labels: np.ndarray) -> None:
        for (one, other, line), score, label in zip(told.entities, told.score.tolist(), labels.tolist(), strict=True):
            pair = frozenset((one.id, other.id))
            if line.id == self._line and not np.isnan(score):
                self._scores[pair] = score
            self._labels.setdefault(pair, {}).pop(line.id, None)
            if label != UNLABELLED:
                self._labels[pair][line.id] = label

    def _read(self, dataset: DataSet) -> None:
        triples = dataset.triples
        drugs, lines = ([entity.id for entity in dataset.entities(kind)] for kind in EntityKind)
        columns = (triples.drug_a, triples.drug_b, triples.cell_line, triples.label)
        for a, b, c, label in zip(*(column.tolist() for column in columns), strict=True):
            self._labels.setdefault(frozenset((drugs[a], drugs[b])), {})[lines[c]] = label

    def of(self, one: Entity, other: Entity) -> dict[str, Any]:
        """Here, elsewhere, and near, as the fields of a `RankedPair`."""
        labels = self._labels.get(frozenset((one.id, other.id)), {})
        elsewhere = [label for line, label in labels.items() if line != self._line]
        nearby = [label for line, label in labels.items() if line in self._near]
        return {
            "recorded": self._here,
            "measured": labels.get(self._line),
            "measured_score": self._scores.get(frozenset((one.id, other.id))),
            "elsewhere_synergistic": sum(elsewhere),
            "elsewhere_measured": len(elsewhere),
            "near_synergistic": sum(nearby),
            "near_measured": len(nearby),
        }


def _ranked(
    pairs: Sequence[tuple[Entity, Entity]],
    numbers: Mapping[str, np.ndarray],
    threshold: float,
    record: _Record,
    trained: Mapping[str, int],
) -> list[RankedPair]:
    """Best first, as they come. numbers: float64 (n,) by field."""
    rows = zip(*(values.tolist() for values in numbers.values()), strict=True)
    return [
        RankedPair(
            rank=rank,
            drug_a=one.name,
            drug_b=other.name,
            drug_a_id=one.id,
            drug_b_id=other.id,
            threshold=threshold,
            training_a=trained.get(one.id, 0),
            training_b=trained.get(other.id, 0),
            **dict(zip(numbers, row, strict=True)),
            **record.of(one, other),
        )
        for rank, ((one, other), row) in enumerate(zip(pairs, rows, strict=True), start=1)
    ]
