"""How a long job says how far it is, without knowing who listens."""

from __future__ import annotations

import sys
import warnings
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


def default() -> Progress:
    """Who listens where nobody is named: a notebook shows bars and news, any other program nothing."""
    return Notebook() if in_notebook() else Silent()


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    running = sys.modules.get("IPython")
    shell = running.get_ipython() if running is not None else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


class Notebook:
    """Bars and news below the cell that asked."""

    @contextmanager
    def task(self, label: str, total: int | None = None, unit: str = "") -> Iterator[Advance]:
        from rich.progress import Progress as Bars

        warnings.filterwarnings("ignore", 'install "ipywidgets"')  # without it there is no bar: no reason for words
        with Bars(transient=True) as bars:
            task = bars.add_task(label.replace("[", "\\["), total=total)
            yield lambda done=1, note="": bars.update(task, advance=done)

    def say(self, text: str) -> None:
        print(text)


class Silent:
    """The progress of a job that nobody watches: tests, programs."""

    @contextmanager
    def task(self, label: str, total: int | None = None, unit: str = "") -> Iterator[Advance]:
        yield lambda done=1, note="": None

    def say(self, text: str) -> None:
        """Drops the line."""
