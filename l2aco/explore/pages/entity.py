"""One drug or cell line: what is known of it, what profiles say, who is near it, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from l2aco.entities import Entity, EntityKind
from l2aco.errors import L2aCoError
from l2aco.explore.catalogue import Catalogue, Known
from l2aco.explore.page import Cell, Facts, Grid, Links, Note, Page, Part, Section, Shelf, bar, cell, facts, grid
from l2aco.explore.pages.measured import measured
from l2aco.explore.pages.said import profiles
from l2aco.explore.site import Notes, Site, found_in

NEAREST = 8
KINDS = {EntityKind.drug: "drug", EntityKind.cell_line: "cell line"}


def page(site: Site, wanted: str, _: Mapping[str, str], *, kind: EntityKind) -> Page:
    """The page of the one with this slug."""
    notes = Notes()
    everybody = site.catalogue(notes)
    known: Known = found_in(KINDS[kind], everybody.by_slug[kind], wanted)
    entity = known.whole
    sections = [
        Section("Facts", [_facts(known)]),
        Section("Profiles", list(profiles(site, entity, notes)) or [Note("No profile set holds it.")]),
        Section("Neighbours", list(_neighbours(site, entity, everybody, notes)) or [Note("No store holds it.")]),
        Section("Measured", list(measured(site, entity, everybody, notes)) or [Note("No data set holds it.")]),
    ]
    return Page(known.path, entity.name, sections, notes.shown())


def _facts(known: Known) -> Facts:
    one = known.entity
    named = {"kind": KINDS[one.kind], "id": one.id, "also called": list(known.aliases) or None}
    return facts({**named, **{str(name): value for name, value in known.facts.items()}, "known in": known.where})


def _neighbours(site: Site, entity: Entity, everybody: Catalogue, notes: Notes) -> Iterator[Part]:
    from l2aco.embeddings.find import vectors_of

    tables, maps = list[Grid](), list[Cell]()
    for key, store in site.stores(notes).items():
        try:
            vectors, known = vectors_of(store, entity.kind, [entity])
            hits = store.search(vectors[0], 3 * NEAREST, entity.kind.value) if known[0] else []
        except L2aCoError as error:
            notes.say(f"{store.name}: {error}")
            continue
        near: dict[str, dict[str, Any]] = {}
        for hit in hits:
            other = everybody.find(Entity(hit.id, EntityKind(hit.kind), hit.name))
            name = other.entity.name if other else hit.name
            if (other is None or other.entity.key != entity.key) and name not in near and len(near) < NEAREST:
                likeness = bar(hit.score, 0, 1, f"{hit.score:.3f}")
                near[name] = {"nearest": cell(name, other.path if other else None), "cosine": likeness}
        if near:
            tables += grid(store.name, near.values())
            maps.append(Cell(f"The map of {store.name}", link=f"store/{key}.html"))
    if tables:
        yield Shelf(tables)
        yield Links("Maps", maps)
