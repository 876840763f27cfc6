"""Numbers as vectors, without a text model: one dimension for a number or a word of a fixed vocabulary.

A store keeps rows of length one, and a profile may not know a number. So a row holds the numbers (0 where unknown), a
flag for each that is known, and a 1, all divided by their length; `numbers_in` brings the numbers back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from l2aco.embeddings.encoders.base import Encoder
from l2aco.errors import InputError, UsageError
from l2aco.files import stable_hash
from l2aco.profiles.numbers import number_columns, numbers_of
from l2aco.progress import Progress

if TYPE_CHECKING:
    from l2aco.embeddings.store.segments import StoreRecord


class FieldsEncoder(Encoder):
    """Reads the fields of profiles whose schema holds numbers. `for_set` knows their columns."""

    schemas: Mapping[str, Any] = {}

    def for_set(self, name: str, schemas: Mapping[str, Any]) -> Self:
        """The encoder of a profile set: a column for every number of its schemas, called after the kind of entity where
        both have one of that name. Raises InputError for a set of texts."""
        of_kind = {str(kind): number_columns(schema) for kind, schema in schemas.items()}
        every = [column for columns in of_kind.values() for column in columns]
        columns = tuple(_called(kind, column, every) for kind, own in of_kind.items() for column in own)
        if not columns:
            raise InputError(
                f"the profile set {name} holds no numbers",
                remedy="Embed it with a text encoder, or profile with a prompt of numbers, such as panel.",
            )
        spec = self.spec.model_copy(
            update={
                "columns": columns,
                "dimension": 2 * len(columns) + 1,
                "model": f"numbers:{stable_hash(list(columns), 16)}",
            }
        )
        found = type(self)(spec)
        found.schemas = schemas
        return found

    def encode_records(self, records: Sequence[StoreRecord], *, progress: Progress | None = None) -> np.ndarray:
        place = {column: number for number, column in enumerate(self.spec.columns)}
        values = np.full((len(records), len(place)), np.nan)
        for row, record in enumerate(records):
            for column, value in numbers_of(record.fields, self.schemas[record.kind]).items():
                at = place[column] if column in place else place[f"{record.kind}:{column}"]
                values[row, at] = np.nan if value is None else value
        known = ~np.isnan(values)
        whole = np.concatenate([np.nan_to_num(values), known, np.ones((len(records), 1))], axis=1)
        return (whole / np.linalg.norm(whole, axis=1, keepdims=True)).astype(np.float32)

    def _encode(self, texts: list[str], progress: Progress) -> np.ndarray:
        raise UsageError(
            f"{self.spec.name} makes vectors of numbers and reads no text",
            remedy="Search by the name of an entity, or a store of texts.",
        )


def numbers_in(vectors: np.ndarray, columns: int) -> np.ndarray:
    """float32 (n, columns): the numbers in rows of `FieldsEncoder`, NaN where one is unknown."""
    scale = vectors[:, -1:]
    values = np.divide(vectors[:, :columns], scale, out=np.zeros_like(vectors[:, :columns]), where=scale > 0)
    return np.where(vectors[:, columns : 2 * columns] > 0, values, np.nan).astype(np.float32)


def _called(kind: str, column: str, every: Sequence[str]) -> str:
    return column if every.count(column) == 1 else f"{kind}:{column}"
