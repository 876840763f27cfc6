"""The form for ranked pairs, and what comes of it: what `l2aco recommend` says, with links."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from l2aco.entities import Entity, EntityKind
from l2aco.errors import L2aCoError, UsageError
from l2aco.explore.catalogue import Catalogue
from l2aco.explore.page import Note, Page, Section, cell, grid
from l2aco.explore.site import Notes, Site

if TYPE_CHECKING:
    from l2aco.recommend.recommendation import Recommendation
    from l2aco.recommend.told import Told

FIELDS = {"cell": "", "set": "", "description": "", "run": "", "drugs": "", "top": "10", "min_triples": "0"}
NEWEST = 200


def page(site: Site, _: str, query: Mapping[str, str]) -> Page:
    """The empty form; `run` chooses a run by its slug."""
    given = {name: query.get(name, default) for name, default in FIELDS.items()}
    if (path := site.runs().get(given["run"])) is not None:
        given["run"] = path.name
    return _form(site, given, [], [])


def answer(site: Site, given: Mapping[str, str]) -> Page:
    """The filled form with the ranked pairs beneath, or with what is wrong."""
    given = {name: given.get(name, default).strip() for name, default in FIELDS.items()}
    notes = Notes()
    try:
        with site.heavy:
            found = _ranked(site, given, notes)
    except L2aCoError as error:
        return _form(site, given, [], [Note(str(error), alarm=True)], status=400)
    everybody = site.catalogue(notes)
    pairs = grid(f"{len(found.pairs)} pairs for {found.cell_line}", _rows(found, everybody))
    lines = notes.shown()
    return _form(site, given, [Section(f"Pairs for {found.cell_line}", [Note(found.caption), *lines, *pairs])], [])


def _ranked(site: Site, given: Mapping[str, str], notes: Notes) -> Recommendation:
    from l2aco.recommend.rank import rank_pairs
    from l2aco.runs.run import best_run, open_run

    told = _told(site, given)
    run = open_run(given["run"], site.workspace) if given["run"] else best_run(site.workspace, notes)
    return rank_pairs(
        run,
        given["cell"],
        top=_whole(given, "top", 1, 1000),
        drugs=[name.strip() for name in re.split(r"[\n;]", given["drugs"]) if name.strip()],
        min_triples=_whole(given, "min_triples", 0, 10**9),
        told=told,
        device=site.workspace.settings.device,
        progress=notes,
    )


def _told(site: Site, given: Mapping[str, str]) -> Told:
    """A description in anybody's words, or the profile that a set has of the line."""
    from l2aco.profiles.numbers import has_text
    from l2aco.profiles.sets import open_profile_set
    from l2aco.recommend.told import Told, read_told

    if given["set"] and given["description"]:
        raise UsageError("a profile set and a description are given", remedy="Leave one of the two out.")
    if not given["set"]:
        return read_told(given["description"] or None, [], None)
    profiles = open_profile_set(given["set"], site.workspace)
    record = profiles.resolve(given["cell"], EntityKind.cell_line.value)
    schema = profiles.schemas.get(record.kind)
    if schema is None or has_text(schema):
        return Told(text=record.text)
    return Told(fields={name: value for name, value in record.fields.items() if value is not None})


def _whole(given: Mapping[str, str], name: str, low: int, high: int) -> int:
    text = given[name]
    if not re.fullmatch(r"\d{1,9}", text) or not low <= int(text) <= high:
        raise UsageError(f"{name.replace('_', ' ')} is no whole number from {low} to {high:,}")
    return int(text)


def _rows(found: Recommendation, everybody: Catalogue) -> list[dict[str, object]]:
    rows = []
    for pair in found.pairs:
        row: dict[str, object] = dict(pair.as_row())
        for column, id_ in (("drug_a", pair.drug_a_id), ("drug_b", pair.drug_b_id)):
            name = str(row[column])
            row[column] = cell(name, everybody.path_of(Entity(id_, EntityKind.drug, name)))
        rows.append(row)
    return rows


def _form(site: Site, given: Mapping[str, str], sections: list[Section], notes: list[Note], status: int = 200) -> Page:
    silent = Notes()
    lines = [one.entity.name for one in site.catalogue(silent).of(EntityKind.cell_line)]
    values = {
        "given": given,
        "lines": lines[:1000],
        "sets": [one.name for one in site.sets(silent).values()],
        "runs": [row["run"] for row in site.run_rows(silent) if row["vectors"] == "profiles"][:NEWEST],
    }
    return Page("recommend.html", "Recommend pairs", sections, notes, "recommend.html", values, status)
