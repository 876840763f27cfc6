"""`l2aco predict`: probabilities of synergy for pairs in cell lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from l2aco.cli.shell import JsonOption, Shell, verb, with_interval


@verb
def predict(
    shell: Shell,
    run: Annotated[
        str | None, typer.Argument(help="Run, or a part of its name (default: one that reads profiles).")
    ] = None,
    pairs: Annotated[Path | None, typer.Option(help="CSV or TSV with columns drug_a, drug_b, cell_line.")] = None,
    drug_a: Annotated[str | None, typer.Option(help="Id or name of one drug.")] = None,
    drug_b: Annotated[str | None, typer.Option(help="Id or name of the other.")] = None,
    cell: Annotated[str | None, typer.Option(help="Id or name of the cell line.")] = None,
    entities: Annotated[
        Path | None,
        typer.Option(help="Table of entities that the run does not know: name, kind, smiles, tissue, ..."),
    ] = None,
    measured: Annotated[
        Path | None,
        typer.Option(help="Table of measurements to take up without training: drug_a, drug_b, cell_line, score."),
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Take up what the run's split kept for tests, too.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write them instead of printing: .csv, .parquet or .json.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:N.")] = "auto",
    json: JsonOption = False,
) -> None:
    """Predict with a trained run. Drugs and cell lines that it was not trained with are predicted from their profile
    vector in the run's store, and from what --entities says of them, where its backbone can read that."""
    from l2aco.entities import read_entities
    from l2aco.runs.evaluate import warnings_of
    from l2aco.runs.pairs import pairs_from
    from l2aco.runs.predict import predict_pairs
    from l2aco.runs.run import best_run, open_run
    from l2aco.writing import check_output, refuse_overwriting, write_table

    if output is not None:
        check_output(output)
    refuse_overwriting({"--output": output}, ("--pairs", pairs), ("--entities", entities), ("--measured", measured))
    wanted = pairs_from(pairs, drug_a, drug_b, cell)
    found = best_run(shell.workspace) if run is None else open_run(run, shell.workspace)
    shell.say(f"run {found.id}, data set {found.spec.dataset}, synergistic: a calibrated probability of 0.50 or more")
    for warning in warnings_of(found):
        shell.warn(warning)
    given = read_entities(entities) if entities is not None else []
    frame = predict_pairs(
        found, wanted, given=given, measured=measured, held_out=held_out, device=device, progress=shell
    )
    if output is not None:
        write_table(frame, output)
        shell.made(
            {"run": found.id, "path": output, "rows": len(frame)}, f"{len(frame):,} predictions in {output}", json=json
        )
        return
    rows = frame.to_dicts()
    shell.table(rows if json else [_by_weight(row) for row in rows], json=json)


def _by_weight(row: dict[str, Any]) -> dict[str, Any]:
    """The answer first, for a narrow terminal."""
    first = ("drug_a", "drug_b", "cell_line", "synergistic", "calibrated", "expected")
    ordered = {name: row[name] for name in first if name in row} | row
    return with_interval(ordered, "expected", "expected_low", "expected_high") if "expected" in row else ordered


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command("predict")(predict)
