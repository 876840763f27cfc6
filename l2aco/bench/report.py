"""What a suite leaves behind: a page, the same as Markdown, tables, charts, predictions, and everything as JSON."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.bench.details import Details, details
from l2aco.bench.execute import Outcome, describe
from l2aco.bench.finished import FORMAT, told_of
from l2aco.bench.provenance import Provenance, provenance
from l2aco.bench.scored import Scored, gather
from l2aco.bench.statistics import DRAWS
from l2aco.bench.suite import Suite
from l2aco.bench.table import heading, markdown_text
from l2aco.bench.tables import coverage_table, differences_table, ranking_table, standings_table, strata_table, where
from l2aco.bench.trust import trust
from l2aco.bench.verdict import Standing, Verdict, judge, standings
from l2aco.errors import InputError, L2aCoError, UsageError
from l2aco.files import atomic_path, partial_path, plain, refuse_others, write_json, write_text
from l2aco.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Section:
    """One data set and setting: its rows, its predictors (the best AUROC first), and where they are good."""

    scored: Scored
    standings: list[Standing]
    details: Details

    @property
    def models(self) -> list[str]:
        return [standing.arm for standing in self.standings]


@dataclass(frozen=True)
class Report:
    """A finished suite: its sections by data set and setting, and its verdicts."""

    outcome: Outcome
    sections: list[Section]
    verdicts: list[Verdict]
    provenance: Provenance

    @property
    def title(self) -> str:
        return self.outcome.suite.title or self.outcome.suite.name

    @property
    def simulated(self) -> list[str]:
        """The data sets whose measurements are made up."""
        return sorted({one.scored.dataset for one in self.sections if one.scored.simulated})

    def markdown(self) -> str:
        """Verdicts, then checks, then tables."""
        lines = heading(1, self.title)
        if self.simulated:
            names = markdown_text(", ".join(self.simulated))
            lines += [f"**SIMULATED data ({names}): the numbers say nothing of biology.**", ""]
        if self.verdicts:
            lines += ["## Verdicts", "", "What each comparison can resolve, before what it found:", ""]
            lines += [_item(f"{one.claim.text}: {one.resolves} ({one.basis})") for one in self.verdicts]
            lines += ["", *(_item(one.sentence()) for one in self.verdicts), ""]
        lines += ["## Checks", "", *map(_item, self.checks()), ""]
        for one in self.sections:
            lines += [*heading(2, where(one.scored)), standings_table(one.scored, one.standings).markdown(), ""]
        for verdict in self.verdicts:
            table = differences_table(verdict)
            lines += [*heading(3, table.title), table.markdown(), ""]
        for one in self.sections:
            table = strata_table(one.scored, one.details, one.models)
            lines += [*heading(3, table.title), table.markdown(), ""]
            for other in (ranking_table(one.scored, one.details), coverage_table(one.scored, one.details)):
                lines += [*heading(3, other.title), other.markdown(), ""]
        lines += [
            "## Where this comes from",
            "",
            *(_item(f"{what}: {value}") for what, value in self.provenance.facts()),
        ]
        return "\n".join([*lines, ""])

    def checks(self) -> list[str]:
        """What a reader should know of the evidence, good or bad."""
        outcome = self.outcome
        seeds = len(outcome.suite.seeds)
        found = [
            f"{len(outcome.runs)} of {outcome.cells} runs finished",
            f"{seeds} seed{'s' if seeds > 1 else ''} of folds and models; {DRAWS:,} resamples of what was held out, "
            "all predictors on the same ones",
        ]
        found += trust(outcome, [one.scored for one in self.sections])
        for scored in (one.scored for one in self.sections):
            arms = list(scored.predictions)
            short = [arm for arm in arms if len(scored.predictions[arm]) < len(scored.rows)]
            if short:
                found.append(f"{scored.dataset}, {scored.setting}: not on every split: {', '.join(short)}")
        found += [f"cannot be judged: {claim}" for claim in self._not_judged()]
        found += [f"failed: {describe(cell)}: {message}" for cell, message in outcome.failed]
        left = Counter((cell.arm, *cell.where[:2]) for cell in outcome.unfinished)
        found += [
            f"not begun within the budget: {count} runs of {arm} on {of}, {at}" for (arm, of, at), count in left.items()
        ]
        return found

    def _not_judged(self) -> list[str]:
        """The claims without a verdict, and what they lack."""
        judged = {verdict.claim.text for verdict in self.verdicts}
        there = {arm for one in self.sections for arm in one.models}
        found = []
        for claim in self.outcome.suite.claims:
            if claim.text not in judged:
                lacking = [name for name in (claim.arm, *claim.over) if name not in there]
                why = f"no run of {', '.join(lacking)}" if lacking else "no split has all that it compares"
                found.append(f"{claim.text}: {why}.")
        return found

    def runs(self) -> dict[str, str]:
        """The id of every run, by what it is."""
        return {describe(cell): run.id for cell, run in self.outcome.runs}

    def predictions(self) -> pl.DataFrame:
        """One line a test row and split: what was measured, and what every predictor says (controls: the mean of their
        draws)."""
        import polars as pl

        parts = []
        for scored in (one.scored for one in self.sections):
            for place, rows in scored.rows.items():
                columns: dict[str, Any] = {
                    "dataset": [scored.dataset] * len(rows),
                    "setting": [scored.setting] * len(rows),
                    "seed": rows.seed,
                    "fold": rows.fold,
                    "group": rows.group,
                    "cell_line": [scored.lines[line].name for line in rows.line],
                    "line": rows.line,
                    "pair": rows.pair,
                    "label": rows.label,
                    "score": rows.score,
                }
                for arm, of_place in scored.predictions.items():
                    if place in of_place:
                        columns[arm] = of_place[place].mean(axis=0)
                parts.append(pl.DataFrame(columns))
        return pl.concat(parts, how="diagonal")

    def save(self, folder: Path) -> None:
        """Write report.html, report.md, report.json, results.csv, results.tex, predictions.parquet and charts/."""
        from l2aco.bench.charts import charts_of, save_charts
        from l2aco.bench.page import page

        charts = charts_of(self)
        save_charts([chart for of_part in charts.values() for chart in of_part], folder / "charts")
        write_text(folder / "report.html", page(self, charts))
        write_text(folder / "report.md", self.markdown())
        write_json(folder / "report.json", plain(self.as_dict()))
        write_text(folder / "results.csv", _csv([row for one in self.sections for row in _wide(one)]))
        tables = [standings_table(one.scored, one.standings) for one in self.sections]
        write_text(folder / "results.tex", "\n".join(table.latex() for table in tables))
        with atomic_path(folder / "predictions.parquet") as partial:
            self.predictions().write_parquet(partial)

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "format": FORMAT,
            "suite": self.outcome.suite.model_dump(mode="json"),
            "provenance": asdict(self.provenance),
            "verdicts": [
                {
                    "claim": one.claim.text,
                    "dataset": one.dataset,
                    "setting": one.setting,
                    "measure": one.claim.measure,
                    "holds": one.holds,
                    "p": one.p,
                    "splits": one.splits,
                    "over": {name: asdict(item) | {"resolution": item.resolution} for name, item in one.over.items()},
                    "sentence": one.sentence(),
                }
                for one in self.verdicts
            ],
            "checks": self.checks(),
            "tables": [
                {
                    "dataset": one.scored.dataset,
                    "setting": one.scored.setting,
                    "simulated": one.scored.simulated,
                    "rows": list(_wide(one)),
                    **asdict(one.details),
                }
                for one in self.sections
            ],
            "runs": self.runs(),
        }


WRITTEN = frozenset({"report.html", "report.md", "report.json", "results.csv", "results.tex", "predictions.parquet"})


def check_folder(folder: Path, suite: Suite, workspace: Workspace) -> None:
    """Raises UsageError where the report of `suite` cannot be written, or would be written over files of somebody else,
    over the report of another suite of its name, or through a link."""
    ours = (folder / "report.json").is_file() and not folder.is_symlink()
    refuse_others(folder, lambda name: ours and (name in WRITTEN or name.startswith("charts/")), "l2aco bench")
    there = None
    with suppress(L2aCoError):  # a damaged one is written anew
        there = told_of(folder).provenance.suite
    if there not in (None, suite.origin(workspace)):
        raise UsageError(
            "holds the report of another suite of this name",
            where=folder,
            remedy='Name another folder (--output), or the suite (name = "..." in its file).',
        )
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with partial_path(nearest / "report.json"):
            pass
    except OSError as error:
        raise UsageError(
            f"the report cannot be written: {error.strerror}", where=folder, remedy="Name another folder: --output."
        ) from None


def make_report(outcome: Outcome, workspace: Workspace, command: str) -> Report:
    """Measure what the runs of a suite predicted, and judge its claims. `command`: what asked for it."""
    if not outcome.runs:
        why = f": {outcome.failed[0][1]}" if outcome.failed else ", since no arm is of any of its seeds and folds"
        raise InputError(f"no run of the suite {outcome.suite.name} is there{why}")
    scored = gather(outcome, workspace)
    return Report(
        outcome,
        [Section(one, standings(one), details(one)) for one in scored],
        judge(outcome.suite, scored),
        provenance(outcome, workspace, command),
    )


def _item(words: str) -> str:
    """A line of a list in Markdown."""
    return f"- {markdown_text(words)}"


def _wide(section: Section) -> Iterator[dict[str, Any]]:
    """A row for each predictor, its intervals in columns of their own."""
    for standing in section.standings:
        found: dict[str, Any] = {"dataset": section.scored.dataset, "setting": section.scored.setting}
        found |= {"model": standing.arm, "splits": standing.splits, "draws": standing.draws}
        for name, (value, low, high) in standing.values.items():
            found |= {name: value, f"{name}_low": low, f"{name}_high": high}
        yield found


def _csv(rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
