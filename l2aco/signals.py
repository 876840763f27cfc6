"""SIGTERM, which batch systems send, ends what runs as Ctrl-C does: what is being written is finished, or given up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def interrupt() -> None:
    """As Ctrl-C would, also where that is ignored, as a shell has it of what it starts in the background."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def is_unhandled() -> bool:
    """Whether SIGTERM would end the process without a word, and this thread may change that."""
    in_main = threading.current_thread() is threading.main_thread()
    return in_main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@contextmanager
def interrupted_by_sigterm(terminated: list[int]) -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt within, and is in the list once it has come."""

    def end(number: int, _: Any) -> None:
        terminated.append(number)
        interrupt()

    ours = is_unhandled()
    if ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
