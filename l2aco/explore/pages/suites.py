"""Finished suites: what they found, and their reports, which are shown as they are and may do nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from l2aco.bench.finished import open_finished
from l2aco.errors import InputError, L2aCoError
from l2aco.explore.page import Cell, Document, Links, Note, Page, Section, cell, facts, grid, listed
from l2aco.explore.pages.datasets import SIMULATED
from l2aco.explore.site import Site, found_in

MOST_BYTES = 50_000_000


def page(site: Site, _: str, __: Mapping[str, str]) -> Page:
    """The list."""
    rows = [
        {"suite": cell(path.name, f"suite/{key}.html"), "report": cell("report", f"report/{key}.html")}
        for key, path in site.suites().items()
    ]
    parts = listed("Suites with a report", rows, "None yet. One is made by: l2aco bench run SUITE")
    return Page("suites.html", "Finished suites", [Section("Reports", parts)])


def suite_page(site: Site, wanted: str, _: Mapping[str, str]) -> Page:
    """What a suite compared, and the way to its report."""
    folder: Path = found_in("suite", site.suites(), wanted)
    report = Links("Report", [Cell("Read the report", link=f"report/{wanted}.html")])
    path, title = f"suite/{wanted}.html", f"Suite {folder.name}"
    try:
        told = open_finished(folder).told
    except L2aCoError as error:
        return Page(path, title, [Section("Report", [report])], [Note(str(error))])
    origin = told.provenance
    tables = [
        part
        for one in told.tables
        for part in grid(
            f"{one.dataset}, {one.setting}{' (SIMULATED)' if one.simulated else ''}",
            [{"model": row.model, "draws": row.draws} for row in one.rows],
        )
    ]
    made = facts({"command": origin.command, "date": origin.date, "commit": origin.commit, **origin.datasets})
    alarm = [Note(SIMULATED, alarm=True)] if any(one.simulated for one in told.tables) else []
    return Page(path, title, [Section("Report", [report, made]), Section("Models", tables)], alarm)


def report(site: Site, wanted: str, _: Mapping[str, str]) -> Document:
    """The page that `bench run` wrote, or somebody else."""
    path: Path = found_in("suite", site.suites(), wanted) / "report.html"
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"is larger than {MOST_BYTES:,} bytes", where=path)
    return Document(path.read_bytes())
