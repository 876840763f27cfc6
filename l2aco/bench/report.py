"""What a suite leaves behind: report.md, tables as CSV, predictions as Parquet, and everything as JSON."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.bench.execute import Outcome, describe
from l2aco.bench.scored import Scored, gather
from l2aco.bench.statistics import DRAWS
from l2aco.bench.verdict import TITLES, Standing, Verdict, judge, measures_of, standings
from l2aco.files import atomic_path, plain, write_json, write_text
from l2aco.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Report:
    """A finished suite: its tables by data set and setting, and its verdicts."""

    outcome: Outcome
    scored: list[Scored]
    tables: list[list[Standing]]
    verdicts: list[Verdict]

    def markdown(self) -> str:
        """Verdicts, then checks, then tables."""
        suite = self.outcome.suite
        lines = [f"# {suite.title or suite.name}", ""]
        if any(one.simulated for one in self.scored):
            lines += ["**SIMULATED data: the numbers say nothing of biology.**", ""]
        if self.verdicts:
            lines += ["## Verdicts", "", "What each comparison can resolve, before what it found:", ""]
            lines += [
                f"- {one.claim.text}: {one.resolution:.3f} {TITLES[one.claim.measure]} "
                f"({one.dataset}, {one.setting}, {one.splits} splits)"
                for one in self.verdicts
            ]
            lines += ["", *(f"- {one.sentence()}" for one in self.verdicts), ""]
        lines += ["## Checks", "", *(f"- {line}" for line in self.checks()), ""]
        for scored, table in zip(self.scored, self.tables, strict=True):
            lines += [f"## {scored.dataset}, {scored.setting}", "", *_table(scored, table), ""]
        if self.verdicts:
            lines += ["## Differences", "", *_differences(self.verdicts), ""]
        return "\n".join(lines)

    def checks(self) -> list[str]:
        """What a reader should know of the evidence, good or bad."""
        outcome = self.outcome
        seeds = len(outcome.suite.seeds)
        found = [
            f"{len(outcome.runs)} of {len(outcome.runs) + len(outcome.failed)} runs finished",
            f"{seeds} seed{'s' if seeds > 1 else ''} of folds and models; {DRAWS:,} resamples of what was held out, "
            "all predictors on the same ones",
        ]
        for scored in self.scored:
            arms = list(scored.predictions)
            short = [arm for arm in arms if len(scored.predictions[arm]) < len(scored.rows)]
            if short:
                found.append(f"{scored.dataset}, {scored.setting}: not on every split: {', '.join(short)}")
        found += [f"failed: {describe(cell)}: {message}" for cell, message in outcome.failed]
        return found

    def predictions(self) -> pl.DataFrame:
        """One line a test row and split: what was measured, and what every predictor says (controls: the mean of their
        draws)."""
        import polars as pl

        parts = []
        for scored in self.scored:
            for place, rows in scored.rows.items():
                columns: dict[str, Any] = {
                    "dataset": [scored.dataset] * len(rows),
                    "setting": [scored.setting] * len(rows),
                    "seed": rows.seed,
                    "fold": rows.fold,
                    "cell_line": [scored.lines[line] for line in rows.line],
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
        """Write report.md, report.json, results.csv and predictions.parquet."""
        write_text(folder / "report.md", self.markdown())
        write_json(folder / "report.json", plain(self.as_dict()))
        rows = [row for table in self.as_dict()["tables"] for row in table["rows"]]
        stream = io.StringIO()
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(rows)
        write_text(folder / "results.csv", stream.getvalue())
        with atomic_path(folder / "predictions.parquet") as partial:
            self.predictions().write_parquet(partial)

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "suite": self.outcome.suite.model_dump(mode="json"),
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
                    "dataset": scored.dataset,
                    "setting": scored.setting,
                    "rows": [
                        {"dataset": scored.dataset, "setting": scored.setting, **_wide(standing)} for standing in table
                    ],
                }
                for scored, table in zip(self.scored, self.tables, strict=True)
            ],
            "runs": {describe(cell): run.id for cell, run in self.outcome.runs},
        }


def make_report(outcome: Outcome, workspace: Workspace) -> Report:
    """Measure what the runs of a suite predicted, and judge its claims."""
    scored = gather(outcome, workspace)
    return Report(outcome, scored, [standings(one) for one in scored], judge(outcome.suite, scored))


def _wide(standing: Standing) -> dict[str, Any]:
    found: dict[str, Any] = {"model": standing.arm, "splits": standing.splits, "draws": standing.draws}
    for name, (value, low, high) in standing.values.items():
        found |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return found


def _table(scored: Scored, table: list[Standing]) -> list[str]:
    names = measures_of(scored)
    lines = ["| model | splits | " + " | ".join(TITLES[name] for name in names) + " |", "|---" * (len(names) + 2) + "|"]
    for standing in table:
        draws = f" ({standing.draws} draws)" if standing.draws > 1 else ""
        values = " | ".join("{:.3f} [{:.3f}, {:.3f}]".format(*standing.values[name]) for name in names)
        lines.append(f"| {standing.arm}{draws} | {standing.splits} | {values} |")
    return lines


def _differences(verdicts: list[Verdict]) -> list[str]:
    lines = ["| measure | model | minus | difference | 95% | p |", "|---|---|---|---|---|---|"]
    for one in verdicts:
        what = f"{TITLES[one.claim.measure]}, {one.dataset}, {one.setting} | {one.claim.arm}"
        for name, item in one.over.items():
            interval = f"[{item.low:+.4f}, {item.high:+.4f}]"
            lines.append(f"| {what} | {name} | {item.value:+.4f} | {interval} | {item.p:.3g} |")
    return lines
