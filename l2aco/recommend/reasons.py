"""What speaks for a pair and against it, and what is known of its drugs: from data, profiles and the model's sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from l2aco.entities import Entity
from l2aco.recommend.alone import Effects
from l2aco.recommend.facts import Facts
from l2aco.recommend.inside import PARTS
from l2aco.recommend.own import Neighbour
from l2aco.recommend.record import Record

FEW = 10
"""Training triples of a drug below which its pairs are said to rest on little."""
MODEST = 0.005


@dataclass(frozen=True)
class Reasons:
    """Sentences, each with its source."""

    supports: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    about: tuple[str, ...] = ()


def reasons_of(
    one: Entity,
    other: Entity,
    line: Entity,
    *,
    facts: Facts,
    effects: Effects,
    record: Record,
    near: Sequence[Neighbour],
    trained: Mapping[str, int],
    parts: Mapping[str, float],
    unsure: bool,
) -> Reasons:
    """parts: what the model's score is made of (`inside.parts`); unsure: whether the probability is too near to one
    half."""
    supports, against = list[str](), list[str]()
    for is_good, text in (*_elsewhere(one, other, line, record), *_near(one, other, record, near)):
        (supports if is_good else against).append(text)
    if parts:
        ends = "; ".join(f"{parts[name]:+.2f} {said}" for name, said in PARTS.items() if abs(parts[name]) >= MODEST)
        (supports if sum(parts.values()) > 0 else against).append(
            f"The model's score in parts, each in standard deviations of what it models: {ends or 'none'}."
        )
    for drug in (one, other):
        if trained.get(drug.id, 0) < FEW:
            against.append(f"The model was trained on {trained.get(drug.id, 0)} measurements of {drug.name}.")
    if unsure:
        against.append("The probability is among those nearest to one half: the model abstains.")
    return Reasons(tuple(supports), tuple(against), tuple(_about(one, other, line, facts, effects)))


def _elsewhere(one: Entity, other: Entity, line: Entity, record: Record) -> list[tuple[bool, str]]:
    known = record.of(one, other, line, ())
    total, good = known["elsewhere_measured"], known["elsewhere_synergistic"]
    if not known["recorded"]:
        return []
    if not total or record.share is None:
        return [(False, "Nobody measured the pair in another line of the data set.")]
    usual = f"{record.share:.0%} of all measurements are"
    return [(good / total > record.share, f"Synergistic in {good} of {total} other lines ({usual}).")]


def _near(one: Entity, other: Entity, record: Record, near: Sequence[Neighbour]) -> list[tuple[bool, str]]:
    labels = record.near(one, other, near)
    found = []
    for label, words in ((1, "Synergistic"), (0, "Not synergistic")):
        if names := [name for name, value in labels.items() if value == label]:
            found.append(
                (label == 1, f"{words} in {', '.join(names)}, which {'is' if len(names) == 1 else 'are'} like it.")
            )
    return found


def _about(one: Entity, other: Entity, line: Entity, facts: Facts, effects: Effects) -> list[str]:
    found = []
    first, second = known = facts.of_drug(one), facts.of_drug(other)
    for drug, of in zip((one, other), known, strict=True):
        parts = [of.drug_class or "", f"targets {', '.join(of.targets[:4])}" if of.targets else ""]
        if any(parts):
            found.append(f"{drug.name}: {'; '.join(part for part in parts if part)}.")
        if (effect := effects.of(drug, line)) is not None:
            found.append(effect.sentence(drug.name, line.name))
    if shared := [path for path in first.pathways if path in second.pathways]:
        found.append(f"Both act on {', '.join(shared)}.")
    if shared := [target for target in first.targets if target in second.targets]:
        found.append(f"Both hit {', '.join(shared)}.")
    return found + facts.sentences(line, [one, other])
