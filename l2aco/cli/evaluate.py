"""`l2aco evaluate`: a run's metrics computed anew, or the naive predictors on a data set."""

from __future__ import annotations

from typing import Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, verb
from l2aco.errors import UsageError


@verb
def evaluate(
    shell: Shell,
    run: Annotated[
        str | None, typer.Argument(help="Run, or a part of its name (default: the newest, no control).")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Without a run: the naive predictors on this data set.")] = None,
    setting: Annotated[str | None, typer.Option(help="With --dataset: the setting (default: novel-cell).")] = None,
    folds: Annotated[
        int | None, typer.Option(help="With --dataset: the number of folds, all of which are evaluated (default: 5).")
    ] = None,
    store: Annotated[str | None, typer.Option(help="With --dataset: also kNN over this store's vectors.")] = None,
    seed: Annotated[int | None, typer.Option(help="With --dataset: the seed of the folds (default: 0).")] = None,
    own: Annotated[
        bool, typer.Option("--own", help="With --dataset: not on the split that came with the source.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:N.")] = "auto",
    json: JsonOption = False,
) -> None:
    """Compute a run's test metrics anew from its weights; with --dataset, those of the naive predictors alone."""
    from l2aco.runs.evaluate import comparison, evaluate_run, naive_table, warnings_of
    from l2aco.runs.run import open_run

    if dataset is not None:
        if run is not None:
            raise UsageError("a run has a data set of its own", remedy="Leave out the run or --dataset.")
        setting = setting or "novel-cell"
        rows = naive_table(dataset, setting, 5 if folds is None else folds, seed or 0, store, shell.workspace, own=own)
        shell.table(rows, json=json, title=f"{dataset}, {setting}, means over the folds")
        return
    if own or any(value is not None for value in (setting, folds, store, seed)):
        raise UsageError("--setting, --folds, --store, --seed and --own belong to --dataset; a run has its own")
    found = open_run(run, shell.workspace)
    metrics = evaluate_run(found, device)
    for warning in warnings_of(found):
        shell.warn(warning)
    if json:
        shell.json({"run": found.id, **metrics})
        return
    shell.table(comparison(found, metrics), title=f"{found.id}: test rows")
    shell.table(metrics["ranking"], title="the k first pairs of a line, means over lines that hold both labels")
    shell.table(
        metrics["abstention"], title="wrong among the rows whose calibrated probability is furthest from a half"
    )
    shell.table(metrics["calibration"], title="calibrated probabilities and what was found, by tenths of the rows")


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command("evaluate")(evaluate)
