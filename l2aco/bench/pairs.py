"""DREAM's measure: in which lines does a pair work? Of every pair and every draw of the lines, in one pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from l2aco.bench.rows import Array, Rows

FEWEST = 5
"""Lines of a pair."""
AT_ONCE = 2**16
"""Numbers of a table of pairs by draws: several such stay in a processor's cache."""
FLAT = 1e-5
"""Share of a spread that rounding alone may make."""


def pair_correlation(rows: Rows, prediction: Array, weights: Array) -> Array:
    """(w,), or (k, w) of several predictions (k, n): correlation of predicted and measured scores of a pair over lines,
    the mean over pairs with at least five lines, and over seeds. A mean over the other lines is below 0: where a line
    is high, the others are low.

    The first of `weights` is the data as they are. A line that is drawn twice agrees with itself, so that draws lie
    nearer to 0, on the whole, than the data: they are moved by as much.
    """
    values, drawn = np.atleast_2d(prediction), np.ascontiguousarray(weights.T, dtype=np.float32)
    total, count = np.zeros((2, len(values), len(weights)))
    for seed in np.unique(rows.seed):
        at = np.flatnonzero(np.isfinite(rows.score) & (rows.seed == seed))
        found = _of_seed(rows.take(at), values[:, at], drawn)
        known = np.isfinite(found)
        total[known] += found[known]
        count += known
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    known = np.isfinite(mean[:, 1:])
    of_draws = np.where(known, mean[:, 1:], 0.0).sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1)[:, None], 1)
    mean[:, 1:] = np.clip(mean[:, 1:] + mean[:, :1] - of_draws, -1.0, 1.0)
    return mean if prediction.ndim > 1 else mean[0]


def _of_seed(rows: Rows, values: Array, drawn: Array) -> Array:
    """(k, w), NaN where no pair has enough lines."""
    total, count = np.zeros((2, len(values), drawn.shape[1]))
    for pair, at in _blocks(rows.pair, max(1, AT_ONCE // drawn.shape[1])):
        size = (int(pair[-1]) + 1, drawn.shape[0])
        where = pair * size[1] + rows.group[at]

        def over_draws(moment: Array, where: Array = where, size: tuple[int, int] = size) -> Array:
            table = np.bincount(where, moment, minlength=size[0] * size[1]).reshape(size)
            return np.asarray(table.astype(np.float32) @ drawn)

        y = _centred(rows.score[at], pair)
        n, sy, syy = over_draws(np.ones(len(at))), over_draws(y), over_draws(y * y)
        inverse = 1 / np.maximum(n, 1)
        spread_y = syy - sy * sy * inverse
        defined = (n >= 2) & (spread_y > FLAT * syy)
        count += defined.sum(axis=0)
        mean_y, weight = sy * inverse, 1 / np.sqrt(np.where(defined, spread_y, 1))
        for number, value in enumerate(values):
            x = _centred(value[at], pair)
            sx, sxx = over_draws(x), over_draws(x * x)
            spread_x = sxx - sx * sx * inverse
            known = defined & (spread_x > FLAT * sxx)
            found = (over_draws(x * y) - sx * mean_y) * weight
            total[number] += np.where(known, found / np.sqrt(np.where(known, spread_x, 1)), 0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _blocks(pair: Array, size: int) -> Iterator[tuple[Array, Array]]:
    """So many pairs that have enough rows at a time: their numbers within the block, ascending, and their rows."""
    _, number, count = np.unique(pair, return_inverse=True, return_counts=True)
    at = np.flatnonzero(count[number] >= FEWEST)
    if not len(at):
        return
    _, number = np.unique(number[at], return_inverse=True)
    order = np.argsort(number, kind="stable")
    at, number = at[order], number[order]
    for start in range(0, int(number[-1]) + 1, size):
        here = slice(*np.searchsorted(number, [start, start + size]))
        yield number[here] - start, at[here]


def _centred(value: Array, pair: Array) -> Array:
    """Less the mean of its pair, which no correlation sees, so that single precision is enough for its moments."""
    mean = np.bincount(pair, value) / np.bincount(pair)
    found = value - mean[pair]
    return np.where(np.abs(found) > FLAT * np.abs(value), found, 0.0)
