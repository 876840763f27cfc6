"""How much a binary table unfolds to, asked before it is read: a small file may claim the memory of a large machine."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from l2aco.errors import InputError

MAX_ROWS = 50_000_000
MAX_CELLS = 500_000_000
MAX_BYTES = 4 << 30
"""Of a text file, or of what an Excel file unpacks to."""
MAX_WHOLE = 64 << 20
"""Bytes of a JSON or TOML file, which is held whole and unfolds to ten times as much."""
_SMALLER = "Keep the rows and columns that are needed, or split the file."
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")
_REFERENCE = re.compile(rb"\sr\s*=\s*[\"']([A-Z]{0,3})([0-9]{1,9})[\"']")
_PIECE = 1 << 20


def check_size(path: Path, rows: int, columns: int) -> None:
    """Raises InputError where a table of this size is too large to be read."""
    if rows > MAX_ROWS or rows * columns > MAX_CELLS:
        raise InputError(
            f"unfolds to {rows:,} rows of {columns:,} columns, and at most {MAX_ROWS:,} rows and {MAX_CELLS:,} cells "
            "are read",
            where=path,
            remedy=_SMALLER,
        )


def check_bytes(path: Path, size: int) -> None:
    """Raises InputError where so many bytes are too many."""
    if size > MAX_BYTES:
        raise InputError(f"holds {size:,} bytes, and at most {MAX_BYTES:,} are read", where=path, remedy=_SMALLER)


def read_whole(path: Path) -> bytes:
    """The bytes of a file that is read at one go; raises InputError where it holds more than `MAX_WHOLE`, OSError."""
    with path.open("rb") as stream:
        data = stream.read(MAX_WHOLE + 1)
    if len(data) > MAX_WHOLE:
        raise InputError(f"holds more than {MAX_WHOLE:,} bytes, and no JSON or TOML of that size is read", where=path)
    return data


def check_excel(path: Path) -> None:
    """Raises InputError for an Excel file of which one sheet reaches too far: its reader lays out every cell between
    the first and the last one that is used. What zipfile raises where it is none."""
    with zipfile.ZipFile(path) as book:
        check_bytes(path, sum(member.file_size for member in book.infolist()))
        for name in filter(_SHEET.fullmatch, book.namelist()):
            check_size(path, *_reach(book, name))


def _reach(book: zipfile.ZipFile, sheet: str) -> tuple[int, int]:
    """The last row and column that a sheet names."""
    rows, columns = 0, {b""}
    with book.open(sheet) as stream:
        rest = b""
        while piece := stream.read(_PIECE):
            text = rest + piece
            found = _REFERENCE.findall(text)
            columns.update(letters for letters, _ in found)
            rows = max(rows, max((int(digits) for _, digits in found), default=0))
            rest = text[-64:]
    return rows, max(map(_column_number, columns))


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + letter - ord("A") + 1
    return number
