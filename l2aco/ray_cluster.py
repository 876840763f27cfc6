"""Ray, started or joined in one way by all who hand work to a cluster."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from l2aco.errors import InputError, UnavailableError

ANSWERS_S = 10.0


def join_cluster(address: str | None = None, cores: int | None = None) -> None:
    """Connect to the Ray of `address`, else to a local one of `cores` that is started; where this process is connected
    already, that one stays.

    Raises UnavailableError where Ray is not installed, InputError where nothing answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UnavailableError("Ray is not installed", remedy="Run: pip install 'l2aco[ray]'") from None
    if ray.is_initialized():
        return
    local: dict[str, Any] = {} if address else {"num_cpus": cores, "include_dashboard": False}
    try:
        if address is not None:
            _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"no Ray cluster could be had: {error}", where=address) from None


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT: Ray itself tries for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), ANSWERS_S).close()
