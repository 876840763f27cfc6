"""Which columns of a table a terminal has room for: the first ones, since a table names what matters first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

GAP = 2
PROSE = 24
"""A column of sentences may be folded to this many characters; a name is not folded."""


def fitting(rows: Sequence[Mapping[str, str]], width: int) -> list[str]:
    """The keys of as many columns as `width` characters hold, in their order; one at least.

    A column that is too wide is passed over, and narrower ones after it are taken.
    """
    chosen: list[str] = []
    left = width
    for key in rows[0]:
        needed = least_width(key, [row.get(key, "") for row in rows]) + (GAP if chosen else 0)
        if needed <= left or not chosen:
            chosen.append(key)
            left -= needed
    return chosen


def least_width(head: str, cells: Sequence[str]) -> int:
    """How narrow a column can be: heads break between words, sentences at `PROSE`, anything else nowhere."""
    words = max(len(word) for word in head.split(" "))
    longest = max(map(len, cells))
    return max(words, min(longest, PROSE) if is_prose(cells) else longest)


def is_prose(cells: Sequence[str]) -> bool:
    """Whether cells are long and break between words."""
    return any(len(cell) > PROSE and " " in cell for cell in cells)
