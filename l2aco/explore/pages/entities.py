"""All drugs, or all cell lines, by name."""

from __future__ import annotations

from collections.abc import Mapping

from l2aco.entities import EntityKind
from l2aco.explore.page import Page, Section, cell, listed
from l2aco.explore.pages.listing import part_of, path_of
from l2aco.explore.site import Notes, Site

LISTS = {EntityKind.drug: ("drugs", "Drugs"), EntityKind.cell_line: ("cell-lines", "Cell lines")}


def page(site: Site, number: str, _: Mapping[str, str], *, kind: EntityKind) -> Page:
    """One page of the list."""
    notes = Notes()
    name, title = LISTS[kind]
    known = site.catalogue(notes).of(kind)
    shown, links = part_of(known, number, name)
    rows = [
        {
            "name": cell(one.entity.name, one.path),
            "id": one.entity.id,
            **({"tissue": one.facts.get("tissue")} if kind is EntityKind.cell_line else {}),
            "sources": len(one.where),
        }
        for one in shown
    ]
    parts = listed(f"{len(known):,} {title.lower()}, by name", rows, "None yet.")
    return Page(path_of(name, int(number or 1)), title, [Section("By name", [*links, *parts, *links])], notes.shown())
