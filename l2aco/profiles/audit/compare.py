"""Two profile sets of the same entities, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2aco.entities import Entity, EntityKind
from l2aco.profiles.sets import ProfileSet


def compare_sets(first: ProfileSet, second: ProfileSet) -> list[dict[str, Any]]:
    """One row a kind and field that both sets have: how far they agree on the entities they share.

    Fields with a choice: the share of equal values. Lists: the mean Jaccard index of their items without case.
    Texts: the mean cosine of TF-IDF vectors, beside that of texts of different entities (`by_chance`).
    """
    shared: dict[str, list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
    for record in first.records():
        if record.sample:
            continue
        entity = Entity(record.entity_id, EntityKind(record.kind), record.entity_name, record.aliases)
        if (other := second.find(entity)) is not None:
            shared.setdefault(record.kind, []).append((record.fields, other.fields))
    rows = []
    for kind, pairs in shared.items():
        for name, schema in first.schemas[kind]["properties"].items():
            values = [(one[name], two[name]) for one, two in pairs if name in one and name in two]
            if values:
                agreement, chance = _agreement(values, schema)
                rows.append(
                    {"kind": kind, "field": name, "entities": len(values), "agreement": agreement, "by_chance": chance}
                )
    return rows


def _agreement(values: list[tuple[Any, Any]], schema: Mapping[str, Any]) -> tuple[float, float]:
    if "enum" in schema:
        score = _equal
    elif schema.get("type") == "array":
        score = _jaccard
    else:
        return _text_agreement(values)
    turned = [(one, values[(place + 1) % len(values)][1]) for place, (one, _) in enumerate(values)]
    return _mean([score(*pair) for pair in values]), _mean([score(*pair) for pair in turned])


def _equal(one: Any, two: Any) -> float:
    return float(one == two)


def _jaccard(one: Any, two: Any) -> float:
    a, b = ({str(item).casefold() for item in side} for side in (one, two))
    return len(a & b) / len(a | b) if a | b else 1.0


def _text_agreement(values: list[tuple[Any, Any]]) -> tuple[float, float]:
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [str(one) for one, _ in values] + [str(two) for _, two in values]
    try:
        vectors = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    except ValueError:  # nothing but signs and single letters
        return _mean([_equal(*pair) for pair in values]), float("nan")
    one, two = vectors[: len(values)], vectors[len(values) :]
    own = np.asarray(one.multiply(two).sum(axis=1)).ravel()
    turned = np.asarray(one.multiply(two[np.roll(np.arange(len(values)), -1)]).sum(axis=1)).ravel()
    return float(own.mean()), float(turned.mean())


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)
