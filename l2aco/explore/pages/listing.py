"""Long lists in pages of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from l2aco.errors import UnknownNameError
from l2aco.explore.page import Cell, Links, Part

PER_PAGE = 200
Row = TypeVar("Row")


def part_of(rows: Sequence[Row], number: str, name: str) -> tuple[list[Row], list[Part]]:
    """The rows of page `number` ("" is the first) of the listing `name`, and the links to the other pages.

    Raises UnknownNameError for a page that there is not.
    """
    pages = max(1, -(-len(rows) // PER_PAGE))
    at = int(number or 1)
    if at > pages:
        raise UnknownNameError("page", f"{name}-{at}", ())
    links: list[Part] = []
    if pages > 1:
        cells = [Cell(f"Page {page}", link=path_of(name, page)) for page in range(1, pages + 1) if page != at]
        links = [Links(f"Page {at} of {pages}", cells)]
    return list(rows[(at - 1) * PER_PAGE : at * PER_PAGE]), links


def path_of(name: str, page: int) -> str:
    """The path of one page of a listing."""
    return f"{name}.html" if page == 1 else f"{name}-{page}.html"
