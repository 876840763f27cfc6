"""`l2aco evaluate`: a run's metrics computed anew, or the naive predictors on a data set."""

from __future__ import annotations

from typing import Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, verb


@verb
def evaluate(
    shell: Shell,
    run: Annotated[str | None, typer.Argument(help="Run, or a part of its name (default: the newest).")] = None,
    dataset: Annotated[str | None, typer.Option(help="Without a run: the naive predictors on this data set.")] = None,
    setting: Annotated[str, typer.Option(help="With --dataset: the setting.")] = "novel-cell",
    folds: Annotated[int, typer.Option(help="With --dataset: the number of folds, all of which are evaluated.")] = 5,
    store: Annotated[str | None, typer.Option(help="With --dataset: also kNN over this store's vectors.")] = None,
    seed: Annotated[int, typer.Option(help="With --dataset: the seed of the folds.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:N.")] = "auto",
    json: JsonOption = False,
) -> None:
    """Compute a run's test metrics anew from its weights; with --dataset, those of the naive predictors alone."""
    from l2aco.training.evaluate import comparison, evaluate_run, naive_table
    from l2aco.training.runs import open_run

    if dataset is not None:
        rows = naive_table(dataset, setting, folds, seed, store, shell.workspace)
        shell.table(rows, json=json, title=f"{dataset}, {setting}, means over the folds")
        return
    found = open_run(run, shell.workspace)
    metrics = evaluate_run(found, device)
    if json:
        shell.json({"run": found.id, **metrics})
        return
    shell.table(comparison(found, metrics), title=f"{found.id}: test rows")


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command("evaluate")(evaluate)
