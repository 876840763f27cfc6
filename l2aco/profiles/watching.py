"""A profile set while another process writes it: how far it is, what it costs, and what comes in."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from l2aco.files import parse_json
from l2aco.llm.batch_ledger import Ledger
from l2aco.llm.journal import FAILURES, JOURNAL, RECORDS, keyed_lines
from l2aco.profiles.sets import ProfileSet

_WINDOW_S = 60.0
_NO_RECORD = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)


@dataclass(frozen=True)
class Seen:
    """A set at one moment. `written`, tokens and cost (US dollars, None where no price is known) are of the run that is
    going on, or that was killed; `in_batches` requests are at the provider's; `writer` is the process, None where there
    is none on this machine."""

    name: str
    profiles: int
    requested: int | None
    written: int
    failed: Counter[str]
    tokens: int
    cost_usd: float | None
    rate: float | None
    """Profiles a second over the last minute that was watched; None of a first look."""
    in_batches: int
    writer: int | None
    sample: dict[str, Any] | None = field(default=None, repr=False)
    """The last record."""

    @property
    def seconds_left(self) -> float | None:
        """At this rate; None where that is not known."""
        if not self.rate or self.requested is None:
            return None
        return max(0.0, self.requested - self.profiles - self.failed.total()) / self.rate


class Watched:
    """Reads what is new in a set's files at each look; raises DamagedError where a file cannot be read. Takes no lock
    and writes nothing."""

    def __init__(self, profiles: ProfileSet) -> None:
        self.path = profiles.path
        self._done: set[bytes] = set()
        self._failed: dict[bytes, str] = {}
        self._points: deque[tuple[float, int]] = deque()
        self._records_state: tuple[int, int] | None = None
        self._merged = 0
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._journal_at, self._journal_inode = 0, 0
        self._written = self._tokens = 0
        self._cost: float | None = 0.0
        self._sample: dict[str, Any] | None = None

    def look(self) -> Seen:
        """What stands there now."""
        manifest = ProfileSet(self.path).manifest
        self._read_records()
        self._read_journal()
        for key, line in keyed_lines(self.path / FAILURES):
            with contextlib.suppress(ValueError, AttributeError, RecursionError):
                self._failed[key] = str(parse_json(line).get("reason"))
        failed = Counter(reason for key, reason in self._failed.items() if key not in self._done)
        now = time.monotonic()
        self._points.append((now, len(self._done)))
        while len(self._points) > 2 and now - self._points[0][0] > _WINDOW_S:
            self._points.popleft()
        (start, before), (end, after) = self._points[0], self._points[-1]
        requested = manifest.get("requested")
        return Seen(
            name=self.path.name,
            profiles=len(self._done),
            requested=requested if isinstance(requested, int) else None,
            written=self._written,
            failed=failed,
            tokens=self._tokens,
            cost_usd=self._cost,
            rate=(after - before) / (end - start) if end > start else None,
            in_batches=sum(batch.requests for batch in Ledger(self.path).open),
            writer=_writer(self.path),
            sample=self._sample,
        )

    def _read_records(self) -> None:
        path = self.path / RECORDS
        if not path.exists():
            return
        status = path.stat()
        if (state := (status.st_ino, status.st_size)) != self._records_state:
            self._records_state = state
            self._done |= {key for key, _ in keyed_lines(path)}

    def _read_journal(self) -> None:
        """The lines that are new; a journal that was put in order begins anew."""
        path = self.path / JOURNAL
        if not path.exists():
            return
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if status.st_size < self._journal_at or (self._journal_inode and status.st_ino != self._journal_inode):
                written, tokens, cost, sample = self._written, self._tokens, self._cost, self._sample
                self._begin_anew()
                if not status.st_size:  # it has ended: what it came to stays in view
                    self._written, self._tokens, self._cost, self._sample = written, tokens, cost, sample
            self._journal_inode = status.st_ino
            stream.seek(self._journal_at)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._journal_at += len(line)
                with contextlib.suppress(*_NO_RECORD):
                    self._take(parse_json(line))

    def _take(self, record: dict[str, Any]) -> None:
        self._done.add(bytes.fromhex(record["key"]))
        usage, cost = record.get("usage") or {}, record.get("cost_usd")
        self._tokens += int(usage.get("input", 0)) + int(usage.get("output", 0))
        self._cost = None if cost is None or self._cost is None else self._cost + float(cost)
        self._written += 1
        self._sample = record


def _writer(folder: Path) -> int | None:
    """The live process that says it writes the folder."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((folder / ".writer.pid").read_text(errors="replace"))
        os.kill(pid, 0)
        return pid
    return None
