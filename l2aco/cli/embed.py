"""`l2aco embed`"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from l2aco.cli.shell import JsonOption, Shell, verb
from l2aco.embeddings.choices import IndexName, Precision


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command("embed")(embed)


@verb(resumes=True)
def embed(
    shell: Shell,
    sets: Annotated[
        list[str] | None, typer.Argument(help="Profile sets (default: all of the workspace, else 'reference').")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", "-e", help="Name (see l2aco encoders), model folder or Hugging Face id."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda:0 or cuda:0,cuda:1.")] = None,
    precision: Annotated[Precision, typer.Option(help="Of the encoder's numbers.")] = "auto",
    index: Annotated[
        IndexName | None, typer.Option(help="How the store is searched (default: as it is; a new one: auto).")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Also take from l2aco.toml what decides which code runs.")
    ] = False,
    budget: Annotated[
        float | None, typer.Option("--budget-usd", help="Most that an encoder behind an API may cost.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option("--shard", help="3/16: this part alone, into a store of its own (`l2aco store merge`)."),
    ] = None,
    executor: Annotated[
        Literal["ray"] | None, typer.Option(help="ray: the workers of a Ray cluster hold the model.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster (default: one on this machine).")] = None,
    json: JsonOption = False,
) -> None:
    """Turn profiles into vectors, into the store <set>--<encoder>. What is embedded already is not done again."""
    from l2aco.embeddings.embed import embed_profiles
    from l2aco.embeddings.spec import EmbedSpec
    from l2aco.files import checked_spec
    from l2aco.workspace import Workspace

    given = {
        "sets": tuple(sets or ()),
        "encoder": encoder,
        "device": device,
        "precision": precision,
        "index": index,
        "budget_usd": budget,
        "shard": shard,
        "executor": executor,
        "ray_address": address,
    }
    spec = checked_spec(EmbedSpec, given)
    workspace = Workspace(shell.workspace.root, trust=True) if trust else shell.workspace
    reports = embed_profiles(spec, workspace, shell)
    columns = ("store", "records", "encoded", "reused", "unchanged", "deleted", "long", "seconds")
    shell.table(
        [vars(report) if json else {key: vars(report)[key] for key in columns} for report in reports], json=json
    )
    for report in reports:
        if report.long:
            share = report.long / max(report.records, 1)
            shell.say(
                f"{report.store}: {report.long:,} texts ({share:.1%}) are longer than the encoder's window "
                "(see `l2aco store info`)."
            )
