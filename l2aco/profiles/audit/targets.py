"""Claimed targets against the drug-protein edges of a knowledge graph."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from l2aco.profiles.record import ProfileRecord

_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*")


@dataclass(frozen=True)
class TargetAgreement:
    """Counts over drugs that have both claims and known targets.

    Only symbols that the graph's symbol table knows are compared: a claim outside of it can be neither confirmed
    nor refuted. `chance` is the precision of the same claims dealt to other drugs at random.
    """

    drugs: int
    drugs_with_a_hit: int
    claimed: int
    known: int
    both: int
    unmapped: int
    chance: float
    without_claims: list[str] = field(default_factory=list)
    disagreeing: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        return self.both / self.claimed if self.claimed else float("nan")

    @property
    def recall(self) -> float:
        return self.both / self.known if self.known else float("nan")


def check_targets(
    records: Iterable[ProfileRecord],
    known: Mapping[str, set[str]],
    symbols: set[str],
    field_name: str = "primary_targets",
) -> TargetAgreement | None:
    """Compare the list `field_name` with `known` (symbols by entity id); None where nothing can be compared."""
    claims: dict[str, set[str]] = {}
    names: dict[str, str] = {}
    unmapped = 0
    for record in records:
        if record.sample or field_name not in record.fields or not known.get(record.entity_id):
            continue
        names[record.entity_id] = record.entity_name
        found: set[str] = set()
        for item in record.fields[field_name]:
            mapped = {word.upper() for word in _SYMBOL.findall(str(item))} & symbols
            unmapped += not mapped
            found |= mapped
        claims[record.entity_id] = found
    both = {key: claims[key] & known[key] for key in claims}
    compared = [key for key in claims if claims[key]]
    if not compared:
        return None
    return TargetAgreement(
        drugs=len(compared),
        drugs_with_a_hit=sum(bool(both[key]) for key in compared),
        claimed=sum(len(claims[key]) for key in compared),
        known=sum(len(known[key]) for key in compared),
        both=sum(len(both[key]) for key in compared),
        unmapped=unmapped,
        chance=_chance(claims, known, compared),
        without_claims=[names[key] for key in claims if not claims[key]],
        disagreeing=[names[key] for key in compared if not both[key]],
    )


def _chance(claims: Mapping[str, set[str]], known: Mapping[str, set[str]], keys: list[str], rounds: int = 20) -> float:
    dealt = random.Random(0)
    hits = total = 0
    for _ in range(rounds):
        others = dealt.sample(keys, len(keys))
        for key, other in zip(keys, others, strict=True):
            if key != other:
                hits += len(claims[key] & known[other])
                total += len(claims[key])
    return hits / total if total else float("nan")
