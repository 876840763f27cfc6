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
    run: Annotated[str | None, typer.Option("--run", help="Run to use (default: the newest).")] = None,
    top: Annotated[int, typer.Option("--top", help="How many pairs.")] = 10,
    drug: Annotated[list[str] | None, typer.Option("--drug", help="Only pairs of these drugs; repeat it.")] = None,
    min_triples: Annotated[
        int, typer.Option("--min-triples", min=0, help="Only drugs that so many training triples hold.")
    ] = 0,
    measured: Annotated[
        Path | None,
        typer.Option(help="Table of measurements to take up without training: drug_a, drug_b, cell_line, score."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the pairs to this CSV.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:N.")] = "auto",
    json: JsonOption = False,
) -> None:
    """Rank all unordered drug pairs for a cell line by their predicted probability of synergy."""
    from l2aco.recommend.rank import rank_pairs
    from l2aco.runs.run import open_run

    chosen = open_run(run, shell.workspace)
    found = rank_pairs(
        chosen, cell, top=top, drugs=drug or (), min_triples=min_triples, measured=measured, device=device
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
