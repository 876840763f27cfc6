"""A data set: what the import did, who is measured most, and what is held beside the triples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.info import import_report
from l2aco.entities import EntityKind
from l2aco.explore.catalogue import Catalogue
from l2aco.explore.page import Note, Page, Part, Section, bar, cell, facts, grid
from l2aco.explore.site import Notes, Site, found_in

MOST = 200
SIMULATED = "SIMULATED data: the measurements are made up, and the numbers say nothing of biology."


def page(site: Site, wanted: str, _: Mapping[str, str]) -> Page:
    """The page of the data set with this slug."""
    notes = Notes()
    one: DataSet = found_in("data set", site.datasets(notes), wanted)
    everybody = site.catalogue(notes)
    about = {
        "source": one.manifest.get("source"),
        "note": one.manifest.get("note"),
        "label rule": one.manifest["label_rule"]["text"],
        "synergistic": f"{one.triples.label.mean():.1%}",
        "graph": "yes" if one.has_graph else "no",
        "hash": one.hash,
    }
    runs = [row for row in site.run_rows(Notes()) if row["dataset"] == one.name]
    sections = [
        Section("What it is", [facts(about), *grid("The import", import_report(one), folded=True)]),
        Section("Cell lines", _most_measured(one, EntityKind.cell_line, everybody)),
        Section("Drugs", _most_measured(one, EntityKind.drug, everybody)),
    ]
    alarm = [Note(SIMULATED, alarm=True)] if one.simulated else []
    said = Note(f"{len(runs):,} runs of this workspace learned from it.")
    lines = [said, *map(Note, one.manifest.get("notes", [])), *notes.shown()]
    return Page(f"data/{wanted}.html", f"Data set {one.name}", sections, [*alarm, *lines])


def _most_measured(one: DataSet, kind: EntityKind, everybody: Catalogue) -> Sequence[Part]:
    triples, entities = one.triples, one.entities(kind)
    if kind is EntityKind.drug:
        of, label = np.concatenate([triples.drug_a, triples.drug_b]), np.tile(triples.label, 2)
    else:
        of, label = triples.cell_line, triples.label
    count = np.bincount(of, minlength=len(entities))
    share = np.bincount(of, weights=label, minlength=len(entities)) / np.maximum(count, 1)
    measured = [number for number in np.argsort(-count, kind="stable").tolist() if count[number]]
    rows = [
        {
            "name": cell(entities[number].name, everybody.path_of(entities[number])),
            "triples": int(count[number]),
            "synergistic": bar(float(share[number]), 0, 1, f"{share[number]:.0%}"),
        }
        for number in measured[:MOST]
    ]
    what = "drugs" if kind is EntityKind.drug else "cell lines"
    return grid(f"{len(measured):,} of {len(entities):,} {what} are measured, those with the most triples first", rows)
