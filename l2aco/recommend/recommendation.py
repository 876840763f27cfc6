"""Ranked pairs, and what a reader must know of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from l2aco.files import atomic_path
from l2aco.recommend.own import Neighbour, describe_own, shown

UNRECORDED = "not known"
FEW = 10
"""Training triples of a drug below which its pairs are said to rest on little."""


@dataclass(frozen=True)
class RankedPair:
    """One pair.

    probability: of synergy by the model; calibrated: on the run's validation rows. measured: the label in this cell
    line, None where nobody measured it; measured_score: what came out where a table of measurements said so, which no
    label need stand beside. It was synergistic in `elsewhere_synergistic` of `elsewhere_measured` other
    lines, and in `near_synergistic` of `near_measured` among those that are most like this one. training_a, training_b:
    the triples of each drug that the model was trained on. threshold: the probability from which the
    run calls a pair synergistic. recorded: whether the data set that says what was measured is here. expected: what
    would be measured, on the scale that the caption names, and the ends of the interval that holds 90% of measurements;
    None where the model does not say.
    """

    rank: int
    drug_a: str
    drug_b: str
    drug_a_id: str
    drug_b_id: str
    probability: float
    calibrated: float
    measured: int | None
    measured_score: float | None
    elsewhere_synergistic: int
    elsewhere_measured: int
    near_synergistic: int
    near_measured: int
    training_a: int
    training_b: int
    threshold: float
    recorded: bool = True
    expected: float | None = None
    expected_low: float | None = None
    expected_high: float | None = None

    def as_row(self) -> dict[str, Any]:
        """The columns of the printed table."""
        known = self.recorded or self.elsewhere_measured > 0
        return {
            "rank": self.rank,
            "drug_a": self.drug_a,
            "drug_b": self.drug_b,
            "probability": self.probability,
            "calibrated": self.calibrated,
            **self._expectation(),
            "here": self._here(),
            "elsewhere": f"{self.elsewhere_synergistic} of {self.elsewhere_measured} lines" if known else UNRECORDED,
            "like it": f"{self.near_synergistic} of {self.near_measured}" if known else UNRECORDED,
            "trained_on": f"{self.training_a:,} + {self.training_b:,}",
        }

    def _here(self) -> str:
        said = {None: [], 0: ["not synergistic"], 1: ["synergistic"]}[self.measured]
        said += [] if self.measured_score is None else [f"score {self.measured_score:.4g}"]
        return ", ".join(said) or ("not measured" if self.recorded else UNRECORDED)

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
    correlation: float | None = None
    """Rank correlation over all pairs with the list of a line of which nothing is known; None for a control, and
    of fewer than ten pairs."""
    neighbours: tuple[Neighbour, ...] = ()
    """The lines in training that are most like it."""
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
        lines = [] if self.correlation is None else [describe_own(self.correlation, self.cell_line)]
        lines.append(f"{self.cell_line} {seen} (run {self.run}).")
        if self.neighbours:
            lines.append(f"Most like it among the screened: {shown(self.neighbours)}.")
        lines.append(f"A pair counts as synergistic from a probability of {self.threshold:.3f} (by validation rows).")
        if self.measured:
            lines.append(f"{self.measured:,} further measurements are taken up.")
        if not all(pair.recorded for pair in self.pairs):
            lines.append("The run's data set is not here, so that what was measured of the pairs is not known.")
        if self.scale:
            lines.append(f"Expected is {self.scale}, with the interval of 90% of measurements.")
        if "profile vector" in self.lacking:
            lines.append("It has no profile vector: the model takes the mean of the others'.")
        if self.newcomer:
            others = [name for name in self.lacking if name != "profile vector"]
            lines.append(f"It is not in the run's data set{', and has no ' if others else ''}{', no '.join(others)}.")
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
