"""The numbers in a profile: knowledge that needs no text model to become a vector.

A schema decides what is a number: a number, a truth value, a word of a fixed list, or a group of numbers by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from l2aco.errors import InputError
from l2aco.profiles.record import NOT_EMBEDDED


def number_columns(schema: Mapping[str, Any]) -> list[str]:
    """The names of the numbers that profiles of this schema hold, in its order; none where all is text.

    A number or a truth value is called like its field, one of a group `group.name`; each word that a field may hold,
    or a list may contain, is a column `field=word` of 0 and 1. `confidence` says how sure the model is, and is none.
    """
    columns = [column for name, field in _fields(schema) for column in _columns(name, field)]
    if len(set(columns)) < len(columns):
        raise InputError(f"the schema has two columns '{next(it for it in columns if columns.count(it) > 1)}'")
    return columns


def numbers_of(fields: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers of one profile by column, in the order of `number_columns`; None where it says nothing.

    Raises InputError that names the field for a value that is none, lies outside of the schema's range, or is a word
    that the schema lacks. Averages over samples are for whoever makes vectors of them.
    """
    return {
        column: value for name, field in _fields(schema) for column, value in _values(name, field, fields.get(name))
    }


def number_groups(schema: Mapping[str, Any]) -> dict[str, list[str]]:
    """The columns of each field that holds a group of numbers."""
    return {name: _columns(name, field) for name, field in _fields(schema) if _group(field)}


def has_text(schema: Mapping[str, Any]) -> bool:
    """Whether profiles of this schema hold text that somebody may have written in their own words."""
    return any(not _columns(name, field) for name, field in _fields(schema))


def is_numeric(field: Mapping[str, Any]) -> bool:
    """Whether a field holds a number or a truth value, or a group of them: an amount, not a word."""
    return _is_number(field) or bool(_group(field))


def fixed_words(field: Mapping[str, Any]) -> list[str]:
    """The fixed words that a field may hold or list."""
    listed = field.get("items", {}) if field.get("type") == "array" else field
    words = listed.get("enum") if isinstance(listed, Mapping) else None
    return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []


def _fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, field in schema["properties"].items():
        if name != NOT_EMBEDDED and isinstance(field, Mapping):
            yield name, field


def _group(field: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The numbers by name that an object holds."""
    inner = field.get("properties") if "object" in _types(field) else None
    return {word: item for word, item in inner.items() if _is_number(item)} if isinstance(inner, Mapping) else {}


def _columns(name: str, field: Mapping[str, Any]) -> list[str]:
    if _is_number(field):
        return [name]
    if group := _group(field):
        return [f"{name}.{word}" for word in group]
    return [f"{name}={word}" for word in fixed_words(field)]


def _values(name: str, field: Mapping[str, Any], value: Any) -> Iterator[tuple[str, float | None]]:
    if _is_number(field):
        yield name, _number(name, field, value)
    elif group := _group(field):
        if value is not None and not isinstance(value, Mapping):
            raise InputError(f"field '{name}' holds {_shown(value)}, which is no group of numbers")
        if unknown := [word for word in value or () if word not in field["properties"]]:
            raise InputError(f"field '{name}' holds '{_shown(unknown[0])}', which is not of its vocabulary")
        for word, item in group.items():
            yield f"{name}.{word}", _number(f"{name}.{word}", item, (value or {}).get(word))
    elif words := fixed_words(field):
        held = [] if value is None else value if field.get("type") == "array" else [value]
        if not isinstance(held, list) or any(word not in words for word in held):
            raise InputError(f"field '{name}' holds {_shown(value)}, which is not of its vocabulary")
        for word in words:
            yield f"{name}={word}", None if value is None else float(word in held)


def _is_number(field: Any) -> bool:
    if not isinstance(field, Mapping):
        return False
    return any(kind in _types(field) for kind in ("number", "integer", "boolean"))


def _types(field: Mapping[str, Any]) -> list[Any]:
    kinds = field.get("type")
    return kinds if isinstance(kinds, list) else [kinds]


def _number(name: str, field: Mapping[str, Any], value: Any) -> float | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    number = _finite(value) if isinstance(value, bool) <= ("boolean" in _types(field)) else None
    low, high = _finite(field.get("minimum")), _finite(field.get("maximum"))
    if number is None or (low is not None and number < low) or (high is not None and number > high):
        limits = f" from {low:g} to {high:g}" if low is not None and high is not None else ""
        raise InputError(f"field '{name}' holds {_shown(value)}, which is no number{limits}")
    allowed = field.get("enum")
    if isinstance(allowed, list) and value not in allowed:
        raise InputError(f"field '{name}' holds {_shown(value)}, which is none of {_shown(allowed)}")
    return number


def _finite(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:
        return None


def _shown(value: Any) -> str:
    return repr(value)[:80]
