"""Cell lines in, ranked drug pairs out.

Every pair that is asked for is scored by a run's model. Its record in the other cell lines, in those that are most like
this one, and the training triples of either drug stand beside it, so that a reader sees what the data say and what the
model adds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.triples import Triples
from l2aco.entities import Entity, EntityIndex, EntityKind
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.models.estimator import Estimator
from l2aco.progress import Progress, Silent
from l2aco.recommend.alone import Effects
from l2aco.recommend.asked import Only, Pairs, asked_pairs, listed_drugs, new_drugs
from l2aco.recommend.facts import Facts
from l2aco.recommend.inside import interval, parts
from l2aco.recommend.own import NOBODY, Neighbour, alike, neighbours, rank_correlation, told_by
from l2aco.recommend.reasons import reasons_of
from l2aco.recommend.recommendation import REASONED, RankedPair, Recommendation
from l2aco.recommend.record import Record
from l2aco.recommend.told import Told, vectors_told
from l2aco.recommend.trust import abstains, margin
from l2aco.runs.measured import check_takes_up, held_out_rows, read_measured
from l2aco.runs.newcomers import Acquaintances, describe_newcomer
from l2aco.runs.run import Run, open_run

if TYPE_CHECKING:
    from l2aco.runs.predictor import Predictor

COMPARABLE = 30
"""Pairs from which the ranks of two lists are compared."""


def rank_pairs(run: Run | str, cell_line: str, **asked: Any) -> Recommendation:
    """The best pairs for one cell line; see `rank_lines`."""
    return rank_lines(run, [cell_line], **asked)[0]


def rank_lines(
    run: Run | str,
    cell_lines: Sequence[str],
    *,
    top: int = 10,
    drugs: Sequence[str] = (),
    only: Only = Only(),
    told: Told = Told(),
    measured: str | Path | None = None,
    held_out: bool = False,
    device: str = "auto",
    progress: Progress = Silent(),
) -> list[Recommendation]:
    """The `top` pairs for each cell line (id, name or alias), by the model of `run`, which is loaded once.

    `drugs`: ids, names or aliases; one stands for all pairs of it, several for the pairs among them, and none for those
    of every drug with a measured combination; `only` says what else is asked of a pair. Cell lines and
    drugs may be ones that the run was not trained with, see `runs.newcomers`; `told` is what is known of one cell line
    that no store holds. `measured`: a table of measurements that are taken up first, see `runs.measured`; `held_out`:
    so are the rows that the run's split kept for tests. Raises UnknownNameError with the nearest names, before the
    model is loaded, InputError where no pair is left, and UsageError where something is told of several lines.
    """
    run = open_run(run)
    if top < 1:
        raise UsageError("--top must be at least 1")
    desk = open_desk(
        run,
        cell_lines,
        drugs=drugs,
        only=only,
        told=told,
        measured=measured,
        held_out=held_out,
        device=device,
        progress=progress,
    )
    return [desk.recommend(line, top) for line in desk.lines]


@dataclass(frozen=True)
class Desk:
    """All that the lists of several lines share: the lines and pairs asked for, the model, what is known of them.

    measured: how many measurements were taken up; tested: the test rows of the run that were. trained: training triples
    by drug. margin: see `trust.margin`. unused: drugs of which response was told, and which nobody knows.
    """

    run: Run
    predictor: Predictor
    lines: Sequence[Entity]
    pairs: Pairs
    only: Only
    told: Told
    facts: Facts
    effects: Effects
    record: Record
    trained: Mapping[str, int]
    measured: int
    tested: Triples | None
    margin: float
    unused: tuple[str, ...] = ()

    @cached_property
    def validated(self) -> list[str]:
        """Ids of the lines of validation rows, which the model was chosen or calibrated on; some models also take them
        up."""
        return sorted(set(self.run.predictions("valid")["cell_line"].to_list()))

    def alike(self, line: Entity) -> float:
        """See `own.alike`; by the stores that know `line`, as its own likeness is."""
        return alike(self.predictor, told_by(self.predictor, line))

    def rows(self, pairs: Pairs, line: Entity) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Drugs, drugs and cell lines, int64 (n,), as the predictor takes them."""
        of = self.predictor.rows(EntityKind.drug, pairs.drugs)
        at = self.predictor.rows(EntityKind.cell_line, [line])
        return of[pairs.one], of[pairs.other], np.repeat(at, len(pairs.one))

    def score(self, pairs: Pairs, line: Entity) -> np.ndarray:
        """float64 (n,): probabilities, not calibrated."""
        return self.predictor.predict_rows(*self.rows(pairs, line))

    def recommend(self, line: Entity, top: int) -> Recommendation:
        """The `top` pairs for one of `lines`."""
        pairs = self.free(line)
        left_out = len(self.pairs.one) - len(pairs.one)
        raw = self.score(pairs, line)
        order = self.order(pairs, raw, top)  # by the raw ones: calibrated ones are equal near 0 and 1
        best, counts = pairs.take(order), self.run.counts(EntityKind.cell_line)
        expected = self.predictor.expected_rows(*self.rows(best, line))
        newcomer = not counts["id"].is_in([line.id]).any()
        correlation = self._correlation(pairs, raw)
        known, nearest = {drug.key for drug in self.predictor.inputs.drugs}, neighbours(self.predictor, line)
        above = self.alike(line)
        near = [one for one in nearest if one.likeness > above]
        return Recommendation(
            cell_line=line.name,
            run=self.run.id,
            seen_in_training=bool(counts.filter(id=line.id)["training_triples"].sum()),
            pairs=self._ranked(best, raw[order], line, near, expected),
            simulated=self.run.simulated,
            outranked=_outranked(self.run),
            lacking=tuple(self.predictor.lacking(line)),
            newcomer=newcomer,
            correlation=correlation,
            neighbours=tuple(near),
            nearest=nearest[0] if nearest else None,
            alike_above=above if nearest else None,
            validated=line.id in self.validated,
            held_out=len(
                counts.filter(
                    (counts["triples"] > 0) & (counts["training_triples"] == 0) & ~counts["id"].is_in(self.validated)
                )
            ),
            scale=None if expected is None else expected.scale,
            measured=self.measured,
            tested=0 if self.tested is None else len(self.tested),
            own_tested=self._tested(line),
            teachable=isinstance(self.predictor.scorer, Estimator)
            and self.record.hash == self.run.manifest["dataset_hash"],
            abstains=abstains(self.predictor, line, self.facts, self.told, newcomer, correlation),
            share=self.record.share,
            ranked=len(raw),
            left_out=left_out,
            unused=self.unused,
            new_drugs=tuple(describe_newcomer(self.predictor, drug) for drug in pairs.drugs if drug.key not in known),
        )

    def _tested(self, line: Entity) -> bool:
        """Whether rows of the line were held out, and are taken up."""
        (row,) = self.predictor.rows(EntityKind.cell_line, [line])
        return self.tested is not None and bool((self.tested.cell_line == row).any())

    def free(self, line: Entity) -> Pairs:
        """The pairs that are ranked for a line: as `Only.unmeasured` says, those that were not measured there."""
        there = self.left_out(line)
        if there.all():
            raise InputError(
                f"all {len(there):,} pairs were measured in {line.name}", remedy="--all-pairs ranks them all the same."
            )
        return self.pairs.take(np.flatnonzero(~there))

    def left_out(self, line: Entity) -> np.ndarray:
        """bool (n,): which of `pairs` are not ranked for a line."""
        unmeasured = not self.pairs.named if self.only.unmeasured is None else self.only.unmeasured
        return self.record.measured(self.pairs, line) if unmeasured else np.zeros(len(self.pairs.one), dtype=bool)

    def order(self, pairs: Pairs, raw: np.ndarray, top: int) -> np.ndarray:
        """Places of the `top` ones, best first by `raw` (n,); one of any two classes where that is asked."""
        order = np.argsort(-raw, kind="stable")
        if not self.only.diverse:
            return np.asarray(order[:top])
        groups = [self.facts.of_drug(drug).group or drug.id for drug in pairs.drugs]
        seen, chosen = set[frozenset[str]](), list[int]()
        for at in order.tolist():
            of_two = frozenset((groups[pairs.one[at]], groups[pairs.other[at]]))
            if of_two not in seen:
                seen.add(of_two)
                chosen.append(at)
                if len(chosen) == top:
                    break
        return np.array(chosen, dtype=np.int64)

    def _correlation(self, pairs: Pairs, raw: np.ndarray) -> float | None:
        """Of the ranks of `raw` with those of a line of which nothing is known; None for a control, and for a handful
        of pairs, which may be in one order by chance."""
        if self.predictor.align.vectors != "profiles" or len(raw) < COMPARABLE:
            return None
        return rank_correlation(raw, self.score(pairs, NOBODY))

    def _ranked(
        self, pairs: Pairs, raw: np.ndarray, line: Entity, near: Sequence[Neighbour], expected: Any
    ) -> list[RankedPair]:
        """Best first, as they come. raw: float64 (n,)."""
        rows = self.rows(pairs, line)
        calibrated = self.predictor.calibration.apply(raw)
        numbers = {"probability": raw, "calibrated": calibrated, "unsure": np.abs(calibrated - 0.5) < self.margin}
        if (ends := interval(self.predictor, *rows)) is not None:
            numbers |= {"low": ends[0], "high": ends[1]}
        if expected is not None:
            numbers |= {"expected": expected.mean, "expected_low": expected.low, "expected_high": expected.high}
        made_of = parts(self.predictor, *(column[:REASONED] for column in rows))
        found = []
        values = zip(*(column.tolist() for column in numbers.values()), strict=True)
        for at, (first, second, row) in enumerate(zip(pairs.one.tolist(), pairs.other.tolist(), values, strict=True)):
            one, other, of_pair = pairs.drugs[first], pairs.drugs[second], dict(zip(numbers, row, strict=True))
            about: dict[str, Any] = {}
            if at < REASONED:
                made = {name: float(x[at]) for name, x in made_of.items()}
                about = self._about(one, other, line, near, made, bool(of_pair["unsure"]))
            found.append(
                RankedPair(
                    rank=at + 1,
                    cell_line=line.name,
                    drug_a=one.name,
                    drug_b=other.name,
                    drug_a_id=one.id,
                    drug_b_id=other.id,
                    training_a=self.trained.get(one.id, 0),
                    training_b=self.trained.get(other.id, 0),
                    **of_pair,
                    **self.record.of(one, other, line, near),
                    alone_a=self.effects.of(one, line),
                    alone_b=self.effects.of(other, line),
                    **about,
                )
            )
        return found

    def _about(
        self, one: Entity, other: Entity, line: Entity, near: Any, made_of: Mapping[str, float], unsure: bool
    ) -> dict[str, Any]:
        return {
            "class_a": self.facts.of_drug(one).drug_class,
            "class_b": self.facts.of_drug(other).drug_class,
            "reasons": reasons_of(
                one,
                other,
                line,
                facts=self.facts,
                effects=self.effects,
                record=self.record,
                near=near,
                trained=self.trained,
                parts=made_of,
                unsure=unsure,
            ),
        }


def open_desk(
    run: Run,
    cell_lines: Sequence[str],
    *,
    drugs: Sequence[str] = (),
    only: Only = Only(),
    told: Told = Told(),
    measured: str | Path | None = None,
    held_out: bool = False,
    device: str = "auto",
    progress: Progress = Silent(),
) -> Desk:
    """Everybody that is asked for, found, then the model loaded and told of them; arguments as `rank_lines`."""
    if measured is not None or held_out:
        check_takes_up(run)
    acquaintances = Acquaintances(run)
    listed = listed_drugs(only)
    given = [*listed, *new_drugs(drugs, only, acquaintances)]
    known_lines = {line.key for line in run.entities(EntityKind.cell_line)}
    lines = _lines(acquaintances, cell_lines, told, known_lines)
    if given:
        acquaintances = Acquaintances(run, given)
    facts = Facts(run, progress)
    effects = Effects(run, facts, told)
    lines = [effects.informed(line) for line in lines]
    trained = dict(run.counts(EntityKind.drug).select("id", "training_triples").iter_rows())
    pairs = asked_pairs(acquaintances, facts, drugs, only, listed, trained)
    if told and acquaintances.gone:
        raise InputError(
            f"the run reads {' and '.join(acquaintances.gone)}, which this workspace does not have",
            remedy="Bring it: `l2aco store export` where it is, `l2aco store import` here, or `l2aco embed`.",
        )
    if told:
        new = [line for line in lines if line.key not in known_lines]
        vectors = {line.key: vectors_told(line, told, acquaintances.stores, run.workspace, progress) for line in new}
        acquaintances = Acquaintances(run, [*new, *given], vectors)
    known = None if measured is None else read_measured(Path(measured), acquaintances, progress)
    predictor = _introduced(run, acquaintances, [*lines, *pairs.drugs, *(known.everybody if known else [])], device)
    tested = held_out_rows(run, predictor) if held_out else None
    if tested is not None:
        predictor = predictor.learned(tested, new=False)
    if known is not None:
        predictor = known.taken_up_by(predictor)
    return Desk(
        run,
        predictor,
        lines,
        pairs,
        only,
        told,
        facts,
        effects,
        Record(run, known),
        trained,
        0 if known is None else len(known),
        tested,
        margin(run, predictor),
        _strangers(told.response, [*run.entities(EntityKind.drug), *pairs.drugs]),
    )


def _lines(acquaintances: Acquaintances, names: Sequence[str], told: Told, known: set[tuple[str, str]]) -> list[Entity]:
    """The cell lines that are asked for, each once; `known` are the keys of those that the run was made of."""
    if told.of_one and len(names) > 1:
        raise UsageError(
            "something is told of several cell lines",
            remedy="Ask for one at a time; --llm alone writes of each, and those in the run's store are looked up.",
        )
    lines = list({line.key: line for line in (_line(acquaintances, name, told) for name in names)}.values())
    if told and all(line.key in known for line in lines):
        called = " and ".join(line.name for line in lines)
        raise UsageError(
            f"the run knows {called} already", remedy="Leave out what is told, or give the line another name."
        )
    return lines


def _line(acquaintances: Acquaintances, name: str, told: Told) -> Entity:
    """The cell line called `name`, or a new one where something is told of it."""
    if not name.strip():
        raise UsageError("the cell line has no name", remedy="Name it with --cell.")
    try:
        return acquaintances.resolve(EntityKind.cell_line, name)
    except UnknownNameError:
        if not told:
            raise
        return Entity(name.strip(), EntityKind.cell_line, name.strip())


def _strangers(names: Iterable[str], known: Iterable[Entity]) -> tuple[str, ...]:
    """Those that are the name of none of the drugs."""
    index = EntityIndex(EntityKind.drug, list({drug.key: drug for drug in known}.values()))
    return tuple(name for name in names if index.match(Entity(name, EntityKind.drug, name)) is None)


def _introduced(run: Run, acquaintances: Acquaintances, entities: Iterable[Entity], device: str) -> Predictor:
    """A predictor that knows these entities, and a line of which nothing is known where the run is no control."""
    nobody = [NOBODY] if run.spec.align.vectors == "profiles" else []
    return acquaintances.admit(run.predictor(device), [*entities, *nobody])


def _outranked(run: Run) -> str | None:
    from l2aco.runs.evaluate import better_naive

    naive = better_naive(run)
    if naive is None:
        return None
    ours = run.metrics["test"]["pooled"]["auroc"]
    return f"the naive predictor '{naive['model']}' ranks better (AUROC {naive['auroc']:.3f}, this run {ours:.3f})"
