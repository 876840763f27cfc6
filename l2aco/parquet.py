"""Reading Parquet that may come from anybody: its claims are bounded, and nothing in it ends the process.

Always through Arrow: a damaged page makes the reader of polars ask for exabytes, and that ends the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.bounds import check_size
from l2aco.errors import InputError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

MOST_GROUP_BYTES = 2**31
"""Of one row group, unpacked: what is read at once."""


@contextmanager
def _readable() -> Iterator[None]:
    """What the readers raise of a file that is none, or is damaged, as one ValueError; what the disk says as it is."""
    import polars as pl
    import pyarrow as pa

    said = (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException)
    try:
        yield
    except (*said, OSError, RuntimeError, MemoryError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"is not a readable Parquet file ({(str(error).splitlines() or [''])[0]})") from None


def open_parquet(path: Path, **options: Any) -> pq.ParquetFile:
    """A file whose row groups are what it says and of a bearable size. Raises ValueError, OSError."""
    import pyarrow.parquet as pq

    with _readable():
        file = pq.ParquetFile(path, **options)
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        sizes = np.array([(group.num_rows, group.total_byte_size) for group in groups]).reshape(-1, 2)
        file.schema_arrow  # noqa: B018  (is read, or fails, here)
    if (sizes < 0).any() or sizes[:, 0].sum() != file.metadata.num_rows:
        raise ValueError(f"says {file.metadata.num_rows:,} rows, and its row groups {sizes[:, 0].sum():,}")
    if sizes[:, 1].max(initial=0) > MOST_GROUP_BYTES:
        raise ValueError(
            f"has a row group of {sizes[:, 1].max():,} bytes, more than {MOST_GROUP_BYTES:,}: write smaller ones"
        )
    return file


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The whole table, or those of these columns that it has. Raises InputError where it is none, is damaged, or
    unfolds to too much."""
    try:
        with open_parquet(path) as file, _readable():
            check_size(path, file.metadata.num_rows, file.metadata.num_columns)
            return frame_of(file.read(columns))
    except (OSError, ValueError) as error:
        raise InputError(str(error), where=path) from None


def frame_of(table: pa.Table) -> pl.DataFrame:
    """What Arrow has read, as polars holds it. Raises ArrowException where it is damaged: polars trusts what it is
    given, text that is no UTF-8 too."""
    import polars as pl

    table.validate(full=True)
    frame = pl.from_arrow(table.rename_columns([str(number) for number in range(table.num_columns)]))
    assert isinstance(frame, pl.DataFrame)
    frame.columns = table.column_names  # polars would call a column without a name something
    return frame


def require(file: pq.ParquetFile, columns: Mapping[str, Any]) -> None:
    """Raise ValueError unless a file has these columns, of these polars types."""
    found = {field.name: field.type for field in file.schema_arrow}
    for name, kind in columns.items():
        if name not in found:
            raise ValueError(f"lacks the column '{name}'")
        if not _holds(found[name], kind):
            raise ValueError(f"holds {str(found[name])[:80]} in the column '{name}'")


def _holds(found: Any, kind: Any) -> bool:
    import polars as pl
    import pyarrow as pa

    if pa.types.is_dictionary(found):
        found = found.value_type
    if kind == pl.String:
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found))
    return bool(pa.types.is_boolean(found) if kind == pl.Boolean else pa.types.is_integer(found))
