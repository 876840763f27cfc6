"""One page for each cell line: the list as a picture and a table, the reasons of each pair, what it rests on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from l2aco.files import write_text
from l2aco.recommend.recommendation import RankedPair, Recommendation
from l2aco.templating import environment

SHOWN = 30
"""Pairs in the picture."""


def page(found: Recommendation) -> str:
    """The page of one line, which needs no other file."""
    template = environment("l2aco.recommend").get_template("line.html")
    return template.render(found=found, shown=found.pairs[:SHOWN], bar=bar)


def write_pages(found: Sequence[Recommendation], folder: Path) -> list[Path]:
    """`<line>.html` in the folder for each; where two lines have one file name, numbers follow."""
    written: list[Path] = []
    for one in found:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", one.cell_line).strip("-.") or "line"
        taken = {path.name for path in written}
        number = next(at for at in range(1, len(found) + 1) if _file(name, at) not in taken)
        written.append(folder / _file(name, number))
        write_text(written[-1], page(one))
    return written


def _file(name: str, number: int) -> str:
    return f"{name}{f'-{number}' if number > 1 else ''}.html"


def bar(pair: RankedPair) -> tuple[float, float, float]:
    """Left end, length and middle of a pair's bar, in percent of the width."""
    low = pair.calibrated if pair.low is None else pair.low
    high = pair.calibrated if pair.high is None else pair.high
    return 100 * low, 100 * (high - low), 100 * pair.calibrated
