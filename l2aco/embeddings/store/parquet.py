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


def open_parquet(path: Path, **options: Any) -> pq.ParquetFile:
    """A file whose row groups are what it says and of a bearable size. Raises ValueError, OSError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, **options)
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        sizes = np.array([(group.num_rows, group.total_byte_size) for group in groups]).reshape(-1, 2)
        file.schema_arrow  # noqa: B018  (is read, or fails, here)
    except OSError:
        raise
    except (pa.ArrowException, RuntimeError, MemoryError, OverflowError) as error:
        raise ValueError(f"is no Parquet file ({str(error).splitlines()[0]})") from None
    if (sizes < 0).any() or sizes[:, 0].sum() != file.metadata.num_rows:
        raise ValueError(f"says {file.metadata.num_rows:,} rows, and its row groups {sizes[:, 0].sum():,}")
    if sizes[:, 1].max(initial=0) > MOST_GROUP_BYTES:
        raise ValueError(f"has a row group of {sizes[:, 1].max():,} bytes, more than {MOST_GROUP_BYTES:,}")
    return file


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
