"""One run: how it did beside naive predictors and its controls, what it was made from, and how it learned."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from l2aco.errors import L2aCoError
from l2aco.explore.page import Cell, Links, Note, Page, Part, Picture, Section, cell, facts, grid, slug
from l2aco.explore.pages.datasets import SIMULATED
from l2aco.explore.site import Notes, Site, found_in
from l2aco.runs.compare import flatten
from l2aco.runs.evaluate import better_naive, comparison, group_rows
from l2aco.runs.run import Run

MOST_CONTROLS = 100
WIDE, HIGH, EDGE = 628, 220, 8


def page(site: Site, wanted: str, _: Mapping[str, str]) -> Page:
    """The page of the run with this slug; raises DamagedError."""
    notes = Notes()
    one = Run(found_in("run", site.runs(), wanted), site.workspace)
    row = site.run_row(one.path)
    test = one.metrics["test"]
    by_line = [{"cell line": name, **values} for name, values in _mappings(test.get("per_cell_line"))]
    groups = [part for name in ("stratum", "tissue") for part in grid(f"by {name}", group_rows(test, name))]
    trained = {name: value for name, value in one.metrics["training"].items() if not isinstance(value, Mapping)}
    sections = [
        Section("Test rows", grid("This run and the naive predictors, on the same rows", comparison(one, one.metrics))),
        Section("Controls", _controls(site, row)),
        Section("Where it is good", [*groups, *grid("by cell line", by_line, folded=True)]),
        Section("How it learned", [facts(trained), *_history(one.history)]),
        Section("What it was made from", [*_made_from(site, one, notes)]),
    ]
    return Page(f"run/{wanted}.html", f"Run {one.id}", sections, [*_warnings(one, row), *notes.shown()])


def _warnings(one: Run, row: Mapping[str, Any]) -> Iterator[Note]:
    if one.simulated:
        yield Note(SIMULATED, alarm=True)
    if row["vectors"] != "profiles":
        yield Note(f"This is a control: it reads {row['vectors']} vectors in the place of profiles.", alarm=True)
    if naive := better_naive(one):
        ours = one.metrics["test"]["pooled"]["auroc"]
        yield Note(
            f"The naive predictor '{naive['model']}' ranks the test rows better "
            f"(AUROC {naive['auroc']:.3f}, this run {ours:.3f}).",
            alarm=True,
        )
    try:
        one.check_format()
    except L2aCoError as error:
        yield Note(str(error), alarm=True)


def _controls(site: Site, row: Mapping[str, Any]) -> Sequence[Part]:
    """The runs of the same settings that read something else in the place of profiles."""
    others = [other for other in site.run_rows(Notes()) if other["family"] == row["family"]]
    rows = [
        {
            "reads": other["vectors"],
            "run": cell(other["run"], None if other["run"] == row["run"] else f"run/{slug('run', other['run'])}.html"),
            **{name: other[name] for name in ("auroc", "auprc", "macro_auroc", "created")},
        }
        for other in sorted(others, key=lambda item: (item["vectors"], item["run"]))[:MOST_CONTROLS]
    ]
    if len(rows) > 1:
        return grid("The same settings with other vectors in the place of profiles", rows)
    return [Note("No control of the same settings is here: l2aco train --spec spec.toml --vectors shuffled makes one.")]


def _made_from(site: Site, one: Run, notes: Notes) -> Iterator[Part]:
    spec = {name: value for name, value in flatten(one.spec.model_dump(mode="json")).items() if value is not None}
    stores = [
        Cell(f"Store {store.name}", link=f"store/{key}.html")
        for key, store in site.stores(notes).items()
        if store.name in (one.spec.store or ())
    ]
    data = [
        Cell(f"Data set {dataset.name}", link=f"data/{key}.html")
        for key, dataset in site.datasets(notes).items()
        if dataset.name == one.spec.dataset
    ]
    ask = [Cell("Recommend with this run", link=f"recommend.html?run={slug('run', one.id)}")] if site.live else []
    if stores or data or ask:
        yield Links("Where it comes from", [*data, *stores, *ask])
    yield facts(spec)
    made = {name: one.manifest.get(name) for name in ("created_at", "dataset_hash", "split_hash", "vectors_hash")}
    yield facts({**made, **{str(name): value for name, value in one.environment.items()}})


def _mappings(value: object) -> list[tuple[str, Mapping[str, Any]]]:
    """The entries that are themselves mappings, of what may be anything."""
    if not isinstance(value, Mapping):
        return []
    found = [(str(name), item) for name, item in value.items() if isinstance(item, Mapping)]
    return [(name, item) for name, item in found if item.keys() == found[0][1].keys()]


def _history(history: Sequence[Mapping[str, Any]]) -> Sequence[Part]:
    """Loss and validation metrics over epochs, each on a scale of its own."""
    if len(history) < 2:
        return [Note("It was fitted at once, and has no history.")]
    names = [name for name in history[0] if name == "loss" or name.startswith("valid_")]
    lines = [line for name in names[:4] if (line := _line(name, [row.get(name) for row in history])) is not None]
    caption = "Each line on a scale of its own, whose ends stand beside its name."
    drawn: list[Part] = [Picture("lines.html", "History", caption, {"lines": lines})] if lines else []
    return [*drawn, *grid(f"{len(history)} epochs", history, folded=True)]


def _line(name: str, values: Sequence[object]) -> dict[str, str] | None:
    known = [(at, float(value)) for at, value in enumerate(values) if isinstance(value, int | float)]
    known = [(at, value) for at, value in known if math.isfinite(value)]
    if len(known) < 2:
        return None
    low, high = (edge(value for _, value in known) for edge in (min, max))
    points = " ".join(
        f"{EDGE + at / (len(values) - 1) * (WIDE - EDGE):.1f},"
        f"{EDGE + (1 - (value - low) / ((high - low) or 1)) * HIGH:.1f}"
        for at, value in known
    )
    return {"name": name.replace("_", " "), "low": f"{low:.3g}", "high": f"{high:.3g}", "points": points}
