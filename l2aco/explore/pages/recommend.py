"""The form for ranked pairs, and what comes of it: what `l2aco recommend` says, with links."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from l2aco.entities import Entity, EntityKind
from l2aco.errors import L2aCoError, UnknownNameError, UsageError
from l2aco.explore.catalogue import Catalogue
from l2aco.explore.page import Note, Page, Reasons, Section, bar, cell, grid
from l2aco.explore.site import Notes, Site
from l2aco.recommend.lines import across

if TYPE_CHECKING:
    from l2aco.recommend.asked import Only
    from l2aco.recommend.rank import Desk
    from l2aco.recommend.recommendation import RankedPair, Recommendation
    from l2aco.recommend.told import Told

FIELDS = {
    **dict.fromkeys(
        ("cell", "set", "description", "run", "drugs", "classes", "targets", "pairs", "diverse", "held_out"), ""
    ),
    "pool": "measured",
    "top": "10",
    "min_triples": "0",
}
PAIRS = {"": None, "unmeasured": True, "all": False}
NEWEST = 200
LISTS = ("cell", "drugs", "classes", "targets")
SEVERAL = "Several names stand with semicolons between them: a comma is part of a name."


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
            desk, found = _ranked(site, given, notes)
            beside = across(desk, _whole(given, "top", 1, 1000)).to_dicts() if len(found) > 1 else []
    except L2aCoError as error:
        commas = isinstance(error, UnknownNameError) and any("," in given[name] for name in LISTS)
        notes_of = [Note(str(error), alarm=True), *([Note(SEVERAL)] if commas else [])]
        return _form(site, given, [], notes_of, status=400)
    everybody = site.catalogue(notes)
    sections = [_beside(beside, everybody)] if beside else []
    sections += [section for one in found for section in _result(one, everybody)]
    return _form(site, given, sections, notes.shown())


def _beside(rows: Sequence[Mapping[str, Any]], everybody: Catalogue) -> Section:
    """A row a pair and a column a line."""
    shown = [
        _linked(
            {
                name: value if isinstance(value, str) else bar(value, 0.0, 1.0, f"{value:.2f}")
                for name, value in row.items()
            },
            everybody,
        )
        for row in rows
    ]
    title = "Probability of synergy in each line"
    return Section(
        title, grid(f"{len(rows)} pairs of all that are asked for, the best by the mean over the lines first", shown)
    )


def _result(found: Recommendation, everybody: Catalogue) -> list[Section]:
    """What the command says, pair by pair with what speaks for and against it."""
    notes = [Note(text, alarm=text in found.warnings) for text in found.notes]
    rows = [_linked({**pair.as_row(), **_drugs(pair)}, everybody) for pair in found.pairs]
    pairs = grid(f"{len(found.pairs)} of {found.ranked:,} pairs for {found.cell_line}", rows)
    reasons = [part for pair in found.pairs if (part := _reasons(pair)).lists]
    return [
        Section(f"Pairs for {found.cell_line}", [*notes, *pairs]),
        *([Section(f"Reasons for {found.cell_line}", reasons)] if reasons else []),
    ]


def _drugs(pair: RankedPair) -> dict[str, str]:
    return {name: getattr(pair, name) for name in ("drug_a", "drug_b", "drug_a_id", "drug_b_id")}


def _linked(row: Mapping[str, Any], everybody: Catalogue) -> dict[str, Any]:
    """The row with links in the place of the ids."""
    found = {name: value for name, value in row.items() if name not in ("drug_a_id", "drug_b_id")}
    for name in ("drug_a", "drug_b"):
        found[name] = cell(row[name], everybody.path_of(Entity(row[f"{name}_id"], EntityKind.drug, row[name])))
    return found


def _reasons(pair: RankedPair) -> Reasons:
    of = pair.reasons
    lists = [("For", of.supports), ("Against", of.against), ("Known", of.about)]
    return Reasons(f"{pair.rank}. {pair.drug_a} + {pair.drug_b}", [one for one in lists if one[1]])


def _ranked(site: Site, given: Mapping[str, str], notes: Notes) -> tuple[Desk, list[Recommendation]]:
    from l2aco.recommend.rank import open_desk
    from l2aco.runs.run import best_run, open_run

    lines = _names(given["cell"]) or [""]
    top, told = _whole(given, "top", 1, 1000), _told(site, given, lines[0])
    run = open_run(given["run"], site.workspace) if given["run"] else best_run(site.workspace, notes)
    desk = open_desk(
        run,
        lines,
        drugs=_names(given["drugs"]),
        only=_only(given),
        told=told,
        held_out=bool(given["held_out"]),
        device=site.workspace.settings.device,
        progress=notes,
    )
    return desk, [desk.recommend(line, top) for line in desk.lines]


def _only(given: Mapping[str, str]) -> Only:
    """What is asked of a pair. A file of drugs is for the command line: no path is taken from a form."""
    from l2aco.recommend.asked import POOLS, Only

    if given["pool"] not in POOLS or given["pairs"] not in PAIRS:
        raise UsageError("this is none of the choices", remedy=f"Choose one of {', '.join(POOLS)}.")
    named = len(_names(given["drugs"])) > 1 and given["pool"] == "measured"
    return Only(
        pool=None if named else given["pool"],
        classes=_names(given["classes"]),
        targets=_names(given["targets"]),
        min_triples=_whole(given, "min_triples", 0, 10**9),
        unmeasured=PAIRS[given["pairs"]],
        diverse=bool(given["diverse"]),
    )


def _names(text: str) -> list[str]:
    """Names on lines of their own, or with semicolons between them."""
    return [name.strip() for name in re.split(r"[\n;]", text) if name.strip()]


def _told(site: Site, given: Mapping[str, str], line: str) -> Told:
    """A description in anybody's words, or the profile that a set has of the line."""
    from l2aco.profiles.numbers import has_text
    from l2aco.profiles.sets import open_profile_set
    from l2aco.recommend.told import Told, read_told

    if given["set"] and given["description"]:
        raise UsageError("a profile set and a description are given", remedy="Leave one of the two out.")
    if not given["set"]:
        return read_told(given["description"] or None, [], None)
    profiles = open_profile_set(given["set"], site.workspace)
    record = profiles.resolve(line, EntityKind.cell_line.value)
    schema = profiles.schemas.get(record.kind)
    if schema is None or has_text(schema):
        return Told(text=record.text)
    return Told(fields={name: value for name, value in record.fields.items() if value is not None})


def _whole(given: Mapping[str, str], name: str, low: int, high: int) -> int:
    text = given[name]
    if not re.fullmatch(r"\d{1,9}", text) or not low <= int(text) <= high:
        raise UsageError(f"{name.replace('_', ' ')} is no whole number from {low} to {high:,}")
    return int(text)


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
