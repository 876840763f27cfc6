"""`l2aco runs list|show|compare`"""

from __future__ import annotations

from typing import Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, verb

RunArgument = Annotated[str | None, typer.Argument(help="Run, or a part of its name (default: the newest).")]

runs_app = typer.Typer(help="Trained runs: what there is, and what came out.", no_args_is_help=True)


@verb
def list_(shell: Shell, json: JsonOption = False) -> None:
    """List the finished runs, oldest first."""
    from l2aco.runs.run import run_rows

    shell.table(run_rows(shell.workspace, shell), json=json, empty="There is no run yet.")


@verb
def show(shell: Shell, run: RunArgument = None, json: JsonOption = False) -> None:
    """Show one run: its metrics beside the naive predictors, by stratum and by tissue, and where its files lie."""
    from l2aco.runs.ensemble import ENSEMBLE
    from l2aco.runs.evaluate import comparison, group_rows
    from l2aco.runs.run import open_run

    found = open_run(run, shell.workspace)
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
    from l2aco.runs.run import list_runs, open_run

    chosen = [open_run(name, shell.workspace) for name in runs] if runs else list_runs(shell.workspace)
    shell.table(compare_runs(chosen), json=json, empty="There is no run yet.")


runs_app.command("list")(list_)
runs_app.command("show")(show)
runs_app.command("compare")(compare)


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.add_typer(runs_app, name="runs")
