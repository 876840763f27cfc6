"""Molecules side by side as one graph, batched once for each distinct drug."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from l2aco.data.features.table import GraphTable
from l2aco.models.kg.blocks import Block, symmetric_normalisation, with_self_loops


class MoleculeBatch(NamedTuple):
    """The molecules of `drugs` drugs: atoms (A, F), bonds with a loop at every atom as a block with the symmetric
    normalisation of a graph convolution, and whose each atom is, int64 (A,)."""

    atoms: Tensor
    bonds: Block
    owner: Tensor
    drugs: int

    def strongest(self, x: Tensor) -> Tensor:
        """(drugs, d): the maximum of x (A, d) over the atoms of each drug; zero for one without atoms."""
        pooled = x.new_zeros(self.drugs, x.shape[1])
        return pooled.scatter_reduce(0, self.owner.unsqueeze(1).expand_as(x), x, "amax", include_self=False)


class Molecules:
    """The molecules of all drugs that a model knows; the last batch is kept, since most steps read the same drugs."""

    def __init__(self, table: GraphTable) -> None:
        self.table = table
        self._last: tuple[tuple[object, ...], MoleculeBatch] | None = None

    def batch(self, rows: Tensor | None, like: Tensor) -> MoleculeBatch:
        """Of the drugs at these rows (None: all), on the device and in the precision of `like`."""
        asked = np.arange(len(self.table.mask)) if rows is None else rows.cpu().numpy()
        key = (asked.tobytes(), like.device, like.dtype)
        if self._last is None or self._last[0] != key:
            self._last = key, batched(self.table, asked, like)
        return self._last[1]


def batched(table: GraphTable, rows: np.ndarray, like: Tensor) -> MoleculeBatch:
    """The molecules of `table` at these rows."""
    atoms, bonds, owner = table.batch(rows)
    edges = with_self_loops(bonds, len(atoms))
    block = Block(edges, len(atoms), len(atoms), symmetric_normalisation(edges, len(atoms)))
    return MoleculeBatch(
        torch.from_numpy(atoms).to(like), block.to(like.device), torch.from_numpy(owner).to(like.device), len(rows)
    )
