"""Who is who: ids, names, aliases and cross references of imported drugs and cell lines.

Two entities become one only where the user's alias table says so, where a source without ids writes one name in
several ways, or where its names are matched to the ids of the bundled reference profiles. Everything that merely looks
alike is reported and left alone.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from l2aco.data.known import reference_entities
from l2aco.data.sources.base import SourceData
from l2aco.entities import Entity, EntityIndex, EntityKind, parse_kind, read_entities
from l2aco.errors import InputError
from l2aco.tables import read_table

EXAMPLES = 3
_XREF_SHAPES = {
    "drugbank": re.compile(r"DB\d{5}"),
    "chembl": re.compile(r"CHEMBL\d+"),
    "depmap": re.compile(r"ACH-\d{6}"),
    "cellosaurus": re.compile(r"CVCL_[A-Z0-9]{4}"),
}


def describe_drugs_and_lines(
    data: SourceData,
    *,
    aliases: Path | None,
    drug_table: Path | None,
    cell_table: Path | None,
    add_entities: bool = False,
) -> tuple[SourceData, dict[str, Any]]:
    """Give entities their final ids and facts; returns the data and a report of what was matched, guessed, left.

    With `add_entities`, rows of the entity tables that are nobody's become entities without triples or edges.
    """
    report: dict[str, Any] = {}
    for kind, table in ((EntityKind.drug, drug_table), (EntityKind.cell_line, cell_table)):
        spellings = _spellings(_entities(data, kind)) if kind in data.named else {}
        data = rename(data, kind, spellings)
        entities = _entities(data, kind)
        renames, found = _by_alias_file(entities, aliases, kind) if aliases else ({}, {})
        data = rename(data, kind, renames)
        known = EntityIndex(kind, reference_entities()) if kind in data.named else None
        if known is not None:
            # ids that the alias table brings, or keeps
            chosen = set(renames.values()) - {entity.id for entity in entities if renames.get(entity.id) != entity.id}
            more, matched = match_to((entity for entity in _entities(data, kind) if entity.id not in chosen), known)
            data = rename(data, kind, more)
            found |= matched
        entities = _entities(data, kind)
        notes: list[str] = []
        described, facts = (
            attach_facts(entities, table, kind, add=add_entities, known=known, tell=notes.append)
            if table
            else (entities, {})
        )
        described = [_with_shaped_xrefs(entity) for entity in described]
        field = "drugs" if kind is EntityKind.drug else "cell_lines"
        collisions = EntityIndex(kind, described).collisions
        changes: dict[str, Any] = {field: described, "notes": [*data.notes, *notes, *_alike(collisions, kind)]}
        data = dataclasses.replace(data, **changes)
        report[field] = {
            "spellings_joined": [f"{other} -> {name}" for other, name in spellings.items()],
            **found,
            **facts,
            "alike_but_apart": [[f"{entity.id} {entity.name}" for entity in group] for group in collisions],
        }
    if aliases:  # a name that is a drug's is no unused name of a cell line
        unused = set.intersection(*(set(found["aliases_unused"]) for found in report.values()))
        for found in report.values():
            found["aliases_unused"] = sorted(unused)
    return data, report


def _entities(data: SourceData, kind: EntityKind) -> list[Entity]:
    return data.drugs if kind is EntityKind.drug else data.cell_lines


def _spellings(entities: Iterable[Entity]) -> dict[str, str]:
    """The first id by every other that is the same text but for case, outer and repeated spaces and Unicode form."""
    first: dict[str, str] = {}
    others: dict[str, str] = {}
    for entity in entities:
        text = " ".join(unicodedata.normalize("NFKC", entity.id).casefold().split())
        if first.setdefault(text, entity.id) != entity.id:
            others[entity.id] = first[text]
    return others


def _called(entity: Entity) -> str:
    return f"'{entity.name}'" if entity.name == entity.id else f"'{entity.name}' ({entity.id})"


def _alike(collisions: list[list[Entity]], kind: EntityKind) -> list[str]:
    if not collisions:
        return []
    groups = [" and ".join(map(_called, group)) for group in collisions[:EXAMPLES]]
    more = f"; {len(collisions) - EXAMPLES} more in manifest.json" if len(collisions) > EXAMPLES else ""
    what = kind.value.replace("_", " ")
    return [f"Each a {what} of its own, though alike: {'; '.join(groups)}{more}. --aliases makes them one."]


def _by_alias_file(entities: list[Entity], path: Path, kind: EntityKind) -> tuple[dict[str, str], dict[str, list[str]]]:
    """New id by old id, from a table with the columns name (or alias) and id, and optionally kind."""
    table = read_table(
        path,
        {"alias": ("alias", "name"), "id": ("id", "canonical", "canonical_id"), "kind": ("kind",)},
        optional=["kind"],
    )
    table.require("alias", "id")
    index = EntityIndex(kind, entities)
    renames: dict[str, str] = {}
    unused: list[str] = []
    for alias, target, written in table.frame.select("alias", "id", "kind").iter_rows():
        if written is not None and parse_kind(written, where=str(path)) is not kind:
            continue
        entity = index.find(alias)
        if entity is None:
            unused.append(alias)
        elif renames.setdefault(entity.id, _id_of(target, index)) != _id_of(target, index):
            raise InputError(f"gives '{alias}' two ids, {renames[entity.id]} and {target}", where=path)
    return renames, {"by_alias_file": [f"{old} -> {new}" for old, new in renames.items()], "aliases_unused": unused}


def _id_of(target: str, index: EntityIndex) -> str:
    """The id of the entity that an alias table calls so, else what it says: an id that nobody has here yet."""
    try:
        found = index.find(target)
    except InputError:
        return target
    return target if found is None else found.id


def match_to(entities: Iterable[Entity], known: EntityIndex) -> tuple[dict[str, str], dict[str, list[str]]]:
    """New id by old id where the name is that of one known entity, and a report.

    An entity that has a known id keeps it before any name is looked at. `matched`: the same name but for case;
    `guessed`: the same after hyphens, spaces and salts are folded, or by an alias; `left`: nothing known is called
    so, or two entities here would get one id.
    """
    renames: dict[str, str] = {}
    report: dict[str, list[str]] = {"matched": [], "guessed": [], "left": []}
    taken: dict[str, str] = {}
    ids = {entity.id for entity in known.entities}
    for entity in sorted(entities, key=lambda item: item.id not in ids):
        try:
            found = known.find(entity.id) or known.find(entity.name)
        except InputError:
            found = None
        if found is None or found.id in taken:
            report["left"].append(entity.id if found is None else f"{entity.id} (like {taken[found.id]})")
            continue
        taken[found.id] = entity.id
        renames[entity.id] = found.id
        same = entity.name.casefold() == found.name.casefold() or entity.id == found.id
        report["matched" if same else "guessed"].append(f"{entity.name} -> {found.id} {found.name}")
    return renames, report


def rename(data: SourceData, kind: EntityKind, renames: Mapping[str, str]) -> SourceData:
    """The data with new ids of one kind; entities that get the same id become one, facts of the first winning."""
    renames = {old: new for old, new in renames.items() if old != new}
    if not renames:
        return data
    merged: dict[str, Entity] = {}
    for entity in sorted(_entities(data, kind), key=lambda item: item.id in renames):
        target = renames.get(entity.id, entity.id)
        names = [entity.name, *entity.aliases, *([entity.id] if entity.id != target else [])]
        merged[target] = join_entities(
            merged.get(target), Entity(target, kind, names[0], tuple(names[1:]), entity.facts)
        )
    columns = ("drug_a", "drug_b") if kind is EntityKind.drug else ("cell_line",)
    changes: dict[str, Any] = {
        "drugs" if kind is EntityKind.drug else "cell_lines": list(merged.values()),
        "rows": _renamed(data.rows, columns, renames),
        "splits": {
            name: {part: _renamed(rows, columns, renames) for part, rows in parts.items()}
            for name, parts in data.splits.items()
        },
        "features": {
            name: dataclasses.replace(feature, ids=[renames.get(item, item) for item in feature.ids])
            if feature.kind is kind
            else feature
            for name, feature in data.features.items()
        },
    }
    if data.graph_edges is not None:
        changes["graph_edges"] = {
            relation: tuple(
                [renames.get(item, item) for item in ids] if end == kind.value else ids
                for end, ids in zip((relation[0], relation[2]), ends, strict=True)
            )
            for relation, ends in data.graph_edges.items()
        }
    return dataclasses.replace(data, **changes)


def join_entities(first: Entity | None, second: Entity) -> Entity:
    """One entity of two with the same id: names of both, facts of the first before those of the second."""
    if first is None:
        return _unrepeated(second)
    facts = {**second.facts, **first.facts}
    if "xrefs" in second.facts or "xrefs" in first.facts:
        facts["xrefs"] = {**second.facts.get("xrefs", {}), **first.facts.get("xrefs", {})}
    aliases = (*first.aliases, second.name, *second.aliases)
    return _unrepeated(dataclasses.replace(first, aliases=aliases, facts=facts))


def _unrepeated(entity: Entity) -> Entity:
    aliases = tuple(name for name in dict.fromkeys(entity.aliases) if name not in (entity.name, entity.id))
    return dataclasses.replace(entity, aliases=aliases)


def _renamed(rows: Any, columns: Iterable[str], renames: Mapping[str, str]) -> Any:
    return rows.with_columns(rows[column].replace(dict(renames)) for column in columns)


def attach_facts(
    entities: list[Entity],
    path: Path,
    kind: EntityKind,
    *,
    add: bool = False,
    known: EntityIndex | None = None,
    tell: Callable[[str], None] = lambda note: None,
) -> tuple[list[Entity], dict[str, Any]]:
    """Facts of a user's entity table joined to the entities, by id, else by name; what fits none is reported, or added
    as a new entity, under the id of the `known` entity that is called so. A row that names an entity to the letter
    comes before one that is merely like it; a second row of one entity is reported and not used."""
    index = EntityIndex(kind, entities)
    described = {entity.id: entity for entity in entities}
    report: dict[str, list[str]] = {"described": [], "added": [], "facts_unused": []}
    taken: dict[str, str] = {}
    rows = [row for row in read_entities(path, kind, tell) if row.kind is kind]
    for row in sorted(rows, key=lambda row: (row.id not in described, index.exact(row.name) is None)):
        try:
            found = index.exact(row.id) or index.exact(row.name) or index.find(row.id) or index.find(row.name)
        except InputError:  # the name is ambiguous here
            report["facts_unused"].append(row.id)
            continue
        if found is not None and found.id in taken:
            report["facts_unused"].append(f"{row.id} (like {taken[found.id]})")
        elif found is not None:
            taken[found.id] = row.id
            own = described[found.id]
            if own.name == own.id:
                own = dataclasses.replace(own, name=row.name)
            names = (*row.aliases, row.id)  # an id of another registry becomes an alias, and by its shape an xref
            described[found.id] = join_entities(own, Entity(found.id, kind, row.name, names, row.facts))
        elif add and (new := _new(row, known)).id not in described:
            described[new.id] = new
            report["added"].append(row.id)
        else:
            report["facts_unused"].append(row.id)
    return list(described.values()), {**report, "described": len(taken)}


def _new(row: Entity, known: EntityIndex | None) -> Entity:
    called = known.match(row) if known is not None else None
    if called is None:
        return row
    return _unrepeated(dataclasses.replace(row, id=called.id, aliases=(*row.aliases, row.id, *called.aliases)))


def _with_shaped_xrefs(entity: Entity) -> Entity:
    """An id, name or alias that has the shape of a public registry's id is a cross reference too."""
    xrefs = dict(entity.facts.get("xrefs", {}))
    for text in (entity.id, entity.name, *entity.aliases):
        for registry, shape in _XREF_SHAPES.items():
            if shape.fullmatch(text):
                xrefs.setdefault(registry, text)
    return dataclasses.replace(entity, facts={**entity.facts, "xrefs": xrefs}) if xrefs else entity
