"""Tables that people bring: CSV, TSV, Parquet, Excel; read strictly, wrong places named by file and line."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.entities import delimiter
from l2aco.errors import InputError

if TYPE_CHECKING:
    import polars as pl

BINARY = (".parquet", ".xlsx")
MAX_CELL = 100_000
"""Characters. No name, SMILES or number is longer; a longer cell is a lost quote or another file."""

COLUMNS_REMEDY = "Name yours with --columns {role}=NAME."
"""For the tables that --columns speaks of."""

MISSING = ("nan", "na", "n/a", "#n/a", "null", "none")
"""What programs write into an empty cell, in lower case."""

Roles = Mapping[str, Sequence[str]]


def safe_file(folder: Path, name: str) -> Path:
    """`folder/name`; raises InputError when it is missing or a link that leads out of the folder."""
    path = folder / name
    if not path.is_file():
        raise InputError("no such file", where=path, remedy="The layout needs it; see docs/data.md.")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            "is a link out of the folder", where=path, remedy="Copy the file there; links are not followed."
        )
    return path


def read_table(path: Path, roles: Roles, *, optional: Iterable[str] = (), remedy: str = "") -> pl.DataFrame:
    """The columns of a table by role, as stripped text (null where empty), and `row` (0 for the first record).

    `roles` maps our name of a column to the names it may have in the file, compared without case, spaces and
    underscores. A role in `optional` may be missing from the file, and its column then is null. Blank records are
    skipped. Raises InputError, with the `remedy` for a missing column.
    """
    return by_role(read_raw(path), path, roles, optional=optional, remedy=remedy)


def by_role(
    table: pl.DataFrame, path: Path, roles: Roles, *, optional: Iterable[str] = (), remedy: str = ""
) -> pl.DataFrame:
    """`read_table` of a table that `read_raw` has read."""
    import polars as pl

    columns = pick_columns(path, table.columns, roles, set(optional), remedy)
    for column in columns.values():
        if column is not None and table[column].dtype.is_nested():
            raise InputError(f"column '{column}' holds lists or structures, not names or numbers", where=path)
    table = table.select(
        pl.int_range(pl.len()).alias("row"),
        *(
            pl.col(column).cast(pl.String).str.strip_chars().replace("", None).alias(role)
            if column is not None
            else pl.lit(None, dtype=pl.String).alias(role)
            for role, column in columns.items()
        ),
    )
    table = table.filter(~pl.all_horizontal(pl.exclude("row").is_null()))
    if not len(table):
        raise InputError("holds no rows", where=path, remedy="Give a header and at least one row.")
    for role in columns:
        long = table.filter(pl.col(role).str.len_chars() > MAX_CELL)
        if len(long):
            raise InputError(
                f"column '{columns[role]}' holds {len(long[role][0]):,} characters in one cell",
                where=place(path, long),
                remedy="Look for an unclosed quote.",
            )
    return table


def read_lines(path: Path, columns: Sequence[str], *, may_be_empty: bool = False) -> pl.DataFrame:
    """A tab-separated file without header: these columns as stripped text, and `line`.

    Quotes are ordinary characters. Blank lines are skipped. Raises InputError with the line where the number of
    columns differs.
    """
    import polars as pl

    data = path.read_bytes()
    if data.strip() or not may_be_empty:
        _check_text(path, data)
    lines = data.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    cells: list[list[str]] = []
    places: list[int] = []
    for row, line in enumerate(lines):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != len(columns):
            raise InputError(f"has {len(parts)} columns, not {len(columns)}", where=f"{path}:{row + 1}")
        if len(line) > MAX_CELL:
            raise InputError(f"holds {len(line):,} characters in one line", where=f"{path}:{row + 1}")
        cells.append(parts)
        places.append(row + 1)
    table = pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String), orient="row")
    return table.with_columns(pl.all().replace("", None), line=pl.Series(places, dtype=pl.Int64))


def pick_columns(
    path: Path, found: Sequence[str], roles: Roles, optional: set[str], remedy: str = ""
) -> dict[str, str | None]:
    """The file's column for each role, the first of its names that is there; raises InputError for a missing one."""
    folded = {_fold(column): column for column in reversed(found)}
    twice = {column.rpartition("_duplicated_")[0] for column in found}  # as the reader calls a repeated name
    columns: dict[str, str | None] = {}
    for role, names in roles.items():
        columns[role] = next((folded[_fold(name)] for name in names if _fold(name) in folded), None)
        if columns[role] is None and role not in optional:
            raise InputError(
                f"has no column {' or '.join(repr(name) for name in names[:3])}",
                where=path,
                remedy=f"Columns found: {', '.join(found) or 'none'}. {remedy.format(role=role)}".strip(),
            )
        if columns[role] is not None and columns[role] in twice:
            raise InputError(f"has the column '{columns[role]}' twice", where=f"{path}:1", remedy="Rename one of them.")
    return columns


def require(table: pl.DataFrame, path: Path, columns: Iterable[str]) -> None:
    """Raises InputError with the line where one of these columns is empty."""
    for column in columns:
        empty = table.filter(table[column].is_null())
        if len(empty):
            raise InputError(f"column '{column}' is empty in {len(empty)} rows", where=place(path, empty))


def numbers(table: pl.DataFrame, path: Path, column: str, *, dtype: str = "float") -> pl.Series:
    """A column of text as numbers; raises InputError with the line of the first that is none. `dtype` is float (null
    where empty or NaN, infinities refused), or int for ids (null where empty, NaN and negative ones refused)."""
    import polars as pl

    text = table[column]
    if dtype == "int":
        number = text.cast(pl.Float64, strict=False)  # 1.0 is a whole number too: that is how pandas writes it
        value = number.cast(pl.Int64, strict=False)
        wrong = text.is_not_null() & (value.is_null() | (value < 0) | (value != number))
    else:
        value = _with_points(text, path).cast(pl.Float64, strict=False)
        blank = text.str.to_lowercase().is_in(MISSING)
        value = value.fill_nan(None)
        wrong = text.is_not_null() & ~blank & (value.is_null() | value.is_infinite())
    wrong = wrong.fill_null(True)
    if wrong.any():
        found = table.filter(wrong)
        what = "a whole number of 0 or more" if dtype == "int" else "a number"
        raise InputError(f"column '{column}' holds '{found[column][0]}', which is not {what}", where=place(path, found))
    return value


def _with_points(text: pl.Series, path: Path) -> pl.Series:
    """Numbers as text, decimal commas as points where semicolons separate the columns."""
    import polars as pl

    if text.dtype != pl.String or path.suffix.casefold() in BINARY or delimiter(path) != ";":
        return text
    return text.str.replace(r"^([+-]?\d*),(\d+)$", "$1.$2")


def labels(table: pl.DataFrame, path: Path, column: str = "label") -> pl.Series:
    """A column of text as 0 and 1, null where empty or NaN; raises InputError with the line of anything else."""
    value = numbers(table, path, column)
    wrong = table.filter(~value.is_in([0.0, 1.0]))
    if len(wrong):
        raise InputError(
            f"column '{column}' holds '{wrong[column][0]}', not 0 or 1",
            where=place(path, wrong),
        )
    return value


def matrix(table: pl.DataFrame, path: Path, rows: Sequence[int]) -> Any:
    """The text of a table as float32 (n, columns); raises InputError with the line of the first cell of a column that
    is no finite number. `rows` are the numbers of its records in the file."""
    import polars as pl

    values = table.select(_with_points(table[column], path).cast(pl.Float32, strict=False) for column in table.columns)
    for column in values.columns:
        wrong = ~values[column].is_finite().fill_null(False)
        if wrong.any():
            first = int(wrong.arg_max() or 0)
            cell = table[column][first]
            raise InputError(
                f"column '{column}' " + ("is empty" if cell is None else f"holds '{cell}', no number"),
                where=f"{path}:{line_of(path, rows[first])}",
            )
    return values.to_numpy()


def read_raw(path: Path) -> pl.DataFrame:
    """A whole table, text columns as they are; raises InputError with the line where it cannot be read."""
    import polars as pl

    if not path.is_file():
        raise InputError("no such file", where=path)
    suffix = path.suffix.casefold()
    try:
        if suffix == ".parquet":
            return pl.read_parquet(path)
        if suffix == ".xlsx":
            return pl.read_excel(path, engine="calamine", infer_schema_length=None)
    except Exception as error:
        raise InputError(f"is not a readable {suffix[1:]} file ({_first_line(error)})", where=path) from None
    separator = delimiter(path)
    data = path.read_bytes()
    _check_text(path, data)
    try:
        return pl.read_csv(io.BytesIO(data), infer_schema=False, separator=separator)
    except pl.exceptions.NoDataError:
        raise InputError("is empty", where=path, remedy="Give a header and at least one row.") from None
    except pl.exceptions.PolarsError as error:
        raise InputError(*_ragged(path, data, separator, error)) from None


def place(path: Path, found: pl.DataFrame) -> str:
    """File and line of the first of these records of `read_table` or `read_lines`."""
    line = found["line"][0] if "line" in found.columns else line_of(path, found["row"][0])
    return f"{path}:{line}"


def line_of(path: Path, row: int) -> int:
    """The line of the file on which record number `row` (0 is the first after the header) ends."""
    if path.suffix.casefold() in BINARY:
        return row + 2
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter(path))
        with contextlib.suppress(csv.Error):  # a cell beyond the reader's limit: take one line for each record
            for number, _ in enumerate(reader):
                if number == row + 1:
                    return reader.line_num
    return row + 2


def _check_text(path: Path, data: bytes) -> None:
    if not data.strip():
        raise InputError("is empty", where=path, remedy="Give a header and at least one row.")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError("is UTF-16 text", where=path, remedy="Save it as UTF-8.")
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"is not UTF-8 text (byte 0x{data[error.start]:02x})", where=f"{path}:{line}", remedy="Save it as UTF-8."
        ) from None
    if (at := data.find(b"\0")) >= 0:
        line = data.count(b"\n", 0, at) + 1
        raise InputError("holds a zero byte and is no text", where=f"{path}:{line}", remedy="Is it another format?")


def _ragged(path: Path, data: bytes, separator: str, error: Exception) -> tuple[str]:
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=separator, strict=True)
    try:
        width = len(next(reader))
        for record in reader:
            if len(record) > width:
                raise InputError(f"has {len(record)} columns, the header {width}", where=f"{path}:{reader.line_num}")
    except csv.Error as problem:
        raise InputError(
            f"cannot be read ({problem})", where=f"{path}:{reader.line_num}", remedy="Look for an unclosed quote."
        ) from None
    raise InputError(f"cannot be read as a table ({_first_line(error)})", where=path)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _fold(name: str) -> str:
    return name.casefold().replace(" ", "").replace("_", "").replace("-", "")
