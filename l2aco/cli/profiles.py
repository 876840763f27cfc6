"""`l2aco profiles`: look at, check and move profile sets."""

from __future__ import annotations

from typing import Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, verb


@verb
def list_(shell: Shell, json: JsonOption = False) -> None:
    """List the profile sets of this workspace and the bundled ones."""
    from l2aco.profiles.sets import list_profile_sets

    rows = [
        {
            "set": item.name,
            "profiles": len(item),
            "llm": item.manifest.get("llm"),
            "model": item.manifest.get("model"),
            "prompt": item.prompt_label,
            "failed": sum(1 for _ in item.failures()),
            "where": "bundled" if item.is_bundled else str(item.path),
        }
        for item in list_profile_sets(shell.workspace)
    ]
    shell.table(rows, json=json)


@verb
def show(
    shell: Shell,
    set_name: Annotated[str, typer.Argument(metavar="SET", help="Profile set.")],
    entity: Annotated[str | None, typer.Argument(help="Id, name or alias of an entity; without: a summary.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="drug or cell_line, where a name is both.")] = None,
    json: JsonOption = False,
) -> None:
    """Show a profile set, or one profile of it."""
    from l2aco.profiles.sets import open_profile_set

    profiles = open_profile_set(set_name, shell.workspace)
    if entity is None:
        shell.json(profiles.manifest) if json else _summary(shell, profiles.manifest)
        return
    record = profiles.resolve(entity, kind)
    if json:
        shell.json(record.to_json())
        return
    shell.print(f"{record.entity_name} ({record.kind}, {record.entity_id}) in {profiles.name}\n")
    shell.print(record.text)
    shell.print(f"confidence: {record.fields.get('confidence', '-')}")


def _summary(shell: Shell, manifest: dict[str, object]) -> None:
    for key, value in manifest.items():
        if key not in ("schemas", "sha256", "format", "identity"):
            shell.print(f"{key.replace('_', ' ')}: {'-' if value is None else value}")


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    group = typer.Typer(help="Look at, check and move profile sets.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show)
    app.add_typer(group, name="profiles")
