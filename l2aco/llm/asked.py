"""Who was asked by way of files: so that answers which nobody asked for are known, and those asked for find their way.

    asked.jsonl       key, turn, and what whoever asks needs to know the request again, one line a request

Lines whose answer has come are dropped when answers are taken in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from l2aco.files import atomic_path
from l2aco.llm.journal import keyed_lines, open_for_append, parsed

ASKED = "asked.jsonl"


class Asked:
    """The requests of one folder that were written into files, by key; the last line of a key counts.

    Positions of lines are held, about 100 bytes a request. Only whoever holds the folder's lock may use it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ASKED
        self._places: dict[bytes, int] = {}
        self._handle = -1

    def __enter__(self) -> Asked:
        self._handle = open_for_append(self.path)
        self._reader = self.path.open("rb")
        start = 0
        for key, line in keyed_lines(self.path):
            self._places[key] = start
            start += len(line)
        self._end = start
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)
        self._reader.close()
        if not self._places:
            self.path.unlink(missing_ok=True)

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._places

    def get(self, key: str) -> dict[str, Any] | None:
        """The line of a key, or None."""
        place = self._places.get(bytes.fromhex(key))
        if place is None:
            return None
        self._reader.seek(place)
        return parsed(self._reader.readline(), self.path)

    def add(self, lines: Iterable[dict[str, Any]]) -> None:
        """Write down who is asked; on the disk when this returns. Each line begins with its `key`."""
        with os.fdopen(os.dup(self._handle), "ab") as out:
            for value in lines:
                line = (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
                out.write(line)
                self._places[bytes.fromhex(value["key"])] = self._end
                self._end += len(line)
            out.flush()
            os.fsync(out.fileno())

    def count(self, wanted: Callable[[str], bool]) -> int:
        """How many of the keys `wanted` is true of."""
        return sum(wanted(key.hex()) for key in self._places)

    def forget(self, finished: Callable[[str], bool]) -> None:
        """Drop the lines of keys that are finished."""
        if not any(finished(key.hex()) for key in self._places):
            return
        with atomic_path(self.path) as partial, partial.open("wb") as out:
            for line in self._open_lines(finished):
                out.write(line)
        self.__exit__()
        self._places.clear()
        self.__enter__()

    def _open_lines(self, finished: Callable[[str], bool]) -> Iterator[bytes]:
        start = 0
        for key, line in keyed_lines(self.path):
            if self._places.get(key) == start and not finished(key.hex()):
                yield line
            start += len(line)
