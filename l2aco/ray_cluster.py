"""Ray, started or joined in one way by all who hand work to a cluster."""

from __future__ import annotations

import logging
import os
from typing import Any

from l2aco.errors import InputError, UnavailableError


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
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"no Ray cluster could be had: {error}", where=address) from None
