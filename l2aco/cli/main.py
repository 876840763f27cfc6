"""The command `l2aco`: one verb a file, each mounted here in the order of the pipeline."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

VERBS = (
    "quickstart",
    "profile",
    "profiles",
    "embed",
    "store",
    "data",
    "train",
    "ensemble",
    "runs",
    "bench",
    "evaluate",
    "predict",
    "recommend",
    "explore",
    "doctor",
    "llms",
    "encoders",
    "backbones",
)

app = typer.Typer(
    name="l2aco",
    help="LLM knowledge profiles for drug-combination prediction: profile, embed, train, recommend.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        from l2aco import __version__

        typer.echo(f"l2aco {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


for _name in VERBS:
    importlib.import_module(f"l2aco.cli.{_name}").register(app)
