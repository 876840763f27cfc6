"""`l2aco llms`: the language models in the catalog, and whether they can run here."""

from __future__ import annotations

import typer

from l2aco.cli.shell import JsonOption, Shell, verb


@verb
def llms(shell: Shell, json: JsonOption = False) -> None:
    """List the language models: engine, context, price, and whether each can run here and why not."""
    from l2aco.llm.available import why_not
    from l2aco.llm.catalog import load_catalog

    settings = shell.workspace.settings
    if left_out := settings.untrusted:
        shell.say(f"Not taken from l2aco.toml without --trust: {', '.join(left_out)} (`l2aco doctor` says more)")
    rows = []
    for model in load_catalog(settings).values():
        reason = why_not(model, settings)
        priced = model.price_in is not None and model.price_out is not None
        row: dict[str, object] = {"llm": model.alias, "engine": model.engine, "model": model.model}
        row["context"] = model.context
        if json:
            row |= {"price_in": model.price_in, "price_out": model.price_out, "prices_as_of": model.prices_as_of}
            row["tiers"] = dict(model.tiers)
        else:
            tiers = "".join(f"; {tier} x {factor:g}" for tier, factor in model.tiers.items())
            row["$ per million tokens"] = f"{model.price_in:g} in, {model.price_out:g} out{tiers}" if priced else None
        rows.append({**row, "runs here": reason is None, "why not": reason, "note": model.note})
    shell.table(rows, json=json)


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command("llms")(llms)
