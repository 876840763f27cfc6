"""Vectors as a map: where each lies in the plane, and which groups are told apart by colour."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MOST_DRAWN = 1500
LEAST_DRAWN = 5
GROUPS = 7
OTHERS = "others"
Array = np.ndarray[Any, np.dtype[Any]]


def chosen_rows(rows: int) -> Array:
    """int64 (m,): all rows, or as many of them, drawn at random but always the same, as a map can show."""
    if rows <= MOST_DRAWN:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, MOST_DRAWN, replace=False))


def layout(vectors: Array) -> Array:
    """float64 (n, 2) from 0 to 1: t-SNE (van der Maaten and Hinton 2008) of the cosines of vectors (n, D), the same
    each time; n at least LEAST_DRAWN."""
    from sklearn.manifold import TSNE

    vectors = np.nan_to_num(np.asarray(vectors, dtype=np.float64))
    spread = vectors + np.random.default_rng(0).normal(0, 1e-6, vectors.shape)  # equal vectors have no neighbours
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    # at random, since two principal components do not exist of vectors with one dimension
    placed = TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=0).fit_transform(spread)
    placed = placed - placed.min(axis=0)
    return np.asarray(placed / np.maximum(placed.max(axis=0), 1e-12))


def tissue_of(facts: Mapping[str, Any], profile: Mapping[str, Any]) -> str | None:
    """Of a cell line: as a data set has it, else as a profile does."""
    for value in (facts.get("tissue"), profile.get("tissue")):
        if isinstance(value, str) and value.strip():
            return value.strip().casefold().replace("_", " ")
    return None


def class_of(profile: Mapping[str, Any]) -> str | None:
    """Of a drug: the last word of its class. "HMG-CoA reductase inhibitor (statin)" is an inhibitor."""
    value = profile.get("drug_class")
    words = re.split(r"[(;,]", value)[0].split() if isinstance(value, str) else []
    return words[-1].casefold() if words else None


def grouped(names: Sequence[str | None]) -> tuple[list[tuple[str, int]], list[int]]:
    """The largest groups with their sizes, the rest as one more, and the number of each one's group."""
    count = Counter(name for name in names if name is not None)
    largest = [name for name, size in sorted(count.items(), key=lambda item: (-item[1], item[0])) if size > 1][:GROUPS]
    place = {name: at for at, name in enumerate(largest)}
    numbers = [place.get(name, len(largest)) if name is not None else len(largest) for name in names]
    groups = [(name, count[name]) for name in largest]
    rest = numbers.count(len(largest))
    return groups + ([(OTHERS, rest)] if rest else []), numbers
