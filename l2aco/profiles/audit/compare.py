"""Two profiles of each entity, field by field: of two sets, or two samples of one."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError
from l2aco.profiles.numbers import is_numeric, numbers_of
from l2aco.profiles.sets import ProfileSet

if TYPE_CHECKING:
    import numpy as np

Pair = tuple[str, Any, Any]
"""An entity, and what two profiles of it say."""
Likeness = Callable[[Sequence[int]], list[float]]
"""How like the first value of each pair is to the second one of another, by the places of these."""
_FEWEST = 3
"""Entities that a rank correlation needs."""
DEALINGS = 20


def compare_sets(first: ProfileSet, second: ProfileSet) -> list[dict[str, Any]]:
    """One row a kind and field that both sets have: how far they agree on the entities they share.

    Numbers: Spearman's rank correlation over entities; of a group the median over its columns. Fields with a choice:
    the share of equal values. Lists: the mean Jaccard index of their items without case. Texts: the mean cosine of
    TF-IDF vectors. `by_chance`: the mean of the same over DEALINGS random dealings of the values to other entities;
    None of ranks, where it is 0.
    """
    shared: dict[str, list[Pair]] = {}
    for record in first.records():
        if record.sample:
            continue
        entity = Entity(record.entity_id, EntityKind(record.kind), record.entity_name, record.aliases)
        if (other := second.find(entity)) is not None:
            shared.setdefault(record.kind, []).append((record.entity_id, record.fields, other.fields))
    return _rows(shared, first.schemas)


def compare_samples(profiles: ProfileSet) -> list[dict[str, Any]]:
    """Rows as of `compare_sets`: the first sample of each entity beside each other one; none where one is all."""
    shared: dict[str, list[Pair]] = {}
    for record in profiles.records():
        first = profiles.get(record.kind, record.entity_id)
        if first is not None and first.sample != record.sample:
            shared.setdefault(record.kind, []).append((record.entity_id, first.fields, record.fields))
    return _rows(shared, profiles.schemas)


def _rows(shared: Mapping[str, list[Pair]], schemas: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for kind, pairs in shared.items():
        for name, schema in schemas.get(kind, {"properties": {}})["properties"].items():
            values = [(key, one[name], two[name]) for key, one, two in pairs if name in one and name in two]
            if values:
                agreement, chance = _agreement(values, schema)
                rows.append(
                    {"kind": kind, "field": name, "entities": len(values), "agreement": agreement, "by_chance": chance}
                )
    return rows


def _agreement(values: list[Pair], schema: Mapping[str, Any]) -> tuple[float, float | None]:
    if is_numeric(schema):
        both = (_numbers((one, two), schema) for _, one, two in values)
        return _ranks([pair for pair in both if pair is not None]), None
    if "enum" in schema:
        likeness = _by_pair(_equal, values)
    elif schema.get("type") == "array":
        likeness = _by_pair(_overlap, values)
    else:
        likeness = _of_texts(values)
    return _mean(likeness(range(len(values)))), _by_chance(likeness, [key for key, _, _ in values])


def _by_chance(likeness: Likeness, whose: list[str]) -> float:
    """The mean over dealings, of values of different entities."""
    dealt, found = random.Random(0), list[float]()
    for _ in range(DEALINGS):
        others = dealt.sample(range(len(whose)), len(whose))
        scores = zip(likeness(others), whose, others, strict=True)
        found += [score for score, key, other in scores if key != whose[other]]
    return _mean(found) if found else float("nan")


def _by_pair(score: Callable[[Any, Any], float], values: list[Pair]) -> Likeness:
    return lambda others: [score(one, values[other][2]) for (_, one, _), other in zip(values, others, strict=True)]


def _numbers(pair: tuple[Any, Any], schema: Mapping[str, Any]) -> tuple[Sequence[Any], Sequence[Any]] | None:
    """The numbers of both values; None where one breaks the schema, which is a finding of its own."""
    with contextlib.suppress(InputError):
        one, two = (list(numbers_of({"": value}, {"properties": {"": schema}}).values()) for value in pair)
        return one, two
    return None


def _ranks(values: Sequence[tuple[Sequence[Any], Sequence[Any]]]) -> float:
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


def _equal(one: Any, two: Any) -> float:
    return float(one == two)


def _overlap(one: Any, two: Any) -> float:
    a, b = ({str(item).casefold() for item in (side if isinstance(side, list) else [side])} for side in (one, two))
    return len(a & b) / len(a | b) if a | b else 1.0


def _of_texts(values: list[Pair]) -> Likeness:
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [str(one) for _, one, _ in values] + [str(two) for _, _, two in values]
    try:
        vectors = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    except ValueError:  # nothing but signs and single letters
        return _by_pair(_equal, values)
    one, two = vectors[: len(values)], vectors[len(values) :]
    return lambda others: np.asarray(one.multiply(two[list(others)]).sum(axis=1)).ravel().tolist()


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)
