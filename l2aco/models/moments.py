"""Moments of columns of which not every number is known."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def moments(values: Array) -> tuple[Array, Array]:
    """Mean and standard deviation (p,) of the known numbers of each column of values (n, p; NaN: not known); 0 and 0
    where none is."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    return mean, np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count)
