"""How far a long job is: a panel of two lines in a terminal, a line now and then in a pipe or a log."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from l2aco.progress import Advance

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

LINE_EVERY_S = 30.0
MILESTONE_AFTER_S = 10.0
"""A tenth more is worth a line if the last one is so long ago: short jobs write none."""
WAIT_S = 10.0
"""After so long without news it is said what is waited for."""
_WINDOW_S = 60.0
_BAR = 24


class Standing:
    """What is done of a job, how fast, and what was said last."""

    def __init__(self, label: str, total: int | None, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.label = label
        self.total = total
        self.unit = unit
        self.done = 0
        self.note = ""
        self._clock = clock
        self._started = self._last = clock()
        self._points: deque[tuple[float, int]] = deque([(self._started, 0)])

    def advance(self, done: int = 1, note: str = "") -> None:
        """Take up news."""
        now = self._clock()
        self.done += done
        self.note = note or self.note
        self._last = now
        if now - self._points[-1][0] >= 1.0:
            self._points.append((now, self.done))
        while len(self._points) > 2 and now - self._points[0][0] > _WINDOW_S:
            self._points.popleft()

    @property
    def tenths(self) -> int:
        return int(10 * self.done / self.total) if self.total else 0

    @property
    def rate(self) -> float:
        """Items a second over the last minute."""
        start, before = self._points[0]
        return (self.done - before) / max(self._clock() - start, 1e-6)

    def words(self) -> str:
        """Count, time, and then what was said last, cost before all else."""
        if not (self.total or self.unit or self.done):  # one piece: there is nothing to count or to wait for
            return self._times()
        whole = f" of {self.total:,} ({self.done / self.total:.0%})" if self.total else ""
        parts = [f"{self.done:,}{whole}", self._times(), self.note]
        now = self._clock()
        if now - self._last > WAIT_S:
            parts.insert(2, f"waiting for {now - self._last:,.0f} s")
        elif self.rate and self.unit:
            parts.append(f"{self.rate:,.1f} {self.unit}/s")
        return " · ".join(filter(None, parts))

    def _times(self) -> str:
        gone = duration(self._clock() - self._started)
        if not self.total or self.done >= self.total or not self.rate:
            return gone
        return f"{gone}, {duration((self.total - self.done) / self.rate)} left"

    def bar(self) -> str:
        filled = round(_BAR * min(1.0, self.done / self.total)) if self.total else 0
        return "━" * filled + "╌" * (_BAR - filled)


@contextmanager
def panel(console: Console, standing: Standing, keep: bool) -> Iterator[Advance]:
    """Two lines that stay in place: what is done, and how far it is. They fit 80 columns, cut at their ends."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    def shown() -> RenderableType:
        bar = f"{standing.bar()} " if standing.total else ""
        lines = (f"{bar}{standing.label}", standing.words())
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))

    with Live(get_renderable=shown, console=console, transient=not keep, refresh_per_second=4):
        yield standing.advance


@contextmanager
def lines(say: Callable[[str], None], standing: Standing, every_s: float = LINE_EVERY_S) -> Iterator[Advance]:
    """A line every half minute and at every tenth, also where nothing comes."""
    over = threading.Event()
    lock = threading.Lock()
    said_at, tenths = time.monotonic(), 0
    after_s = min(MILESTONE_AFTER_S, every_s)

    def tell() -> None:
        nonlocal said_at, tenths
        said_at, tenths = time.monotonic(), standing.tenths
        say(f"{standing.label}: {standing.words()}")

    def watch() -> None:
        while not over.wait(max(0.05, said_at + every_s - time.monotonic())):
            with lock:
                if time.monotonic() - said_at >= every_s:
                    tell()

    def advance(done: int = 1, note: str = "") -> None:
        standing.advance(done, note)
        if standing.tenths > tenths and time.monotonic() - said_at >= after_s:
            with lock:
                tell()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield advance
    finally:
        over.set()
        thread.join()


def duration(seconds: float) -> str:
    """4:05, 1:02:03, 3 d 04:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24:02d}:{minutes:02d}"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
