"""`l2aco train`: train a backbone, with or without alignment, and hold it against the naive predictors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, verb
from l2aco.errors import UsageError


@verb(resumes=True)
def train(
    shell: Shell,
    backbone: Annotated[
        str | None, typer.Option(help="Predictor to train (default: HGAT; MLP without a graph).")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Data set (default: l2aco.toml, else the only imported one, else demo).")
    ] = None,
    setting: Annotated[
        str | None, typer.Option(help="random, long-tail, novel-cell (default), novel-drug, novel-pair, novel-tissue.")
    ] = None,
    fold: Annotated[str | None, typer.Option(help="Fold number from 0, or 'all'.")] = None,
    folds: Annotated[str | None, typer.Option(help="Number of folds; 'all' is short for --fold all.")] = None,
    align: Annotated[str | None, typer.Option(help="infonce (default), l2, sce, kl, regression, none.")] = None,
    fusion: Annotated[
        str | None, typer.Option(help="none, add, gate, concat (default: the backbone's, mostly none).")
    ] = None,
    scope: Annotated[str | None, typer.Option(help="Entities that are aligned: batch (default), train, all.")] = None,
    offset: Annotated[
        str | None,
        typer.Option(help="Learn what a cheap model leaves: mixed, pair, additive, none (default); networks only."),
    ] = None,
    vectors: Annotated[str | None, typer.Option(help="profiles (default), or a control: shuffled, random.")] = None,
    cell_features: Annotated[
        str | None,
        typer.Option(
            help="What a feature backbone reads of a line: expression, cell_proteins, tissue, response, any other "
            "feature, profile, panel, one_hot; several joined by +; auto (default)."
        ),
    ] = None,
    drug_features: Annotated[
        str | None,
        typer.Option(
            help="The same of a drug: descriptors, morgan, atom_pair, smiles_model:MODEL, profile, panel, one_hot."
        ),
    ] = None,
    llm: Annotated[str | None, typer.Option(help="Take the store of this LLM's profiles.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Take the store of this encoder.")] = None,
    store: Annotated[
        list[str] | None,
        typer.Option(
            help="Take this store; repeat it (default: the newest not of fake; Mixed: one of every set), or none."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="name=value: any hyper-parameter; may be repeated.")
    ] = None,
    spec: Annotated[Path | None, typer.Option(help="Start from this spec (TOML), such as a run's spec.toml.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, shuffles and dropout (default: 0).")] = None,
    seeds: Annotated[int, typer.Option(help="Train this many seeds, and summarise.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Folds and seeds that train at the same time.")] = 1,
    faithful: Annotated[
        bool, typer.Option("--faithful", help="The published mathematics and recipe, with what ours repairs.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda:N.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads (default: 1).")] = None,
    track: Annotated[list[str] | None, typer.Option(help="tensorboard or wandb (extra: tracking).")] = None,
    json: JsonOption = False,
) -> None:
    """Train a predictor, save the run, and print it beside the naive predictors on the same test rows."""
    from l2aco.files import load_spec
    from l2aco.runs.evaluate import comparison, summarise
    from l2aco.runs.spec import TrainSpec
    from l2aco.training.callbacks import EpochTable, make_trackers
    from l2aco.training.request import make_spec, parse_folds, plan
    from l2aco.training.several import train_all

    all_folds, chosen_fold, chosen_folds = parse_folds(fold, folds)
    options = {
        "backbone": backbone,
        "dataset": dataset,
        "split.setting": setting,
        "split.fold": chosen_fold,
        "split.folds": chosen_folds,
        "align.loss": align,
        "align.fusion": fusion,
        "align.scope": scope,
        "align.vectors": vectors,
        "offset": offset,
        "llm": llm,
        "encoder": encoder,
        "store": None if not store else [] if store == ["none"] else store,
        "seed": seed,
        "config.faithful": faithful or None,
        "config.cell_features": cell_features,
        "config.drug_features": drug_features,
        "device": device,
        "threads": threads,
    }
    base = load_spec(TrainSpec, spec) if spec is not None else None
    spec_of_all = make_spec(options, set_ or [], shell.workspace, base)
    specs = plan(spec_of_all, shell.workspace, seeds=seeds, all_folds=all_folds)
    if track and jobs > 1:
        raise UsageError("--track follows one training at a time", remedy="Leave out --jobs.")
    watchers = [*make_trackers(track or [], shell.workspace)]
    if shell.verbose or shell.err.is_terminal:
        watchers.append(EpochTable(shell.say))
    runs = train_all(specs, shell.workspace, shell, jobs=jobs, callbacks=watchers)
    rows = comparison(runs[0], runs[0].metrics) if len(runs) == 1 else summarise(runs)
    if json:
        shell.json({"runs": [run.id for run in runs], "table": rows})
        return
    shell.table(rows, title=f"Test rows, {runs[0].spec.dataset}, {runs[0].spec.split.setting}")
    for run in runs:
        shell.print(f"run {run.id}")


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command("train")(train)
