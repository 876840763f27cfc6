"""What profiles say of an entity: texts side by side, numbers as bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from l2aco.entities import Entity
from l2aco.errors import L2aCoError
from l2aco.explore.page import Cell, Grid, Links, Part, Shelf, Side, bar, cell, facts, grid
from l2aco.explore.site import Notes, Site
from l2aco.profiles.numbers import is_numeric, number_columns, numbers_of
from l2aco.profiles.record import ProfileRecord
from l2aco.profiles.sets import ProfileSet


def profiles(site: Site, entity: Entity, notes: Notes) -> Iterator[Part]:
    """Texts side by side, then the numbers of each set as bars."""
    found: list[tuple[str, ProfileSet, ProfileRecord]] = []
    for key, one in site.sets(notes).items():
        try:
            if (record := one.find(entity)) is not None:
                found.append((key, one, record))
        except L2aCoError as error:
            notes.say(f"Left out: {error}")
    fields = dict.fromkeys(name for _, one, record in found for name in _texts(one, record))
    rows = [
        (
            name.replace("_", " "),
            [
                (cell(_source(one, record), f"set/{key}.html"), texts[name])
                for key, one, record in found
                if name in (texts := _texts(one, record))
            ],
        )
        for name in fields
    ]
    told = [(key, one, record) for key, one, record in found if _texts(one, record)]
    if len(told) == 1:
        ((key, one, record),) = told
        yield Links("Profile set", [Cell(f"As {_source(one, record)} has it", link=f"set/{key}.html")])
        yield facts(_texts(one, record))
    elif rows:
        yield Side(rows)
    if grades := [part for _, one, record in found for part in _grades(one, record)]:
        yield Shelf(grades)


def _source(one: ProfileSet, record: ProfileRecord) -> str:
    return one.name if record.model is None else f"{one.name} ({record.model})"


def _properties(one: ProfileSet, record: ProfileRecord) -> Mapping[str, Any]:
    schema = one.schemas.get(record.kind, {})
    return {name: field for name, field in schema.get("properties", {}).items() if isinstance(field, Mapping)}


def _texts(one: ProfileSet, record: ProfileRecord) -> dict[str, str]:
    """What is not drawn as a number, by field."""
    of = _properties(one, record)
    return {
        name: cell(value).text
        for name, value in record.fields.items()
        if value is not None and not is_numeric(of.get(name, {}))
    }


def _grades(one: ProfileSet, record: ProfileRecord) -> Iterator[Grid]:
    """Every number on its scale; where the schema gives none, on that of its group. The largest first."""
    numeric = {name: field for name, field in _properties(one, record).items() if is_numeric(field)}
    if not numeric:
        return
    try:
        schema = {"properties": numeric}
        values = numbers_of(record.fields, schema)
        assert list(values) == number_columns(schema)
    except L2aCoError as error:
        yield from grid(one.name, [{"what is wrong with its numbers": error.message}])
        return
    for name, field in numeric.items():
        columns = {key: value for key, value in values.items() if key == name or key.startswith(f"{name}.")}
        known = [value for value in columns.values() if value is not None]
        rows = []
        for key, value in sorted(columns.items(), key=lambda item: (item[1] is None, -(item[1] or 0))):
            low, high = _scale((field.get("properties") or {}).get(key.partition(".")[2], field), known)
            rows.append({"grade": (key.partition(".")[2] or key).replace("_", " "), "value": bar(value, low, high)})
        yield from grid(f"{one.name}: {name.replace('_', ' ')}", rows)


def _scale(field: Mapping[str, Any], known: list[float]) -> tuple[float, float]:
    low, high = field.get("minimum"), field.get("maximum")
    if isinstance(low, int | float) and isinstance(high, int | float):
        return float(low), float(high)
    return min([0.0, *known]), max([1.0, *known])
