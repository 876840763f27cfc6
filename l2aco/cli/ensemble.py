"""`l2aco ensemble`: several runs of one split as one that predicts the mean of their calibrated logits."""

from __future__ import annotations

from typing import Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, verb


@verb
def ensemble(
    shell: Shell,
    runs: Annotated[list[str], typer.Argument(help="Two or more runs of one data set and split, or parts of names.")],
    json: JsonOption = False,
) -> None:
    """Make a run of several: the mean of their calibrated logits, weights chosen on validation rows (nested)."""
    from l2aco.runs.evaluate import comparison, warnings_of
    from l2aco.runs.run import open_run

    members = [open_run(name, shell.workspace) for name in runs]
    from l2aco.training.ensemble import make_ensemble  # after the names: it brings torch

    made = make_ensemble(members, shell.workspace, shell)
    rows = comparison(made, made.metrics)
    for warning in warnings_of(made):
        shell.warn(warning)
    weights = made.metrics["training"]["weights"]
    if json:
        shell.json({"run": made.id, "weights": weights, "table": rows})
        return
    shell.say(
        "weights chosen on validation rows: calibrated on one half of what the setting holds out, chosen on the other, "
        "and the other way round"
    )
    shell.table(rows, title=f"Test rows, {made.spec.dataset}, {made.spec.split.setting}")
    shell.table([{"member": name, "weight": weight} for name, weight in weights.items()], title="weights")
    shell.print(f"run {made.id}")


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command("ensemble")(ensemble)
