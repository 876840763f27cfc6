"""What a folder of answers has cost so far: its records, and the failures that were paid for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2aco.llm.journal import FAILURES, JOURNAL, RECORDS, keyed_lines, parsed
from l2aco.llm.request import UNANSWERED, Reason

Cost = Callable[[int, int], float | None]
"""US dollars of tokens in and out; None where no price is known."""


@dataclass
class Spent:
    """Tokens and US dollars (None where no price is known)."""

    tokens_in: int = 0
    tokens_out: int = 0
    usd: float | None = 0.0

    def add(self, line: Mapping[str, Any], cost: Cost) -> None:
        """Count a record or a failure, at the price of its day where it has one."""
        usage = line.get("usage")
        used = usage if isinstance(usage, Mapping) else {}
        tokens_in, tokens_out = (_count(used.get(name)) for name in ("input", "output"))
        paid = line.get("cost_usd")
        own = float(paid) if isinstance(paid, int | float) and abs(paid) < 1e12 else None
        usd = cost(tokens_in, tokens_out) if own is None else own
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out
        self.usd = None if usd is None or self.usd is None else self.usd + usd


def spent_in(folder: Path, cost: Cost) -> Spent:
    """What the lines of a journal's folder say; an answer that was set aside is part of the bill of its repair."""
    spent = Spent()
    aside: dict[bytes, dict[str, Any]] = {}

    def add(key: bytes, line: dict[str, Any]) -> None:
        before = aside.pop(key, None)
        if before is not None and not _is_repair(line):
            spent.add(before, cost)
        if line.get("reason") == Reason.to_repair:
            aside[key] = line
        else:
            spent.add(line, cost)

    for key, line in keyed_lines(folder / FAILURES):
        add(key, parsed(line, folder / FAILURES))
    newer = set[bytes]()
    for name in (JOURNAL, RECORDS):  # the first is empty, or holds what the second may hold as well
        for key, line in keyed_lines(folder / name):
            if key in newer:
                continue
            if name == JOURNAL:
                newer.add(key)
            add(key, parsed(line, folder / name))
    for failure in aside.values():
        spent.add(failure, cost)
    return spent


def _is_repair(line: Mapping[str, Any]) -> bool:
    """Whether a line's bill holds that of the answer that was set aside before it: repairs come in files, where nobody
    measures how long an answer took, and count two calls. What a run asks for anew has a bill of its own."""
    unanswered = str(line.get("reason")) in UNANSWERED
    return line.get("attempts") == 2 and line.get("latency_s") is None and not unanswered


def _count(value: Any) -> int:
    return max(0, int(value)) if isinstance(value, int | float) and abs(value) < 1e12 else 0
