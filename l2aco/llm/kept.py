"""Servers that were left up for the next run, remembered where nobody but this user can write.

A server is ours if we started it: a process of this machine that is still the one that we started, on a loopback port,
under a token that we gave it. What a profile set or any other folder says of servers is not read.
"""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from l2aco.errors import DamagedError
from l2aco.files import read_json, write_json
from l2aco.workspace import user_cache


@dataclass(frozen=True)
class KeptServer:
    """A server on 127.0.0.1: its port, the token that it asks for, and its process with the moment of its start."""

    port: int
    token: str
    pid: int
    started: str


def keep_server(identity: str, port: int, token: str, pid: int) -> None:
    """Remember a server by a hash of all that it serves and how."""
    path = _path(identity)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    write_json(path, asdict(KeptServer(port, token, pid, _start_of(pid))))
    path.chmod(0o600)


def find_server(identity: str) -> KeptServer | None:
    """The server of this identity, if its process still runs."""
    path = _path(identity)
    try:
        owners = {path.stat().st_uid, path.parent.stat().st_uid}
        server = KeptServer(**read_json(path))
    except (OSError, TypeError, DamagedError):
        return None
    kinds = {"port": int, "token": str, "pid": int, "started": str}
    if owners != {os.getuid()} or any(type(getattr(server, name)) is not kind for name, kind in kinds.items()):
        return None
    return server if server.started and server.started == _start_of(server.pid) else None


def _path(identity: str) -> Path:
    return user_cache() / "servers" / f"{platform.node() or 'here'}-{identity}.json"


def _start_of(pid: int) -> str:
    """When a process began, in whatever way this system counts; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return ""
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()
