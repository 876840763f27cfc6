"""The charts of a report, as figures: differences of a claim, AUROC of every line, the long tail, calibration."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.bench.curves import (
    COLOURS,
    INK,
    WIDTH,
    abstention,
    calibration,
    figure_of,
    first_pairs,
    line_calibration,
    long_tail,
    plane,
)
from l2aco.bench.details import Details
from l2aco.bench.suite import Suite
from l2aco.bench.table import Table
from l2aco.bench.tables import (
    calibration_table,
    coverage_table,
    differences_table,
    line_calibration_table,
    lines_table,
    map_table,
    ranking_table,
)
from l2aco.bench.verdict import TITLES, Verdict
from l2aco.files import atomic_path, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from l2aco.bench.report import Report, Section

STYLE: Any = {
    "text.parse_math": False,  # a name with dollar signs is a name
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **{f"{part}.color": INK for part in ("text", "xtick", "ytick")},
    **{f"axes.{part}": INK for part in ("edgecolor", "labelcolor", "titlecolor")},
}


CALIBRATED = "Runs say what they do once calibrated; naive predictors and files are as they are."


@dataclass(frozen=True)
class Chart:
    """A figure with the table of what it shows. `name`: of its files."""

    name: str
    title: str
    caption: str
    figure: Figure
    table: Table

    @cached_property
    def svg(self) -> str:
        """The drawing alone, without the head of a file; the same bytes each time."""
        import matplotlib

        stream = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        with matplotlib.rc_context({**STYLE, "svg.hashsalt": self.name}):
            self.figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
        self.figure.set_layout_engine("none")  # all stays where it is, and is not laid out anew
        drawing = stream.getvalue().partition("<svg")[2]
        return "<svg" + re.sub(r'(<g) id="[^"]*"', r"\1", drawing).replace(INK, "currentColor")


def charts_of(report: Report) -> dict[str, list[Chart]]:
    """The charts by the part of the report that they belong to: claims, and each section by data set and setting."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        claims = [_differences(number, verdict) for number, verdict in enumerate(report.verdicts, 1)]
        return {"claims": claims} | {
            f"{one.scored.dataset}-{one.scored.setting}": _of_section(report.outcome.suite, one)
            for one in report.sections
        }


def save_charts(charts: Sequence[Chart], folder: Path) -> None:
    """Write each as SVG and as PNG."""
    import matplotlib

    for chart in charts:
        write_text(folder / f"{chart.name}.svg", '<?xml version="1.0" encoding="utf-8"?>\n' + chart.svg)
        with matplotlib.rc_context(STYLE), atomic_path(folder / f"{chart.name}.png") as partial:
            chart.figure.savefig(partial, format="png", dpi=150, metadata={"Software": None})


def _of_section(suite: Suite, section: Section) -> list[Chart]:
    scored, found, models = section.scored, section.details, section.models
    shown = _shown(suite, models)
    name = f"{scored.dataset}-{scored.setting}"
    some = "" if len(shown) == len(models) else " Of the models, those of the first claims; the table has all."
    lines = lines_table(scored, found, models)
    return [
        Chart(
            f"{name}-lines",
            "AUROC within every cell line",
            "The lines with the most triples on top; the best model on the left. Grey: one label alone.",
            _heat_map(found, models),
            lines,
        ),
        Chart(
            f"{name}-long-tail",
            "AUROC within a line, by its triples",
            f"A mark is a cell line; the curve is the mean of lines about as large.{some}",
            long_tail(found, shown),
            lines,
        ),
        Chart(
            f"{name}-calibration",
            "Calibration",
            f"A mark is a tenth of the rows; on the diagonal a probability is what it says. {CALIBRATED}{some}",
            calibration(found, shown),
            calibration_table(scored, found),
        ),
        Chart(
            f"{name}-line-calibration",
            "Calibration of cell lines",
            f"A mark is a cell line: its mean probability, and the share that was synergistic. {CALIBRATED}{some}",
            line_calibration(found, shown),
            line_calibration_table(scored, found, models),
        ),
        Chart(
            f"{name}-ranking",
            "The first pairs of a line",
            f"The share of synergies among the first pairs of a list, mean over lines.{some}",
            first_pairs(found, shown),
            ranking_table(scored, found),
        ),
        Chart(
            f"{name}-abstention",
            "Abstention",
            f"Wrong answers where a model answers only for what it is surest of; a half divides. {CALIBRATED}{some}",
            abstention(found, shown),
            coverage_table(scored, found),
        ),
        *(
            Chart(
                f"{name}-map-{one.store}-{one.kind.replace(' ', '-')}",
                f"{one.store}: {one.kind}s",
                "Vectors along the two directions in which they differ most; those alike lie together.",
                plane(one),
                map_table(one),
            )
            for one in (scored.known.maps if scored.known else ())
        ),
    ]


def _shown(suite: Suite, models: list[str]) -> list[str]:
    """As many models as there are colours: those of the claims, then the best."""
    claimed = [name for claim in suite.claims for name in (claim.arm, *claim.over) if name in models]
    chosen = list(dict.fromkeys([*claimed, *models]))[: len(COLOURS)]
    return [model for model in models if model in chosen]


def _differences(number: int, verdict: Verdict) -> Chart:
    names = sorted(verdict.over, key=lambda name: verdict.over[name].value)
    found = [verdict.over[name] for name in names]
    figure, axes = figure_of(1.1 + 0.32 * len(names))
    value = np.array([one.value for one in found])
    reach = np.abs(np.array([[one.low, one.high] for one in found]).T - value)
    axes.axvspan(-verdict.resolution, verdict.resolution, color="#888888", alpha=0.18, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.errorbar(value, range(len(names)), xerr=reach, fmt="o", color=COLOURS[0], capsize=3)
    axes.set_yticks(range(len(names)), [f"minus {name}" for name in names])
    axes.set(ylim=(-0.6, len(names) - 0.4), xlabel=f"difference in {TITLES[verdict.claim.measure]}")
    axes.locator_params(axis="x", nbins=4)  # more would run into each other beside the names
    return Chart(
        f"claim-{number}",
        f"{verdict.claim.arm} minus its rivals",
        "With 95% intervals. A true difference within the grey band would often go unseen.",
        figure,
        differences_table(verdict),
    )


def _heat_map(found: Details, models: list[str]) -> Figure:
    values = np.array([[line.auroc[model] for model in models] for line in found.lines])
    figure, axes = figure_of(1.6 + 0.16 * len(found.lines), max(WIDTH, 2 + 0.3 * len(models)))
    axes.set_facecolor("#999999")
    grid = axes.pcolormesh(np.ma.masked_invalid(values), cmap="cividis", edgecolors="none")
    axes.invert_yaxis()
    axes.set_xticks(np.arange(len(models)) + 0.5, models, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(found.lines)) + 0.5, [line.name for line in found.lines], fontsize=7)
    axes.tick_params(length=0)
    figure.colorbar(grid, ax=axes, label="AUROC", fraction=0.04).outline.set_visible(False)
    return figure
