"""`l2aco explore`: the workspace in a browser."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, verb


@verb
def explore(
    shell: Shell,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of this machine (default: a free one).")] = 0,
    export: Annotated[
        Path | None, typer.Option(help="Write the pages into this folder instead, as files that need no server.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Look at the workspace in a browser: profiles side by side, maps of stores, runs, reports, recommendations.

    The pages are for this machine alone, behind the token in the address that is printed. They write nothing.
    """
    if export is not None:
        from l2aco.explore.export import export as write

        count = write(shell.workspace, export, shell)
        first = export / "index.html"
        shell.made({"pages": count, "first": first}, f"{count:,} pages: {first}", json=json)
        return
    from l2aco.explore.serve import prepare

    served = prepare(shell.workspace, port)
    shell.made({"address": served.address}, served.address, json=json)
    shell.say("Open it in a browser; Ctrl-C ends it.")
    with suppress(KeyboardInterrupt):
        served.run()


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command()(explore)
