"""`l2aco data`: fetch, import, list, info, split, merge, export."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from l2aco.cli.complete import completer
from l2aco.cli.shell import JsonOption, Shell, agree, verb

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

app = typer.Typer(help="Data sets: fetch, import, look at, split, merge, export.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="Name of the data set.", autocompletion=completer("dataset"))]
LayoutName = Literal["laco", "laco-features"]


def register(root: typer.Typer) -> None:
    """Mount the verb."""
    root.add_typer(app, name="data")


@app.command("import")
@verb
def import_(
    shell: Shell,
    path: Annotated[Path, typer.Argument(help="A file or folder in a known layout.")],
    name: Annotated[str, typer.Option(help="Name of the new data set.")],
    source: Annotated[str | None, typer.Option(help="Layout (default: found by looking).")] = None,
    label: Annotated[
        str | None, typer.Option(help="Label rule: '> 0', '>= 10, <= 0', 'top 25%, bottom 25%' or shipped.")
    ] = None,
    drugs: Annotated[Path | None, typer.Option(help="Table of drugs: id or name, SMILES, aliases, xrefs.")] = None,
    cell_lines: Annotated[Path | None, typer.Option(help="Table of cell lines: id or name, tissue, xrefs.")] = None,
    add_entities: Annotated[
        bool, typer.Option("--add-entities", help="Add who is new in these tables, without triples or edges.")
    ] = False,
    aliases: Annotated[Path | None, typer.Option(help="Table of alias and id: which names are one entity.")] = None,
    keep_apart: Annotated[
        bool, typer.Option("--keep-apart", help="Spellings and synonyms of one name stay two entities.")
    ] = False,
    trust_ids: Annotated[
        bool, typer.Option("--trust-ids", help="Ids are right where the names beside them say otherwise.")
    ] = False,
    features: Annotated[list[str] | None, typer.Option(help="A feature table, as name=FILE; repeat it.")] = None,
    same_screen: Annotated[
        bool, typer.Option("--same-screen", help="The response is of the screen that the scores come from.")
    ] = False,
    graph: Annotated[Path | None, typer.Option(help="A table of typed edges, such as PrimeKG's kg.csv.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option(help="Your name of a column, as role=NAME, or role= for none; repeat it.")
    ] = None,
    allow_pickle: Annotated[bool, typer.Option(help="Read pickled files; they can run code.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a data set of this name.")] = False,
    json: JsonOption = False,
) -> None:
    """Read a folder or table, merge what was measured twice, and keep it as a data set."""
    from l2aco.data.importing import ImportSpec, import_dataset
    from l2aco.data.info import import_report

    spec = ImportSpec(
        path=path,
        name=name,
        source=source,
        label=label,
        drugs=drugs,
        cell_lines=cell_lines,
        add_entities=add_entities,
        aliases=aliases,
        keep_apart=keep_apart,
        trust_ids=trust_ids,
        features={feature: Path(file) for feature, file in _pairs("--features", features or []).items()},
        same_screen=same_screen,
        graph=graph,
        columns=_pairs("--columns", columns or [], empty=True),
        allow_pickle=allow_pickle,
        replace=force,
    )
    dataset = import_dataset(spec, shell.workspace, shell)
    _warn_of_one_class(shell, dataset)
    if json:
        shell.json(dataset.manifest)
        return
    shell.table(import_report(dataset), title=f"imported {dataset.name} ({dataset.manifest['source']})")
    _next(shell, dataset)


@app.command()
@verb(resumes=True)
def fetch(
    shell: Shell,
    public: Annotated[str, typer.Argument(help="drugcombdb, oncology-screen, oneil, drugcombdb-cid, laco.")],
    origin: Annotated[str | None, typer.Option("--from", help="A folder or URL to take the files from.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new data set (default: as the public one).")] = None,
    drugs: Annotated[Path | None, typer.Option(help="Table of drugs: id or name, SMILES, aliases, xrefs.")] = None,
    cell_lines: Annotated[Path | None, typer.Option(help="Table of cell lines: id or name, tissue, xrefs.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="The terms are known and kept.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a data set of this name.")] = False,
    json: JsonOption = False,
) -> None:
    """Fetch a public data set, check it by SHA-256, and import it."""
    from l2aco.data.fetch import FetchSpec, fetch_dataset, public_dataset
    from l2aco.data.info import import_report

    known, entry = public_dataset(public)
    shell.say(f"{known}: {entry['title']}.\nTerms: {entry['terms']}")
    if not yes and origin is None:
        agree("Fetch under these terms?")
    spec = FetchSpec(public=known, origin=origin, name=name, drugs=drugs, cell_lines=cell_lines, replace=force)
    datasets = fetch_dataset(spec, shell.workspace, shell)
    for dataset in datasets:
        _warn_of_one_class(shell, dataset)
    if json:
        shell.json([dataset.manifest for dataset in datasets])
        return
    for dataset in datasets:
        shell.table(import_report(dataset), title=f"imported {dataset.name} ({dataset.manifest['source']})")
        _next(shell, dataset)


@app.command("list")
@verb
def list_(shell: Shell, json: JsonOption = False) -> None:
    """The data sets of the workspace."""
    from l2aco.data.catalog import list_datasets

    rows = [
        {
            "name": dataset.name,
            **dataset.manifest["counts"],
            "label": dataset.manifest["label_rule"]["text"],
            "source": dataset.manifest.get("source"),
            "simulated": dataset.simulated,
        }
        for dataset in list_datasets(shell.workspace, shell)
    ]
    shell.table(rows, json=json, empty="No data set yet; `l2aco data import` makes one, `demo` is bundled.")


@app.command()
@verb
def info(
    shell: Shell,
    name: NameArgument,
    plots: Annotated[Path | None, typer.Option(help="Write PNG plots into this folder.")] = None,
    json: JsonOption = False,
) -> None:
    """What a data set holds: rows, labels, noise, coverage, graph."""
    from l2aco.data.catalog import open_or_simulate
    from l2aco.data.info import describe_dataset

    dataset = open_or_simulate(name, shell.workspace)
    tables = describe_dataset(dataset, shell.workspace, shell)
    if plots is not None:
        from l2aco.data.plots import plot_dataset

        for path in plot_dataset(dataset, plots):
            shell.say(f"Wrote {path}")
    if json:
        shell.json(tables)
        return
    for title, rows in tables.items():
        shell.table(rows, title=f"\n{title}")


@app.command()
@verb
def split(
    shell: Shell,
    name: NameArgument,
    setting: Annotated[
        str,
        typer.Option(
            help="random, long-tail (S0), novel-cell (S1), novel-donor, novel-drug, novel-pair, novel-tissue."
        ),
    ] = "novel-cell",
    fold: Annotated[int | None, typer.Option(help="One fold only (default: all).")] = None,
    folds: Annotated[int, typer.Option(help="How many folds.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
    shots: Annotated[int, typer.Option(help="Rows of each tail line that may train (long-tail).")] = 20,
    both: Annotated[bool, typer.Option("--both", help="Both drugs unseen (novel-drug).")] = False,
    stratify: Annotated[Literal["tissue"] | None, typer.Option(help="Spread over folds evenly (novel-cell).")] = None,
    matched: Annotated[bool, typer.Option("--matched", help="The size-matched control (long-tail).")] = False,
    own: Annotated[bool, typer.Option("--own", help="Make a split even where the source came with one.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Print which promises were checked.")] = False,
    json: JsonOption = False,
) -> None:
    """Make the splits of a setting, or read those made before, and check them for leaks."""
    from l2aco.data.info import split_rows

    options: dict[str, Any] = {
        "setting": setting,
        "folds": folds,
        "seed": seed,
        "shots": shots,
        "both": both,
        "stratify": stratify,
        "matched": matched,
        "released": False if own else None,
    }
    rows = split_rows(name, options, fold, shell.workspace, check=check)
    shell.table(rows, json=json)


@app.command()
@verb
def export(
    shell: Shell,
    name: NameArgument,
    folder: Annotated[Path, typer.Argument(help="New folder to write.")],
    layout: Annotated[LayoutName, typer.Option(help="laco: graph and split files; laco-features: tables.")] = "laco",
    force: Annotated[bool, typer.Option("--force", help="Replace the folder.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a data set in a layout of the paper's release."""
    from l2aco.data.catalog import open_or_simulate
    from l2aco.data.export import export_dataset

    left_out = export_dataset(open_or_simulate(name, shell.workspace), folder, layout, replace=force)
    for line in left_out:
        shell.say(f"Left out: {line}")
    shell.made({"dataset": name, "path": folder, "layout": layout, "left_out": left_out}, f"Wrote {folder}", json=json)


@app.command()
@verb
def merge(
    shell: Shell,
    names: Annotated[list[str], typer.Argument(help="The data sets.", autocompletion=completer("dataset"))],
    name: Annotated[str, typer.Option(help="Name of the new data set.")],
    keep_apart: Annotated[
        bool, typer.Option("--keep-apart", help="Join by id alone, not by names, synonyms and cross references.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a data set of this name.")] = False,
    json: JsonOption = False,
) -> None:
    """Join data sets that share drugs and cell lines, and report where they disagree."""
    from l2aco.data.catalog import open_or_simulate
    from l2aco.data.info import import_report
    from l2aco.data.merging import merge_datasets

    datasets = [open_or_simulate(each, shell.workspace) for each in names]
    merged = merge_datasets(datasets, name, shell.workspace, keep_apart=keep_apart, replace=force)
    for note in merged.manifest["notes"]:
        shell.say(note)
    _warn_of_one_class(shell, merged)
    if json:
        shell.json(merged.manifest)
        return
    shell.table(import_report(merged), title=f"merged {merged.name}")
    _next(shell, merged)


def _warn_of_one_class(shell: Shell, dataset: DataSet) -> None:
    labels = dataset.triples.label
    if labels.min() == labels.max():
        which, rule = "synergistic" if labels[0] else "not synergistic", dataset.manifest["label_rule"]["text"]
        shell.warn(f"All {len(labels):,} triples are {which} by the rule '{rule}': nothing can be learned from that.")


def _next(shell: Shell, dataset: DataSet) -> None:
    name = shlex.quote(dataset.name)
    shell.say(f"Kept in {dataset.path}\nNext: l2aco data info {name}, then l2aco train --dataset {name}")


def _pairs(option: str, texts: list[str], *, empty: bool = False) -> dict[str, str]:
    from l2aco.errors import UsageError

    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals or not (value or empty) or name in pairs:
            raise UsageError(f"'{text}' does not fit {option}", remedy=f"Write {option} name=VALUE, each name once.")
        pairs[name] = value
    return pairs
