"""An embedding store: what it is, and the map of its vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.entities import Entity, EntityKind
from l2aco.errors import L2aCoError
from l2aco.explore.catalogue import Catalogue
from l2aco.explore.layout import LEAST_DRAWN, MOST_DRAWN, chosen_rows, class_of, grouped, layout, tissue_of
from l2aco.explore.page import Page, Part, Picture, Section, cell, facts, grid
from l2aco.explore.site import Notes, Site, found_in

if TYPE_CHECKING:
    import polars as pl

    from l2aco.embeddings.store.store import EmbeddingStore

WIDE, HIGH, EDGE = 800, 560, 14
OF = {EntityKind.drug: ("Drugs", "class"), EntityKind.cell_line: ("Cell lines", "tissue")}
CAPTION = (
    "Near means alike by cosine (t-SNE); how far apart two clusters lie, and how large they are, says little. "
    "Colour and shape tell the {what}. Each point leads to its page, and so does the table."
)


def page(site: Site, wanted: str, _: Mapping[str, str]) -> Page:
    """The page of the store with this slug."""
    from l2aco.embeddings.store.info import describe

    notes = Notes()
    store: EmbeddingStore = found_in("embedding store", site.stores(notes), wanted)
    everybody = site.catalogue(notes)
    about = {name: value for name, value in describe(store).items() if name != "store"}
    columns = [{"number": name} for name in store.encoder.columns]
    sections = []
    for kind in EntityKind:
        frame = store.records().filter(kind=kind.value).unique("id", maintain_order=True)
        if len(frame):
            sections.append(Section(OF[kind][0], _map(site, store, kind, frame, everybody)))
    sections.append(Section("What it is", [facts(about), *grid("What its dimensions are", columns, folded=True)]))
    return Page(f"store/{wanted}.html", f"Store {store.name}", sections, notes.shown())


def _map(site: Site, store: EmbeddingStore, kind: EntityKind, frame: pl.DataFrame, everybody: Catalogue) -> list[Part]:
    title, what = OF[kind]
    drawn = frame[chosen_rows(len(frame))]
    entities = [
        Entity(row["id"], kind, row["name"], tuple(filter(None, row["aliases"].split("|"))))
        for row in drawn.iter_rows(named=True)
    ]
    known = [everybody.find(entity) for entity in entities]
    profiles = _profiles(site, kind)
    names = [
        tissue_of(one.facts if one else {}, profiles.get(entity.id, {}))
        if kind is EntityKind.cell_line
        else class_of(profiles.get(entity.id, {}))
        for entity, one in zip(entities, known, strict=True)
    ]
    groups, numbers = grouped(names)
    rows = [
        {"name": cell(entity.name, one.path if one else None), what: name}
        for entity, one, name in zip(entities, known, names, strict=True)
    ]
    few = "" if len(frame) <= MOST_DRAWN else f", {MOST_DRAWN:,} of {len(frame):,} drawn at random"
    (table,) = grid(f"{len(drawn):,} {title.lower()}{few}", rows)
    if len(drawn) < LEAST_DRAWN:
        return [table]
    points = [
        {
            "x": round(EDGE + float(at[0]) * (WIDE - 2 * EDGE), 1),
            "y": round(EDGE + float(at[1]) * (HIGH - 2 * EDGE), 1),
            "name": entity.name,
            "of": name or f"{what} not known",
            "group": number,
            "link": one.path if one else "index.html",
        }
        for at, entity, one, name, number in zip(
            _places(site, store, kind, drawn), entities, known, names, numbers, strict=True
        )
    ]
    values = {"groups": [{"name": name, "size": size} for name, size in groups], "points": points}
    return [Picture("map.html", f"{title} of {store.name}{few}", CAPTION.format(what=what), values, table.table)]


def _places(site: Site, store: EmbeddingStore, kind: EntityKind, drawn: pl.DataFrame) -> Any:
    """float64 (n, 2); kept, since it takes seconds."""
    with site.heavy:
        stamp = store.manifest.generation, store.manifest.created_at
        rows = drawn["row"].to_numpy()
        return site.kept(("map", store.path, kind), stamp, lambda: layout(np.asarray(store.rows(rows))))


def _profiles(site: Site, kind: EntityKind) -> dict[str, Mapping[str, Any]]:
    """Fields by id, of all sets at hand; those of the first set that has a field count."""
    notes, found = Notes(), dict[str, dict[str, Any]]()
    for one in site.sets(notes).values():
        try:
            for record in one.records():
                if record.kind == kind.value and record.sample == 0:
                    known = found.setdefault(record.entity_id, {})
                    found[record.entity_id] = {**record.fields, **known}
        except L2aCoError:
            continue
    return dict(found)
