"""`l2aco doctor`: what this installation can do here, and what it would need to do more."""

from __future__ import annotations

import typer

from l2aco.cli.shell import JsonOption, Shell, verb


@verb
def doctor(shell: Shell, json: JsonOption = False) -> int:
    """Check packages, device, API keys (present or not, never their value), the encoder and the workspace.

    Exits with 1 when something that every command needs is missing.
    """
    from l2aco.doctor import examine

    checks = examine(shell.workspace)
    shell.table([check.as_row() for check in checks], json=json)
    return int(any(check.needed and not check.ok for check in checks))


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command()(doctor)
