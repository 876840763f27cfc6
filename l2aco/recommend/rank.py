"""A cell line in, ranked drug pairs out.

Every unordered pair of the chosen drugs is scored by a run's model. A pair that was measured in this cell line is
marked with its label; its record in the other cell lines and the training triples of either drug stand beside it, so
that a reader sees what the data say and what the model adds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.files import atomic_path
from l2aco.runs.measured import read_measured
from l2aco.runs.newcomers import Acquaintances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from l2aco.runs.run import Run


FEW = 10
"""Training triples of a drug below which its pairs are said to rest on little."""


@dataclass(frozen=True)
class RankedPair:
    """One pair. `probability` of synergy by the model, and `calibrated` on the run's validation rows; `measured` is the
    label in this cell line (None where nobody measured it); `elsewhere_synergistic` of `elsewhere_measured` other cell
    lines; `training_a` and `training_b` the triples of each drug that the model was trained on; `threshold` the
    probability from which the run calls a pair synergistic. `expected`: what would be measured, on the scale that the
    caption names, and the ends of the interval that holds 90% of measurements; None where the model does not say.
    """

    rank: int
    drug_a: str
    drug_b: str
    drug_a_id: str
    drug_b_id: str
    probability: float
    calibrated: float
    measured: int | None
    elsewhere_synergistic: int
    elsewhere_measured: int
    training_a: int
    training_b: int
    threshold: float
    expected: float | None = None
    expected_low: float | None = None
    expected_high: float | None = None

    def as_row(self) -> dict[str, Any]:
        """The columns of the printed table."""
        return {
            "rank": self.rank,
            "drug_a": self.drug_a,
            "drug_b": self.drug_b,
            "probability": self.probability,
            "calibrated": self.calibrated,
            **self._expectation(),
            "here": {None: "not measured", 0: "not synergistic", 1: "synergistic"}[self.measured],
            "elsewhere": f"{self.elsewhere_synergistic} of {self.elsewhere_measured} lines",
            "trained_on": f"{self.training_a:,} + {self.training_b:,}",
        }

    def _expectation(self) -> dict[str, str]:
        if self.expected is None:
            return {}
        return {"expected": f"{self.expected:.2f} ({self.expected_low:.2f} to {self.expected_high:.2f})"}

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Recommendation:
    """The ranked pairs for one cell line, and what a reader must know of them."""

    cell_line: str
    run: str
    seen_in_training: bool
    pairs: list[RankedPair]
    simulated: bool
    outranked: str | None
    """The naive predictor that ranks the run's test rows better, with both AUROCs."""
    lacking: tuple[str, ...] = ()
    """What the run's model reads of cell lines, and does not find of this one."""
    newcomer: bool = False
    """Whether the run was not trained with this cell line."""
    threshold: float = 0.5
    """The probability from which the run calls a pair synergistic."""
    scale: str | None = None
    """Of the expected scores."""
    measured: int = 0
    """Measurements that were taken up for this ranking."""

    @property
    def caption(self) -> str:
        """What stands below, and what speaks against it."""
        seen = "was seen in training" if self.seen_in_training else "was never seen in training"
        lines = [f"{self.cell_line} {seen} (run {self.run})."]
        lines.append(f"A pair counts as synergistic from a probability of {self.threshold:.3f} (by validation rows).")
        if self.measured:
            lines.append(f"{self.measured:,} further measurements are taken up.")
        if self.scale:
            lines.append(f"Expected is {self.scale}, with the interval of 90% of measurements.")
        if "profile vector" in self.lacking:
            lines.append("It has no profile vector: the model takes the mean of the others'.")
        if self.newcomer and (others := [name for name in self.lacking if name != "profile vector"]):
            lines.append(f"It is not in the run's data set, and has no {', no '.join(others)}.")
        if self.simulated:
            lines.append("SIMULATED data: these pairs mean nothing about the real drugs.")
        if self.outranked:
            lines.append(f"On its test rows {self.outranked}.")
        if few := sum(min(pair.training_a, pair.training_b) < FEW for pair in self.pairs):
            hold = "1 pair holds" if few == 1 else f"{few} pairs hold"
            lines.append(
                f"{hold} a drug with fewer than {FEW} training triples: --min-triples {FEW} leaves such drugs out."
            )
        return " ".join(lines)

    def write(self, path: Path) -> None:
        """The pairs as CSV, written atomically."""
        import polars as pl

        with atomic_path(path) as partial:
            pl.DataFrame([pair.as_dict() for pair in self.pairs], infer_schema_length=None).write_csv(partial)


def rank_pairs(
    run: Run,
    cell_line: str,
    *,
    top: int = 10,
    drugs: Sequence[str] = (),
    min_triples: int = 0,
    measured: Path | None = None,
    device: str = "auto",
) -> Recommendation:
    """The `top` pairs for `cell_line` (id, name or alias), by the model of `run`.

    `drugs` restricts the pairs to these drugs (ids, names or aliases; at least two); the default is every drug with
    a measured combination. `min_triples` leaves out drugs that fewer training triples hold. The cell line and the drugs
    named may be ones that the run was not trained with, see `runs.newcomers`. `measured`: a table of measurements that
    are taken up first, see `runs.measured`. Raises UnknownNameError with the nearest names, before the model is loaded,
    and InputError where fewer than two drugs are left.
    """
    if top < 1:
        raise UsageError("--top must be at least 1")
    acquaintances = Acquaintances(run)
    cell = acquaintances.resolve(EntityKind.cell_line, cell_line)
    counts = run.counts(EntityKind.drug)
    trained = dict(zip(counts["id"].to_list(), counts["training_triples"].to_list(), strict=True))
    chosen = [drug for drug in _drugs(run, acquaintances, drugs) if trained.get(drug.id, 0) >= min_triples]
    if len(chosen) < 2:
        raise InputError(
            f"{len(chosen)} of the drugs have {min_triples:,} training triples or more; a pair needs two",
            remedy="Lower --min-triples, or name other drugs.",
        )
    known = None if measured is None else read_measured(measured, acquaintances)
    more = [] if known is None else known.everybody
    predictor = acquaintances.admit(run.predictor(device), [cell, *chosen, *more])
    predictor = predictor if known is None else known.taken_up_by(predictor)
    of_drugs = predictor.rows(EntityKind.drug, chosen)
    one, other = (numbers.ravel() for numbers in np.triu_indices(len(chosen), k=1))
    line = predictor.rows(EntityKind.cell_line, [cell])
    raw = predictor.predict_rows(of_drugs[one], of_drugs[other], np.repeat(line, len(one)))
    order = np.argsort(-raw, kind="stable")[:top]  # calibrated ones are equal near 0 and 1
    calibrated = predictor.calibration.apply(raw)
    records = _records(run)
    ranked = [
        _ranked(
            rank,
            (chosen[one[which]], chosen[other[which]]),
            cell,
            (float(raw[which]), float(calibrated[which]), predictor.threshold),
            records,
            trained,
        )
        for rank, which in enumerate(order.tolist(), start=1)
    ]
    expected = predictor.expected_rows(of_drugs[one[order]], of_drugs[other[order]], np.repeat(line, len(order)))
    if expected is not None:
        ends = zip(expected.mean.tolist(), expected.low.tolist(), expected.high.tolist(), strict=True)
        ranked = [
            replace(pair, expected=mean, expected_low=low, expected_high=high)
            for pair, (mean, low, high) in zip(ranked, ends, strict=True)
        ]
    lines = run.counts(EntityKind.cell_line)
    return Recommendation(
        cell_line=cell.name,
        run=run.id,
        seen_in_training=bool(lines.filter(id=cell.id)["training_triples"].sum()),
        pairs=ranked,
        simulated=run.simulated,
        outranked=_outranked(run),
        lacking=tuple(predictor.lacking(cell)),
        newcomer=not lines["id"].is_in([cell.id]).any(),
        threshold=predictor.threshold,
        scale=None if expected is None else expected.scale,
        measured=0 if known is None else len(known),
    )


def _drugs(run: Run, acquaintances: Acquaintances, names: Sequence[str]) -> list[Entity]:
    if not names:
        counts = run.counts(EntityKind.drug)
        measured = set(counts.filter(counts["triples"] > 0)["id"].to_list())
        return [drug for drug in run.entities(EntityKind.drug) if drug.id in measured]
    wanted = {drug.id: drug for drug in (acquaintances.resolve(EntityKind.drug, name) for name in names)}
    if len(wanted) < 2:
        raise InputError("a pair needs two different drugs", remedy="Name at least two.")
    return sorted(wanted.values(), key=lambda drug: drug.id)


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
) -> RankedPair:
    first, second = pair
    labels = records.get(frozenset((first.id, second.id)), {})
    elsewhere = [label for line, label in labels.items() if line != cell.id]
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
        training_a=trained.get(first.id, 0),
        training_b=trained.get(second.id, 0),
    )
