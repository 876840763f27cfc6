"""report.html: one page that needs nothing else. Whatever stands in the data is text in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from l2aco.bench.tables import standings_table, strata_table, where

if TYPE_CHECKING:
    from l2aco.bench.charts import Chart
    from l2aco.bench.report import Report


def page(report: Report, charts: Mapping[str, Sequence[Chart]]) -> str:
    """The page of a report with its charts (`charts.charts_of`)."""
    from l2aco.templating import environment

    return (
        environment("l2aco.bench")
        .get_template("report.html")
        .render(
            report=report,
            claims=list(zip(report.verdicts, charts["claims"], strict=True)),
            sections=[
                (
                    where(one.scored),
                    standings_table(one.scored, one.standings),
                    charts[f"{one.scored.dataset}-{one.scored.setting}"],
                    strata_table(one.scored, one.details, one.models),
                )
                for one in report.sections
            ],
        )
    )
