"""The journal: what has been answered, safe the moment it is written.

docs/design/journal.md explains the format and what a crash can and cannot cost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from l2aco.errors import DamagedError, InputError
from l2aco.files import atomic_path
from l2aco.locks import WriterLock

JOURNAL = "journal.jsonl"
RECORDS = "records.jsonl"
FAILURES = "failures.jsonl"
SYNC_INTERVAL_S = 1.0
_BEGIN = b'{"key":"'
_KEY_END = len(_BEGIN) + 32


class Journal:
    """Finished records of one folder, by key; the only writer of that folder while it is open.

    A context manager: entering takes the folder's lock (LockedError when another process holds it), mends a
    torn last line and reads which keys are done. Keys are hexadecimal digests and are kept as bytes, so that a
    million of them fit in memory; records are never kept.
    """

    def __init__(self, folder: Path, what: str) -> None:
        self.folder = folder
        self._lock = WriterLock(folder, what)
        self._done: set[bytes] = set()
        self._failed: dict[bytes, str] = {}
        self._journal = -1
        self._failures = -1
        self._dirty = False

    def __enter__(self) -> Self:
        self._lock.__enter__()
        try:
            for name in ("manifest.json", RECORDS, JOURNAL):
                for left in self.folder.glob(f".{name}.*.partial"):  # of a writer that was killed
                    left.unlink()
            self._journal = open_for_append(self.folder / JOURNAL)
            self._failures = open_for_append(self.folder / FAILURES)
            self._scan()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for handle in (self._journal, self._failures):
            if handle >= 0:
                with contextlib.suppress(OSError):
                    os.fsync(handle)
                os.close(handle)
        self._journal = self._failures = -1
        self._lock.__exit__()

    def _scan(self) -> None:
        for name in (RECORDS, JOURNAL):
            for key, _ in keyed_lines(self.folder / name):
                self._done.add(key)
        for key, line in keyed_lines(self.folder / FAILURES):
            self._failed[key] = str(parsed(line, self.folder / FAILURES).get("reason", ""))
        for key in self._done & self._failed.keys():
            del self._failed[key]

    def __len__(self) -> int:
        return len(self._done)

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._done

    def failed(self, key: str) -> str | None:
        """The reason of the recorded failure of `key`, or None."""
        return self._failed.get(bytes.fromhex(key))

    def failures(self, reason: str) -> dict[str, dict[str, Any]]:
        """The last line of each failure for `reason`, by key."""
        lines = keyed_lines(self.folder / FAILURES)
        latest = {key: line for key, line in lines if self._failed.get(key) == reason}
        return {key.hex(): parsed(line, self.folder / FAILURES) for key, line in latest.items()}

    def write(self, record: dict[str, Any]) -> None:
        """Append a finished record. It has reached the operating system when this returns, the disk soon after."""
        self._append(self._journal, record)
        key = bytes.fromhex(record["key"])
        self._done.add(key)
        self._failed.pop(key, None)

    def write_failure(self, failure: dict[str, Any]) -> None:
        """Append a failure: at least `key` and `reason`."""
        self._append(self._failures, failure)
        self._failed[bytes.fromhex(failure["key"])] = failure["reason"]

    def _append(self, handle: int, value: dict[str, Any]) -> None:
        line = (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
        try:
            written = os.write(handle, line)
        except OSError as error:
            raise _cannot_write(self.folder, error) from None
        if written != len(line):
            os.ftruncate(handle, os.fstat(handle).st_size - written)
            raise _cannot_write(self.folder, OSError("no space left on the device"))
        self._dirty = True

    def sync(self) -> None:
        """Bring what was written to the disk."""
        os.fsync(self._journal)
        os.fsync(self._failures)

    @contextlib.asynccontextmanager
    async def syncing(self) -> AsyncIterator[None]:
        """While open, what is written reaches the disk within about a second."""
        task = asyncio.create_task(self._sync_often())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await asyncio.to_thread(os.fsync, self._journal)

    async def _sync_often(self) -> None:
        while True:
            await asyncio.sleep(SYNC_INTERVAL_S)
            if self._dirty:
                self._dirty = False
                await asyncio.to_thread(os.fsync, self._journal)

    def compact(self, order: Callable[[dict[str, Any]], tuple[Any, ...]]) -> int:
        """Move everything finished into records.jsonl, sorted by `order`, atomically; returns how many.

        Of several records with the same place in that order the last stays. Only the positions of the lines are held
        in memory. A crash in between leaves some records in both files, which every reader tolerates; one that has
        the journal open keeps it.
        """
        if os.fstat(self._journal).st_size:
            sources = [self.folder / RECORDS, self.folder / JOURNAL]
            index: dict[tuple[Any, ...], _Line] = {}
            for number, source in enumerate(sources):
                start = 0
                for key, line in keyed_lines(source):
                    record = parsed(line, source)
                    try:
                        index[order(record)] = _Line(key, number, start, len(line))
                    except (KeyError, TypeError) as error:
                        raise _damaged(line, source, f" without what sorts it ({error})") from None
                    start += len(line)
            try:
                ordered = [index[position] for position in sorted(index)]
            except TypeError as error:  # numbers in one line, words in another
                raise DamagedError(f"holds records that cannot be sorted ({error})", where=self.folder) from None
            self._copy_sorted(sources, ordered)
            self._begin_anew()
            self._done = {line.key for line in ordered}
        return len(self._done)

    def _begin_anew(self) -> None:
        """An empty journal in the place of this one, which readers may still have open."""
        with atomic_path(self.folder / JOURNAL):
            pass
        os.close(self._journal)
        self._journal = open_for_append(self.folder / JOURNAL)

    def _copy_sorted(self, sources: list[Path], lines: list[_Line]) -> None:
        with contextlib.ExitStack() as stack, atomic_path(self.folder / RECORDS) as partial:
            streams = [stack.enter_context(path.open("rb")) if path.exists() else None for path in sources]
            with partial.open("wb") as out:
                for line in lines:
                    stream = streams[line.source]
                    if stream is not None:
                        stream.seek(line.start)
                        out.write(stream.read(line.length).rstrip(b"\n") + b"\n")
            partial.touch()
            if (self.folder / RECORDS).exists():
                shutil.copymode(self.folder / RECORDS, partial)


class _Line(NamedTuple):
    """Where a record stands: the number of its file, its first byte there, and how many there are."""

    key: bytes
    source: int
    start: int
    length: int


def open_for_append(path: Path) -> int:
    """A handle for appending; a last line without its end is cut off, because it was never finished."""
    if path.is_symlink():
        raise DamagedError("is a link, and what it leads to is not ours to write", where=path)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    size = os.fstat(handle).st_size
    tail = b""
    start = size
    while start and b"\n" not in tail:
        start = max(0, start - 65536)
        tail = os.pread(handle, size - start, start)
    if size and not tail.endswith(b"\n"):
        os.ftruncate(handle, start + tail.rfind(b"\n") + 1)
    return handle


def keyed_lines(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """(key, line) of every line; raises DamagedError with the line's number where one has no key."""
    if not path.exists():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield _key_of(line), line
            except (ValueError, KeyError, TypeError, RecursionError):
                raise DamagedError(
                    "is not a complete record",
                    where=f"{path}:{number}",
                    remedy="Remove the line: what it held is then asked for again, and nothing else.",
                ) from None


def parsed(line: bytes, path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError, RecursionError):
        raise _damaged(line, path) from None


def _damaged(line: bytes, path: Path, how: str = "") -> DamagedError:
    return DamagedError(
        f"holds a damaged record{how} ({line[:60].decode(errors='replace')}...)",
        where=path,
        remedy="Remove its line: what it held is then asked for again, and nothing else.",
    )


def _key_of(line: bytes) -> bytes:
    """The key of a line. Our own lines begin with it, which saves parsing them all; others are parsed."""
    if line.startswith(_BEGIN) and line[_KEY_END : _KEY_END + 1] == b'"' and line.endswith(b"}\n"):
        return bytes.fromhex(line[len(_BEGIN) : _KEY_END].decode("ascii"))
    return bytes.fromhex(json.loads(line)["key"])


def _cannot_write(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot be written ({error.strerror or error})",
        where=folder,
        remedy="Make room or fix the permissions, then start the same command again: what is finished is kept.",
    )
