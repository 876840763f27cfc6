"""How a long job says how far it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Called with the number of items finished since the last call, and an optional short note."""

    def __call__(self, done: int = 1, note: str = "") -> None: ...


class Progress(Protocol):
    """`task` opens one bar with `total` items (None when unknown); `say` prints one line of news."""

    def task(self, label: str, total: int | None = None, unit: str = "") -> AbstractContextManager[Advance]: ...

    def say(self, text: str) -> None: ...


class Silent:
    """The progress of a job that nobody watches: notebooks, tests, library calls."""

    @contextmanager
    def task(self, label: str, total: int | None = None, unit: str = "") -> Iterator[Advance]:
        yield lambda done=1, note="": None

    def say(self, text: str) -> None:
        """Drops the line."""
