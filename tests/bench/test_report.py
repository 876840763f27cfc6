"""The report of a suite: the page, its charts and tables, in a real browser where there is one; hostile names."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from screen import fits, listened, serious

from l2aco.bench.charts import STYLE, charts_of
from l2aco.bench.details import details
from l2aco.bench.execute import run_suite
from l2aco.bench.page import page
from l2aco.bench.report import Report, make_report
from l2aco.bench.statistics import Difference
from l2aco.bench.suite import load_suite
from l2aco.bench.table import Table, markdown_text, number, text
from l2aco.workspace import Workspace

HOSTILE = '<script>alert("x")</script> & $\\frac{1}{0}$ | "A\'B" </style></table>'
SUITE = """
title = "A small one"
dataset = ["demo"]
folds = 2
naive = ["pair mean"]
spec = {backbone = "Mixed", config = {draws = 4}}

[[arms]]
name = "nothing"
spec.config.knowledge = "none"

[[arms]]
name = "panel"
profiles = ["reference-panel"]

[[claims]]
text = "the panel helps"
arm = "panel"
over = ["nothing", "pair mean"]
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    workspace = Workspace(tmp_path_factory.mktemp("bench"))
    path = workspace.root / "small.toml"
    path.write_text(SUITE)
    return make_report(run_suite(load_suite(str(path)), workspace), workspace, "l2aco bench run small.toml")


@pytest.fixture(scope="module")
def saved(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    report.save(folder)
    return folder


@pytest.fixture(scope="module")
def hostile(report: Report) -> Report:
    """The same, with a cell line, a tissue, a claim and a title that would be markup if anybody let them."""
    (section,) = report.sections
    lines = [line._replace(name=f"{HOSTILE}{at}", tissue=HOSTILE) for at, line in enumerate(section.scored.lines)]
    scored = replace(section.scored, lines=lines)
    suite = report.outcome.suite.model_copy(update={"title": HOSTILE})
    claim = report.verdicts[0].claim.model_copy(update={"text": HOSTILE})
    return replace(
        report,
        outcome=replace(report.outcome, suite=suite),
        sections=[replace(section, scored=scored, details=details(scored))],
        verdicts=[replace(report.verdicts[0], claim=claim)],
    )


class Parsed(HTMLParser):
    """The elements of a page, their attributes, and its text outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = [tag]

    def handle_endtag(self, tag: str) -> None:
        self._open = []

    def handle_data(self, data: str) -> None:
        if self._open not in (["script"], ["style"]):
            self.text += data


def test_the_page_needs_nothing_else(saved: Path) -> None:
    html = (saved / "report.html").read_text()
    found = Parsed(html)
    for tag, attributes in found.elements:
        assert tag not in {"link", "iframe", "object", "img"}
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert "url(http" not in html
    assert "@import" not in html
    assert sum(tag == "svg" for tag, _ in found.elements) == 8
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_what_is_resolved_stands_before_what_was_found(report: Report, saved: Path) -> None:
    shown = " ".join(Parsed((saved / "report.html").read_text()).text.split())
    (verdict,) = report.verdicts
    assert shown.index("SIMULATED data") < shown.index("resolves") < shown.index(verdict.finding())
    for name in ("frequency", "head", "middle", "tissue", "l2aco bench run small.toml"):
        assert name in shown


def test_the_same_suite_gives_the_same_report(report: Report, saved: Path, tmp_path: Path) -> None:
    report.save(tmp_path)
    names = sorted(str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file())
    assert {"report.html", "report.md", "results.tex", "charts/claim-1.svg", "charts/claim-1.png"} <= set(names)
    for name in names:
        assert (tmp_path / name).read_bytes() == (saved / name).read_bytes(), name


@pytest.mark.parametrize("length", range(8, 33, 3))
def test_numbers_below_a_chart_do_not_run_into_each_other(report: Report, length: int) -> None:
    """Small differences to rivals of names of any length."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    found = Difference(0.0058, 0.0015, 0.0099, 0.0021, 0.003)
    verdict = replace(report.verdicts[0], over={f"{n}{'x' * length}": found for n in range(5)})
    (chart,) = charts_of(replace(report, verdicts=[verdict]))["claims"]
    with matplotlib.rc_context(STYLE):
        FigureCanvasAgg(chart.figure).draw()
    (axes,) = chart.figure.axes
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    inside = sorted((box.x0, box.x1) for box in boxes if axes.bbox.x0 <= (box.x0 + box.x1) / 2 <= axes.bbox.x1)
    assert len(inside) > 2
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(inside))


def test_strata_and_lines_are_measured_from_the_rows(saved: Path, report: Report) -> None:
    from sklearn.metrics import roc_auc_score

    rows = pl.read_parquet(saved / "predictions.parquet")
    (table,) = json.loads((saved / "report.json").read_text())["tables"]
    strata = {(one["by"], one["name"]): one for one in table["strata"]}
    assert sum(one["rows"] for (by, _), one in strata.items() if by == "frequency") == len(rows)
    breast = strata["tissue", "breast"]
    names = [line["name"] for line in table["lines"] if line["tissue"] == "breast"]
    part = rows.filter(pl.col("cell_line").is_in(names))
    expected = [roc_auc_score(of_split["label"], of_split["panel"]) for _, of_split in part.group_by("fold")]
    assert breast["auroc"]["panel"] == pytest.approx(np.mean(expected))
    line = table["lines"][0]
    own = rows.filter(pl.col("cell_line") == line["name"])
    assert line["auroc"]["nothing"] == pytest.approx(roc_auc_score(own["label"], own["nothing"]))
    bins = [one for one in table["calibration"] if one["model"] == "panel"]
    assert sum(one["rows"] for one in bins) == len(rows)
    assert sum(one["rows"] * one["observed"] for one in bins) == pytest.approx(rows["label"].sum())
    shown = pl.concat(run.predictions() for cell, run in report.outcome.runs if cell.arm == "panel")["calibrated"]
    assert sum(one["rows"] * one["predicted"] for one in bins) == pytest.approx(shown.sum())
    kept = {one["coverage"]: one for one in table["coverage"] if one["model"] == "panel"}
    assert kept[1.0]["error"] == pytest.approx(((shown >= 0.5) != (rows["label"] == 1)).mean(), abs=0.01)


def test_where_a_report_comes_from(saved: Path, report: Report) -> None:
    origin = json.loads((saved / "report.json").read_text())["provenance"]
    run = report.outcome.runs[0][1]
    assert origin["datasets"] == {"demo": run.manifest["dataset_hash"]}
    assert set(origin["splits"].values()) == {run.manifest["split_hash"] for _, run in report.outcome.runs}
    assert list(origin["vectors"]) == ["reference-panel--fields"]
    assert origin["machine"]["packages"]["torch"]


def test_hostile_names_stay_text(hostile: Report, report: Report) -> None:
    found, usual = (Parsed(page(one, charts_of(one))) for one in (hostile, report))
    assert HOSTILE in found.text
    assert sum(tag == "script" for tag, _ in found.elements) == 1
    for tag in ("table", "svg", "style", "article"):
        assert sum(one == tag for one, _ in found.elements) == sum(one == tag for one, _ in usual.elements)


def test_hostile_names_stay_text_in_markdown_too(hostile: Report) -> None:
    text = hostile.markdown().replace("**SIMULATED", "").replace("biology.**", "")
    assert "script" in text and not re.search(r"(?<!\\)[<`*]|\]\(", text)
    assert markdown_text("# a [b](http://x) <i> _c_ pair_mean 0.7 [0.6, 0.8]\n- d") == (
        "\\# a [b\\](http://x) \\<i> \\_c\\_ pair_mean 0.7 [0.6, 0.8] - d"
    )


def test_tables_hold_any_text() -> None:
    table = Table("a_b", ["x|y", "100%"], [[text("a|b\nc & d_e\\"), number(float("nan"))], [text("#"), number(0.5)]])
    assert table.markdown().splitlines()[2] == "| a\\|b c & d_e\\\\ | – |"
    assert "a|b\nc \\& d\\_e\\textbackslash{} & – \\\\" in table.latex()
    assert "100\\%" in table.latex()


@pytest.fixture
def opened(browser: Any, hostile: Report, saved: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """The page of a width, without anything on its console by the end."""
    which, width = request.param
    path = saved / "report.html"
    if which == "hostile":
        path = tmp_path / "report.html"
        path.write_text(page(hostile, charts_of(hostile)))
    tab = browser.new_page(viewport={"width": width, "height": 844})
    said = listened(tab)
    tab.goto(path.as_uri())
    yield tab
    tab.close()
    assert not said


@pytest.mark.parametrize("opened", [("usual", 1280), ("usual", 390), ("hostile", 390)], indirect=True)
def test_it_fits_the_screen(opened: Any) -> None:
    assert fits(opened)
    for more in opened.locator("summary").all():
        more.press("Enter")
    assert fits(opened)


@pytest.mark.parametrize("opened", [("usual", 1280)], indirect=True)
def test_tables_sort_by_keyboard(opened: Any) -> None:
    table = opened.locator("#part-1 table").first
    head = table.get_by_role("columnheader", name="AUROC", exact=True)
    column = 2

    def values() -> list[float]:
        cells = table.locator(f"tbody td:nth-child({column + 1})").all()
        return [float(cell.get_attribute("data-key")) for cell in cells]

    for order, reverse in (("descending", True), ("ascending", False)):
        head.get_by_role("button").press("Enter")
        assert head.get_attribute("aria-sort") == order
        assert values() == sorted(values(), reverse=reverse)


@pytest.mark.parametrize("opened", [("usual", 390)], indirect=True)
def test_without_scripts_all_is_there(opened: Any, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    bare = context.new_page()
    bare.goto(opened.url)
    assert bare.locator("table").count() == opened.locator("table").count()
    assert bare.locator("button").count() == 0
    assert opened.locator("th button").count() == opened.locator("th").count()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("opened", [("usual", 1280), ("usual", 390)], indirect=True)
def test_nothing_serious_for_axe(opened: Any, scheme: str) -> None:
    opened.emulate_media(color_scheme=scheme)
    assert not serious(opened)
