"""Where a run computes: the device, the CPU threads, and what is recorded of the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from l2aco.errors import UnavailableError, UsageError
from l2aco.runs.environment import describe_machine


def choose_device(name: str) -> torch.device:
    """`auto` is the first GPU, else the CPU; raises UsageError or UnavailableError for what is not there."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"'{name}' is no device", remedy="Use auto, cpu or cuda:0.") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"L2aCo does not compute on '{name}'", remedy="Use auto, cpu or cuda:0.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UnavailableError(
            f"there is no device '{name}' ({torch.cuda.device_count()} GPUs seen)", remedy="Use --device auto or cpu."
        )
    return device


@contextmanager
def computing(device: torch.device, threads: int) -> Iterator[None]:
    """Fix the CPU threads and, on a GPU, deterministic kernels, inside the block."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def describe_environment(device: torch.device, threads: int) -> dict[str, Any]:
    """`describe_machine`, with the device."""
    gpu = device.type == "cuda"
    return describe_machine(threads) | {
        "device": torch.cuda.get_device_name(device) if gpu else "cpu",
        "cuda": torch.version.cuda if gpu else None,
    }
