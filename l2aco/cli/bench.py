"""`l2aco bench`: suites of runs with controls, statistics, and a verdict in words."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from l2aco.cli.shell import JsonOption, Shell, verb, with_interval
from l2aco.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Benchmarks with controls: does the knowledge help, and how sure are we?")


@verb(resumes=True)
def run(
    shell: Shell,
    suite: Annotated[str, typer.Argument(help="A shipped suite (`l2aco bench list`), or a TOML file.")],
    dataset: Annotated[list[str] | None, typer.Option(help="Instead of the suite's data sets; repeat it.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Instead of the suite's seeds; repeat it.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs that train at the same time.")] = 1,
    executor: Annotated[
        Literal["processes", "ray"],
        typer.Option(help="What trains several jobs: processes of this machine, or Ray."),
    ] = "processes",
    address: Annotated[str | None, typer.Option(help="With --executor ray: a cluster (default: a local one).")] = None,
    hours: Annotated[float | None, typer.Option(help="Begin no run after so many hours.")] = None,
    out: Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the report.")] = None,
    json: JsonOption = False,
) -> None:
    """Train every model of a suite that is not there yet, measure, and judge its claims.

    The report is one page, report.html; beside it lie report.md, report.json, results.csv, results.tex, charts and
    predictions.parquet.
    """
    import shlex

    from l2aco.bench.suite import load_suite
    from l2aco.training.choose import check_names

    budget = None if hours is None else {"hours": hours}
    asked = load_suite(suite, dataset=tuple(dataset or ()), seeds=tuple(seed or ()), budget=budget)
    if address is not None and executor != "ray":
        raise UsageError("--address belongs to --executor ray")
    for name in asked.dataset:
        check_names({"dataset": name}, shell.workspace)
    from l2aco.bench.execute import refuse_failures, run_suite  # after the names: it brings torch
    from l2aco.bench.report import check_folder, make_report
    from l2aco.bench.tables import where
    from l2aco.training.on_ray import ray_pool

    pool = partial(ray_pool, address=address) if executor == "ray" else None
    folder = out or shell.workspace.bench / asked.name
    check_folder(folder, asked, shell.workspace)
    outcome = run_suite(asked, shell.workspace, shell, jobs=jobs, pool=pool)
    changed = [word for name in dataset or () for word in ("--dataset", name)]
    changed += [word for number in seed or () for word in ("--seed", str(number))]
    report = make_report(outcome, shell.workspace, shlex.join(["l2aco", "bench", "run", suite, *changed]))
    report.save(folder)
    if report.simulated:
        shell.warn(f"SIMULATED data ({', '.join(report.simulated)}): these numbers mean nothing about real drugs.")
    if json:
        shell.json(report.as_dict())
        refuse_failures(outcome)
        return
    for verdict in report.verdicts:
        shell.print(verdict.sentence() + "\n")
    for section in report.sections:
        shell.table([row.as_row() for row in section.standings], title=where(section.scored))
    for check in report.checks():
        shell.print(f"- {check}")
    shell.print(f"report: {folder / 'report.html'}")
    refuse_failures(outcome)


@verb
def list_suites(shell: Shell, json: JsonOption = False) -> None:
    """Show the suites that come with L2aCo."""
    from l2aco.bench.suite import load_suite, shipped_suites

    suites = [load_suite(name) for name in shipped_suites()]
    shell.table(
        [{"suite": one.name, "title": one.title, "data sets": ", ".join(one.dataset)} for one in suites], json=json
    )


@verb
def compare(
    shell: Shell,
    first: Annotated[str, typer.Argument(help="A run, or a file of predictions.")],
    second: Annotated[str, typer.Argument(help="Another; one of the two must be a run.")],
    json: JsonOption = False,
) -> None:
    """Hold two predictors against each other, row by row; a file of predictions may come from anywhere.

    A file has columns for two drugs, a cell line and the probability.
    """
    from dataclasses import asdict

    from l2aco.bench.compare import compare as compared

    found = compared(first, second, shell.workspace)
    for warning in found.warnings:
        shell.warn(warning)
    if json:
        shell.json(asdict(found))
        return
    shell.print(f"first: {found.first}\nsecond: {found.second}")
    rows = [with_interval(row, "difference", "low", "high") for row in found.table()]
    shell.table(rows, title=f"{found.common:,} triples that both have, intervals over {found.drawn} drawn again")
    for name, why in found.undefined.items():
        shell.print(f"{name} is undefined: {why}")
    if found.only_first or found.only_second:
        shell.print(
            f"left out: {found.only_first:,} rows of {found.first} alone, {found.only_second:,} of {found.second}"
        )
    shell.table(found.lines[:10], title="AUROC within the cell lines that differ most")
    shell.table(found.rows[:10], title="triples that they rank most differently")


@verb
def board(
    shell: Shell,
    folders: Annotated[list[Path], typer.Argument(help="Folders of reports that `bench run` wrote.")],
    out: Annotated[Path | None, typer.Option("--output", "-o", help="Markdown file to write.")] = None,
    json: JsonOption = False,
) -> None:
    """Put the models of finished suites side by side, those that cannot be told apart in one group.

    As Markdown, one table for each data set and setting. Controls that are drawn several times are left out.
    """
    from l2aco.bench.board import boards, markdown
    from l2aco.files import write_text

    found = boards(folders)
    if out is not None:
        write_text(out, markdown(found))
    if json:
        shell.json([one.as_dict() for one in found])
    elif out is None:
        shell.print(markdown(found))


def register(root: typer.Typer) -> None:
    """Mount the verbs."""
    app.command("run")(run)
    app.command("list")(list_suites)
    app.command("compare")(compare)
    app.command("board")(board)
    root.add_typer(app, name="bench")
