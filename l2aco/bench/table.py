"""A table as a report shows it: the same cells in HTML (the template has it), Markdown and LaTeX."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}

MARKS = re.compile(r"[\\`*|<]|~(?=~)|&(?=[#\w]+;)|\](?=[(\[:])|(?<!\w)_|_(?!\w)|^[#+>-](?=[#\s]|$)")
"""Signs that mark something up in Markdown, where they do: no interval is a link, and no pair_mean is emphasis."""


@dataclass(frozen=True)
class Cell:
    """What is shown; `key` is what a column of numbers is sorted by."""

    text: str
    key: float | None = None


@dataclass(frozen=True)
class Table:
    """Rows of as many cells as there are columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def is_numeric(self, column: int) -> bool:
        """Whether a column holds numbers alone."""
        return bool(self.rows) and all(row[column].key is not None for row in self.rows)

    def markdown(self) -> str:
        """A pipe table."""
        head, *body = [self.columns, *([cell.text for cell in row] for row in self.rows)]
        lines = [[markdown_text(words) for words in line] for line in (head, *body)]
        return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], ["---"] * len(head), *lines[1:]))

    def latex(self) -> str:
        """A table for booktabs."""
        align = "".join("r" if self.is_numeric(column) else "l" for column in range(len(self.columns)))
        head, *body = [_latex_row(self.columns), *(_latex_row([cell.text for cell in row]) for row in self.rows)]
        return "\n".join(
            [
                "% needs \\usepackage{booktabs}",
                "\\begin{table}",
                f"\\caption{{{latex_text(self.title)}}}",
                f"\\begin{{tabular}}{{{align}}}",
                "\\toprule",
                head,
                "\\midrule",
                *body,
                "\\bottomrule",
                "\\end{tabular}",
                "\\end{table}\n",
            ]
        )


def text(value: object) -> Cell:
    """Words; nothing for None."""
    return Cell("" if value is None else str(value))


def count(value: int) -> Cell:
    """A whole number."""
    return Cell(f"{value:,}", value)


def number(value: float | None, form: str = ".3f") -> Cell:
    """A number; a dash where it is not defined, sorted below all."""
    if value is None or math.isnan(value):
        return Cell("–", -math.inf)
    return Cell(f"{value:{form}}", value)


def interval(value: float, low: float, high: float, form: str = ".3f") -> Cell:
    """A number with its interval, sorted by the number."""
    return Cell(f"{value:{form}} [{low:{form}}, {high:{form}}]", value)


def latex_text(words: str) -> str:
    """Words as LaTeX prints them."""
    return "".join(LATEX.get(sign, sign) for sign in words)


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"


def heading(level: int, words: str) -> list[str]:
    """Lines of Markdown."""
    return [f"{'#' * level} {markdown_text(words)}", ""]


def markdown_text(words: str) -> str:
    """Words as Markdown shows them, on one line: in a name begins no tag, link, emphasis, heading or cell."""
    return MARKS.sub(r"\\\g<0>", " ".join(words.split()))
