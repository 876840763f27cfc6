"""All runs, the newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from l2aco.explore.page import Cell, Page, Part, Section, cell, listed, slug
from l2aco.explore.pages.listing import PER_PAGE, part_of, path_of
from l2aco.explore.site import Notes, Site

SHOWN = ("created", "auroc", "pair_mean_auroc", "macro_auroc", "auprc")
"""Beside the name, which tells the rest."""


def page(site: Site, number: str, query: Mapping[str, str]) -> Page:
    """One page of the list; a server also answers `runs`, words that all stand in a run's name."""
    notes = Notes()
    known = site.run_rows(notes)
    words = query.get("runs", "").casefold().split() if site.live else []
    found = [row for row in known if all(word in row["run"].casefold() for word in words)]
    shown, links = (found[:PER_PAGE], list[Part]()) if words else part_of(known, number, "runs")
    first = f"{len(found):,} of {len(known):,} runs" if words else f"{len(known):,} runs, the newest first"
    if words and len(found) > PER_PAGE:
        first += f"; the first {PER_PAGE}"
    parts = listed(first, rows(shown), "No run is called so." if words else "None yet: l2aco train")
    sections = [Section("All runs", [*links, *parts, *links])]
    values = {"runs": query.get("runs", "")}
    return Page(path_of("runs", int(number or 1)), "Runs", sections, notes.shown(), "runs.html", values)


def rows(known: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `Site.run_rows` as they are shown."""
    return [
        {
            "run": Cell(row["run"], link=f"run/{slug('run', row['run'])}.html"),
            **{name: cell(row[name]) for name in SHOWN},
            "data": "SIMULATED" if row["simulated"] else "measured",
        }
        for row in known
    ]
