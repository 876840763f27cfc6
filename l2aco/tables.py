"""Tables that people bring: CSV, TSV, Parquet, Excel; read strictly, wrong places named by file and line.

Every reader of such a table stands on this one: data sets, features, graphs, entities, pairs, profiles. What counts as
missing, how numbers are written and where a record ends is the same for all.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from l2aco.bounds import check_bytes, check_excel
from l2aco.columns import Fit, Roles, pick_columns
from l2aco.errors import DamagedError, InputError
from l2aco.parquet import read_parquet

if TYPE_CHECKING:
    import polars as pl

MAX_CELL = 100_000
"""Characters. No name, SMILES or number is longer; a longer cell is a lost quote or another file."""

MISSING = frozenset(
    {"", "nan", "-nan", "na", "<na>", "n/a", "n.a.", "#n/a", "#n/a n/a", "#na", "null", "none", "nat", "\\n", "1.#qnan"}
    | {"-1.#qnan", "1.#ind", "-1.#ind", "-", "--", "?", ".", "missing", "unknown", "not known", "not available"}
    | {"n.d.", "n/d", "not determined", "not tested", "k.a.", "k. a.", "keine angabe", "unbekannt", "inconnu"}
    | {"desconocido", "sconosciuto", "onbekend"}
)
"""What programs and people write where they know nothing, in lower case."""

CORRECT = "Correct it in the file, or take the row out."
FILL_IN = "Fill it in, or take these rows out of the file."

_LABELS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


def says_nothing(text: str) -> bool:
    """Whether a text is empty, or a word for that."""
    return text.strip().casefold() in MISSING


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

    def refuse(self, wrong: pl.Series, message: str, role: str | None = None, remedy: str = CORRECT) -> None:
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
            words = "column '{column}' is empty, or says that nothing is known, in {count} rows"
            self.refuse(self.frame[role].is_null(), words, role, remedy=FILL_IN)

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
        """0 and 1 (true and false, yes and no) as float64, null where empty; raises InputError with the line of
        anything else."""
        value = as_labels(self.frame[role])
        wrong = self.frame[role].is_not_null() & value.is_null()
        self.refuse(wrong, "column '{column}' holds '{value}', not 0 or 1", role)
        return value

    def matrix(self, roles: Sequence[str], *, words: Literal["row", "column"]) -> Any:
        """float32 (n, columns) of columns as `read_raw` gives them, NaN where nothing is known. A row or column of
        nothing but `words`, such as a second header, counts as unknown; raises InputError with the line of any other
        cell that is no finite number."""
        import numpy as np
        import polars as pl

        values = np.empty((len(self), len(roles)), dtype=np.float32)
        word = np.zeros(values.shape, dtype=bool)
        for place, role in enumerate(roles):
            cells = self.frame[role]
            plain = cells.dtype.is_numeric() or cells.dtype in (pl.String, pl.Boolean)
            number = self._with_points(cells if plain else self.text(role)).cast(pl.Float32, strict=False)
            if number.null_count() > cells.null_count():  # words: for nothing, or where a number should be
                text = self.text(role)
                number = self._with_points(text).cast(pl.Float32, strict=False)
                word[:, place] = (text.is_not_null() & number.is_null()).to_numpy()
            values[:, place] = number.fill_null(float("nan")).to_numpy()
        beside = np.isfinite(values).any(axis=1 if words == "row" else 0, keepdims=True)
        wrong = (word & beside) | np.isinf(values)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            first = pl.Series(np.arange(len(self)) == row)
            self.refuse(first, "column '{column}' holds '{value}', no number", roles[column])
        return values

    def _with_points(self, text: pl.Series) -> pl.Series:
        """Numbers as text, decimal commas as points where semicolons separate the columns."""
        import polars as pl

        if text.dtype != pl.String or self.separator != ";":
            return text
        return text.str.replace(r"^([+-]?\d*),(\d+)$", "$1.$2")

    def with_columns(self, *columns: pl.Series) -> Table:
        """These columns in the place of those of their names."""
        return replace(self, frame=self.frame.with_columns(*columns))

    def filter(self, mask: pl.Series) -> Table:
        """The records where `mask` (bool) holds."""
        import polars as pl

        rows = pl.Series(self.rows, dtype=pl.Int64).filter(mask)
        return replace(self, frame=self.frame.filter(mask), rows=rows)

    def by_role(
        self,
        roles: Roles,
        *,
        optional: Collection[str] = (),
        remedy: str = "",
        fits: Mapping[str, Fit] | None = None,
    ) -> Table:
        """The columns of these roles as text; see `pick_columns` and `texts`."""
        columns = pick_columns(self.path, self.frame.columns, roles, optional, remedy, fits or {}, self.text)
        return self.texts(columns)

    def text(self, name: str) -> pl.Series:
        """One of the file's columns as `texts` gives it."""
        import polars as pl

        if self.frame[name].dtype.is_nested():
            what = "lists or structures, not names or numbers"
            raise InputError(f"column '{name}' holds {what}", where=self.path)
        try:
            text = self.frame[name].cast(pl.String, strict=False).str.strip_chars()
        except pl.exceptions.PolarsError as error:
            raise InputError(f"column '{name}' holds no text ({_first_line(error)})", where=self.path) from None
        if text.str.ends_with(".0").any():
            text = text.str.replace(r"^(\d+)\.0$", "$1")
        known = ~text.str.to_lowercase().is_in(MISSING)
        return text if known.all() else text.zip_with(known, pl.Series([None], dtype=pl.String))

    def texts(self, names: Mapping[str, str | None] | None = None) -> Table:
        """The columns `names` (role: the file's column) or all, as stripped text without the .0 that pandas gives to
        whole numbers, null where nothing is known; without blank records."""
        import polars as pl

        names = self.names if names is None else names
        nothing = pl.lit(None, dtype=pl.String)
        columns = [nothing.alias(role) if name is None else self.text(name).alias(role) for role, name in names.items()]
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


def as_labels(text: pl.Series) -> pl.Series:
    """Text as 0.0 and 1.0, null where it is neither, nor true, false, yes, no."""
    import polars as pl

    number = text.cast(pl.Float64, strict=False)
    known = pl.Series(text.name, number.is_in([0.0, 1.0]))
    return text.str.to_lowercase().replace_strict(_LABELS, default=number.set(~known, None), return_dtype=pl.Float64)


def read_table(path: Path, roles: Roles, *, optional: Collection[str] = (), remedy: str = "") -> Table:
    """`read_raw` and `Table.by_role` in one. Raises InputError, with the `remedy` for a missing column."""
    return read_raw(path).by_role(roles, optional=optional, remedy=remedy)


def read_raw(path: Path) -> Table:
    """A whole file, text columns as they are, typed ones as a Parquet or Excel file has them; raises InputError with
    the line where it cannot be read."""
    import polars as pl

    if path.is_dir() or not path.exists():  # a pipe is welcome
        raise InputError("no such file", where=path, remedy="Name a CSV, TSV, Parquet or Excel file.")
    if path.suffix.casefold() in (".parquet", ".xlsx"):
        return _whole(path, read_binary(path))
    check_bytes(path, path.stat().st_size)
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


def read_binary(path: Path) -> pl.DataFrame:
    """The frame of a Parquet or Excel file; raises InputError where it is none, or too large."""
    import polars as pl

    if path.suffix.casefold() != ".xlsx":
        return read_parquet(path)
    try:
        check_excel(path)
        with path.open("rb") as book:  # in a path, polars takes brackets and stars for patterns
            return pl.read_excel(book, engine="calamine", infer_schema_length=None)
    except InputError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise InputError(f"is not a readable xlsx file ({_first_line(error)})", where=path) from None


def read_written(path: Path, schema: Mapping[str, Any], remedy: str) -> pl.DataFrame:
    """A Parquet file that L2aCo wrote, with the columns and polars types of `schema`; raises DamagedError."""
    import polars as pl

    try:
        return read_parquet(path, list(schema)).select(pl.col(column).cast(kind) for column, kind in schema.items())
    except (InputError, pl.exceptions.PolarsError) as error:
        what = error.message if isinstance(error, InputError) else _first_line(error)
        raise DamagedError(f"is not what was written there ({what})", where=path, remedy=remedy) from None


def _whole(path: Path, frame: pl.DataFrame, lines: Sequence[int] | None = None, separator: str = "") -> Table:
    if not frame.width:
        raise InputError("has no columns", where=path)
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
    check_bytes(path, path.stat().st_size)
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
