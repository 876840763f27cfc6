"""The numbers of a profile set: in range, varied, and different for different entities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from l2aco.errors import InputError
from l2aco.profiles.numbers import number_columns, numbers_of
from l2aco.profiles.record import ProfileRecord
from l2aco.profiles.sets import ProfileSet

_ENOUGH = 8
"""Numbers of a profile; two entities may well have fewer in common by chance."""


@dataclass
class Panel:
    """The numbers of one kind. `missing` counts those that a profile leaves out, `words` columns are no numbers."""

    kind: str
    columns: list[str]
    profiles: int = 0
    broken: list[str] = field(default_factory=list)
    """Entities whose values break the schema, with the reason."""
    missing: int = 0
    constant: list[str] = field(default_factory=list)
    alike: list[tuple[str, ...]] = field(default_factory=list)
    """Entities with the same numbers."""


def check_panels(profiles: ProfileSet) -> list[Panel]:
    """One for each kind whose schema holds numbers; reads the set once."""
    columns = {kind: number_columns(schema) for kind, schema in profiles.schemas.items()}
    panels = {kind: Panel(kind, names) for kind, names in columns.items() if names}
    held: dict[str, dict[str, tuple[float | None, ...]]] = {kind: {} for kind in panels}
    for record in profiles.records() if panels else ():
        if record.kind in panels:
            _count(panels[record.kind], record, profiles.schemas[record.kind], held[record.kind])
    for kind, panel in panels.items():
        _look(panel, held[kind])
    return list(panels.values())


def _count(
    panel: Panel, record: ProfileRecord, schema: Mapping[str, Any], held: dict[str, tuple[float | None, ...]]
) -> None:
    panel.profiles += 1
    try:
        numbers = numbers_of(record.fields, schema)
    except InputError as error:
        panel.broken.append(f"{record.entity_name}: {error.message}")
        return
    panel.missing += sum(value is None for value in numbers.values())
    if record.sample == 0:
        held[record.entity_name] = tuple(value for column, value in numbers.items() if "=" not in column)


def _look(panel: Panel, held: Mapping[str, tuple[float | None, ...]]) -> None:
    amounts = [column for column in panel.columns if "=" not in column]
    if len(held) > 1:
        panel.constant = [name for name, values in zip(amounts, zip(*held.values(), strict=True), strict=True)
                          if len(set(values)) == 1]  # fmt: skip
    if len(amounts) >= _ENOUGH:
        same: dict[tuple[float | None, ...], list[str]] = {}
        for name, values in held.items():
            same.setdefault(values, []).append(name)
        panel.alike = [tuple(names) for names in same.values() if len(names) > 1]
