"""Whoever writes a folder: one process at a time, and never through a link."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

from l2aco.errors import LockedError, UsageError


def refuse_link(folder: Path) -> None:
    """Raise UsageError where a folder that is to be written is a link: what it leads to may be anybody's."""
    if folder.is_symlink():
        raise UsageError(
            f"is a link to {folder.readlink()}, and nothing is written through the link of a folder",
            where=folder,
            remedy="Name the folder itself. For another disk, have the whole workspace there: --workspace FOLDER.",
        )


class WriterLock:
    """One live writer for a folder.

    The operating system holds the lock, so it is free the moment its owner dies, however that happens;
    the pid beside it is there to be shown. Raises UsageError for a folder that is a link, LockedError naming the pid
    of the live writer; with `waiting`, which is called once, it waits for that one to end instead, and what was there
    to be made may be made then.
    """

    FILE = ".writer.lock"

    def __init__(self, folder: Path, what: str, waiting: Callable[[], object] | None = None) -> None:
        self.folder = folder
        self.what = what
        self.waiting = waiting

    def __enter__(self) -> Self:
        from filelock import FileLock

        refuse_link(self.folder)
        self._pid = self.folder / ".writer.pid"
        self._lock = FileLock(self.folder / self.FILE)
        if not self._taken() and self.waiting is not None:
            self.waiting()
            while not self._taken(timeout=1):
                pass
        if not self._lock.is_locked:
            owner = self._pid.read_text(errors="replace").strip() if self._pid.is_file() else ""
            raise LockedError(
                f"{self.what} is being written by another process (pid {owner if owner.isdigit() else 'unknown'})",
                where=self.folder,
                remedy="Wait for it to end, or stop it; what it has finished is kept.",
            )
        self._pid.unlink(missing_ok=True)  # a link would lead the pid elsewhere
        self._pid.write_text(str(os.getpid()))
        return self

    def _taken(self, timeout: float = 0) -> bool:
        from filelock import Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=timeout)
        except (Timeout, FileNotFoundError):  # held, or its holder has just removed the folder
            return False
        return True

    def __exit__(self, *_: object) -> None:
        self._pid.unlink(missing_ok=True)
        self._lock.release()
