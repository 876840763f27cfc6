"""Neighbour sampling (Hamilton et al. 2017): a step's share of a graph whose activations do not fit in memory."""

from __future__ import annotations

import numpy as np
import torch

from l2aco.models.kg.blocks import Block, places


def sample(block: Block, targets: np.ndarray, own: np.ndarray, neighbours: int) -> tuple[Block, np.ndarray]:
    """The block of at most `neighbours` in-edges for each of `targets`, and the rows of the sources that it reads:
    first `own`, then all others.

    Neighbours are drawn with replacement. A weighted block keeps its expected sum: a drawn edge weighs its own
    weight x in-degree / draws, summed over repeats; a block without weights keeps the distinct edges drawn.
    """
    edges, weight = _draw(block, targets, neighbours)
    columns = block.host("col")[edges]
    into = np.searchsorted(block.host("rowptr"), edges, side="right") - 1
    sources = np.concatenate([own, np.setdiff1d(columns, own)])
    local = np.stack([places(sources, block.num_src)[columns], places(targets, block.num_dst)[into]])
    kind = block.host("slot")[edges] % block.kinds if block.kinds > 1 else None
    sampled = Block(local, len(sources), len(targets), weight, kind, block.kinds, block.kernels)
    return sampled.to(block.col.device), sources


def _draw(block: Block, rows: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Distinct edge numbers into `rows`, and their weights."""
    rowptr = block.host("rowptr")
    degree = rowptr[rows + 1] - rowptr[rows]
    few = degree <= neighbours
    whole = _ranges(rowptr[rows[few]], degree[few])
    many = rows[~few]
    chance = torch.rand(len(many), neighbours, dtype=torch.float64).numpy()
    drawn = rowptr[many, None] + (chance * degree[~few, None]).astype(np.int64)
    edges, times = np.unique(drawn, return_counts=True)
    chosen = np.concatenate([whole, edges]).astype(np.int64)
    if block.weight is None:
        return chosen, None
    all_degrees = np.diff(rowptr)
    of_drawn = all_degrees[np.searchsorted(rowptr, edges, side="right") - 1]
    scale = np.concatenate([np.ones(len(whole)), times * of_drawn / neighbours])
    return chosen, block.host("weight")[chosen].astype(np.float64) * scale


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The numbers start, start + 1, ... of every range, one range after another."""
    before = np.concatenate([[0], lengths.cumsum()])
    return np.repeat(starts - before[:-1], lengths) + np.arange(before[-1])
