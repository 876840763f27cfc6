"""Which column of a file means what: by what it is called, and by what stands in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from l2aco.errors import InputError

if TYPE_CHECKING:
    import polars as pl

Roles = Mapping[str, Sequence[str]]
"""Our name of a column, and the names that it may have in a file."""
Fit = Callable[["pl.Series"], bool]
"""Whether what stands in a column (text, null where nothing does) can be what the column's name promises."""

_MOST, _LONGEST = 30, 60
"""Columns, and letters of one, that a message shows."""


def pick_columns(
    path: Path,
    found: Sequence[str],
    roles: Roles,
    optional: Collection[str],
    remedy: str,
    fits: Mapping[str, Fit],
    text: Callable[[str], pl.Series],
) -> dict[str, str | None]:
    """The file's column for each role: the first of its names that is among the `found`, compared without case, spaces
    and underscores, and in which stands what fits the role.

    A role with a single name, as a user gives it, is not asked to fit, and no other takes its column. Where nothing
    fits, the first is taken all the same, but for an `optional` role that it is not called like: that one then has no
    column. `text` gives a column's content. Raises InputError, with the `remedy`, where a role has no column.
    """
    twice = repeated(found)
    sure = {column: role for role, names in roles.items() if len(names) == 1 for column in columns_called(found, names)}
    columns: dict[str, str | None] = {}
    for role, names in roles.items():
        there = columns_called(found, names)
        if len(names) > 1:
            there = [column for column in there if column not in sure]
            if role in fits and (len(there) > 1 or role in optional):
                fitting = [column for column in there if fits[role](text(column))]
                there = fitting or [item for item in there if role not in optional or _fold(item) == _fold(role)]
        column = there[0] if there else None
        if column is None and role not in optional:
            if taken := [item for item in columns_called(found, names) if item in sure]:
                raise InputError(
                    f"the column '{taken[0]}' is given two roles, {sure[taken[0]]} and {role}",
                    where=path,
                    remedy="Name another for one of them.",
                )
            raise InputError(
                f"has no column {' or '.join(repr(name) for name in names[:3])}",
                where=path,
                remedy=f"Columns found: {shown(found)}. {remedy.format(role=role)}".strip(),
            )
        if column in twice:
            raise InputError(f"has the column '{column}' twice", where=f"{path}:1", remedy="Rename one of them.")
        columns[role] = column
    return columns


def shown(columns: Sequence[str]) -> str:
    """The columns for a message: a table of expression has thousands, and a file of another kind one without end."""
    names = [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..." for name in columns[:_MOST]]
    more = [f"and {len(columns) - _MOST:,} more"] if len(columns) > _MOST else []
    return ", ".join([*names, *more]) or "none"


def columns_called(found: Sequence[str], names: Sequence[str]) -> list[str]:
    """The columns among the `found` that have one of these names, in the order of the names."""
    folded = {_fold(column): column for column in reversed(found)}
    return [folded[fold] for fold in dict.fromkeys(map(_fold, names)) if fold in folded]


def repeated(found: Sequence[str]) -> list[str]:
    """The columns that stand in a header more than once, but for case."""
    header: dict[str, list[str]] = {}
    for column in found:
        name = column.rpartition("_duplicated_")[0] or column  # as polars calls a repeated one
        header.setdefault(name.strip().casefold(), []).append(name)
    return [names[0] for names in header.values() if len(names) > 1]


def _fold(name: str) -> str:
    return name.casefold().replace(" ", "").replace("_", "").replace("-", "")


def refuse_repeats(what: str, names: Sequence[str], owners: Sequence[str], place: Callable[[int], str]) -> None:
    """Raises InputError where two of the `names` (rows, columns: `what`) mean one entity, by the `owners`, empty for
    nobody: which of two counts, or whether their mean does, is for the user to say."""
    first: dict[str, int] = {}
    for number, owner in enumerate(owners):
        before = first.setdefault(owner, number)
        if owner and before != number:
            raise InputError(
                f"{what} '{names[before]}' and '{names[number]}' are both about '{owner}'",
                where=place(number),
                remedy="Remove one of the two, or give their mean.",
            )
