"""Who is who: ids, names, aliases and cross references of imported drugs and cell lines.

Entities become one where the user's alias table says so, where a source without ids writes one name in several ways or
uses synonyms and nothing contradicts, or where its names are matched to the ids of the bundled reference profiles. What
else looks alike is reported and left alone, and so are ids that the names beside them contradict.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from l2aco.data.known import reference_entities
from l2aco.data.name_notes import alike_but_apart, left_over, misnamed, name_notes
from l2aco.data.sources.base import SourceData
from l2aco.data.spellings import joined_spellings
from l2aco.entities import Entity, EntityIndex, EntityKind, join_entities, parse_kind, read_entities
from l2aco.errors import InputError
from l2aco.names.synonyms import name_of_id
from l2aco.tables import read_table

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
    keep_apart: bool = False,
    trust_ids: bool = False,
) -> tuple[SourceData, dict[str, Any]]:
    """Give entities their final ids and facts; returns the data and a report of what was matched, guessed, left.

    With `add_entities`, rows of the entity tables that are nobody's become entities without triples or edges. With
    `keep_apart`, names that fold alike or are synonyms stay two entities. With `trust_ids`, what is known under an id
    is taken for it whatever the name beside it says.
    """
    report: dict[str, Any] = {}
    unused: set[str] = set()
    used: set[str] = set()
    for kind, table in ((EntityKind.drug, drug_table), (EntityKind.cell_line, cell_table)):
        notes: list[str] = []
        rows = [row for row in read_entities(table, kind, notes.append) if row.kind is kind] if table else []
        given = _read_aliases(aliases, kind) if aliases else []
        known = EntityIndex(kind, reference_entities())
        named = known if kind in data.named else None
        data, found = _final_ids(data, kind, rows, given, named, keep_apart)
        described, facts = attach_facts(
            _entities(data, kind), rows, kind, add=add_entities, known=named, trust_ids=trust_ids
        )
        if trust_ids:
            described = [called_as_known(entity, known) for entity in described]
        described = [with_shaped_xrefs(entity) for entity in described]
        report[_field(kind)] = {
            **found,
            **({"left": left_over(described, known)} if named else {}),
            **(facts if table else {}),
            "ids_that_disagree": misnamed(described, known),
            "alike_but_apart": alike_but_apart(described, kind),
        }
        unused |= (without := set(found.get("aliases_unused", [])))
        used |= {alias for alias, _ in given} - without
        notes += name_notes(report[_field(kind)], kind)
        changes: dict[str, Any] = {_field(kind): described, "notes": [*data.notes, *notes]}
        data = dataclasses.replace(data, **changes)
    if aliases:  # a name that is a drug's is no unused name of a cell line
        for found in report.values():
            found["aliases_unused"] = sorted(unused - used)
    return data, report


def _final_ids(
    data: SourceData,
    kind: EntityKind,
    rows: list[Entity],
    aliases: list[tuple[str, str]],
    known: EntityIndex | None,
    keep_apart: bool,
) -> tuple[SourceData, dict[str, Any]]:
    """The data with the ids that its spellings, the alias table and, of a source that knows names only, the `known`
    entities lead to; and the report of these."""
    spellings: dict[str, str] = {}
    if known is not None:
        described = _described_by_name(_entities(data, kind), rows, dict(aliases))
        spellings = joined_spellings(_entities(data, kind), described, None if keep_apart else known)
    data = rename(data, kind, spellings)
    data, others = _with_names(data, kind, aliases)
    entities = _entities(data, kind)
    renames, found = _by_aliases(entities, others, kind) if aliases else ({}, {})
    data = rename(data, kind, renames)
    if known is not None:
        # ids that the alias table brings, or keeps
        chosen = set(renames.values()) - {entity.id for entity in entities if renames.get(entity.id) != entity.id}
        more, matched = match_to((entity for entity in _entities(data, kind) if entity.id not in chosen), known)
        data = rename(data, kind, more)
        found |= matched
    return data, {"spellings_joined": [f"{other} -> {name}" for other, name in spellings.items()], **found}


def _entities(data: SourceData, kind: EntityKind) -> list[Entity]:
    return data.drugs if kind is EntityKind.drug else data.cell_lines


def _field(kind: EntityKind) -> str:
    return "drugs" if kind is EntityKind.drug else "cell_lines"


def _described_by_name(entities: list[Entity], rows: list[Entity], aliases: Mapping[str, str]) -> dict[str, Entity]:
    """By id: each entity with the facts that a row of its very name has, and the id that the alias table gives it."""
    by_name = {name: row for row in rows for name in (row.name, row.id)}
    found = {}
    for entity in entities:
        row = by_name.get(entity.id, entity)
        xrefs = dict(with_shaped_xrefs(row).facts.get("xrefs", {}))
        if entity.id in aliases:
            xrefs["alias table"] = aliases[entity.id]
        found[entity.id] = dataclasses.replace(entity, facts={**entity.facts, **row.facts, "xrefs": xrefs})
    return found


def _read_aliases(path: Path, kind: EntityKind) -> list[tuple[str, str]]:
    """The names of one kind, each with the id or other name that a table gives it: columns name (or alias) and id, and
    optionally kind. Raises InputError for a name with two of them."""
    table = read_table(
        path,
        {"alias": ("alias", "name"), "id": ("id", "canonical", "canonical_id"), "kind": ("kind",)},
        optional=["kind"],
    )
    table.require("alias", "id")
    found: dict[str, str] = {}
    for alias, target, written in table.frame.select("alias", "id", "kind").iter_rows():
        if written is not None and parse_kind(written, where=str(path)) is not kind:
            continue
        if found.setdefault(alias, target) != target:
            raise InputError(f"gives '{alias}' two ids, {found[alias]} and {target}", where=path)
    return list(found.items())


def _by_aliases(
    entities: list[Entity], aliases: list[tuple[str, str]], kind: EntityKind
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """New id by old id, and a report."""
    index = EntityIndex(kind, entities)
    renames: dict[str, str] = {}
    unused: list[str] = []
    for alias, target in aliases:
        entity = index.find(alias)
        if entity is None:
            unused.append(alias)
        elif renames.setdefault(entity.id, _id_of(target, index)) != _id_of(target, index):
            raise InputError(f"the alias table gives '{alias}' two ids, {renames[entity.id]} and {target}")
    return renames, {"by_alias_file": [f"{old} -> {new}" for old, new in renames.items()], "aliases_unused": unused}


def _with_names(
    data: SourceData, kind: EntityKind, aliases: list[tuple[str, str]]
) -> tuple[SourceData, list[tuple[str, str]]]:
    """The data with names of the alias table that nobody has as further names of whom it gives them to, and the rest of
    the table."""
    index = EntityIndex(kind, _entities(data, kind))
    more: dict[str, list[str]] = {}
    others = []
    for alias, target in aliases:
        if index.find(alias) is None and (entity := index.exact(target)) is not None:
            more.setdefault(entity.id, []).append(alias)
        else:
            others.append((alias, target))
    named = [
        dataclasses.replace(entity, aliases=(*entity.aliases, *more.get(entity.id, ())))
        for entity in _entities(data, kind)
    ]
    changes: dict[str, Any] = {_field(kind): named}
    return dataclasses.replace(data, **changes), others


def _id_of(target: str, index: EntityIndex) -> str:
    """The id of the entity that an alias table calls so, else what it says: an id that nobody has here yet."""
    if name_of_id(target, index.kind) and index.exact(target) is None:
        return target
    try:
        found = index.find(target)
    except InputError:
        return target
    return target if found is None else found.id


def match_to(entities: Iterable[Entity], known: EntityIndex) -> tuple[dict[str, str], dict[str, list[str]]]:
    """New id by old id where the name is that of one known entity, and a report.

    An entity that has a known id keeps it before any name is looked at; of two that are one known entity's, the second
    stays as it is. `matched`: the same name but for case; `guessed`: the same after hyphens, spaces and salts are
    folded, or by an alias or synonym.
    """
    renames: dict[str, str] = {}
    report: dict[str, list[str]] = {"matched": [], "guessed": []}
    ids = {entity.id for entity in known.entities}
    taken: set[str] = set()
    for entity in sorted(entities, key=lambda item: item.id not in ids):
        found = known.match(entity)
        if found is not None and found.id not in taken:
            taken.add(found.id)
            renames[entity.id] = found.id
            same = entity.name.casefold() == found.name.casefold() or entity.id == found.id
            called = found.id if found.name == found.id else f"{found.id} {found.name}"
            report["matched" if same else "guessed"].append(f"{entity.name} -> {called}")
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


def _renamed(rows: Any, columns: Iterable[str], renames: Mapping[str, str]) -> Any:
    return rows.with_columns(rows[column].replace(dict(renames)) for column in columns)


def attach_facts(
    entities: list[Entity],
    rows: list[Entity],
    kind: EntityKind,
    *,
    add: bool = False,
    known: EntityIndex | None = None,
    trust_ids: bool = False,
) -> tuple[list[Entity], dict[str, Any]]:
    """Facts of a user's entity table joined to the entities, by id, else by name; what fits none is reported, or added
    as a new entity, under the id of the `known` entity that is called so. A row that names an entity to the letter
    comes before one that is merely like it; a second row of one entity is reported and not used, and neither is one
    whose id is somebody's here who is called otherwise."""
    index = EntityIndex(kind, entities)
    described = {entity.id: entity for entity in entities}
    report: dict[str, list[str]] = {"described": [], "added": [], "facts_unused": []}
    taken: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (row.id not in described, index.exact(row.name) is None)):
        other = None if trust_ids else index.misnamed(row)
        if other is not None and other != row.id:  # an entity that has no name yet takes that of the table
            report["facts_unused"].append(f"{row.id} '{row.name}' (here '{other}')")
            continue
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


def called_as_known(entity: Entity, known: EntityIndex) -> Entity:
    """The entity with the name of the known one that has its id, where that is another."""
    name = known.misnamed(entity)
    return entity if name is None else dataclasses.replace(entity, aliases=(*entity.aliases, name))


def _new(row: Entity, known: EntityIndex | None) -> Entity:
    called = known.match(row) if known is not None else None
    if called is None:
        return row
    return join_entities(None, dataclasses.replace(row, id=called.id, aliases=(*row.aliases, row.id, *called.aliases)))


def with_shaped_xrefs(entity: Entity) -> Entity:
    """An id, name or alias that has the shape of a public registry's id is a cross reference too."""
    xrefs = dict(entity.facts.get("xrefs", {}))
    for text in (entity.id, entity.name, *entity.aliases):
        for registry, shape in _XREF_SHAPES.items():
            if shape.fullmatch(text):
                xrefs.setdefault(registry, text)
    return dataclasses.replace(entity, facts={**entity.facts, "xrefs": xrefs}) if xrefs else entity
