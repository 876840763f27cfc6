"""What the workspace holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from l2aco.explore.page import HOME, Cell, Links, Page, Section, cell, listed
from l2aco.explore.pages.runs import rows as run_rows
from l2aco.explore.site import Notes, Site

NEWEST = 10


def page(site: Site, _: str, __: Mapping[str, str]) -> Page:
    """Sets, stores, data sets, the newest runs, suites: each with its own page."""
    notes = Notes()
    sections = list(_sections(site, notes))
    everybody = [Cell("All drugs", link="drugs.html"), Cell("All cell lines", link="cell-lines.html")]
    sections.insert(0, Section("Drugs and cell lines", [Links("Drugs and cell lines", everybody)]))
    return Page(HOME, f"Workspace {site.workspace.root.name}", sections, notes.shown())


def _sections(site: Site, notes: Notes) -> Iterator[Section]:
    sets = [
        {
            "profile set": cell(one.name, f"set/{key}.html"),
            "written by": one.manifest.get("llm"),
            "prompt": one.prompt_label,
            "profiles": _number(one.manifest.get("records"), one.manifest.get("counts")),
            "from": "bundled" if one.is_bundled else "this workspace",
        }
        for key, one in site.sets(notes).items()
    ]
    yield _section("Profile sets", sets, "l2aco profile --llm reference")
    stores = [
        {
            "store": cell(one.name, f"store/{key}.html"),
            "records": len(one),
            "dimension": one.dimension,
            "encoder": one.encoder.name,
            "written": one.manifest.created_at[:16].replace("T", " "),
        }
        for key, one in site.stores(notes).items()
    ]
    yield _section("Embedding stores", stores, "l2aco embed")
    datasets = [
        {
            "data set": cell(one.name, f"data/{key}.html"),
            "triples": one.manifest["counts"]["triples"],
            "drugs": one.manifest["counts"]["drugs"],
            "cell lines": one.manifest["counts"]["cell_lines"],
            "data": "SIMULATED" if one.simulated else "measured",
        }
        for key, one in site.datasets(notes).items()
    ]
    yield _section("Data sets", datasets, "l2aco data import TABLE --name NAME")
    known = site.run_rows(notes)
    every = Links("Runs", [Cell(f"All {len(known):,} runs", link="runs.html")])
    first = f"The newest of {len(known):,} runs"
    newest = listed(first, run_rows(known[:NEWEST]), "None yet. One is made by: l2aco train")
    yield Section("Runs", [*newest, every])
    suites = [{"suite": cell(path.name, f"suite/{key}.html")} for key, path in site.suites().items()]
    yield _section("Finished suites", suites, "l2aco bench run SUITE")


def _section(title: str, rows: list[dict[str, Any]], make: str) -> Section:
    return Section(title, listed(title, rows, f"None yet. One is made by: {make}"))


def _number(records: object, counts: object) -> int | None:
    """How many profiles a manifest tells of, in either of the ways in which it may."""
    if isinstance(records, int):
        return records
    values = list(counts.values()) if isinstance(counts, dict) else []
    return sum(values) if values and all(isinstance(value, int) for value in values) else None
