"""`l2aco profiles watch`: a set that another process writes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from l2aco.cli.progress import LINE_EVERY_S, duration
from l2aco.cli.shell import JsonOption, Shell, verb, visible
from l2aco.llm.report import most_common

if TYPE_CHECKING:
    from l2aco.profiles.watching import Seen

_LOOK_EVERY_S = 2.0
_SAMPLE_LETTERS = 300


@verb
def watch(
    shell: Shell,
    set_name: Annotated[str, typer.Argument(metavar="SET", help="Profile set.")],
    once: Annotated[bool, typer.Option("--once", help="Look once and leave.")] = False,
    json: JsonOption = False,
) -> None:
    """Show how far a running profile set is, from another shell, with samples of what comes in.

    Ends when nobody writes the set any more. Reads alone: the run does not notice.
    """
    from rich.text import Text

    from l2aco.profiles.sets import open_profile_set
    from l2aco.profiles.watching import Watched

    watched = Watched(open_profile_set(set_name, shell.workspace))
    seen = watched.look()
    if json:
        shown = {name: value for name, value in vars(seen).items() if name != "sample"}
        shell.json({**shown, "seconds_left": seen.seconds_left, "sample": seen.sample})
        return
    if once or seen.writer is None:
        shell.print(in_words(seen))
        shell.print(sample_of(seen))
        return
    with shell.out.status("") as status:
        said_at = -LINE_EVERY_S
        while seen.writer is not None:
            if shell.out.is_terminal:
                status.update(Text(visible(f"{in_words(seen)}\n{sample_of(seen)}")))
            elif time.monotonic() - said_at >= LINE_EVERY_S:
                said_at = time.monotonic()
                shell.print(in_words(seen))
            time.sleep(_LOOK_EVERY_S)
            seen = watched.look()
    shell.print(in_words(seen))


def in_words(seen: Seen) -> str:
    """Count, time and cost before all else."""
    whole = f" of {seen.requested:,}" if seen.requested is not None else ""
    parts = [f"{seen.name}: {seen.profiles:,}{whole}"]
    if seen.seconds_left is not None:
        parts.append(f"{duration(seen.seconds_left)} left")
    if seen.cost_usd:
        parts.append(f"${seen.cost_usd:,.4f}")
    if seen.failed:
        parts.append(f"{seen.failed.total():,} failed ({most_common(seen.failed)})")
    if seen.rate is not None:
        parts.append(f"{seen.rate:,.1f} profiles/s")
    parts.append(f"{seen.tokens:,} tokens in {seen.written:,} new")
    if seen.in_batches:
        parts.append(f"{seen.in_batches:,} in batches")
    parts.append(f"process {seen.writer}" if seen.writer else "nobody writes it")
    return " · ".join(parts)


def sample_of(seen: Seen) -> str:
    """The beginning of the last profile."""
    if seen.sample is None:
        return "Nothing new yet."
    text = " ".join(str(seen.sample.get("text", "")).split())
    return f"{seen.sample.get('entity_name')}: {text[:_SAMPLE_LETTERS]}{'...' if len(text) > _SAMPLE_LETTERS else ''}"
