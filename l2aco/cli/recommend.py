"""`l2aco recommend`: ranked drug pairs for a cell line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, verb


@verb
def recommend(
    shell: Shell,
    cell: Annotated[str, typer.Option("--cell", help="Cell line: id, name or alias.")],
    run: Annotated[
        str | None,
        typer.Option("--run", help="Run to use (default: the newest that reads profiles)."),
    ] = None,
    top: Annotated[int, typer.Option("--top", help="How many pairs.")] = 10,
    drug: Annotated[list[str] | None, typer.Option("--drug", help="Only pairs of these drugs; repeat it.")] = None,
    min_triples: Annotated[
        int, typer.Option("--min-triples", min=0, help="Only drugs that so many training triples hold.")
    ] = 0,
    describe: Annotated[
        str | None, typer.Option(help="Of a cell line that no store holds: what is known of it, in your words.")
    ] = None,
    profile: Annotated[
        list[Path] | None,
        typer.Option(help="The same from a file: text, or JSON with numbers such as the panel's; repeat it."),
    ] = None,
    llm: Annotated[str | None, typer.Option(help="The same, written now by this model.")] = None,
    measured: Annotated[
        Path | None,
        typer.Option(help="Table of measurements to take up without training: drug_a, drug_b, cell_line, score."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the pairs to this CSV.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:N.")] = "auto",
    json: JsonOption = False,
) -> None:
    """Rank all unordered drug pairs for a cell line by their predicted probability of synergy.

    The line may be one that nobody screened: its profile is looked up in the run's stores, or told with --describe,
    --profile or --llm.
    """
    from l2aco.recommend.rank import rank_pairs
    from l2aco.recommend.told import read_told
    from l2aco.runs.run import best_run, open_run

    told = read_told(describe, profile or [], llm)
    chosen = best_run(shell.workspace, shell) if run is None else open_run(run, shell.workspace)
    found = rank_pairs(
        chosen,
        cell,
        top=top,
        drugs=drug or (),
        min_triples=min_triples,
        told=told,
        measured=measured,
        device=device,
        progress=shell,
    )
    shell.say(found.caption)
    if json:
        shell.json([pair.as_dict() for pair in found.pairs])
    else:
        shell.table([pair.as_row() for pair in found.pairs])
    if output:
        found.write(output)
        shell.say(f"Wrote {len(found.pairs)} pairs to {output}.")


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command()(recommend)
