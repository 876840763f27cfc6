"""A cell line in, ranked drug pairs out.

Every unordered pair of the chosen drugs is scored by a run's model. A pair that was measured in this cell line is
marked with its label; its record in the other cell lines and the training triples of either drug stand beside it, so
that a reader sees what the data say and what the model adds.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.progress import Progress, Silent
from l2aco.recommend.own import NOBODY, neighbours, rank_correlation
from l2aco.recommend.recommendation import RankedPair, Recommendation
from l2aco.recommend.told import Told, vectors_told
from l2aco.runs.measured import read_measured
from l2aco.runs.newcomers import Acquaintances

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    near = {neighbour.entity.id for neighbour in like}
    order = np.argsort(-raw, kind="stable")[:top]  # calibrated ones are equal near 0 and 1
    shown = [(chosen[one[which]], chosen[other[which]]) for which in order]
    expected = predictor.expected_rows(of_drugs[one[order]], of_drugs[other[order]], np.repeat(line, len(order)))
    ranked = _all_ranked(shown, raw[order], predictor, cell, _records(run), trained, near)
    lines = run.counts(EntityKind.cell_line)
    return Recommendation(
        cell_line=cell.name,
        run=run.id,
        seen_in_training=bool(lines.filter(id=cell.id)["training_triples"].sum()),
        pairs=ranked if expected is None else _with_expectations(ranked, expected),
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
    """Of the ranks of `raw` with those of a line of which nothing is known; None for a control."""
    if predictor.align.vectors != "profiles":
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


def _all_ranked(
    pairs: Sequence[tuple[Entity, Entity]],
    raw: np.ndarray,
    predictor: Predictor,
    cell: Entity,
    records: dict[frozenset[str], dict[str, int]],
    trained: dict[str, int],
    near: set[str],
) -> list[RankedPair]:
    found = zip(pairs, raw.tolist(), predictor.calibration.apply(raw).tolist(), strict=True)
    return [
        _ranked(rank, pair, cell, (probability, calibrated, predictor.threshold), records, trained, near)
        for rank, (pair, probability, calibrated) in enumerate(found, start=1)
    ]


def _with_expectations(pairs: Sequence[RankedPair], expected: Expected) -> list[RankedPair]:
    ends = zip(expected.mean.tolist(), expected.low.tolist(), expected.high.tolist(), strict=True)
    return [
        replace(pair, expected=mean, expected_low=low, expected_high=high)
        for pair, (mean, low, high) in zip(pairs, ends, strict=True)
    ]


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


def _records(run: Run) -> dict[frozenset[str], dict[str, int]]:
    """Measured labels by pair and cell line, as the run's data set holds them today; none where it is gone."""
    from l2aco.data.catalog import open_dataset

    try:
        dataset = open_dataset(str(run.spec.dataset), run.workspace)
    except UnknownNameError:
        return {}
    triples = dataset.triples
    drugs, lines = [drug.id for drug in dataset.drugs], [line.id for line in dataset.cell_lines]
    found: dict[frozenset[str], dict[str, int]] = {}
    for a, b, c, label in zip(
        triples.drug_a.tolist(),
        triples.drug_b.tolist(),
        triples.cell_line.tolist(),
        triples.label.tolist(),
        strict=True,
    ):
        found.setdefault(frozenset((drugs[a], drugs[b])), {})[lines[c]] = label
    return found


def _ranked(
    rank: int,
    pair: tuple[Entity, Entity],
    cell: Entity,
    probability: tuple[float, float, float],
    records: dict[frozenset[str], dict[str, int]],
    trained: dict[str, int],
    near: set[str],
) -> RankedPair:
    first, second = pair
    labels = records.get(frozenset((first.id, second.id)), {})
    elsewhere = [label for line, label in labels.items() if line != cell.id]
    nearby = [label for line, label in labels.items() if line in near]
    return RankedPair(
        rank=rank,
        drug_a=first.name,
        drug_b=second.name,
        drug_a_id=first.id,
        drug_b_id=second.id,
        probability=probability[0],
        calibrated=probability[1],
        threshold=probability[2],
        measured=labels.get(cell.id),
        elsewhere_synergistic=sum(elsewhere),
        elsewhere_measured=len(elsewhere),
        near_synergistic=sum(nearby),
        near_measured=len(nearby),
        training_a=trained.get(first.id, 0),
        training_b=trained.get(second.id, 0),
    )
