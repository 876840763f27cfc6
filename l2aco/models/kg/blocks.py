"""Receptive fields: the part of a graph that can reach the scored nodes, one bipartite block a layer.

Only drugs and cell lines are ever scored. A layer therefore computes its targets alone, from their
in-neighbours alone; the layer before it has those as its targets. The numbers are those of the whole graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

Relation = tuple[str, str, str]


@dataclass(frozen=True)
class Merger:
    """What the sources of a block stand for, where each is the mean of one or several nodes.

    `row_of` (n): the source that stands for each node; `share` (n): the weight of a node in that mean.
    """

    row_of: np.ndarray
    share: np.ndarray

    def means(self, x: Tensor) -> Tensor:
        """The sources' rows (num_src, d) from the nodes' x (n, d)."""
        weighted = x * torch.from_numpy(self.share).to(x.dtype).unsqueeze(1)
        table = x.new_zeros(len(self.members[0]) - 1, x.shape[1])
        return table.index_add(0, torch.from_numpy(self.row_of), weighted)

    @cached_property
    def members(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The distinct shares in each source: pointers (num_src + 1) into them, the shares, and the share that all
        nodes with this one have together."""
        order = np.lexsort((self.share, self.row_of))
        row, share = self.row_of[order], self.share[order]
        first = np.flatnonzero(np.diff(row, prepend=-1) | (np.diff(share, prepend=-1.0) != 0))
        together = np.diff(first, append=len(row)) * share[first]
        return _pointers(row[first], int(row[-1]) + 1 if len(row) else 0), share[first], together


class Block(nn.Module):
    """Edges from `num_src` to `num_dst` nodes as CSR over targets, with its transpose, as buffers of a module.

    For E edges sorted by target: `rowptr` (num_dst + 1), `col` and `row` (E) source and target of each edge, `weight`
    (E) or None. `rowptr_t` (num_src + 1), `row_t` (E) and `perm` (E): the same edges sorted by source, where edge k
    of that order is edge perm[k]. Indices are int64; the targets are the first of the sources.

    Edges may be of several kinds (relations): `slot` (E) is then source * kinds + kind, where a source has one
    attention logit for every kind, and `slotptr` (num_src * kinds + 1) points into the order of `perm`.

    `merger`: what the sources stand for, in general one node each.
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
        merger: Merger | None = None,
    ) -> None:
        """`edges` (2, E): local source and target numbers, distinct, in any order; `weight`, `kind` (E) beside them."""
        super().__init__()
        self.num_src = num_src
        self.num_dst = num_dst
        self.kinds = kinds
        self.merger = merger or Merger(np.arange(num_src), np.ones(num_src))
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

    @property
    def whole(self) -> Block:
        """The block itself; see `Restricted`."""
        return self

    @cached_property
    def targets(self) -> np.ndarray:
        """int64 (num_dst): all targets."""
        return np.arange(self.num_dst)

    @property
    def place(self) -> np.ndarray:
        """int64 (num_dst): where each target stands in `targets`."""
        return self.targets

    def of_targets(self, x: Tensor) -> Tensor:
        """The targets' rows (num_dst, ...) of the sources' x (num_src, ...)."""
        # a slice's gradient fills a table as large as x with zeros, even where the slice is all of x
        return x if self.num_dst == self.num_src else x[: self.num_dst]

    def host(self, name: str) -> np.ndarray:
        """An index of the block as an array; from a GPU it is copied once."""
        indices = vars(self).setdefault("_on_host", {})
        if name not in indices:
            indices[name] = getattr(self, name).cpu().numpy()
        return indices[name]  # type: ignore[no-any-return]

    def edge_index(self, start: int = 0, stop: int | None = None) -> Tensor:
        """int64 (2, E'): source and target of the edges into targets [start, stop), numbered from `start`."""
        first, last = self.rowptr[start], self.rowptr[self.num_dst if stop is None else stop]
        return torch.stack([self.col[first:last], self.row[first:last] - start])


class Restricted:
    """Some targets of a block, for one step on a CPU: the compiled loops pass over the others.

    `targets` (num_dst): rows of the block, ascending; `place`: where each target of the block stands in them, or -1.
    """

    def __init__(self, block: Block, targets: Tensor) -> None:
        self.whole = block
        self.num_src, self.num_dst, self.kinds = block.num_src, len(targets), block.kinds
        self.targets = targets.numpy()
        self.place = np.full(block.num_dst, -1)
        self.place[self.targets] = np.arange(self.num_dst)

    @property
    def num_edges(self) -> int:
        rowptr = self.whole.host("rowptr")
        return int((rowptr[self.targets + 1] - rowptr[self.targets]).sum())

    def of_targets(self, x: Tensor) -> Tensor:
        """The targets' rows (num_dst, ...) of the sources' x (num_src, ...)."""
        return x.index_select(0, torch.from_numpy(self.targets))


Edges = Block | Restricted


def _before(values: np.ndarray) -> np.ndarray:
    """int64 (n + 1): the sum of all values before each place."""
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


def _pointers(sorted_rows: np.ndarray, count: int) -> np.ndarray:
    return _before(np.bincount(sorted_rows, minlength=count))


@dataclass(frozen=True)
class Layer:
    """One layer of message passing: local edges (2, E) by relation with their weights, and how many nodes of each
    type go in and come out. The targets of a type are the first of its sources, in the same order. `merger`: what the
    sources of a `merged` layer stand for.
    """

    edges: dict[Relation, np.ndarray]
    weights: dict[Relation, np.ndarray]
    sources: dict[str, int]
    targets: dict[str, int]
    merger: Merger | None = None

    def block(self, relation: Relation) -> Block:
        """The block of one relation."""
        source, _, target = relation
        sizes = self.sources[source], self.targets[target]
        return Block(self.edges[relation], *sizes, self.weights.get(relation), merger=self.merger)


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
    inside = {kind: _membership(targets[kind], count) for kind, count in num_nodes.items()}
    kept = {relation: np.flatnonzero(inside[relation[2]][pairs[1]]) for relation, pairs in edges.items()}
    reached = {kind: np.zeros(count, dtype=bool) for kind, count in num_nodes.items()}
    for relation, pairs in edges.items():
        reached[relation[0]][pairs[0][kept[relation]]] = True
    if whole_types:
        reached = {kind: np.full_like(mask, mask.any() or inside[kind].any()) for kind, mask in reached.items()}
    sources = {
        kind: np.concatenate([targets[kind], np.flatnonzero(reached[kind] & ~inside[kind])]) for kind in num_nodes
    }
    source_number = {kind: _numbering(sources[kind], count) for kind, count in num_nodes.items()}
    local = {
        relation: np.stack([source_number[relation[0]][pairs[0]], source_number[relation[2]][pairs[1]]])
        for relation, pairs in ((relation, pairs[:, kept[relation]]) for relation, pairs in edges.items())
        if len(targets[relation[2]]) and len(sources[relation[0]])
    }
    kept_weights = {relation: weights[relation][kept[relation]] for relation in local if relation in weights}
    return sources, Layer(local, kept_weights, _counts(sources), _counts(targets))


def merged(layer: Layer, relation: Relation) -> Layer:
    """The layer with one source in the place of all that its sums cannot tell apart.

    Those lead to the same targets, with weights in one proportion: the sums read only their mean by these weights. A
    target stays a source of its own. For a layer of one relation from a type of node to itself, with positive weights.
    """
    kind = relation[0]
    count, own = layer.sources[kind], layer.targets[kind]
    order = np.lexsort(layer.edges[relation][::-1])
    source, target = layer.edges[relation][:, order]
    weight = layer.weights[relation][order]
    total = np.bincount(source, weight, minlength=count)
    leads_to = np.stack([target, np.rint(weight / total[source] * 1e9).astype(np.int64)], axis=1)
    ends = pairwise(_pointers(source, count).tolist())
    keys = [number if number < own else leads_to[slice(*edges)].tobytes() for number, edges in enumerate(ends)]
    place: dict[int | bytes, int] = {}
    row_of = np.array([place.setdefault(key, len(place)) for key in keys], dtype=np.int64)
    sums = np.bincount(row_of, total)[row_of]
    share = np.divide(total, sums, out=np.ones(count), where=sums > 0)
    pairs, of_edge = np.unique(row_of[source] * own + target, return_inverse=True)
    edges, weights = {relation: np.stack(np.divmod(pairs, own))}, {relation: np.bincount(of_edge, weight)}
    return Layer(edges, weights, {kind: len(place)}, layer.targets, Merger(row_of, share))


def _membership(rows: np.ndarray, count: int) -> np.ndarray:
    mask = np.zeros(count, dtype=bool)
    mask[rows] = True
    return mask


def _numbering(rows: np.ndarray, count: int) -> np.ndarray:
    numbers = np.full(count, -1, dtype=np.int64)
    numbers[rows] = np.arange(len(rows))
    return numbers


def _counts(rows: Mapping[str, np.ndarray]) -> dict[str, int]:
    return {kind: len(values) for kind, values in rows.items()}


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
