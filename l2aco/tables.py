"""Tables that people bring: CSV, TSV, Parquet, Excel; read strictly, wrong places named by file and line.

Every reader of such a table stands on this one: data sets, features, graphs, entities, pairs, profiles. What counts as
missing, how numbers are written and where a record ends is the same for all.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from l2aco.errors import InputError

if TYPE_CHECKING:
    import polars as pl

MAX_CELL = 100_000
"""Characters. No name, SMILES or number is longer; a longer cell is a lost quote or another file."""

COLUMNS_REMEDY = "Name yours with --columns {role}=NAME."
"""For the tables that --columns speaks of."""

MISSING = ("nan", "na", "n/a", "#n/a", "null", "none")
"""What programs write into an empty cell, in lower case."""

Roles = Mapping[str, Sequence[str]]
"""Our name of a column, and the names that it may have in a file."""


@dataclass(frozen=True)
class Table:
    """The records of one file.

    frame: a polars frame, each column called by its role. names: what the file calls that column, None where it has
    none. rows: the number of each record in the file (0 is the first below the header). lines: the line on which each
    record of the file ends. separator: of the columns, empty in a binary file.
    """

    path: Path
    frame: pl.DataFrame
    names: Mapping[str, str | None]
    rows: Sequence[int] | pl.Series
    lines: Sequence[int]
    separator: str = ""

    def __len__(self) -> int:
        return len(self.frame)

    def where(self, number: int) -> str:
        """File and line of a record of the frame."""
        return f"{self.path}:{self.lines[self.rows[number]]}"

    def refuse(self, wrong: pl.Series, message: str, role: str | None = None, remedy: str | None = None) -> None:
        """Raises InputError about the first record where `wrong` (bool) holds. The message may name {column} and
        {value} of the role, and {count}, how many are wrong."""
        if wrong.any():
            number = wrong.arg_true()[0]
            facts: dict[str, Any] = {"column": self.names[role], "value": self.frame[role][number]} if role else {}
            text = message.format(count=int(wrong.sum()), **facts)
            raise InputError(text, where=self.where(number), remedy=remedy)

    def require(self, *roles: str) -> None:
        """Raises InputError with the line where one of these columns is empty."""
        for role in roles:
            self.refuse(self.frame[role].is_null(), "column '{column}' is empty in {count} rows", role)

    def numbers(self, role: str) -> pl.Series:
        """float64, null where empty; raises InputError with the line of what is no finite number."""
        import polars as pl

        text = self.frame[role]
        value = self._with_points(text).cast(pl.Float64, strict=False)
        wrong = text.is_not_null() & ~value.is_finite().fill_null(False)
        self.refuse(wrong, "column '{column}' holds '{value}', which is not a number", role)
        return value

    def whole_numbers(self, role: str) -> pl.Series:
        """int64, null where empty; raises InputError with the line of what is none, or below 0."""
        import polars as pl

        text = self.frame[role]
        number = text.cast(pl.Float64, strict=False)  # 1.0 is a whole number too: that is how pandas writes it
        value = number.cast(pl.Int64, strict=False)
        wrong = text.is_not_null() & (value.is_null() | (value < 0) | (value != number)).fill_null(True)
        self.refuse(wrong, "column '{column}' holds '{value}', which is not a whole number of 0 or more", role)
        return value

    def labels(self, role: str = "label") -> pl.Series:
        """0 and 1 as float64, null where empty; raises InputError with the line of anything else."""
        value = self.numbers(role)
        self.refuse(~value.is_in([0.0, 1.0]).fill_null(True), "column '{column}' holds '{value}', not 0 or 1", role)
        return value

    def matrix(self, roles: Sequence[str]) -> Any:
        """float32 (n, columns); raises InputError with the line of the first cell of a column that is no finite
        number."""
        import polars as pl

        values = self.frame.select(self._with_points(self.frame[role]).cast(pl.Float32, strict=False) for role in roles)
        for role in roles:
            wrong = ~values[role].is_finite().fill_null(False)
            self.refuse(wrong & self.frame[role].is_null(), "column '{column}' is empty", role)
            self.refuse(wrong, "column '{column}' holds '{value}', no number", role)
        return values.to_numpy()

    def _with_points(self, text: pl.Series) -> pl.Series:
        """Numbers as text, decimal commas as points where semicolons separate the columns."""
        import polars as pl

        if text.dtype != pl.String or self.separator != ";":
            return text
        return text.str.replace(r"^([+-]?\d*),(\d+)$", "$1.$2")

    def filter(self, mask: pl.Series) -> Table:
        """The records where `mask` (bool) holds."""
        import polars as pl

        rows = pl.Series(self.rows, dtype=pl.Int64).filter(mask)
        return replace(self, frame=self.frame.filter(mask), rows=rows)

    def by_role(self, roles: Roles, *, optional: Iterable[str] = (), remedy: str = "") -> Table:
        """The columns of these roles as stripped text, null where nothing stands there, as `read_table` gives them."""
        names = pick_columns(self.path, self.frame.columns, roles, set(optional), remedy)
        return self._texts(names)

    def texts(self) -> Table:
        """All columns as stripped text, null where nothing stands there, without blank records."""
        return self._texts(self.names)

    def _texts(self, names: Mapping[str, str | None]) -> Table:
        import polars as pl

        columns = []
        for role, name in names.items():
            if name is None:
                columns.append(pl.lit(None, dtype=pl.String).alias(role))
                continue
            if self.frame[name].dtype.is_nested():
                what = "lists or structures, not names or numbers"
                raise InputError(f"column '{name}' holds {what}", where=self.path)
            text = pl.col(name).cast(pl.String, strict=False).str.strip_chars()
            nothing = text.str.to_lowercase().is_in(["", *MISSING])
            columns.append(pl.when(nothing).then(None).otherwise(text).alias(role))
        frame = self.frame.select(pl.int_range(pl.len()).alias(_ROW), *columns)
        frame = frame.filter(~pl.all_horizontal(pl.exclude(_ROW).is_null()))
        if not len(frame):
            raise InputError("holds no rows", where=self.path, remedy="Give a header and at least one row.")
        table = Table(self.path, frame.drop(_ROW), names, frame[_ROW], self.lines, self.separator)
        table.check_cells()
        return table

    def check_cells(self) -> None:
        """Raises InputError with the line of a cell that is longer than anything that belongs into a table."""
        import polars as pl

        for role, kind in self.frame.schema.items():
            if kind == pl.String:
                long = self.frame[role].str.len_chars().fill_null(0) > MAX_CELL
                words = f"column '{{column}}' holds more than {MAX_CELL:,} characters in one cell"
                self.refuse(long, words, role, remedy="Look for an unclosed quote.")


_ROW = "\0row"


def read_table(path: Path, roles: Roles, *, optional: Iterable[str] = (), remedy: str = "") -> Table:
    """The columns of a file by role, as stripped text, null where nothing stands there.

    `roles` maps our name of a column to the names it may have in the file, compared without case, spaces and
    underscores. A role in `optional` may be missing from the file, and its column then is null. Blank records are
    skipped. Raises InputError, with the `remedy` for a missing column.
    """
    return read_raw(path).by_role(roles, optional=optional, remedy=remedy)


def read_raw(path: Path) -> Table:
    """A whole file, text columns as they are, typed ones as a Parquet or Excel file has them; raises InputError with
    the line where it cannot be read."""
    import polars as pl

    if path.is_dir() or not path.exists():  # a pipe is welcome
        raise InputError("no such file", where=path, remedy="Name a CSV, TSV, Parquet or Excel file.")
    suffix = path.suffix.casefold()
    try:
        if suffix == ".parquet":
            return _whole(path, pl.read_parquet(path))
        if suffix == ".xlsx":
            return _whole(path, pl.read_excel(path, engine="calamine", infer_schema_length=None))
    except Exception as error:
        raise InputError(f"is not a readable {suffix[1:]} file ({_first_line(error)})", where=path) from None
    data = path.read_bytes()
    _check_text(path, data)
    separator = delimiter(path, data)
    try:
        frame = pl.read_csv(io.BytesIO(data), infer_schema=False, separator=separator)
    except pl.exceptions.NoDataError:
        raise InputError("is empty", where=path, remedy="Give a header and at least one row.") from None
    except pl.exceptions.PolarsError as error:
        raise InputError(*_ragged(path, data, separator, error)) from None
    return _whole(path, frame, _RecordLines(path if path.is_file() else data, separator), separator)


def _whole(path: Path, frame: pl.DataFrame, lines: Sequence[int] | None = None, separator: str = "") -> Table:
    names = {name: name for name in frame.columns}
    return Table(path, frame, names, range(len(frame)), lines or range(2, len(frame) + 2), separator)


def read_lines(path: Path, columns: Sequence[str], *, may_be_empty: bool = False) -> Table:
    """A tab-separated file without header: these columns as stripped text, null where empty.

    Quotes are ordinary characters. Blank lines are skipped. Raises InputError with the line where the number of
    columns differs.
    """
    import polars as pl

    if path.is_dir() or not path.exists():
        raise InputError("no such file", where=path)
    data = path.read_bytes()
    if data.strip() or not may_be_empty:
        _check_text(path, data)
    cells: list[list[str]] = []
    places: list[int] = []
    for number, line in enumerate(data.decode("utf-8-sig").replace("\r\n", "\n").split("\n"), start=1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != len(columns):
            raise InputError(f"has {len(parts)} columns, not {len(columns)}", where=f"{path}:{number}")
        if len(line) > MAX_CELL:
            raise InputError(f"holds {len(line):,} characters in one line", where=f"{path}:{number}")
        cells.append(parts)
        places.append(number)
    frame = pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String), orient="row")
    frame = frame.with_columns(pl.all().replace("", None))
    return Table(path, frame, {column: column for column in columns}, range(len(frame)), places)


def pick_columns(
    path: Path, found: Sequence[str], roles: Roles, optional: set[str], remedy: str = ""
) -> dict[str, str | None]:
    """The file's column for each role, the first of its names that is there; raises InputError for a missing one."""
    folded = {_fold(column): column for column in reversed(found)}
    twice = repeated(found)
    columns: dict[str, str | None] = {}
    for role, names in roles.items():
        column = next((folded[_fold(name)] for name in names if _fold(name) in folded), None)
        if column is None and role not in optional:
            raise InputError(
                f"has no column {' or '.join(repr(name) for name in names[:3])}",
                where=path,
                remedy=f"Columns found: {', '.join(found) or 'none'}. {remedy.format(role=role)}".strip(),
            )
        if column in twice:
            raise InputError(f"has the column '{column}' twice", where=f"{path}:1", remedy="Rename one of them.")
        columns[role] = column
    return columns


def repeated(found: Sequence[str]) -> list[str]:
    """The columns that stand in a header more than once, but for case."""
    header: dict[str, list[str]] = {}
    for column in found:
        name = column.rpartition("_duplicated_")[0] or column  # as polars calls a repeated one
        header.setdefault(name.strip().casefold(), []).append(name)
    return [names[0] for names in header.values() if len(names) > 1]


def delimiter(path: Path, data: bytes) -> str:
    """Tab for .tsv, .tab, .txt and .dict files, else comma; a semicolon where the header has no other."""
    usual = "\t" if path.suffix.casefold() in (".tsv", ".tab", ".txt", ".dict") else ","
    header = data[:MAX_CELL].decode("utf-8-sig", errors="replace").partition("\n")[0]
    return ";" if ";" in header and usual not in header else usual


class _RecordLines(Sequence[int]):
    """The line on which each record of a CSV file ends, found when it is first asked for."""

    def __init__(self, source: Path | bytes, separator: str) -> None:
        self._source = source
        self._separator = separator

    @cached_property
    def _ends(self) -> list[int]:
        ends: list[int] = []
        with contextlib.ExitStack() as stack:
            if isinstance(self._source, bytes):
                stream: Any = io.StringIO(self._source.decode("utf-8-sig"), newline="")
            else:
                stream = stack.enter_context(self._source.open(encoding="utf-8-sig", newline=""))
            stack.enter_context(contextlib.suppress(csv.Error))  # a cell beyond the reader's limit
            reader = csv.reader(stream, delimiter=self._separator)
            for record in reader:
                if record or ends:  # blank lines before the header are no records
                    ends.append(reader.line_num)
        return ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, row: int) -> int: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[int]: ...
    def __getitem__(self, row: int | slice) -> int | Sequence[int]:
        if isinstance(row, slice):
            return self._ends[1:][row]
        return self._ends[row + 1] if row + 1 < len(self._ends) else row + 2


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
