"""Ray: the cluster at an address, or one on this machine."""

from __future__ import annotations

import importlib
import logging
import os
import socket
from urllib.parse import urlsplit

from l2aco.errors import InputError, UnavailableError

PATIENCE_S = 10.0
_BY_ITSELF = ("auto", "local")
"""Words that Ray takes for an address."""
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How a client of gRPC begins: HTTP/2's preface and an empty SETTINGS frame (RFC 9113, 3.4), answered in kind."""
_SETTINGS = 4


def start_ray(address: str | None, cores: int | None = None, *, also: str = "ray") -> bool:
    """Join the cluster at `address` (or at RAY_ADDRESS), else start one here, of `cores`; False where this process has
    one already, which is kept.

    Raises UnavailableError where Ray, or the module `also` of it, is not installed, InputError where no cluster answers
    at the address in time: Ray itself would go on asking for minutes.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # else what Ray has to say of a worker comes when the process ends
    try:
        importlib.import_module(also)
        import ray
    except ImportError:
        raise UnavailableError("Ray is not installed", remedy="Run: pip install 'l2aco[ray]'") from None
    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address not in (None, *_BY_ITSELF):
        _refuse_silence(str(address))
    how = {"address": address} if address else {"num_cpus": cores, "include_dashboard": False}
    try:
        ray.init(**how, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"no Ray cluster could be had: {error}", where=address) from None
    return True


def _refuse_silence(address: str) -> None:
    remedy = "Look whether the cluster runs (on its head node: ray start --head --port=6379) and give that host:port."
    try:
        found = urlsplit(address if "//" in address else f"//{address}")
        host, port = found.hostname, found.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise InputError("is no address of a Ray cluster", where=address, remedy=remedy)
    try:
        with socket.create_connection((host, port), timeout=PATIENCE_S) as connection:
            connection.sendall(_GREETING)
            answer = connection.recv(9)
    except OSError as error:
        raise InputError(f"no Ray cluster answers ({error})", where=address, remedy=remedy) from None
    if os.environ.get("RAY_USE_TLS", "0") != "1" and answer[3:4] != bytes([_SETTINGS]):
        raise InputError("what answers is no Ray cluster", where=address, remedy=remedy)
