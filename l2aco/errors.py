"""Errors that are meant for people: what is wrong, where, and what to do next.

Everything a user can cause ends in an `L2aCoError`. The command line prints `str(error)` without a
traceback and exits with `error.exit_code` (1 failed, 2 bad usage, 3 partly done, 130 interrupted, 143 terminated).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

SHOWN = 12
"""Known names that an error lists."""


class L2aCoError(Exception):
    """A failure with a remedy.

    `message` says what is wrong, `where` names the place (file, line, column, entity), and `remedy`
    says what to do next. The three are printed together.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | Path | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = str(where) if where is not None else None
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n{self.remedy}" if self.remedy else text

    def __reduce__(self) -> tuple[Any, ...]:
        # an error of another process arrives whole, whatever its constructor takes
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[L2aCoError], arguments: tuple[Any, ...], state: dict[str, Any]) -> L2aCoError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error


class UsageError(L2aCoError):
    """The request itself makes no sense: options that contradict each other, a value out of range."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that nothing answers to; the nearest known names are suggested, `near` where the caller knows better."""

    def __init__(
        self,
        what: str,
        name: str,
        known: Iterable[str],
        *,
        remedy: str | None = None,
        near: Sequence[str] | None = None,
    ) -> None:
        choices = sorted(set(known))
        near = nearest_names(name, choices) if near is None else near
        if near:
            hint = f"Did you mean {' or '.join(near)}?"
        elif choices:
            hint = f"Known: {', '.join(choices)}."
            if len(choices) > SHOWN:
                hint = f"Of {len(choices):,} known, the nearest: {', '.join(_by_nearness(name, choices)[:SHOWN])}."
        else:
            hint = "There is none yet."
        super().__init__(f"unknown {what} '{name}'", remedy=f"{hint} {remedy}" if remedy else hint)
        self.nearest = near


class InputError(L2aCoError):
    """A file or table that a user gave cannot be used as it is."""


def in_file(error: UsageError, path: Path) -> InputError:
    """What makes no sense, as a mistake in the file that asks for it."""
    return InputError(error.message, where=error.where or path, remedy=error.remedy)


class UnavailableError(L2aCoError):
    """A package, model, server, key or device that the request needs is not there."""


class LockedError(L2aCoError):
    """Another live process is writing to the same place."""


class DamagedError(L2aCoError):
    """Something that L2aCo wrote earlier no longer matches its checksum or cannot be read."""


class MismatchError(L2aCoError):
    """Two artefacts that do not belong together, such as a store and the vectors of another encoder."""


class PartlyDoneError(L2aCoError):
    """Some items failed, the others are safe on disk."""

    exit_code = 3


def _by_nearness(name: str, choices: Sequence[str]) -> list[str]:
    """Those that begin alike before those that look alike, case and signs aside."""
    asked = _folded(name)

    def far(text: str) -> tuple[int, float]:
        folded = _folded(text)
        alike = difflib.SequenceMatcher(None, asked, folded, autojunk=False).ratio()
        begins = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(asked, folded, strict=False)))
        return -begins, -alike

    return sorted(choices, key=far)


def _folded(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def nearest_names(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """Up to `limit` known names that look like `name`, nearest first, compared without case."""
    by_fold: dict[str, str] = {}
    for item in known:  # "erlotinb" is nearer to the first word of "Erlotinib hydrochloride" than to all of it
        for text in (item, item.split(" ")[0]):
            by_fold.setdefault(text.casefold(), item)
    found = difflib.get_close_matches(name.casefold(), list(by_fold), n=limit, cutoff=0.6)
    return list(dict.fromkeys(by_fold[item] for item in found))
