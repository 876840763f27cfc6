"""Numbers as vectors, without a text model: one dimension for a number or a word of a fixed vocabulary.

A store keeps rows of length one, and a profile may not know a number. So a row holds the numbers (0 where unknown), a
flag for each that is known, and a 1, all divided by their length; `numbers_in` brings the numbers back. Rows of several
samples are added up without that length (`unscaled`), so that a number is the mean over the samples that know it.

`LevelEncoder` and `PatternEncoder` keep a part of the numbers each: controls, for whoever asks which part helps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from l2aco.embeddings.encoders.base import Encoder
from l2aco.errors import InputError, UsageError
from l2aco.files import stable_hash
from l2aco.profiles.numbers import is_numeric, number_columns, number_groups, numbers_of
from l2aco.progress import Progress

if TYPE_CHECKING:
    from l2aco.embeddings.store.segments import StoreRecord


class FieldsEncoder(Encoder):
    """Reads the fields of profiles whose schema holds numbers. `for_set` knows their columns."""

    schemas: Mapping[str, Any] = {}

    def columns_of(self, schema: Mapping[str, Any]) -> list[str]:
        """The columns of profiles of this schema."""
        return number_columns(schema)

    def values_of(self, fields: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, float | None]:
        """The numbers of one profile by these columns, None where it says nothing; raises InputError."""
        return numbers_of(fields, schema)

    def for_set(self, name: str, schemas: Mapping[str, Any]) -> Self:
        """The encoder of a profile set: a column for every number of its schemas, called after the kind of entity where
        both have one of that name. Raises InputError for a set of texts."""
        of_kind = {str(kind): self.columns_of(schema) for kind, schema in schemas.items()}
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
                "model": f"{self.spec.model}:{stable_hash(list(columns), 16)}",
            }
        )
        found = type(self)(spec)
        found.schemas = schemas
        return found

    def encode_records(self, records: Sequence[StoreRecord], *, progress: Progress | None = None) -> np.ndarray:
        place = {column: number for number, column in enumerate(self.spec.columns)}
        values = np.full((len(records), len(place)), np.nan)
        for row, record in enumerate(records):
            try:
                held = self.values_of(record.fields, self.schemas[record.kind])
            except InputError as error:
                raise InputError(
                    f"the profile of {record.name}: {error.message}",
                    where=record.set or None,
                    remedy="`l2aco profiles audit` lists every such profile; mend it, or have it written again.",
                ) from None
            for column, value in held.items():
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


class LevelEncoder(FieldsEncoder):
    """How high an entity stands as a whole: the mean of each group of numbers, and the numbers that stand alone."""

    def columns_of(self, schema: Mapping[str, Any]) -> list[str]:
        return [*number_groups(schema), *_alone(schema)]

    def values_of(self, fields: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, float | None]:
        numbers = numbers_of(fields, schema)
        means = {group: _mean(numbers, columns) for group, columns in number_groups(schema).items()}
        return means | {column: numbers[column] for column in _alone(schema)}


class PatternEncoder(FieldsEncoder):
    """What `LevelEncoder` leaves: each group of numbers less its mean, and words of a fixed vocabulary."""

    def columns_of(self, schema: Mapping[str, Any]) -> list[str]:
        alone = set(_alone(schema))
        return [column for column in number_columns(schema) if column not in alone]

    def values_of(self, fields: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, float | None]:
        numbers = numbers_of(fields, schema)
        for columns in number_groups(schema).values():
            level = _mean(numbers, columns)
            numbers |= {it: None if (value := numbers[it]) is None else value - (level or 0.0) for it in columns}
        return {column: numbers[column] for column in self.columns_of(schema)}


def unscaled(vectors: np.ndarray) -> np.ndarray:
    """float32 (n, D): rows of `FieldsEncoder` before they were divided by their length."""
    scale = vectors[:, -1:]
    return np.divide(vectors, scale, out=np.zeros_like(vectors), where=scale > 0)


def numbers_in(vectors: np.ndarray, columns: int) -> np.ndarray:
    """float32 (n, columns): the numbers in rows of `FieldsEncoder`, or in their sums, NaN where one is unknown."""
    values, known = vectors[:, :columns], vectors[:, columns : 2 * columns]
    return np.divide(values, known, out=np.full_like(values, np.nan), where=known > 0)


def _alone(schema: Mapping[str, Any]) -> list[str]:
    """The columns of single numbers and truth values."""
    groups = number_groups(schema)
    amounts = {name: item for name, item in schema["properties"].items() if name not in groups and is_numeric(item)}
    return number_columns({"properties": amounts})


def _mean(numbers: Mapping[str, float | None], columns: Sequence[str]) -> float | None:
    known = [value for column in columns if (value := numbers[column]) is not None]
    return sum(known) / len(known) if known else None


def _called(kind: str, column: str, every: Sequence[str]) -> str:
    return column if every.count(column) == 1 else f"{kind}:{column}"
