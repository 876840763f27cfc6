"""`l2aco train`: train a backbone, with or without alignment, and hold it against the naive predictors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, verb
from l2aco.errors import UsageError
from l2aco.models.choices import FusionName, LossName, OffsetName, ScopeName, VectorsName

if TYPE_CHECKING:
    from l2aco.runs.run import Run


_MODEL, _SPLIT, _KNOWLEDGE, _RUNS = "Model and data", "Split", "Knowledge", "Runs and machine"


@verb(resumes=True)
def train(
    shell: Shell,
    backbone: Annotated[
        str | None,
        typer.Option(help="Predictor to train (default: HGAT; MLP without a graph).", rich_help_panel=_MODEL),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set (default: l2aco.toml, else the only imported one, else demo).", rich_help_panel=_MODEL
        ),
    ] = None,
    setting: Annotated[
        str | None,
        typer.Option(
            help="random, long-tail, novel-cell (default), novel-donor, novel-drug, novel-pair, novel-tissue.",
            rich_help_panel=_SPLIT,
        ),
    ] = None,
    fold: Annotated[str | None, typer.Option(help="Fold number from 0, or 'all'.", rich_help_panel=_SPLIT)] = None,
    folds: Annotated[
        str | None, typer.Option(help="Number of folds; 'all' is short for --fold all.", rich_help_panel=_SPLIT)
    ] = None,
    align: Annotated[
        LossName | None, typer.Option(help="Loss of the alignment (default: infonce).", rich_help_panel=_KNOWLEDGE)
    ] = None,
    fusion: Annotated[
        FusionName | None,
        typer.Option(help="How the score reads vectors (default: the backbone's).", rich_help_panel=_KNOWLEDGE),
    ] = None,
    scope: Annotated[
        ScopeName | None, typer.Option(help="Entities that are aligned (default: batch).", rich_help_panel=_KNOWLEDGE)
    ] = None,
    offset: Annotated[
        OffsetName | None,
        typer.Option(help="Learn what a cheap model leaves (default: none); networks only.", rich_help_panel=_MODEL),
    ] = None,
    vectors: Annotated[
        VectorsName | None, typer.Option(help="profiles (default), or a control.", rich_help_panel=_KNOWLEDGE)
    ] = None,
    llm: Annotated[
        str | None, typer.Option(help="Take the store of this LLM's profiles.", rich_help_panel=_KNOWLEDGE)
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Take the store of this encoder.", rich_help_panel=_KNOWLEDGE)
    ] = None,
    cell_features: Annotated[
        str | None,
        typer.Option(
            help="What a feature backbone reads of a line: expression, cell_proteins, tissue, response, any other "
            "feature, profile, panel, one_hot; several joined by +; auto (default).",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    drug_features: Annotated[
        str | None,
        typer.Option(
            help="Of a drug: descriptors, morgan, atom_pair, smiles_model:MODEL, profile, panel, one_hot.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    store: Annotated[
        list[str] | None,
        typer.Option(
            help="Take this store; repeat it (default: the newest not of fake; Mixed: one of every set), or none.",
            rich_help_panel=_KNOWLEDGE,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="name=value: any hyper-parameter; repeat it.", rich_help_panel=_MODEL),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(help="Start from this spec (TOML), such as a run's spec.toml.", rich_help_panel=_MODEL),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of weights, shuffles and dropout (default: 0).", rich_help_panel=_RUNS)
    ] = None,
    seeds: Annotated[int, typer.Option(help="Train this many seeds, and summarise.", rich_help_panel=_RUNS)] = 1,
    jobs: Annotated[
        int, typer.Option(min=1, help="Folds and seeds that train at the same time.", rich_help_panel=_RUNS)
    ] = 1,
    again: Annotated[
        bool, typer.Option("--again", help="Train anew where this run is there already.", rich_help_panel=_RUNS)
    ] = False,
    faithful: Annotated[
        bool,
        typer.Option(
            "--faithful", help="The published mathematics and recipe, without our repairs.", rich_help_panel=_MODEL
        ),
    ] = False,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda:N.", rich_help_panel=_RUNS)] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads (default: 1).", rich_help_panel=_RUNS)] = None,
    track: Annotated[
        list[str] | None, typer.Option(help="tensorboard or wandb (extra: tracking).", rich_help_panel=_RUNS)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Train a predictor, save the run, and print it beside the naive predictors on the same test rows."""
    from l2aco.files import load_spec
    from l2aco.runs.spec import TrainSpec
    from l2aco.training.callbacks import EpochTable, make_trackers
    from l2aco.training.request import make_spec, parse_folds, plan

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
    from l2aco.training.several import train_all  # after the names: it brings torch

    runs = train_all(specs, shell.workspace, shell, jobs=jobs, callbacks=watchers, again=again)
    _tell(shell, runs, json)


def _tell(shell: Shell, runs: list[Run], json: bool) -> None:
    from l2aco.bench.twin import did_it_help
    from l2aco.runs.evaluate import comparison, summarise, warnings_of

    rows = comparison(runs[0], runs[0].metrics) if len(runs) == 1 else summarise(runs)
    helped = did_it_help(runs[0], shell.workspace) if len(runs) == 1 else ""
    for warning in warnings_of(*runs):
        shell.warn(warning)
    if json:
        shell.json({"runs": [run.id for run in runs], "table": rows, "knowledge": helped or None})
        return
    shell.table(rows, title=f"Test rows, {runs[0].spec.dataset}, {runs[0].spec.split.setting}")
    for run in runs:
        shell.print(f"run {run.id}")
    if helped:
        shell.print(helped)


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command("train")(train)
