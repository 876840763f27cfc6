"""The numbers of a profile set: in range, varied, and different for different entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from l2aco.errors import InputError
from l2aco.profiles.numbers import is_numeric, number_columns, numbers_of
from l2aco.profiles.sets import ProfileSet

ENOUGH = 8
"""Amounts of a profile; two entities may well have fewer in common by chance."""


@dataclass
class Panel:
    """The numbers of one kind: the columns of its amounts, and its fields of fixed words, each with their number.

    `missing` counts what profiles leave out, words as one; `constant` and `alike` are about amounts in the first sample
    of each entity: words are alike by nature.
    """

    kind: str
    amounts: list[str]
    words: dict[str, int]
    profiles: int = 0
    broken: list[str] = field(default_factory=list)
    """Entities whose values break the schema, with the reason."""
    missing: int = 0
    constant: list[str] = field(default_factory=list)
    alike: list[tuple[str, ...]] | None = None
    """Entities with the same numbers; None where they are too few to tell."""


def check_panels(profiles: ProfileSet) -> list[Panel]:
    """One for each kind whose schema holds numbers."""
    schemas = {kind: schema for kind, schema in profiles.schemas.items() if number_columns(schema)}
    return [_check(kind, schema, profiles) for kind, schema in schemas.items()]


def _check(kind: str, schema: Mapping[str, Any], profiles: ProfileSet) -> Panel:
    columns = {name: number_columns({"properties": {name: it}}) for name, it in schema["properties"].items()}
    words = {name: len(its) for name, its in columns.items() if its and not is_numeric(schema["properties"][name])}
    amounts = [column for name, its in columns.items() if name not in words for column in its]
    panel = Panel(kind, amounts, words)
    held: list[tuple[str, tuple[float | None, ...]]] = []
    for record in profiles.records():
        if record.kind != kind:
            continue
        panel.profiles += 1
        try:
            numbers = numbers_of(record.fields, schema)
        except InputError as error:
            panel.broken.append(f"{record.entity_name}: {error.message}")
            continue
        panel.missing += sum(numbers[column] is None for column in amounts)
        panel.missing += sum(record.fields.get(name) is None for name in words)
        if record.sample == 0:
            held.append((record.entity_name, tuple(numbers[column] for column in amounts)))
    if len(held) > 1:
        held_by_column = zip(*(values for _, values in held), strict=True)
        panel.constant = [name for name, values in zip(amounts, held_by_column, strict=True) if len(set(values)) == 1]
    if len(amounts) >= ENOUGH:
        panel.alike = _alike(held)
    return panel


def _alike(held: Sequence[tuple[str, tuple[float | None, ...]]]) -> list[tuple[str, ...]]:
    same: dict[tuple[float | None, ...], list[str]] = {}
    for name, values in held:
        same.setdefault(values, []).append(name)
    return [tuple(names) for names in same.values() if len(names) > 1]
