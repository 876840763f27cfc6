"""What every verb shares: the workspace and verbosity options, tables, progress, errors and exit codes.

A verb is a function whose first parameter is `shell: Shell`, decorated with `@verb`. It parses, calls one
entry function and prints; it holds no logic.

What is printed may hold names and texts of anybody. Here, and only here, they are made safe for the screen: no markup
is interpreted, and control characters are shown, not sent. JSON is printed as it is, escaped by its own rules.
"""

from __future__ import annotations

import functools
import inspect
import json as jsonlib
import sys
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.models import ParameterInfo

from l2aco.cli.columns import fitting, widths
from l2aco.cli.complete import VALUES, completer
from l2aco.errors import L2aCoError, UsageError
from l2aco.progress import Advance
from l2aco.signals import interrupted_by_sigterm

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from l2aco.workspace import Workspace

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace", "-w", help="Folder that holds your profiles, stores, data and runs (default: this one)."
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Print the details, and tracebacks of errors.")]
WideOption = Annotated[bool, typer.Option("--wide", help="All columns of a table, however narrow the terminal.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class Shell:
    """The terminal, seen from a verb. Results go to standard output, everything else to standard error: also what Ray
    or a module of the user's prints."""

    def __init__(
        self, workspace: Path | None = None, quiet: bool = False, verbose: bool = False, wide: bool = False
    ) -> None:
        self._workspace = workspace
        self._stdout = sys.stdout
        self.quiet = quiet
        self.verbose = verbose
        self.wide = wide

    @cached_property
    def workspace(self) -> Workspace:
        from l2aco.workspace import Workspace

        found = Workspace(self._workspace)
        if not found.root.exists():
            self.say(f"No workspace yet at {found.root}")
        return found

    @cached_property
    def out(self) -> Console:
        from rich.console import Console

        seen = self._stdout.isatty()  # what goes into a file or a pipe is never wrapped
        return Console(file=self._stdout, soft_wrap=not seen, width=None if seen else 10_000, highlight=False)

    @cached_property
    def err(self) -> Console:
        from rich.console import Console

        return Console(stderr=True, soft_wrap=True, highlight=False)

    def say(self, text: str) -> None:
        """One line of news on standard error; silent with --quiet."""
        if not self.quiet:
            self.err.print(_safe(text))

    def warn(self, text: str) -> None:
        """What nobody may overlook, on standard error, also with --quiet: what went wrong, that data are simulated."""
        self.err.print(_safe(text))

    def print(self, text: str) -> None:
        """One line of result on standard output; one with a command is left to the terminal, which copies it whole."""
        self.out.print(_safe(text), soft_wrap="l2aco " in text or None)

    def fail(self, text: str) -> None:
        """The error that ends the command, with --verbose after its traceback."""
        if self.verbose:
            self.err.print(_safe(traceback.format_exc()))
        self.err.print(_safe(f"Error: {text}", style="red"))

    def json(self, value: Any) -> None:
        """`value` as JSON on standard output; NaN becomes null."""
        from l2aco.files import plain

        text = jsonlib.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False, default=str)
        self._stdout.write(text + "\n")
        self._stdout.flush()  # a server's address is read while it runs

    def made(self, facts: Mapping[str, Any], words: str, *, json: bool) -> None:
        """What a command has made: `facts` as JSON, or `words`."""
        if json:
            self.json(facts)
        else:
            self.print(words)

    def table(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        json: bool = False,
        title: str | None = None,
        empty: str = "Nothing yet.",
    ) -> None:
        """Rows as a table, or as a JSON list; what matters stands in the first columns.

        On a terminal, columns that it has no room for are left out, unless with --wide.
        """
        if json:
            self.json(list(rows))
            return
        if not rows:
            self.say(empty)
            return
        from rich.table import Table

        table = Table(
            title=None if title is None else _safe(title),
            title_justify="left",
            box=None,
            header_style="bold",
            pad_edge=False,
        )
        heads = {key: visible(key.replace("_", " ")) for row in rows for key in row}
        texts = [{head: visible(_cell(row.get(key))) for key, head in heads.items()} for row in rows]
        seen = self.out.is_terminal and not self.wide
        shown = fitting(texts, self.out.width) if seen else list(heads.values())
        room = widths(texts, shown, self.out.width) if seen else {}
        for key, head in heads.items():
            if head not in shown:
                continue
            numeric = all(isinstance(row.get(key), int | float | None) for row in rows)
            table.add_column(_safe(head), justify="right" if numeric else "left", overflow="fold", width=room.get(head))
        for text in texts:
            table.add_row(*(_safe(text[head]) for head in shown))
        self.out.print(table)
        if left_out := [head for head in heads.values() if head not in shown]:
            self.say(f"with --wide also: {', '.join(left_out)}")

    @contextmanager
    def task(self, label: str, total: int | None = None, unit: str = "") -> Iterator[Advance]:
        """How far a job is, with rate and time left: a panel in a terminal, lines in a pipe or a log; see
        `l2aco.progress.Progress`."""
        if self.quiet:
            yield lambda done=1, note="": None
            return
        from l2aco.cli.progress import Standing, lines, panel

        standing = Standing(visible(label), total, unit)
        shown = panel(self.err, standing, self.verbose) if self.err.is_terminal else lines(self.say, standing)
        with shown as advance:
            yield lambda done=1, note="": advance(done, visible(note))


def agree(question: str) -> None:
    """Go on after a yes: raises UsageError where nobody can be asked, typer.Exit after a no."""
    if not sys.stdin.isatty():
        raise UsageError(f"needs a yes: {question}", remedy="Pass --yes to go on.")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


def with_interval(row: Mapping[str, Any], name: str, low: str, high: str) -> dict[str, Any]:
    """A row for the screen whose column `name` also holds its interval: "0.003 [0.001, 0.005]"."""
    ends = "" if row[name] != row[name] else f" [{_cell(row[low])}, {_cell(row[high])}]"
    joined = f"{_cell(row[name])}{ends}"
    return {key: joined if key == name else value for key, value in row.items() if key not in (low, high)}


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return "-" if value != value else f"{value:.4g}" if abs(value) < 1e-3 or abs(value) >= 1e5 else f"{value:.3f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)


def visible(text: str) -> str:
    """`text` without what a terminal would obey or a reader be misled by: control characters, marks that turn the
    direction of writing and halves of surrogate pairs become their escapes; line breaks and tabs stay."""
    return "".join(char if char in "\n\t" or not _is_hidden(char) else _escape(char) for char in text)


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs") or char in _DIRECTIONS


_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


def _escape(char: str) -> str:
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"


def _safe(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(visible(str(text)), style=style)


def verb(function: Callable[..., Any] | None = None, *, resumes: bool = False) -> Callable[..., Any]:
    """Make a typer command of `function(shell, ...)`; `resumes`: what it has finished is not done again.

    Adds --workspace, --quiet, --verbose and --wide, lets the shell complete the parameters that `complete.VALUES`
    names, hands over a Shell, and turns an L2aCoError into its message and exit code, what the system refuses (a full
    disk, a folder without permission) into its reason, an interrupt into exit code 130; SIGTERM, which batch
    systems send, ends it in the same way, with 143. A verb may return an exit code.
    """
    if function is None:
        return functools.partial(verb, resumes=resumes)
    own = inspect.signature(function, eval_str=True)
    parameters = [item for name, item in own.parameters.items() if name != "shell"]
    shared = [
        inspect.Parameter("workspace", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=WorkspaceOption),
        inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=QuietOption),
        inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=VerboseOption),
        inspect.Parameter("wide", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=WideOption),
    ]
    for item in parameters:
        _let_complete(item)

    @functools.wraps(function)
    def run(*, workspace: Path | None, quiet: bool, verbose: bool, wide: bool, **values: Any) -> None:
        shell = Shell(workspace, quiet, verbose, wide)
        terminated: list[int] = []
        try:
            with redirect_stdout(sys.stderr), interrupted_by_sigterm(terminated):
                code = function(shell, **values)
        except L2aCoError as error:
            shell.fail(str(error))
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            shell.fail(f"{where}{error.strerror or error}")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            shell.err.print("Interrupted." + (" The same command goes on where this one stopped." if resumes else ""))
            raise typer.Exit(143 if terminated else 130) from None
        if code:
            raise typer.Exit(int(code))

    merged = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in parameters] + shared
    run.__signature__ = own.replace(parameters=merged, return_annotation=None)  # type: ignore[attr-defined]
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    run.__doc__ = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)  # help keeps every line break
    run.__annotations__ = {item.name: item.annotation for item in merged}
    del run.__wrapped__  # type: ignore[attr-defined]
    return run


def _let_complete(parameter: inspect.Parameter) -> None:
    """Values complete by the parameter's name, and their case does not matter."""
    for told in getattr(parameter.annotation, "__metadata__", ()):
        if isinstance(told, ParameterInfo):
            told.case_sensitive = False
            if parameter.name in VALUES and told.autocompletion is None:
                told.autocompletion = completer(parameter.name)
