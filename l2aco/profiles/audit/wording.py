"""How profiles are worded: refusals, hedges, empty fields, cut-off ends, lengths out of line."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from l2aco.profiles.record import ProfileRecord

_REFUSAL = re.compile(
    r"\b(as an ai|language model|i (?:cannot|can't|am unable to)|i'm (?:sorry|unable)"
    r"|cannot (?:provide|assist|help))\b",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(uncertain|unclear|little is known|not well (?:known|characteri[sz]ed|established)|poorly characteri[sz]ed"
    r"|presumably|probably|possibly|likely|may be|might|reported(?:ly)?|unknown)\b",
    re.IGNORECASE,
)
_OUT_OF_LINE = 5.0
_ENDS = (".", "!", "?", ")", '"')


@dataclass
class Wording:
    """Names of the entities that each finding is about; `hedged` and `confidence` are counts, not faults."""

    refusals: list[str] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    empty_fields: list[str] = field(default_factory=list)
    out_of_line: list[str] = field(default_factory=list)
    hedged: int = 0
    hedges: Counter[str] = field(default_factory=Counter)
    confidence: Counter[str] = field(default_factory=Counter)
    words: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """By kind: fewest, median and most words of a text."""


def check_wording(records: Iterable[ProfileRecord]) -> Wording:
    """Look at each record once.

    A text is out of line where its length lies more than five scaled median absolute deviations from the median
    of its kind. A text field of more than 40 letters that ends without a full stop counts as cut off.
    """
    found = Wording()
    lengths: dict[str, list[tuple[str, int]]] = {}
    for record in records:
        name = record.entity_name
        lengths.setdefault(record.kind, []).append((name, len(record.text.split())))
        if _REFUSAL.search(record.text):
            found.refusals.append(name)
        if record.finish_reason == "length" or _is_cut_off(record):
            found.cut_off.append(name)
        if any(value == "" for value in record.fields.values()):
            found.empty_fields.append(name)
        hedges = [match.lower() for match in _HEDGE.findall(record.text)]
        found.hedged += bool(hedges)
        found.hedges.update(hedges)
        found.confidence[str(record.fields.get("confidence", "not stated"))] += 1
    for kind, counts in lengths.items():
        numbers = [number for _, number in counts]
        middle = statistics.median(numbers)
        spread = 1.4826 * statistics.median(abs(number - middle) for number in numbers) or 1.0
        found.words[kind] = (min(numbers), round(middle), max(numbers))
        found.out_of_line += [name for name, number in counts if abs(number - middle) > _OUT_OF_LINE * spread]
    return found


def _is_cut_off(record: ProfileRecord) -> bool:
    """The summary is a sentence by every shipped schema, so its end tells."""
    summary = record.fields.get("summary")
    return isinstance(summary, str) and len(summary) > 40 and not summary.rstrip().endswith(_ENDS)
