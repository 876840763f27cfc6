"""`l2aco backbones`"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from l2aco.cli.shell import JsonOption, Shell, verb


@verb
def backbones_verb(
    shell: Shell,
    name: Annotated[str | None, typer.Argument(help="Show the hyper-parameters of this one.")] = None,
    json: JsonOption = False,
) -> None:
    """List the predictors that can be trained, or show one with its hyper-parameters."""
    from l2aco.models.backbones import backbones
    from l2aco.models.estimator import Estimator

    if name is None:
        rows = [
            {
                "name": entry.name,
                "needs": list(entry.facts.get("requires", ())),
                "summary": entry.summary,
                "citation": entry.facts.get("published", ""),
            }
            for entry in backbones
        ]
        shell.table(rows, json=json)
        return
    backbone = backbones.load(name)
    training = {} if issubclass(backbone, Estimator) else backbone.default_recipe(faithful=False).changed
    parameters: list[dict[str, Any]] = [
        {"parameter": key, "default": field.default, "meaning": field.description or ""}
        for key, field in backbone.Config.model_fields.items()
    ]
    if json:
        shell.json(
            {
                "name": backbone.__name__,
                "needs": sorted(backbone.requires),
                "uses": sorted(backbone.uses),
                "citation": backbone.citation,
                "parameters": parameters,
                "training": training,
            }
        )
        return
    shell.print(f"{backbone.__name__}: {backbone.citation}")
    also = f" Reads, where there: {', '.join(sorted(backbone.uses))}." if backbone.uses else ""
    shell.print(f"Needs: {', '.join(sorted(backbone.requires)) or 'nothing but triples'}.{also}")
    shell.table(
        [
            {"parameter": row["parameter"], "default": str(row["default"]), "meaning": row["meaning"]}
            for row in parameters
        ]
    )
    told = ", ".join(f"{key}={value}" for key, value in training.items())
    shell.print(f"Training: {told or 'fitted at once'}")


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command("backbones")(backbones_verb)
