"""Two profiles of each entity, field by field: of two sets, or two samples of one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError
from l2aco.profiles.numbers import is_numeric, numbers_of
from l2aco.profiles.sets import ProfileSet

if TYPE_CHECKING:
    import numpy as np

Pairs = list[tuple[Any, Any]]
_FEWEST = 3
"""Entities that a rank correlation needs."""


def compare_sets(first: ProfileSet, second: ProfileSet) -> list[dict[str, Any]]:
    """One row a kind and field that both sets have: how far they agree on the entities they share.

    Numbers: Spearman's rank correlation over entities; of a group the median over its columns. Fields with a choice:
    the share of equal values. Lists: the mean Jaccard index of their items without case. Texts: the mean cosine of
    TF-IDF vectors. Each beside the same of values of different entities (`by_chance`).
    """
    shared: dict[str, Pairs] = {}
    for record in first.records():
        if record.sample:
            continue
        entity = Entity(record.entity_id, EntityKind(record.kind), record.entity_name, record.aliases)
        if (other := second.find(entity)) is not None:
            shared.setdefault(record.kind, []).append((record.fields, other.fields))
    return _rows(shared, first.schemas)


def compare_samples(profiles: ProfileSet) -> list[dict[str, Any]]:
    """Rows as of `compare_sets`: the first sample of each entity beside each other one; none where one is all."""
    shared: dict[str, Pairs] = {}
    for record in profiles.records():
        first = profiles.get(record.kind, record.entity_id)
        if first is not None and first.sample != record.sample:
            shared.setdefault(record.kind, []).append((first.fields, record.fields))
    return _rows(shared, profiles.schemas)


def _rows(shared: Mapping[str, Pairs], schemas: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for kind, pairs in shared.items():
        for name, schema in schemas.get(kind, {"properties": {}})["properties"].items():
            values = [(one[name], two[name]) for one, two in pairs if name in one and name in two]
            if values:
                agreement, chance = _agreement(values, schema)
                rows.append(
                    {"kind": kind, "field": name, "entities": len(values), "agreement": agreement, "by_chance": chance}
                )
    return rows


def _agreement(values: Pairs, schema: Mapping[str, Any]) -> tuple[float, float]:
    score: Callable[[Pairs], float]
    if is_numeric(schema):
        values = [pair for pair in (_numbers(pair, schema) for pair in values) if pair is not None]
        score = _ranks
    elif "enum" in schema:
        score = _equal
    elif schema.get("type") == "array":
        score = _jaccard
    else:
        return _text_agreement(values)
    turned = [(one, values[(place + 1) % len(values)][1]) for place, (one, _) in enumerate(values)]
    return score(values), score(turned)


def _numbers(pair: tuple[Any, Any], schema: Mapping[str, Any]) -> tuple[Sequence[Any], Sequence[Any]] | None:
    """The numbers of both values; None where one breaks the schema, which is a finding of its own."""
    with contextlib.suppress(InputError):
        one, two = (list(numbers_of({"": value}, {"properties": {"": schema}}).values()) for value in pair)
        return one, two
    return None


def _ranks(values: Pairs) -> float:
    import numpy as np

    if not values:
        return float("nan")
    one, two = (np.array([pair[side] for pair in values], dtype=np.float64) for side in (0, 1))
    found = [spearman(one[:, column], two[:, column]) for column in range(one.shape[1])]
    known = [value for value in found if value == value]
    return float(np.median(known)) if known else float("nan")


def spearman(one: np.ndarray, two: np.ndarray) -> float:
    """Spearman's rank correlation of float64 (n,), without pairs that have a NaN; NaN for fewer than three pairs, or
    where a side is constant."""
    import numpy as np
    from scipy.stats import spearmanr

    both = np.isfinite(one) & np.isfinite(two)
    if both.sum() < _FEWEST or np.ptp(one[both]) == 0 or np.ptp(two[both]) == 0:
        return float("nan")
    return float(spearmanr(one[both], two[both]).statistic)


def _equal(values: Pairs) -> float:
    return _mean([float(one == two) for one, two in values])


def _jaccard(values: Pairs) -> float:
    return _mean([_overlap(*pair) for pair in values])


def _overlap(one: Any, two: Any) -> float:
    a, b = ({str(item).casefold() for item in (side if isinstance(side, list) else [side])} for side in (one, two))
    return len(a & b) / len(a | b) if a | b else 1.0


def _text_agreement(values: Pairs) -> tuple[float, float]:
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [str(one) for one, _ in values] + [str(two) for _, two in values]
    try:
        vectors = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    except ValueError:  # nothing but signs and single letters
        return _equal(values), float("nan")
    one, two = vectors[: len(values)], vectors[len(values) :]
    own = np.asarray(one.multiply(two).sum(axis=1)).ravel()
    turned = np.asarray(one.multiply(two[np.roll(np.arange(len(values)), -1)]).sum(axis=1)).ravel()
    return float(own.mean()), float(turned.mean())


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)
