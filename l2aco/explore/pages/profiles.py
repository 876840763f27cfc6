"""A profile set: how it was made, and of whom it holds profiles."""

from __future__ import annotations

from collections.abc import Mapping

from l2aco.entities import Entity, EntityKind
from l2aco.explore.page import Page, Section, cell, facts, grid, listed
from l2aco.explore.site import Notes, Site, found_in
from l2aco.profiles.sets import ProfileSet

MOST = 1000
SHOWN = ("llm", "model", "endpoint", "origin", "coverage", "created_at", "samples", "counts", "sampling")


def page(site: Site, wanted: str, _: Mapping[str, str]) -> Page:
    """The page of the set with this slug. A set that is damaged says so in place of its list."""
    notes = Notes()
    one: ProfileSet = found_in("profile set", site.sets(notes), wanted)
    everybody = site.catalogue(notes)
    rows, total = list[dict[str, object]](), 0
    for record in one.records():
        total += 1
        if len(rows) < MOST and record.sample == 0:
            known = everybody.find(Entity(record.entity_id, EntityKind(record.kind), record.entity_name))
            rows.append(
                {
                    "name": cell(record.entity_name, known.path if known else None),
                    "kind": record.kind.replace("_", " "),
                    "written": (record.created_at or "")[:10] or None,
                    "confidence": record.fields.get("confidence"),
                }
            )
    made = facts({"prompt": one.prompt_label, **{name: one.manifest.get(name) for name in SHOWN}})
    fields = [
        {"of": kind.replace("_", " "), "field": str(name), "what": _what(field)}
        for kind, schema in one.schemas.items()
        for name, field in schema["properties"].items()
    ]
    title = f"{total:,} profiles" + (f", the first {MOST:,}" if total > MOST else "")
    sections = [
        Section("How it was made", [made, *grid("Fields", fields, folded=True)]),
        Section("Profiles", listed(title, rows, "None yet.")),
    ]
    return Page(f"set/{wanted}.html", f"Profile set {one.name}", sections, notes.shown())


def _what(field: object) -> str:
    """A field of a schema in a few words."""
    if not isinstance(field, Mapping):
        return ""
    kind, inner = field.get("type"), field.get("properties")
    if isinstance(inner, Mapping):
        return f"{len(inner)} values by name"
    words = field.get("enum")
    return f"one of {len(words)} words" if isinstance(words, list) else cell(kind).text
