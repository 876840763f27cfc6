"""`l2aco encoders`"""

from __future__ import annotations

import typer

from l2aco.cli.shell import JsonOption, Shell, verb


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command("encoders")(encoders)


@verb
def encoders(shell: Shell, json: JsonOption = False) -> None:
    """List the encoders that have a name; any model folder and Hugging Face id works, too."""
    from l2aco.embeddings.encoders.table import encoder_table

    table = encoder_table(shell.workspace.settings)
    if json:
        shell.json([spec.model_dump() for spec in table])
        return
    columns = ("name", "runtime", "model", "dimension", "window", "pooling", "long", "summary")
    shell.table([{column: getattr(spec, column) for column in columns} for spec in table])
