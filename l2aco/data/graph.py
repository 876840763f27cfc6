"""The knowledge graph: typed nodes, typed relations, every relation with its inverse.

Node types `drug` and `cell_line` are the data set's own drugs and cell lines in the same order, whether or
not they have edges; a new entity without edges is an isolated node.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.data.triples import distinct
from l2aco.errors import DamagedError, InputError
from l2aco.files import read_arrays

Array = np.ndarray[Any, np.dtype[Any]]
Relation = tuple[str, str, str]
INVERSE = "rev_"


@dataclass(frozen=True)
class KnowledgeGraph:
    """`nodes`: ids by type, in the order of the global numbers. `edges`: int64 (2, E) of local numbers by
    (source type, relation, target type), inverses included as `rev_<relation>`."""

    nodes: dict[str, list[str]]
    edges: dict[Relation, Array]

    @classmethod
    def build(cls, nodes: Mapping[str, list[str]], forward: Mapping[Relation, Array]) -> KnowledgeGraph:
        """A graph of `forward` relations; repeated edges are merged and the inverses added.

        Raises InputError for an edge whose ends are not nodes, or a relation called like an inverse.
        """
        edges: dict[Relation, Array] = {}
        for relation, pairs in forward.items():
            _, _, target = relation
            array = np.asarray(pairs, dtype=np.int64).reshape(2, -1)
            _check_edges(relation, array, nodes)
            width = max(len(nodes[target]), 1)
            edges[relation] = np.stack(np.divmod(distinct(array[0] * width + array[1]), width))
        return cls(nodes={kind: list(ids) for kind, ids in nodes.items()}, edges=_with_inverses(edges))

    @property
    def num_nodes(self) -> int:
        return sum(len(ids) for ids in self.nodes.values())

    @property
    def num_edges(self) -> int:
        """Directed edges, inverses included."""
        return sum(pairs.shape[1] for pairs in self.edges.values())

    def offset(self, kind: str) -> int:
        """The global number of the first node of this type."""
        start = 0
        for name, ids in self.nodes.items():
            if name == kind:
                return start
            start += len(ids)
        raise KeyError(kind)

    def forward(self) -> Iterator[tuple[Relation, Array]]:
        """The relations without their inverses."""
        for relation, pairs in self.edges.items():
            if not relation[1].startswith(INVERSE):
                yield relation, pairs

    def edge_index(self) -> Array:
        """int64 (2, E): all directed edges in global numbers."""
        parts = [
            pairs + np.array([[self.offset(source)], [self.offset(target)]])
            for (source, _, target), pairs in self.edges.items()
        ]
        return np.concatenate(parts, axis=1) if parts else np.zeros((2, 0), dtype=np.int64)

    def degree(self, kind: str) -> Array:
        """int64 (n,): edges that leave each node of this type, inverses included."""
        total = np.zeros(len(self.nodes[kind]), dtype=np.int64)
        for (source, _, _), pairs in self.edges.items():
            if source == kind:
                total += np.bincount(pairs[0], minlength=len(total))
        return total

    def arrays(self) -> dict[str, Array]:
        """Nodes and forward relations, for `of_arrays`."""
        relations = [(relation, pairs.astype(np.int32)) for relation, pairs in self.forward()]
        arrays: dict[str, Array] = {f"edges_{number}": pairs for number, (_, pairs) in enumerate(relations)}
        arrays |= {f"nodes_{number}": np.array(ids, dtype=np.str_) for number, ids in enumerate(self.nodes.values())}
        index = json.dumps({"types": list(self.nodes), "relations": [relation for relation, _ in relations]})
        return {"index": np.frombuffer(index.encode(), dtype=np.uint8), **arrays}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Array]) -> KnowledgeGraph:
        """The graph whose `arrays()` these are; raises KeyError or ValueError where they are none's."""
        index = json.loads(arrays["index"].tobytes())
        nodes = {str(kind): _ids(arrays[f"nodes_{number}"]) for number, kind in enumerate(index["types"])}
        forward = {}
        for number, (source, name, target) in enumerate(index["relations"]):
            pairs = arrays[f"edges_{number}"]
            if pairs.ndim != 2 or len(pairs) != 2 or pairs.dtype.kind not in "iu":
                raise ValueError(f"the edges of '{name}' are no pairs")
            pairs = pairs.astype(np.int64)
            _check_edges((source, name, target), pairs, nodes)
            forward[source, name, target] = pairs
        return cls(nodes, _with_inverses(forward))

    def save(self, path: Path) -> None:
        """Write nodes and forward relations to an .npz without pickles."""
        with path.open("wb") as stream:
            np.savez(stream, **self.arrays())  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> KnowledgeGraph:
        """Read what `save` wrote; raises DamagedError when it cannot be read."""
        try:
            return cls.of_arrays(read_arrays(path))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
            what = error.message if isinstance(error, InputError) else error
            raise DamagedError(f"cannot be read ({what})", where=path, remedy="Import the data set again.") from None


def _ids(array: Array) -> list[str]:
    if array.ndim != 1 or array.dtype.kind != "U":
        raise ValueError("the ids of nodes are no texts")
    ids: list[str] = array.tolist()
    return ids


def _with_inverses(forward: Mapping[Relation, Array]) -> dict[Relation, Array]:
    edges: dict[Relation, Array] = {}
    for (source, name, target), pairs in forward.items():
        edges[source, name, target] = pairs
        edges[target, INVERSE + name, source] = pairs[::-1].copy()
    return edges


def _check_edges(relation: Relation, pairs: Array, nodes: Mapping[str, list[str]]) -> None:
    source, name, target = relation
    if name.startswith(INVERSE):
        raise InputError(f"relation '{name}' is named like an inverse", remedy="Inverses are added by themselves.")
    for end, kind in enumerate((source, target)):
        if kind not in nodes:
            raise InputError(f"relation '{name}' joins '{kind}', which is no node type of the graph")
        if pairs.shape[1] and not 0 <= pairs[end].min() <= pairs[end].max() < len(nodes[kind]):
            raise InputError(f"relation '{name}' has an edge to a {kind} that is no node of the graph")
