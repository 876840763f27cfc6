"""`l2aco runs list|show|compare|delete|export|import|embed`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, agree, verb

RunArgument = Annotated[
    str | None, typer.Argument(help="Run, or a part of its name (default: the newest that is no control).")
]
NamedRun = Annotated[str, typer.Argument(help="Run, or a part of its name.")]
NO_RUN = "There is no run yet; `l2aco train` makes one, `l2aco quickstart` goes the whole way."
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]

runs_app = typer.Typer(help="Trained runs: what there is, and what came out.", no_args_is_help=True)


@verb
def list_(shell: Shell, json: JsonOption = False) -> None:
    """List the finished runs, newest first, and what their names do not say: settings in which they differ."""
    from l2aco.runs.keep import what_differs
    from l2aco.runs.run import list_runs, run_rows

    rows = run_rows(shell.workspace, shell)
    differs = what_differs(list_runs(shell.workspace))
    rows = [{**row, "differs": differs.get(row["run"], "")} for row in rows]
    if not json:
        first = ("run", "auroc", "differs", "pair_mean_auroc", "created")
        rows = [{key: row[key] for key in (*first, *(key for key in row if key not in first))} for row in rows]
    shell.table(rows, json=json, empty=NO_RUN)


@verb
def show(shell: Shell, run: RunArgument = None, json: JsonOption = False) -> None:
    """Show one run: its metrics beside the naive predictors, by stratum and by tissue, and where its files lie."""
    from l2aco.runs.ensemble import ENSEMBLE
    from l2aco.runs.evaluate import comparison, group_rows, warnings_of
    from l2aco.runs.run import open_run

    found = open_run(run, shell.workspace)
    for warning in warnings_of(found):
        shell.warn(warning)
    if json:
        spec = found.spec.model_dump(mode="json", exclude_none=True)
        shell.json({"id": found.id, "spec": spec, "manifest": found.manifest, "metrics": found.metrics})
        return
    shell.table(comparison(found, found.metrics), title=f"{found.id}: test rows")
    for name in ("stratum", "tissue"):
        shell.table(group_rows(found.metrics["test"], name), title=f"by {name} of cell line", empty="")
    facts = {name: value for name, value in found.metrics["training"].items() if not isinstance(value, dict)}
    shell.table([facts], title="training")
    shell.print(f"files in {found.path}")
    again = f"train --spec {found.path / 'spec.toml'}"
    if found.spec.backbone == ENSEMBLE:
        again = f"ensemble {' '.join(found.spec.config['members'])}"
    shell.print(f"again: l2aco {again}")


@verb
def compare(
    shell: Shell,
    runs: Annotated[list[str] | None, typer.Argument(help="Two or more runs (default: all).")] = None,
    json: JsonOption = False,
) -> None:
    """Show runs side by side with only the settings in which they differ."""
    from l2aco.runs.compare import compare_runs
    from l2aco.runs.evaluate import warnings_of
    from l2aco.runs.run import list_runs, open_run

    chosen = [open_run(name, shell.workspace) for name in runs] if runs else list_runs(shell.workspace)
    for warning in warnings_of(*chosen):
        shell.warn(warning)
    shell.table(compare_runs(chosen), json=json, empty=NO_RUN)


@verb
def delete(
    shell: Shell,
    runs: Annotated[list[str], typer.Argument(help="Runs, or parts of their names.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Remove runs for good. Refused where an ensemble needs one of them."""
    from l2aco.runs.keep import delete_runs
    from l2aco.runs.run import open_run

    chosen = list({found.id: found for found in (open_run(name, shell.workspace) for name in runs)}.values())
    names = [run.id for run in chosen]
    if not yes:
        agree(f"Remove {', '.join(names)} for good?")
    delete_runs(chosen, shell.workspace)
    shell.made({"deleted": names}, "\n".join(f"deleted {name}" for name in names), json=json)


@verb
def export(
    shell: Shell,
    run: NamedRun,
    target: Annotated[Path, typer.Argument(help="Archive to write, x.zip.")],
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Write a run as one archive that `runs import` opens elsewhere; an ensemble with its members."""
    from l2aco.runs.keep import export_run
    from l2aco.runs.run import open_run

    names = export_run(open_run(run, shell.workspace), target, replace=force)
    shell.made({"path": target, "runs": names}, f"Wrote {target}: {', '.join(names)}", json=json)


@verb
def import_(
    shell: Shell,
    source: Annotated[Path, typer.Argument(help="An archive that `runs export` wrote.")],
    json: JsonOption = False,
) -> None:
    """Take up the runs of an archive. They predict without the data set and the stores that they were made of."""
    from l2aco.runs.keep import import_runs

    names = [run.id for run in import_runs(source, shell.workspace)]
    shell.made({"runs": names}, "\n".join(f"run {name}" for name in names), json=json)


@verb
def embed(
    shell: Shell,
    run: NamedRun,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Parquet file (default: RUN.parquet).")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:N.")] = "auto",
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Write the vectors that a network has learned of drugs and cell lines: kind, id, name, vector."""
    from l2aco.runs.learned import write_learned
    from l2aco.runs.run import open_run

    found = open_run(run, shell.workspace)
    target = output or Path(f"{found.id}.parquet")
    lengths = write_learned(found, target, device=device, replace=force)
    told = ", ".join(f"{kind} vectors of {length} numbers" for kind, length in lengths.items())
    shell.made({"run": found.id, "path": target, "dimensions": lengths}, f"Wrote {target}: {told}", json=json)


for _name, _verb in (
    ("list", list_), ("show", show), ("compare", compare), ("delete", delete), ("export", export),
    ("import", import_), ("embed", embed),
):  # fmt: skip
    runs_app.command(_name)(_verb)


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.add_typer(runs_app, name="runs")
