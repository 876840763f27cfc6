"""`l2aco recommend`: ranked drug pairs for cell lines, and which to measure next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, verb
from l2aco.errors import UsageError

if TYPE_CHECKING:
    from l2aco.recommend.rank import Desk
    from l2aco.recommend.recommendation import Recommendation


@verb
def recommend(
    shell: Shell,
    cell: Annotated[list[str], typer.Option("--cell", help="Cell line: id, name or alias; repeat it.")],
    run: Annotated[
        str | None, typer.Argument(help="Run, or a part of its name (default: one that reads profiles).")
    ] = None,
    top: Annotated[int | None, typer.Option("--top", min=1, help="How many pairs (default: 10).")] = None,
    drug: Annotated[
        list[str] | None,
        typer.Option("--drug", help="One: all pairs of it. Several: the pairs among them, or of any with --drugs."),
    ] = None,
    drugs: Annotated[
        str | None,
        typer.Option(help="Drugs to choose from: measured (default), all, approved, or a table of them."),
    ] = None,
    smiles: Annotated[
        list[str] | None, typer.Option(help="Structure of each --drug that the run does not know, in their order.")
    ] = None,
    drug_class: Annotated[
        list[str] | None, typer.Option("--class", help="Pairs with a drug of this class, as profiles call it.")
    ] = None,
    target: Annotated[list[str] | None, typer.Option(help="Pairs with a drug that hits this target.")] = None,
    unmeasured: Annotated[
        bool | None,
        typer.Option("--unmeasured/--all-pairs", help="Leave out what was measured in the line, or rank it too."),
    ] = None,
    diverse: Annotated[bool, typer.Option("--diverse", help="One pair of any two drug classes.")] = False,
    min_triples: Annotated[
        int, typer.Option("--min-triples", min=0, help="Only drugs that so many training triples hold.")
    ] = 0,
    describe: Annotated[
        str | None, typer.Option(help="Of a cell line that no store holds: what is known of it, in your words.")
    ] = None,
    profile: Annotated[
        list[Path] | None,
        typer.Option(
            help="The same from a file: text, or JSON with numbers (the panel's, measured response); repeat it."
        ),
    ] = None,
    llm: Annotated[str | None, typer.Option(help="The same, written now by this model.")] = None,
    measured: Annotated[
        Path | None,
        typer.Option(help="Table of measurements to take up without training: drug_a, drug_b, cell_line, score."),
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Take up what the run's split kept for tests, too.")
    ] = False,
    design: Annotated[
        int | None, typer.Option(min=1, help="Instead: so many pairs to measure next, the most telling first.")
    ] = None,
    reasons: Annotated[bool, typer.Option("--reasons", help="Also print what speaks for and against each.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write a row a pair: .csv, .parquet or .json.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Also write a row a pair and a column a line: .csv, .parquet or .json.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a page for each line into this folder.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:N.")] = "auto",
    json: JsonOption = False,
) -> None:
    """Rank unordered drug pairs for cell lines by their predicted probability of synergy.

    A line may be one that nobody screened: its profile is looked up in the run's stores, or told with --describe,
    --profile or --llm.
    """
    from l2aco.recommend.asked import Only
    from l2aco.recommend.lines import across, write
    from l2aco.recommend.rank import open_desk
    from l2aco.recommend.told import read_told
    from l2aco.runs.run import best_run, open_run
    from l2aco.writing import check_output, refuse_overwriting, write_table

    if design is not None and (reasons or table or html or diverse or top is not None or unmeasured is not None):
        raise UsageError(
            "--design proposes pairs, and ranks none: --reasons, --table, --html, --top, --diverse and --all-pairs "
            "belong to a ranking"
        )
    for path in (output, table):
        if path is not None:
            check_output(path)
    if html is not None and html.exists() and not html.is_dir():
        raise UsageError("is a file, where pages need a folder", where=html, remedy="Name a folder.")
    told_in = [("--profile", path) for path in profile or []]
    refuse_overwriting({"--output": output, "--table": table}, ("--measured", measured), ("--drugs", drugs), *told_in)
    only = Only(drugs, drug_class or (), target or (), min_triples, smiles or (), unmeasured, diverse)
    told = read_told(describe, profile or [], llm)
    chosen = best_run(shell.workspace, shell) if run is None else open_run(run, shell.workspace)
    desk = open_desk(
        chosen,
        cell,
        drugs=drug or (),
        only=only,
        told=told,
        measured=measured,
        held_out=held_out,
        device=device,
        progress=shell,
    )
    if design is not None:
        _design(shell, desk, design, output, json)
        return
    count = top or 10
    found = [desk.recommend(line, count) for line in desk.lines]
    _print(shell, found, reasons, json)
    shown = len(found) > 1 and not json
    best = across(desk, count) if shown or table else None
    if best is not None and shown:
        rows = best.drop("drug_a_id", "drug_b_id").to_dicts()
        shell.table(rows, title="The best by the mean over the lines: probability of synergy in each")
    if output:
        write(found, output)
        shell.say(f"Wrote {sum(len(one.pairs) for one in found)} pairs to {output}.")
    if best is not None and table:
        write_table(best, table)
        shell.say(f"Wrote {len(best)} pairs to {table}.")
    if html:
        from l2aco.recommend.page import write_pages

        for path in write_pages(found, html):
            shell.say(f"Wrote {path}.")


def _design(shell: Shell, desk: Desk, count: int, output: Path | None, json: bool) -> None:
    import polars as pl

    from l2aco.recommend.design import design_rows
    from l2aco.recommend.recommendation import hint_of_few
    from l2aco.writing import write_table

    rows = []
    for line in desk.lines:
        proposed = design_rows(desk, line, count)
        _remark(shell, desk.recommend(line, 0))
        for hint in hint_of_few([min(row["training_a"], row["training_b"]) for row in proposed]):
            shell.say(hint)
        rows += proposed
    shell.say("gain: the share that a measurement takes off what is uncertain of the order of the line's pairs, once")
    shell.say("      those above it are measured; where it completes what these began it may be more than theirs")
    shell.say("left: the share that is uncertain after it and those above it")
    shell.table(rows, json=json)
    if output is not None:
        write_table(pl.DataFrame(rows, infer_schema_length=None), output)
        shell.say(f"Wrote {len(rows)} pairs to {output}.")


def _print(shell: Shell, found: Sequence[Recommendation], reasons: bool, json: bool) -> None:
    if json:
        for one in found:
            _remark(shell, one)
        shell.json([pair.as_dict() for one in found for pair in one.pairs])
        return
    for one in found:
        _remark(shell, one)
        shell.table([pair.as_row() for pair in one.pairs], title=one.cell_line if len(found) > 1 else None)
        for pair in one.pairs if reasons else ():
            shell.print(f"\n{pair.rank}. {pair.drug_a} + {pair.drug_b}")
            for sign, texts in (("+", pair.reasons.supports), ("-", pair.reasons.against), (" ", pair.reasons.about)):
                for text in texts:
                    shell.print(f"   {sign} {text}")


def _remark(shell: Shell, one: Recommendation) -> None:
    warnings = one.warnings
    for note in one.notes:
        (shell.warn if note in warnings else shell.say)(note)


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command()(recommend)
