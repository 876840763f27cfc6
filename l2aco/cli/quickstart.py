"""`l2aco quickstart`: the whole pipeline on the simulated demo."""

from __future__ import annotations

import typer

from l2aco.cli.shell import JsonOption, Shell, verb


@verb(resumes=True)
def quickstart(shell: Shell, json: JsonOption = False) -> None:
    """Run the whole pipeline on SIMULATED demo data: profiles, vectors, models beside controls, ranked pairs.

    Takes a few minutes on two CPU cores and downloads nothing (extra `offline`).
    """
    from l2aco.quickstart import quickstart as run

    found = run(shell.workspace, shell)
    (section,) = found.report.sections
    if json:
        shell.json(
            {
                "metrics": [row.as_row() for row in section.standings],
                "verdicts": [verdict.sentence() for verdict in found.report.verdicts],
                "pairs": [pair.as_dict() for pair in found.recommendation.pairs],
                "places": {name: str(path) for name, path in found.places.items()},
            }
        )
        return
    shell.warn("SIMULATED data: these numbers mean nothing about real drugs.")
    for verdict in found.report.verdicts:
        shell.print(f"SIMULATED. {verdict.sentence()}\n")
    shell.table(
        [row.as_row() for row in section.standings], title="Cell lines never seen in training (SIMULATED data, 5 folds)"
    )
    shell.print("")
    shell.print(found.recommendation.caption)
    shell.table([pair.as_row() for pair in found.recommendation.pairs])
    shell.print("")
    for name, path in found.places.items():
        shell.print(f"{name}: {path}")
    shown = found.recommendation
    more = f"{shown.run} --cell '{shown.cell_line}' --top 30"
    shell.print(f"\nNext: l2aco recommend {more} --workspace {shell.workspace.root}")


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command()(quickstart)
