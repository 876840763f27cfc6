"""A cell line in, ranked drug pairs out.

Every unordered pair of the chosen drugs is scored by a run's model. A pair that was measured in this cell line is
marked with its label; its record in the other cell lines and the training triples of either drug stand beside it, so
that a reader sees what the data say and what the model adds.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.entities import EntityIndex, EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from l2aco.data.dataset import DataSet
    from l2aco.runs.run import Run


FEW = 10
"""Training triples of a drug below which its pairs are said to rest on little."""


@dataclass(frozen=True)
class RankedPair:
    """One pair. `probability` of synergy by the model, and `calibrated` on the run's validation rows; `measured` is the
    label in this cell line (None where nobody measured it); `elsewhere_synergistic` of `elsewhere_measured` other cell
    lines; `training_a` and `training_b` the triples of each drug that the model was trained on."""

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

    def as_row(self) -> dict[str, Any]:
        """The columns of the printed table."""
        return {
            "rank": self.rank,
            "drug_a": self.drug_a,
            "drug_b": self.drug_b,
            "probability": self.probability,
            "calibrated": self.calibrated,
            "here": {None: "not measured", 0: "not synergistic", 1: "synergistic"}[self.measured],
            "elsewhere": f"{self.elsewhere_synergistic} of {self.elsewhere_measured} lines",
            "trained_on": f"{self.training_a:,} + {self.training_b:,}",
        }

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
    without_profile: bool = False
    """Whether the run reads profiles, and has none of this cell line."""

    @property
    def caption(self) -> str:
        """What stands below, and what speaks against it."""
        seen = "was seen in training" if self.seen_in_training else "was never seen in training"
        lines = [f"{self.cell_line} {seen} (run {self.run})."]
        if self.without_profile:
            lines.append("It has no profile vector: the model takes the mean of the others'.")
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
    run: Run, cell_line: str, *, top: int = 10, drugs: Sequence[str] = (), min_triples: int = 0, device: str = "auto"
) -> Recommendation:
    """The `top` pairs for `cell_line` (id, name or alias), by the model of `run`.

    `drugs` restricts the pairs to these drugs (ids, names or aliases; at least two); the default is every drug with
    a measured combination. `min_triples` leaves out drugs that fewer training triples hold. Raises UnknownNameError
    with the nearest names, InputError where fewer than two drugs are left.
    """
    if top < 1:
        raise UsageError("--top must be at least 1")
    predictor = run.predictor(device)
    dataset = predictor.dataset
    cell = EntityIndex(EntityKind.cell_line, dataset.cell_lines).resolve(cell_line)
    row = next(number for number, entity in enumerate(dataset.cell_lines) if entity.id == cell.id)
    trained = _training_triples(dataset, predictor.split.train)
    chosen = [drug for drug in _drug_rows(dataset, drugs) if trained[drug] >= min_triples]
    if len(chosen) < 2:
        raise InputError(
            f"{len(chosen)} of the drugs have {min_triples:,} training triples or more; a pair needs two",
            remedy="Lower --min-triples, or name other drugs.",
        )
    pairs = np.array(list(itertools.combinations(chosen, 2)), dtype=np.int64)
    raw = predictor.predict(pairs[:, 0], pairs[:, 1], np.full(len(pairs), row))
    order = np.argsort(-raw, kind="stable")[:top]  # calibrated ones are equal near 0 and 1
    calibrated = predictor.calibration.apply(raw)
    records = _records(dataset)
    ranked = [
        _ranked(dataset, rank, pairs[which], row, (float(raw[which]), float(calibrated[which])), records, trained)
        for rank, which in enumerate(order, start=1)
    ]
    return Recommendation(
        cell_line=cell.name,
        run=run.id,
        seen_in_training=bool(np.any(dataset.triples.cell_line[predictor.split.train] == row)),
        pairs=ranked,
        simulated=dataset.simulated,
        outranked=_outranked(run),
        without_profile=predictor.model.cell is not None and not bool(predictor.model.cell.known[row]),
    )


def _drug_rows(dataset: DataSet, names: Sequence[str]) -> list[int]:
    if not names:
        return np.unique(np.concatenate([dataset.triples.drug_a, dataset.triples.drug_b])).tolist()
    index = EntityIndex(EntityKind.drug, dataset.drugs)
    wanted = {index.resolve(name).id for name in names}
    if len(wanted) < 2:
        raise InputError("a pair needs two different drugs", remedy="Name at least two.")
    return [row for row, entity in enumerate(dataset.drugs) if entity.id in wanted]


def _outranked(run: Run) -> str | None:
    from l2aco.runs.evaluate import better_naive

    naive = better_naive(run)
    if naive is None:
        return None
    ours = run.metrics["test"]["pooled"]["auroc"]
    return f"the naive predictor '{naive['model']}' ranks better (AUROC {naive['auroc']:.3f}, this run {ours:.3f})"


def _training_triples(dataset: DataSet, train: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """int64 (Nd,): the training triples that hold each drug."""
    triples = dataset.triples
    both = np.concatenate([triples.drug_a[train], triples.drug_b[train]])
    return np.bincount(both, minlength=len(dataset.drugs))


def _records(dataset: DataSet) -> dict[tuple[int, int], dict[int, int]]:
    """Measured labels by pair and cell line."""
    triples = dataset.triples
    found: dict[tuple[int, int], dict[int, int]] = {}
    for a, b, c, label in zip(
        triples.drug_a.tolist(),
        triples.drug_b.tolist(),
        triples.cell_line.tolist(),
        triples.label.tolist(),
        strict=True,
    ):
        found.setdefault((a, b), {})[c] = label
    return found


def _ranked(
    dataset: DataSet,
    rank: int,
    pair: np.ndarray[Any, Any],
    cell: int,
    probability: tuple[float, float],
    records: dict[tuple[int, int], dict[int, int]],
    trained: np.ndarray[Any, Any],
) -> RankedPair:
    one, other = int(pair[0]), int(pair[1])
    labels = records.get((one, other), {})
    elsewhere = [label for line, label in labels.items() if line != cell]
    first, second = dataset.drugs[one], dataset.drugs[other]
    return RankedPair(
        rank=rank,
        drug_a=first.name,
        drug_b=second.name,
        drug_a_id=first.id,
        drug_b_id=second.id,
        probability=probability[0],
        calibrated=probability[1],
        measured=labels.get(cell),
        elsewhere_synergistic=sum(elsewhere),
        elsewhere_measured=len(elsewhere),
        training_a=int(trained[one]),
        training_b=int(trained[other]),
    )
