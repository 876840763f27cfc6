"""Loops that numba compiles for the CPU: what torch writes as dozens of passes over memory, in one.

Each has a counterpart in torch operations, for GPUs, mixed precision and torch.compile; tests hold the two together.
See docs/design/fast-graph.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

OPTIONS: Any = {
    "nogil": True,
    "error_model": "numpy",
    # sums may be reordered, as in any vector code; NaN and infinity keep their meaning
    "fastmath": {"contract", "reassoc", "nsz"},
}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Machine code for `function`, made at its first call for each combination of types and kept on disk."""
    try:
        return numba.njit(cache=True, **OPTIONS)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder for the cache may be written: every process compiles anew
        return numba.njit(**OPTIONS)(function)  # type: ignore[no-any-return]


def for_cpu(*tensors: Tensor) -> bool:
    """Whether compiled loops can run on these tensors."""
    return not torch.compiler.is_compiling() and all(
        x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and x.dtype == tensors[0].dtype
        for x in tensors
    )


def array(x: Tensor) -> np.ndarray:
    """The tensor's memory as an array, in C order."""
    return x.detach().contiguous().numpy()
