"""A long schema asked for in pieces, for models that answer many fields at once badly; the answers joined again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from l2aco.llm.request import Message

Schema = Mapping[str, Any]


def pieces_of(schema: Schema, most: int | None) -> list[Schema]:
    """The schema in pieces of at most `most` values, in order; none where it holds no more, or None is said.

    A value is a field; of a field that is an object of named values, each of these.
    """
    leaves = list(_leaves(schema))
    if most is None or len(leaves) <= most:
        return []
    return [_part(schema, leaves[start : start + most]) for start in range(0, len(leaves), most)]


def ask_for(messages: tuple[Message, ...], piece: Schema) -> tuple[Message, ...]:
    """The question, with what is wanted of it now."""
    wanted = [
        f"{name} ({', '.join(field['properties'])})" if _is_group(field) else name
        for name, field in piece["properties"].items()
    ]
    *first, last = messages
    return (*first, {**last, "content": f"{last['content']}\n\nGive only this part of it now: {'; '.join(wanted)}."})


def joined(schema: Schema, answers: list[dict[str, Any]]) -> dict[str, Any]:
    """One answer of the answers to all pieces."""
    whole: dict[str, Any] = {}
    for answer in answers:
        for name, value in answer.items():
            group = _is_group(schema["properties"].get(name, {})) and isinstance(value, dict)
            whole[name] = {**whole.get(name, {}), **value} if group else value
    return whole


def _is_group(field: Any) -> bool:
    return isinstance(field, Mapping) and isinstance(field.get("properties"), Mapping)


def _leaves(schema: Schema) -> Iterator[tuple[str, str | None]]:
    for name, field in schema["properties"].items():
        if _is_group(field):
            yield from ((name, inner) for inner in field["properties"])
        else:
            yield name, None


def _part(schema: Schema, leaves: list[tuple[str, str | None]]) -> dict[str, Any]:
    """The schema of these values alone."""
    names = list(dict.fromkeys(name for name, _ in leaves))
    fields = {}
    for name in names:
        field = schema["properties"][name]
        inner = [word for of, word in leaves if of == name and word is not None]
        fields[name] = _only(field, inner) if inner else field
    return _only({**schema, "properties": fields}, names)


def _only(schema: Schema, names: list[str]) -> dict[str, Any]:
    required = [name for name in schema.get("required", []) if name in names]
    properties = {name: schema["properties"][name] for name in names}
    return {**schema, "properties": properties, **({"required": required} if "required" in schema else {})}
