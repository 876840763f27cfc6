"""What is recorded of the machine that a run was made on."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("l2aco", "torch", "torch-geometric", "numpy", "numba", "scipy", "polars", "faiss-cpu", "safetensors")


def describe_machine(threads: int) -> dict[str, Any]:
    """Versions and machine, as they are written to environment.json; no paths, no user, no host name."""
    return {
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        "cpu_count": os.cpu_count(),
        "threads": threads,
        "device": "cpu",
        "cuda": None,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
