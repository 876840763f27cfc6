"""Opening Parquet that may come from anybody: the columns that are needed are there, and its claims are bounded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow.parquet as pq

MOST_GROUP_BYTES = 2**31
"""Of one row group, unpacked: what is read at once."""


def open_parquet(path: Path, columns: Mapping[str, Any], *, rows: int | None = None, **options: Any) -> pq.ParquetFile:
    """A file with `columns` (polars types), of `rows` rows where that is known. Raises ValueError, OSError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, **options)
        found = {field.name: field.type for field in file.schema_arrow}
        sizes = np.array([row_group_sizes(file, number) for number in range(file.metadata.num_row_groups)])
    except OSError:
        raise
    except (pa.ArrowException, RuntimeError, MemoryError, OverflowError) as error:
        raise ValueError(f"is no Parquet file ({str(error).splitlines()[0]})") from None
    for name, kind in columns.items():
        if name not in found:
            raise ValueError(f"lacks the column '{name}'")
        if not _holds(found[name], kind):
            raise ValueError(f"holds {found[name]} in the column '{name}'")
    num_rows = file.metadata.num_rows
    if rows is not None and num_rows != rows:
        raise ValueError(f"holds {num_rows:,} records, not {rows:,}")
    counted = sizes[:, 0].sum() if len(sizes) else 0
    if counted != num_rows or (sizes < 0).any():
        raise ValueError(f"says {num_rows:,} rows, and its row groups {counted:,}")
    if len(sizes) and sizes[:, 1].max() > MOST_GROUP_BYTES:
        raise ValueError(f"has a row group of {sizes[:, 1].max():,} bytes, more than {MOST_GROUP_BYTES:,}")
    return file


def row_group_sizes(file: pq.ParquetFile, number: int) -> tuple[int, int]:
    """Rows and unpacked bytes of a row group, as the file says."""
    facts = file.metadata.row_group(number)
    return facts.num_rows, facts.total_byte_size


def _holds(found: Any, kind: Any) -> bool:
    import polars as pl
    import pyarrow as pa

    if kind == pl.String:
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found))
    return bool(pa.types.is_boolean(found) if kind == pl.Boolean else pa.types.is_integer(found))
