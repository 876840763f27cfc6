"""The command `l2aco`: one verb a file, each mounted here in the order of the pipeline."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from l2aco.cli.examples import EXAMPLES

PANELS = {
    "Start": ("quickstart", "doctor"),
    "1. Profiles: a language model writes what it knows": ("profile", "profiles", "llms"),
    "2. Vectors: an encoder embeds the profiles": ("embed", "store", "encoders"),
    "3. Data: who was screened with what": ("data",),
    "4. Models: trained, kept and held against each other": (
        "train", "ensemble", "runs", "bench", "evaluate", "backbones",
    ),
    "5. Answers": ("predict", "recommend", "explore"),
}  # fmt: skip
"""The verbs by the step of the pipeline that they belong to."""
VERBS = tuple(verb for verbs in PANELS.values() for verb in verbs)


class _Pipeline(TyperGroup):
    """Verbs in the order of the pipeline, whether they have verbs of their own or not."""

    def list_commands(self, ctx: Any) -> list[str]:
        order = {verb: number for number, verb in enumerate(VERBS)}
        order["search"] = order["store"]
        return sorted(super().list_commands(ctx), key=lambda verb: order[verb])


app = typer.Typer(
    name="l2aco",
    cls=_Pipeline,
    help="LLM knowledge profiles for drug-combination prediction: profile, embed, train, recommend.",
    epilog="Every verb has --help with examples. Pages: README.md first, then docs/ (docs/training.md, "
    "docs/tutorials/ ...); docs/commands.md has exit codes and every option.",
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


def _tell_examples(of: typer.Typer, group: str = "") -> None:
    """Give every command its examples, one a line."""
    for command in of.registered_commands:
        name = f"{group}{command.name or getattr(command.callback, '__name__', '')}"
        if name in EXAMPLES:
            command.epilog = "\n\n".join(["Examples:", *(f"l2aco {example}" for example in EXAMPLES[name])])
    for inner in of.registered_groups:
        if inner.typer_instance is not None:
            _tell_examples(inner.typer_instance, f"{group}{inner.name} ")


def _mount(verb: str, panel: str) -> None:
    commands, groups = len(app.registered_commands), len(app.registered_groups)
    importlib.import_module(f"l2aco.cli.{verb}").register(app)
    for command in app.registered_commands[commands:]:
        command.rich_help_panel = panel
    for group in app.registered_groups[groups:]:
        group.rich_help_panel = panel


for _panel, _verbs in PANELS.items():
    for _verb in _verbs:
        _mount(_verb, _panel)
_tell_examples(app)
