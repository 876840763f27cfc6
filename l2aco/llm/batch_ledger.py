"""What is known of the batches of one folder, written down before anything else happens.

    batches.jsonl      what became of each batch, one event a line, appended
    .batches/          the file of each batch that is not over, and the answers while they are taken in

A batch is called by a tag of its own before the provider gives it an id; it carries the tag as metadata, so that
one that was created when the process died is found again.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from l2aco.errors import DamagedError, UsageError
from l2aco.llm.journal import open_for_append

LEDGER = "batches.jsonl"
FILES = ".batches"


@dataclass
class Batch:
    """One batch. `state`: begun (its file lies in .batches), uploaded, creating, created (there is a bill to come),
    taken (its answers are recorded) or failed (nothing was done). `most` is what it can cost at most; tokens are those
    of its answers."""

    tag: str
    state: str = "begun"
    at: float = 0.0
    requests: int = 0
    most_usd: float = 0.0
    most_tokens: int = 0
    way: dict[str, Any] = field(default_factory=dict)
    learned: dict[str, Any] = field(default_factory=dict)
    file: str | None = None
    id: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float | None = 0.0

    @property
    def is_open(self) -> bool:
        return self.state not in ("taken", "failed")


class Ledger:
    """The batches of a folder, by tag, in order. Only whoever holds the folder's lock may write."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER
        self.files = folder / FILES
        self.batches: dict[str, Batch] = {}
        if self.path.exists():
            for number, line in enumerate(self.path.read_bytes().splitlines(keepends=True), start=1):
                if line.endswith(b"\n"):
                    self._read(line, number)

    def _read(self, line: bytes, number: int) -> None:
        try:
            self._take(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DamagedError(
                "is no event of a batch",
                where=f"{self.path}:{number}",
                remedy="Restore it from a copy: it says what is being paid for.",
            ) from None

    def write(self, tag: str, state: str, **facts: Any) -> Batch:
        """Write down what became of a batch; on the disk when this returns."""
        event = {"tag": tag, "state": state, "at": time.time(), **facts}
        handle = open_for_append(self.path)
        try:
            os.write(handle, (json.dumps(event, separators=(",", ":")) + "\n").encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        return self._take(event)

    def _take(self, event: dict[str, Any]) -> Batch:
        tag = event["tag"]
        self.batches[tag] = replace(self.batches.get(tag) or Batch(tag), **event)
        return self.batches[tag]

    @property
    def open(self) -> list[Batch]:
        return [batch for batch in self.batches.values() if batch.is_open]

    @property
    def taken(self) -> tuple[float, int]:
        """US dollars and tokens of all batches whose answers are recorded."""
        over = [batch for batch in self.batches.values() if batch.state == "taken"]
        return sum(batch.usd or 0.0 for batch in over), sum(batch.tokens_in + batch.tokens_out for batch in over)

    def requests_of(self, batch: Batch) -> Path:
        """The file of a batch."""
        return self.files / f"{batch.tag}.jsonl"

    def answers_of(self, batch: Batch, what: str) -> Path:
        """Where its answers (`output`, `error`) lie while they are taken in."""
        return self.files / f"{batch.tag}.{what}.jsonl"


def refuse_open(folder: Path) -> None:
    """Raise UsageError where batches of the folder are not over: what is in them would be paid twice."""
    open_ = Ledger(folder).open
    if open_:
        count = sum(batch.requests for batch in open_)
        raise UsageError(
            f"{count:,} requests of this set are in batches that are not over",
            where=folder,
            remedy="Start the same command with --batch: it takes their answers in.",
        )
