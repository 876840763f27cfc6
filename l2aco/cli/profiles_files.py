"""`l2aco profiles requests` and `l2aco profiles answers`: the work is done elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, verb
from l2aco.llm.report import most_common

if TYPE_CHECKING:
    from l2aco.profiles.outside import AnswersReport
    from l2aco.profiles.spec import ProfileSpec

_SHOWN = 10


@verb
def requests(
    shell: Shell,
    set_name: Annotated[str, typer.Argument(metavar="SET", help="Profile set; a new one is made.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the requests.")],
    shards: Annotated[int, typer.Option("--shards", min=1, max=10_000, help="Number of files.")] = 1,
    llm: Annotated[str | None, typer.Option("--llm", help="Of a new set: the model (default: SET).")] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", help="Of a new set: NAME or NAME@VERSION.")] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", help="Of a new set.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", help="Of a new set.")] = None,
    samples: Annotated[int | None, typer.Option("--samples", help="Profiles of each entity.")] = None,
    entities: Annotated[
        Path | None, typer.Option("--entities", help="CSV, TSV, TXT or Parquet with name, kind, optional id.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option("--name", help="One entity; repeatable.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="drug or cell_line.")] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again where an answer was unusable.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write what a profile set lacks as files of requests, for an engine of your choice.

    They have the format of OpenAI's Batch API, which vLLM's run-batch reads too. Put the answers into the same folder,
    then: l2aco profiles answers FOLDER.
    """
    from l2aco.data.known import gather_entities
    from l2aco.profiles.outside import MOST_LINES, write_requests

    given = {
        "llm": llm,
        "prompt": prompt,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "samples": samples,
        "retry_failed": retry_failed,
    }
    spec = _spec(shell, set_name, {key: value for key, value in given.items() if value is not None})
    chosen = gather_entities(shell.workspace, file=entities, names=name or (), kind=kind, progress=shell)
    done = write_requests(spec, chosen, shell.workspace, output, shards=shards, progress=shell)
    if json:
        shell.json(vars(done))
        return
    shell.print(
        f"Profile set '{done.set}': {done.requested:,} requested, {done.finished:,} finished, "
        f"{done.written:,} requests in {done.shards:,} files in {done.folder}"
    )
    if done.repairs:
        shell.say(f"{done.repairs:,} of them ask for the repair of an answer that did not fit")
    if done.waiting:
        shell.say(f"{done.waiting:,} of them had been written before and are not answered yet")
    if done.longest > MOST_LINES:
        shell.say(f"A file holds more than {MOST_LINES:,} requests, the most of OpenAI's Batch API: raise --shards")


def _spec(shell: Shell, set_name: str, given: dict[str, object]) -> ProfileSpec:
    from l2aco.files import checked_spec
    from l2aco.profiles.outside import existing_spec
    from l2aco.profiles.spec import ProfileSpec

    known = existing_spec(set_name, shell.workspace)
    return checked_spec(ProfileSpec, {"llm": set_name, **known, **given, "set_name": set_name})


@verb(resumes=True)
def answers(
    shell: Shell,
    folder: Annotated[Path, typer.Argument(help="Folder with the answers, as .jsonl files.")],
    set_name: Annotated[
        str | None, typer.Option("--set", help="Profile set (default: the one whose requests lie in the folder).")
    ] = None,
    json: JsonOption = False,
) -> int | None:
    """Check answers that another engine wrote and take them into their profile set.

    What nobody asked for is refused and listed, what comes twice counts once, and what does not fit the schema is asked
    for again by the next `l2aco profiles requests`.
    """
    from l2aco.profiles.outside import take_answers

    done = take_answers(folder, shell.workspace, set_name=set_name, progress=shell)
    if json:
        shell.json(
            {
                "set": done.set.name,
                "profiles": done.profiles,
                "files": done.files,
                **{outcome.name: number for outcome, number in done.counts.items()},
                "left": done.left,
                "failed_by_reason": {str(reason): number for reason, number in done.run.failed.most_common()},
                "tokens_in": done.run.tokens_in,
                "tokens_out": done.run.tokens_out,
                "cost_usd": done.run.cost_usd,
                "refused": done.refused,
                "broken": done.broken,
            }
        )
    else:
        _tell(shell, done)
    return 3 if done.left or done.broken or done.refused or done.run.failed else None


def _tell(shell: Shell, done: AnswersReport) -> None:
    shell.print(f"Profile set '{done.set.name}': {done.profiles:,} profiles in {done.set.path}")
    counted = ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(done.counts.items()))
    shell.print(f"Read {done.counts.total():,} answers in {done.files:,} files: {counted}")
    if done.run.failed:
        shell.warn(f"Failed: {most_common(done.run.failed)} (failures.jsonl has each)")
    for what, found in (("Asked for by nobody, and refused", done.refused), ("No answer", done.broken)):
        if found:
            more = f", and {len(found) - _SHOWN:,} more (--json lists all)" if len(found) > _SHOWN else ""
            shell.warn(f"{what}: {', '.join(found[:_SHOWN])}{more}")
    if done.left:
        shell.say(
            f"{done.left:,} requests are not answered or to be repaired: l2aco profiles requests {done.set.name} "
            "-o FOLDER asks for them"
        )
