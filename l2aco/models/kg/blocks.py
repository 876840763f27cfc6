"""Receptive fields: the part of a graph that can reach the scored nodes, one bipartite block a layer.

Only drugs and cell lines are ever scored. A layer therefore computes its targets alone, from their
in-neighbours alone; the layer before it has those as its targets. The numbers are those of the whole graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

Relation = tuple[str, str, str]


class Block(nn.Module):
    """Edges from `num_src` to `num_dst` nodes as CSR over targets, with its transpose, as buffers of a module.

    For E edges sorted by target: `rowptr` (num_dst + 1), `col` and `row` (E) source and target of each edge, `weight`
    (E) or None. `rowptr_t` (num_src + 1), `row_t` (E) and `perm` (E): the same edges sorted by source, where edge k
    of that order is edge perm[k]. Indices are int64; the targets are the first of the sources.

    Edges may be of several kinds (relations): `slot` (E) is then source * kinds + kind, where a source has one
    attention logit for every kind, and `slotptr` (num_src * kinds + 1) points into the order of `perm`.

    `kernels`: what passes its messages, see `GraphConfig`.
    """

    rowptr: Tensor
    col: Tensor
    row: Tensor
    rowptr_t: Tensor
    row_t: Tensor
    perm: Tensor
    slot: Tensor
    slotptr: Tensor
    weight: Tensor | None
    weight_t: Tensor | None

    def __init__(
        self,
        edges: np.ndarray,
        num_src: int,
        num_dst: int,
        weight: np.ndarray | None = None,
        kind: np.ndarray | None = None,
        kinds: int = 1,
        kernels: str = "auto",
    ) -> None:
        """`edges` (2, E): local source and target numbers, distinct, in any order; `weight`, `kind` (E) beside them."""
        super().__init__()
        self.num_src = num_src
        self.num_dst = num_dst
        self.kinds = kinds
        self.kernels = kernels
        order = np.lexsort((edges[0], edges[1]))
        source, target = edges[0][order], edges[1][order]
        slot = source * kinds + (0 if kind is None else kind[order])
        perm = np.argsort(slot, kind="stable")
        slotptr = _pointers(slot, num_src * kinds)
        arrays = {
            "rowptr": _pointers(target, num_dst),
            "col": source,
            "row": target,
            "slot": slot,
            "slotptr": slotptr,
            "rowptr_t": slotptr[::kinds],
            "row_t": target[perm],
            "perm": perm,
        }
        for name, values in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)), persistent=False)
        for name, chosen in (("weight", order), ("weight_t", order[perm])):
            tensor = None if weight is None else torch.from_numpy(weight[chosen]).to(torch.get_default_dtype())
            self.register_buffer(name, tensor, persistent=False)

    @property
    def num_edges(self) -> int:
        return self.col.numel()

    def host(self, name: str) -> np.ndarray:
        """One of its tensors as an array; from a GPU it is copied once."""
        indices = vars(self).setdefault("_on_host", {})
        if name not in indices:
            indices[name] = getattr(self, name).cpu().numpy()
        return indices[name]  # type: ignore[no-any-return]


class Attention(NamedTuple):
    """What `sums.attention_sum` is given; `mask` (E, H) scales the attention weights."""

    x: Tensor
    source: Tensor
    target_logit: Tensor
    mask: Tensor | None
    slope: float

    def by_logits(self) -> Attention:
        """With logits in the place of the map to them, and inputs that all heads share as those of one."""
        if self.x.dim() == 3:
            return self
        logits = (self.x @ self.source).view(-1, self.target_logit.shape[1])
        return self._replace(x=self.x.unsqueeze(1), source=logits)


def picked(values: Tensor, rows: Tensor | None) -> Tensor:
    """These rows of values (n, ...); None: all."""
    return values if rows is None else values.index_select(0, rows)


def _pointers(sorted_rows: np.ndarray, count: int) -> np.ndarray:
    """int64 (count + 1): where each row begins in `sorted_rows`."""
    return np.concatenate([[0], np.bincount(sorted_rows, minlength=count).cumsum()])


@dataclass(frozen=True)
class Layer:
    """One layer of message passing: local edges (2, E) by relation with their weights, and how many nodes of each
    type go in and come out. The targets of a type are the first of its sources, in the same order.
    """

    edges: dict[Relation, np.ndarray]
    weights: dict[Relation, np.ndarray]
    sources: dict[str, int]
    targets: dict[str, int]


def receptive_field(
    num_nodes: Mapping[str, int],
    edges: Mapping[Relation, np.ndarray],
    targets: Mapping[str, np.ndarray],
    layers: int,
    weights: Mapping[Relation, np.ndarray] | None = None,
    *,
    whole_types: bool = False,
) -> tuple[list[Layer], dict[str, np.ndarray]]:
    """The layers, first to last, that compute the target nodes, and the input nodes of the first layer by type.

    `edges`: (2, E) local numbers by (source type, name, target type); `weights` (E) beside them. The last
    layer's outputs are `targets` in their order.
    """
    rows = {kind: np.asarray(targets.get(kind, ()), dtype=np.int64) for kind in num_nodes}
    found: list[Layer] = []
    for _ in range(layers):
        rows, layer = _layer(num_nodes, edges, rows, weights or {}, whole_types)
        found.append(layer)
    return found[::-1], rows


def _layer(
    num_nodes: Mapping[str, int],
    edges: Mapping[Relation, np.ndarray],
    targets: Mapping[str, np.ndarray],
    weights: Mapping[Relation, np.ndarray],
    whole_types: bool,
) -> tuple[dict[str, np.ndarray], Layer]:
    at = {kind: places(targets[kind], count) for kind, count in num_nodes.items()}
    kept = {relation: np.flatnonzero(at[relation[2]][pairs[1]] >= 0) for relation, pairs in edges.items()}
    reached = {kind: np.zeros(count, dtype=bool) for kind, count in num_nodes.items()}
    for relation, pairs in edges.items():
        reached[relation[0]][pairs[0][kept[relation]]] = True
    if whole_types:
        reached = {kind: np.full_like(mask, mask.any() or len(targets[kind])) for kind, mask in reached.items()}
    rows = {kind: np.concatenate([targets[kind], np.flatnonzero(reached[kind] & (at[kind] < 0))]) for kind in num_nodes}
    at = {kind: places(rows[kind], count) for kind, count in num_nodes.items()}
    local = {
        relation: np.stack([at[relation[0]][pairs[0, kept[relation]]], at[relation[2]][pairs[1, kept[relation]]]])
        for relation, pairs in edges.items()
        if len(targets[relation[2]]) and len(rows[relation[0]])
    }
    kept_weights = {relation: weights[relation][kept[relation]] for relation in local if relation in weights}
    sizes = ({kind: len(values) for kind, values in some.items()} for some in (rows, targets))
    return rows, Layer(local, kept_weights, *sizes)


def places(rows: np.ndarray, count: int) -> np.ndarray:
    """Where each of `count` nodes stands in `rows`; -1 where it does not."""
    found = np.full(count, -1, dtype=np.int64)
    found[rows] = np.arange(len(rows))
    return found


def symmetric_normalisation(edges: np.ndarray, count: int) -> np.ndarray:
    """float64 (E): 1 / sqrt(out-degree of the source x in-degree of the target) of each edge (2, E)."""
    leaving = np.bincount(edges[0], minlength=count)
    arriving = np.bincount(edges[1], minlength=count)
    return 1.0 / np.sqrt(leaving[edges[0]].astype(np.float64) * arriving[edges[1]])


def mean_weights(edges: np.ndarray, count: int) -> np.ndarray:
    """float64 (E): 1 / in-degree of the target of each edge (2, E)."""
    return 1.0 / np.bincount(edges[1], minlength=count)[edges[1]]


def with_self_loops(edges: np.ndarray, count: int) -> np.ndarray:
    """The distinct edges (2, E') with one loop at every node."""
    loops = np.arange(count, dtype=np.int64)
    return distinct(np.concatenate([edges, np.stack([loops, loops])], axis=1), count)


def distinct(edges: np.ndarray, count: int) -> np.ndarray:
    """The distinct edges (2, E'), sorted by source and target."""
    return np.stack(np.divmod(np.unique(edges[0] * max(count, 1) + edges[1]), max(count, 1)))
