"""`l2aco tune`: a search for settings over validation rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, verb


@verb(resumes=True)
def tune(
    shell: Shell,
    space: Annotated[
        list[str] | None,
        typer.Option(
            help="name=low:high, name=low:high:log or name=a,b,c; repeat it (default: learning rate and decay)."
        ),
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="Predictor to tune (default: as train).")] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set (default: as train).")] = None,
    setting: Annotated[str | None, typer.Option(help="Setting of the split (default: novel-cell).")] = None,
    store: Annotated[list[str] | None, typer.Option(help="Stores to read (default: as train), or none.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="name=value that all trials have; repeat it.")] = None,
    spec: Annotated[Path | None, typer.Option(help="What all trials have, as a spec (TOML).")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, those of an interrupted search included.")] = 20,
    minutes: Annotated[float | None, typer.Option(help="Begin no trial after so many minutes.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    json: JsonOption = False,
) -> None:
    """Search for settings that do best on validation rows; test rows are never scored (extra: tune).

    Leaves the winner as a spec that `train --spec` takes.
    """
    from l2aco.data.catalog import open_dataset
    from l2aco.files import load_spec
    from l2aco.runs.spec import TrainSpec
    from l2aco.training.request import make_spec

    options = {
        "backbone": backbone,
        "dataset": dataset,
        "split.setting": setting,
        "store": None if not store else [] if store == ["none"] else store,
    }
    base = load_spec(TrainSpec, spec) if spec is not None else None
    asked = make_spec(options, set_ or [], shell.workspace, base)
    from l2aco.training.tune import TuneSpec  # after the names
    from l2aco.training.tune import tune as search

    job = TuneSpec(base=asked, space=tuple(space or ()), trials=trials, minutes=minutes, seed=seed)
    found = search(job, shell.workspace, shell)
    if open_dataset(str(found.spec.dataset), shell.workspace).simulated:
        shell.warn("SIMULATED data: these numbers mean nothing about real drugs.")
    if json:
        facts = {"spec": found.path, "metric": found.metric, "value": found.value, "trials": found.trials}
        shell.json(facts)
        return
    shell.table(found.trials[:10], title=f"best trials, {found.metric} of validation rows")
    shell.print(f"Train the winner, and see its test rows: l2aco train --spec {found.path}")


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command("tune")(tune)
