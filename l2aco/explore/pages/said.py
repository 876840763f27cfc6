"""What profiles say of an entity: texts side by side, numbers as bars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from l2aco.entities import Entity
from l2aco.errors import L2aCoError
from l2aco.explore.page import Cell, Grid, Links, Part, Shelf, Side, bar, cell, facts, grid
from l2aco.explore.site import Notes, Site
from l2aco.profiles.numbers import is_numeric, number_groups, numbers_of
from l2aco.profiles.record import NOT_EMBEDDED, ProfileRecord
from l2aco.profiles.sets import ProfileSet


@dataclass(frozen=True)
class _Said:
    """What one set says: `texts`, all that is not drawn as a number, by field."""

    of: ProfileSet
    record: ProfileRecord
    source: Cell
    texts: dict[str, str]


def profiles(site: Site, entity: Entity, notes: Notes) -> Iterator[Part]:
    """The fields that several sets have side by side, then what each set has alone, then all numbers as bars."""
    found = []
    for key, one in site.sets(notes).items():
        try:
            if (record := one.find(entity)) is not None:
                found.append(_said(key, one, record))
        except L2aCoError as error:
            notes.say(f"Left out: {error}")
    times = Counter(name for said in found for name in said.texts)
    shared = [name for name, number in times.items() if number > 1]
    if shared:
        rows = [
            (name.replace("_", " "), [(said.source, said.texts[name]) for said in found if name in said.texts])
            for name in shared
        ]
        yield Side(rows)
    for said in found:
        if alone := {name: text for name, text in said.texts.items() if name not in shared}:
            yield Links("Profile set", [said.source])
            yield facts(alone)
    if grades := [part for said in found for part in _grades(said.of, said.record)]:
        yield Shelf(grades)


def _said(key: str, one: ProfileSet, record: ProfileRecord) -> _Said:
    of, fields = _properties(one, record), record.fields
    known = [text for text in (record.model, fields.get(NOT_EMBEDDED) and f"confidence {fields[NOT_EMBEDDED]}") if text]
    label = f"{one.name} ({', '.join(map(str, known))})" if known else one.name
    texts = {
        name: cell(value).text
        for name, value in fields.items()
        if value is not None and name != NOT_EMBEDDED and not is_numeric(of.get(name, {}))
    }
    return _Said(one, record, Cell(label, link=f"set/{key}.html"), texts)


def _properties(one: ProfileSet, record: ProfileRecord) -> Mapping[str, Any]:
    schema = one.schemas.get(record.kind, {})
    return {name: field for name, field in schema.get("properties", {}).items() if isinstance(field, Mapping)}


def _grades(one: ProfileSet, record: ProfileRecord) -> Iterator[Grid]:
    """Every number on its scale; where the schema gives none, on that of its group. The largest first."""
    numeric = {name: field for name, field in _properties(one, record).items() if is_numeric(field)}
    if not numeric:
        return
    try:
        values = numbers_of(record.fields, {"properties": numeric})
    except L2aCoError as error:
        yield from grid(one.name, [{"what is wrong with its numbers": error.message}])
        return
    groups = number_groups({"properties": numeric})
    alone = [name for name in numeric if name not in groups]
    yield from grid(one.name, [_graded(name, values[name], numeric[name], []) for name in alone])
    for name, columns in groups.items():
        graded = {column.removeprefix(f"{name}."): values[column] for column in columns}
        known = [value for value in graded.values() if value is not None]
        ordered = sorted(graded.items(), key=lambda item: (item[1] is None, -(item[1] or 0)))
        rows = [_graded(word, value, numeric[name]["properties"][word], known) for word, value in ordered]
        yield from grid(f"{one.name}: {name.replace('_', ' ')}", rows)


def _graded(name: str, value: float | None, field: Mapping[str, Any], others: list[float]) -> dict[str, Any]:
    known = others if value is None else [*others, value]
    return {"grade": name.replace("_", " "), "value": bar(value, *_scale(field, known))}


def _scale(field: Mapping[str, Any], known: list[float]) -> tuple[float, float]:
    low, high = field.get("minimum"), field.get("maximum")
    if isinstance(low, int | float) and isinstance(high, int | float):
        return float(low), float(high)
    return min([0.0, *known]), max([1.0, *known])
