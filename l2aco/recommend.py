"""A cell line in, ranked drug pairs out.

Every unordered pair of the chosen drugs is scored by a run's model. A pair that was measured in this cell line is
marked with its label, and its record in the other cell lines stands beside it, so that a reader sees what the data
say and what the model adds.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.entities import EntityIndex, EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.workspace import atomic_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from l2aco.data.dataset import DataSet
    from l2aco.training.runs import Run


@dataclass(frozen=True)
class RankedPair:
    """One pair. `probability` of synergy, calibrated on the run's validation rows; `measured` is the label in this
    cell line (None where nobody measured it); `elsewhere_synergistic` of `elsewhere_measured` other cell lines."""

    rank: int
    drug_a: str
    drug_b: str
    drug_a_id: str
    drug_b_id: str
    probability: float
    measured: int | None
    elsewhere_synergistic: int
    elsewhere_measured: int

    def as_row(self) -> dict[str, Any]:
        """The columns of the printed table."""
        return {
            "rank": self.rank,
            "drug_a": self.drug_a,
            "drug_b": self.drug_b,
            "probability": self.probability,
            "measured": {None: "no", 0: "not synergistic", 1: "synergistic"}[self.measured],
            "elsewhere": f"{self.elsewhere_synergistic} of {self.elsewhere_measured} lines",
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

    @property
    def caption(self) -> str:
        """One line on what stands below."""
        seen = "was seen in training" if self.seen_in_training else "was never seen in training"
        note = " SIMULATED data: these pairs mean nothing about the real drugs." if self.simulated else ""
        return f"{self.cell_line} {seen} (run {self.run}).{note}"

    def write(self, path: Path) -> None:
        """The pairs as CSV, written atomically."""
        import polars as pl

        with atomic_path(path) as partial:
            pl.DataFrame([pair.as_dict() for pair in self.pairs], infer_schema_length=None).write_csv(partial)


def rank_pairs(
    run: Run, cell_line: str, *, top: int = 10, drugs: Sequence[str] = (), device: str = "auto"
) -> Recommendation:
    """The `top` pairs for `cell_line` (id, name or alias), by the model of `run`.

    `drugs` restricts the pairs to these drugs (ids, names or aliases; at least two); the default is every drug with
    a measured combination. Raises UnknownNameError with the nearest names.
    """
    if top < 1:
        raise UsageError("--top must be at least 1")
    predictor = run.predictor(device)
    dataset = predictor.dataset
    cell = EntityIndex(EntityKind.cell_line, dataset.cell_lines).resolve(cell_line)
    row = next(number for number, entity in enumerate(dataset.cell_lines) if entity.id == cell.id)
    pairs = np.array(list(itertools.combinations(_drug_rows(dataset, drugs), 2)), dtype=np.int64)
    raw = predictor.predict(pairs[:, 0], pairs[:, 1], np.full(len(pairs), row))
    order = np.argsort(-raw, kind="stable")[:top]  # calibrated ones are equal near 0 and 1
    probability = predictor.calibration.apply(raw)
    records = _records(dataset)
    ranked = [
        _ranked(dataset, rank, pairs[which], row, float(probability[which]), records)
        for rank, which in enumerate(order, start=1)
    ]
    return Recommendation(
        cell_line=cell.name,
        run=run.id,
        seen_in_training=bool(np.any(dataset.triples.cell_line[predictor.split.train] == row)),
        pairs=ranked,
        simulated=dataset.simulated,
    )


def _drug_rows(dataset: DataSet, names: Sequence[str]) -> list[int]:
    if not names:
        return np.unique(np.concatenate([dataset.triples.drug_a, dataset.triples.drug_b])).tolist()
    index = EntityIndex(EntityKind.drug, dataset.drugs)
    wanted = {index.resolve(name).id for name in names}
    if len(wanted) < 2:
        raise InputError("a pair needs two different drugs", remedy="Name at least two.")
    return [row for row, entity in enumerate(dataset.drugs) if entity.id in wanted]


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
    probability: float,
    records: dict[tuple[int, int], dict[int, int]],
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
        probability=probability,
        measured=labels.get(cell),
        elsewhere_synergistic=sum(elsewhere),
        elsewhere_measured=len(elsewhere),
    )
