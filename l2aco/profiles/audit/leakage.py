"""What a profile must not give away: results of combinations, and the data sets they stand in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from l2aco.entities import EntityKind, normalise_name
from l2aco.profiles.numbers import fixed_words
from l2aco.profiles.record import ProfileRecord

_COMBINATION = re.compile(
    r"\b(synerg\w*|additivity|additive (?:effects?|with)|supra-?additive|combin(?:e[ds]?|ing) with|in combinations?"
    r"|combinations? (?:with|of|therap\w+|regimens?|screen\w*|index)|co-?treat\w*|co-?administ\w*"
    r"|potentiates? (?:the )?(?:effect|activity|cytotoxicity)|chou-talalay|bliss|loewe|zip score|hsa score"
    r"|isobologram\w*)\b",
    re.IGNORECASE,
)
_DATA_SET = re.compile(
    r"\b(drugcomb(?:db)?|nci-?almanac|almanac|o['\u2019]neil|oneil|merck screen|astrazeneca-sanger|dream challenge"
    r"|oncologyscreen|synergxdb|drugcombo)\b",
    re.IGNORECASE,
)
_SHORTEST_NAME = 5


@dataclass
class Leakage:
    """Findings as (entity, words, the place in its text). `drug_names` are only mentions: an analogue, a class."""

    combination: list[tuple[str, str, str]] = field(default_factory=list)
    data_sets: list[tuple[str, str, str]] = field(default_factory=list)
    drug_names: list[tuple[str, str, str]] = field(default_factory=list)
    drugs_naming_others: int = 0
    cell_lines_naming_drugs: int = 0


def check_leakage(
    records: Iterable[ProfileRecord],
    drug_names: Sequence[tuple[str, Sequence[str]]],
    schemas: Mapping[str, Any] = MappingProxyType({}),
) -> Leakage:
    """Search every text. `drug_names` are (id, names) of the drugs whose combinations are to be predicted. The names of
    fields and words of vocabularies in `schemas` (by kind) were given to the model: they name no drug."""
    found = Leakage()
    names = {
        written.casefold(): (drug, normalise_name(written, EntityKind.drug))
        for drug, all_names in drug_names
        for written in all_names
        if len(written) >= _SHORTEST_NAME and not written.isdigit()
    }
    pattern = _any_of(names, re.IGNORECASE)
    given = {kind: _any_of(_words(schema)) for kind, schema in schemas.items()}
    for record in records:
        for kind, target in ((_COMBINATION, found.combination), (_DATA_SET, found.data_sets)):
            target += [
                (record.entity_name, match.group(), _around(record.text, match)) for match in kind.finditer(record.text)
            ]
        if pattern is not None:
            _count_mentions(found, record, pattern, names, given.get(record.kind))
    return found


def _words(schema: Mapping[str, Any]) -> Iterator[str]:
    """The names of fields and of what they group, and the words of vocabularies, as they stand in a text."""
    for name, item in schema["properties"].items():
        grouped = item.get("properties")
        for label in (name, *(grouped if isinstance(grouped, Mapping) else ())):
            yield label.replace("_", " ")
        yield from fixed_words(item)


def _any_of(names: Iterable[str], flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str] | None:
    written = sorted(names, key=len, reverse=True)
    if not written:
        return None
    return re.compile(r"(?<![\w-])(?:" + "|".join(map(re.escape, written)) + r")(?![\w-])", flags)


def _count_mentions(
    found: Leakage,
    record: ProfileRecord,
    pattern: re.Pattern[str],
    names: dict[str, tuple[str, str]],
    given: re.Pattern[str] | None,
) -> None:
    searched = given.sub(lambda word: " " * len(word.group()), record.text) if given else record.text
    own = {normalise_name(name, EntityKind.drug) for name in (record.entity_name, *record.aliases)}
    others = []
    for match in pattern.finditer(searched):
        drug, folded = names[match.group().casefold()]
        if drug != record.entity_id and folded not in own:
            others.append((record.entity_name, match.group(), _around(record.text, match)))
    if others and record.kind == EntityKind.drug:
        found.drugs_naming_others += 1
        found.drug_names += others
    elif others:
        found.cell_lines_naming_drugs += 1


def _around(text: str, match: re.Match[str], letters: int = 60) -> str:
    return text[max(0, match.start() - letters) : match.end() + letters].replace("\n", " ")
