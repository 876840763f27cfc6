"""Near names: what somebody may have meant who mistyped. Another entity's name is never near."""

from __future__ import annotations

import re
from collections.abc import Iterable

from l2aco.names.fold import normalise_name
from l2aco.names.synonyms import is_known

_SHORT, _LONG = 5, 12
"""Letters: in names of fewer only two that changed places are a slip, in names of more two may be wrong."""


class NearNames:
    """Finds the names, of those that are known, of which another one is a slip of the pen."""

    def __init__(self, kind: str, known: Iterable[str]) -> None:
        self.kind = kind
        self._written: dict[str, str] = {}
        for text in known:  # "erlotinb" is nearer to the first word of "Erlotinib from somewhere" than to all of it
            for form in (text, text.split(" ")[0]):
                self._written.setdefault(normalise_name(form, kind), text)

    def of(self, name: str, limit: int = 3) -> list[str]:
        """Up to `limit` known names, nearest first.

        Digits have to be the same: they tell lines (HCT15, HCT116) and codes (PLX4720, PLX4032) apart. A name that the
        synonym table knows is no slip, and has none near it.
        """
        from rapidfuzz.distance import OSA
        from rapidfuzz.process import extract

        if is_known(name, self.kind):
            return []
        asked = normalise_name(name, self.kind)
        close = extract(asked, list(self._written), scorer=OSA.distance, score_cutoff=2, limit=None)
        slips = (form for form, distance, _ in close if _is_slip(asked, form, distance))
        return list(dict.fromkeys(self._written[form] for form in slips))[:limit]


def _is_slip(one: str, other: str, distance: int) -> bool:
    """Whether two folded names at this distance (letters changed, left out, added, or two exchanged) may be meant as
    one."""
    if re.findall(r"\d+", one) != re.findall(r"\d+", other):
        return False
    letters = max(len(re.sub(r"\d", "", name)) for name in (one, other))
    if letters < _SHORT:
        return distance <= 1 and sorted(one) == sorted(other)
    return distance <= (2 if letters >= _LONG else 1)
