"""Ranked pairs, and what a reader must know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from l2aco.recommend.alone import Alone
from l2aco.recommend.own import Neighbour, describe_own, shown
from l2aco.recommend.reasons import FEW, Reasons
from l2aco.shown import Shown

if TYPE_CHECKING:
    import polars as pl

REASONED = 50
"""Pairs at the top of a list whose reasons are written."""
SHOWN = 10
"""Names in a note."""
NAME = 17
"""Letters of a drug's name in a table of 80 columns."""


@dataclass(frozen=True)
class RankedPair:
    """One pair.

    probability: of synergy by the model; calibrated: the same as a frequency, by the run's validation rows, with `low`
    and `high` where the effect lies at the ends of its 90% (None where the model does not know). measured: the label in
    this cell line, None where nobody measured it; measured_score: what came out there, as far as it is known;
    recorded: whether the data set that holds the record is here. It was synergistic in `elsewhere_synergistic` of
    `elsewhere_measured` other lines, and in `near_synergistic` of `near_measured` among those that are most like this
    one. training_a, training_b: the triples of each drug that the model was trained on. unsure: the probability is so
    near to one half that the model abstains. expected: what would be measured, on the scale that the caption names, and
    the ends of the interval that holds 90% of measurements; None where the model does not say. alone_a, alone_b: what
    each drug does to the line by itself. class_a, class_b: in the words of a profile. reasons: for the first of a list.
    """

    rank: int
    cell_line: str
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
    unsure: bool
    recorded: bool = True
    low: float | None = None
    high: float | None = None
    expected: float | None = None
    expected_low: float | None = None
    expected_high: float | None = None
    alone_a: Alone | None = None
    alone_b: Alone | None = None
    class_a: str | None = None
    class_b: str | None = None
    reasons: Reasons = field(default_factory=Reasons)

    def as_row(self) -> dict[str, Any]:
        """The columns of the printed table, whose first ones fit 80 columns."""
        row: dict[str, Any] = {
            "rank": self.rank,
            "drug_a": _short(self.drug_a),
            "drug_b": _short(self.drug_b),
            "synergy": f"{self.calibrated:.2f}{'?' if self.unsure else ''}",
        }
        if self.low is not None:
            row["90%"] = f"{self.low:.2f}-{self.high:.2f}"
        known = self.recorded or self.elsewhere_measured > 0
        row["elsewhere"] = f"{self.elsewhere_synergistic}/{self.elsewhere_measured}" if known else "?"
        row["like it"] = f"{self.near_synergistic}/{self.near_measured}" if known else "?"
        said = [] if self.measured is None else ["yes" if self.measured else "no"]
        said += [] if self.measured_score is None else [f"{self.measured_score:.4g}"]
        if said:
            row["here"] = ", ".join(said)
        if self.alone_a or self.alone_b:
            row["alone"] = self.alone
        return row

    @property
    def alone(self) -> str:
        """What each of the drugs does by itself, in a few signs."""
        return " | ".join(one.short if one else "?" for one in (self.alone_a, self.alone_b))

    def as_dict(self) -> dict[str, Any]:
        """Every field; of what drugs do alone the value, whether it was measured, and the source; the reasons as lists
        of sentences."""
        found = asdict(self)
        for name in ("alone_a", "alone_b"):
            said: Alone | None = getattr(self, name)
            found[name] = said and said.value
            found[f"{name}_is"] = said and ("measured" if said.measured else "expected")
            found[f"{name}_from"] = said and said.source
        reasons = found.pop("reasons")
        return found | {name: list(texts) for name, texts in reasons.items()}


@dataclass(frozen=True, repr=False)
class Recommendation(Shown):
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
    """Rank correlation over all pairs with the list of a line of which nothing is known; None for a control, and for a
    handful of pairs."""
    neighbours: tuple[Neighbour, ...] = ()
    """The lines in training that are like it, the most alike first."""
    nearest: Neighbour | None = None
    """The first in training, whether it is like it or not."""
    alike_above: float | None = None
    """The likeness above which lines count as alike, by the same stores."""
    held_out: int = 0
    """Lines of the data set that the run read nothing of, neither for training nor for validation."""
    validated: bool = False
    """Whether it is a line of the run's validation rows."""
    scale: str | None = None
    """Of the expected scores."""
    measured: int = 0
    """Measurements that were taken up for this ranking."""
    tested: int = 0
    """Test rows of the run that were taken up for it."""
    own_tested: bool = False
    """Whether the line's own are among them."""
    teachable: bool = False
    """Whether they could be: the model needs no training for it, and the data set is here as it was."""
    abstains: tuple[str, ...] = ()
    """Why the order is not to be trusted as this line's own; see `recommend.trust`."""
    share: float | None = None
    """Of all measurements of the data set that are synergistic."""
    ranked: int = 0
    """How many pairs there were to choose from."""
    left_out: int = 0
    """Pairs that were measured in this line, and are not ranked for it."""
    unused: tuple[str, ...] = ()
    """Drugs of which response was told, and which nobody knows."""
    new_drugs: tuple[str, ...] = ()
    """What the model could not read of drugs that it was not trained with, one sentence each."""

    def facts(self) -> dict[str, Any]:
        """The line, the run and the first pairs."""
        first = [f"{pair.drug_a} + {pair.drug_b} ({pair.calibrated:.2f})" for pair in self.pairs[:3]]
        simulated = " (SIMULATED)" if self.simulated else ""
        return {
            "for": self.cell_line + simulated,
            "run": self.run,
            "pairs": f"{len(self.pairs)}: {'; '.join(first)} ...",
        }

    def to_polars(self) -> pl.DataFrame:
        """One row a pair, the columns of `RankedPair`."""
        import polars as pl

        return pl.DataFrame([pair.as_dict() for pair in self.pairs], infer_schema_length=None)

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(self.caption)}</p>{self.to_polars()._repr_html_()}"

    @property
    def notes(self) -> list[str]:
        """What stands above the list, and what speaks against it: one sentence each."""
        lines = self._abstains
        lines += [] if self.correlation is None else [describe_own(self.correlation, self.cell_line)]
        seen = "was seen in training" if self.seen_in_training else "was never seen in training"
        if self.validated and not self.seen_in_training:
            seen = "was seen in validation, by which the model was chosen or calibrated"
        if self.own_tested:
            seen = "was held out of training, and its own measurements are taken up: no test of the run"
        lines.append(f"{self.cell_line} {seen} (run {self.run}).")
        lines += self._likeness()
        if self.pairs:
            usual = "" if self.share is None else f" (of all pairs in the data set {self.share:.2f} are)"
            lines.append(
                f"Synergy is the calibrated probability: from 0.50 a pair is more likely synergistic than not{usual}."
            )
        if any(pair.unsure for pair in self.pairs):
            lines.append("A ? marks a pair whose probability is too near to 0.50 to say.")
        if self.measured:
            more = "1 further measurement is" if self.measured == 1 else f"{self.measured:,} further measurements are"
            lines.append(f"{more} taken up.")
        lines += [self.alone] if self.alone else []
        if self.scale and self.pairs:
            lines.append(f"Expected is {self.scale}, in files and JSON, with the interval of 90% of measurements.")
        if not all(pair.recorded for pair in self.pairs):
            lines.append("The run's data set is not here, so that what was measured of the pairs is not known (?).")
        if len(self.pairs) > REASONED:
            lines.append(f"Reasons and classes are written for the first {REASONED} pairs.")
        if self.left_out:
            one = self.left_out == 1
            gone = "1 pair was measured in it and is" if one else f"{self.left_out:,} pairs were measured in it and are"
            lines.append(f"{gone} left out (--all-pairs ranks what was measured too).")
        if self.unused:
            names = ", ".join(self.unused[:SHOWN]) + (", ..." if len(self.unused) > SHOWN else "")
            lines.append(f"Response was told of {len(self.unused)} drugs that nobody knows, and is not used: {names}.")
        lines += self._lacks() + [f"{text}." for text in self.new_drugs]
        lines += self._against
        lines += hint_of_few([min(pair.training_a, pair.training_b) for pair in self.pairs])
        return lines

    @property
    def warnings(self) -> list[str]:
        """Those of `notes` that nobody may overlook."""
        return self._abstains + self._against

    @property
    def _abstains(self) -> list[str]:
        return [f"ABSTAINS: {reason}." for reason in self.abstains]

    @property
    def _against(self) -> list[str]:
        simulated = ["SIMULATED data: these pairs mean nothing about the real drugs."] if self.simulated else []
        return simulated + ([f"On its test rows {self.outranked}."] if self.outranked else [])

    @property
    def alone(self) -> str:
        """What the numbers of single drugs are; empty where there are none."""
        said = [one for pair in self.pairs for one in (pair.alone_a, pair.alone_b) if one is not None]
        measured, expected = (
            dict.fromkeys(one.source for one in said if one.measured is kind) for kind in (True, False)
        )
        parts = [f"measured ({', '.join(measured)}; the lower, the more sensitive)"] if measured else []
        parts += [f"~ expected ({', '.join(expected)}; -3 to 3, the higher, the more sensitive)"] if expected else []
        return f"Alone is what each drug does by itself: {'; or '.join(parts)}." if parts else ""

    def _likeness(self) -> list[str]:
        """Which lines it is like, and which ones the model could not tell of."""
        lines = []
        if self.nearest is not None:
            first = "Of the lines that the model was trained on, most like it: "
            if not self.neighbours:
                first = "No line that the model was trained on is like it: the nearest is "
            named = shown(self.neighbours or [self.nearest])
            lines.append(f"{first}{named}; lines count as alike above {self.alike_above:.2f}.")
        if self.tested:
            lines.append(f"The {self.tested:,} rows that the run's split kept for tests are taken up too.")
        elif self.held_out:
            lines.append(
                f"Of the data set's lines {self.held_out:,} are held out by the run's split for tests, and no "
                "measurement of them was read: `elsewhere` counts them too, `like it` does not."
                f"{' --held-out takes them up.' if self.teachable else ''}"
            )
        return lines

    def _lacks(self) -> list[str]:
        lines = []
        if "profile vector" in self.lacking:
            lines.append("It has no profile vector: the model takes the mean of the others'.")
        if self.newcomer:
            others = [name for name in self.lacking if name != "profile vector"]
            lines.append(f"It is not in the run's data set{', and has no ' if others else ''}{', no '.join(others)}.")
        return lines

    @property
    def caption(self) -> str:
        """`notes` as one text."""
        return " ".join(self.notes)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {
            "neighbours": [near.as_dict() for near in self.neighbours],
            "nearest": self.nearest and self.nearest.as_dict(),
            "notes": self.notes,
            "pairs": [pair.as_dict() for pair in self.pairs],
        }


def hint_of_few(trained: Sequence[int]) -> list[str]:
    """What to do about pairs whose rarer drug has so many training triples; nothing where that is enough for all."""
    few = sum(number < FEW for number in trained)
    if not few:
        return []
    hold = "1 pair holds" if few == 1 else f"{few} pairs hold"
    return [f"{hold} a drug with fewer than {FEW} training triples: --min-triples {FEW} leaves such drugs out."]


def _short(name: str) -> str:
    return name if len(name) <= NAME else name[: NAME - 1].rstrip() + "…"
