"""Profiles of different entities that say nearly the same."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from l2aco.profiles.record import ProfileRecord

NEAR = 0.8
_PERMUTATIONS = 128
_BANDS = (11, 11)
"""Bands and their rows: of texts as near as NEAR these find 0.6, of those at 0.9 all but 0.02; of those at 0.6 0.04."""


@dataclass(frozen=True)
class Group:
    """Entities of one kind whose texts are near to that of the first. `similarity` is the lowest of theirs."""

    kind: str
    names: tuple[str, ...]
    similarity: float


def find_groups(records: Iterable[ProfileRecord], near: float = NEAR) -> list[Group]:
    """Groups of at least two entities, the largest first.

    The similarity of two texts is the share of their pairs of neighbouring words that both have (Jaccard), as MinHash
    estimates it with a standard error of at most 0.04 (Broder 1997). A text joins the group whose first text it is
    most like, so that time and memory grow with the number of texts and not with that of pairs.
    """
    texts: dict[str, list[tuple[str, str]]] = {}
    for record in records:
        if record.sample == 0:
            texts.setdefault(record.kind, []).append((record.entity_name, record.text))
    found = [group for kind, rows in texts.items() for group in _groups(kind, rows, near)]
    return sorted(found, key=lambda group: (-len(group.names), group.kind, group.names))


def _groups(kind: str, rows: list[tuple[str, str]], near: float) -> Iterator[Group]:
    import numpy as np
    from datasketch import MinHash, MinHashLSH

    pairs = (_word_pairs(text) for _, text in rows)
    index = MinHashLSH(num_perm=_PERMUTATIONS, params=_BANDS)
    firsts = np.empty((len(rows), _PERMUTATIONS), dtype=np.uint32)
    members: dict[int, list[tuple[str, float]]] = {}
    sketches = MinHash.generator(pairs, num_perm=_PERMUTATIONS, hashfunc=zlib.crc32)
    for (name, _), sketch in zip(rows, sketches, strict=True):
        candidates = np.array(index.query(sketch), dtype=np.int64)
        alike = (firsts[candidates] == sketch.hashvalues).mean(axis=1)
        if len(alike) and alike.max() >= near:
            members[int(candidates[alike.argmax()])].append((name, float(alike.max())))
        else:
            firsts[len(members)] = sketch.hashvalues
            index.insert(len(members), sketch)
            members[len(members)] = [(name, 1.0)]
    for group in members.values():
        if len(group) > 1:
            yield Group(kind, tuple(name for name, _ in group), min(similarity for _, similarity in group))


def _word_pairs(text: str) -> list[bytes]:
    words = text.casefold().encode(errors="replace").split()
    return list({one + b" " + two for one, two in itertools.pairwise(words)}) or [b" ".join(words)]
