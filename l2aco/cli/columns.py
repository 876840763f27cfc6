"""Which columns of a table a terminal has room for: the first ones, since a table names what matters first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

GAP = 2
PROSE = 20
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


def widths(rows: Sequence[Mapping[str, str]], chosen: Sequence[str], width: int) -> dict[str, int]:
    """How wide each of the `chosen` columns is, so that nothing of any is cut: as narrow as it can be, and what is left
    of `width` to those that need least to be whole."""
    cells = {key: [row.get(key, "") for row in rows] for key in chosen}
    found = {key: min(least_width(key, cells[key]), width) for key in chosen}
    wanted = {key: max(0, max(len(key), *map(len, cells[key])) - found[key]) for key in chosen}
    left = width - GAP * (len(chosen) - 1) - sum(found.values())
    for key in sorted(chosen, key=wanted.__getitem__):
        more = min(left, wanted[key])
        found[key] += more
        left -= more
    return found


def least_width(head: str, cells: Sequence[str]) -> int:
    """How narrow a column can be: heads break between words, sentences at `PROSE`, anything else nowhere."""
    words = max(len(word) for word in head.split(" "))
    longest = max(map(len, cells))
    return max(words, min(longest, PROSE) if is_prose(cells) else longest)


def is_prose(cells: Sequence[str]) -> bool:
    """Whether cells are long and break between words."""
    return any(len(cell) > PROSE and " " in cell for cell in cells)
