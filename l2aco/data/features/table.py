"""A feature of every drug or every cell line, with a mask of what is missing."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.entities import Entity, EntityKind
from l2aco.errors import DamagedError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class FeatureRows:
    """A feature as a source brings it: `values` (m, ...) of the entities `ids`, in any order, some missing."""

    kind: EntityKind
    ids: list[str]
    values: Array
    columns: tuple[str, ...] = ()

    def align(self, entities: Sequence[Entity]) -> FeatureTable:
        """The feature in the order of `entities` (n,); ids not among them are left out, the first of equal ids wins."""
        place = {entity.id: row for row, entity in enumerate(entities)}
        values = np.zeros((len(entities), *self.values.shape[1:]), dtype=self.values.dtype)
        mask = np.zeros(len(entities), dtype=bool)
        for row, key in enumerate(self.ids):
            if key in place and not mask[place[key]]:
                values[place[key]] = self.values[row]
                mask[place[key]] = True
        return FeatureTable(self.kind, values, mask, self.columns)


@dataclass(frozen=True)
class FeatureTable:
    """`values` (n, ...) in the order of the data set's drugs or cell lines; where `mask` (n,) is False the
    entity has no such feature and its row is zero. `columns` names the last axis where that makes sense."""

    kind: EntityKind
    values: Array
    mask: Array
    columns: tuple[str, ...] = ()

    def scaled(self, fit_rows: Array) -> FeatureTable:
        """Zero mean and unit variance, both measured on `fit_rows` (training entities) alone.

        fit_rows: int64 entity rows, repeats ignored. Columns that are constant there become zero.
        """
        rows = np.unique(fit_rows)
        known = self.values[rows[self.mask[rows]]].astype(np.float64)
        if not len(known):
            return self
        mean, spread = known.mean(axis=0), known.std(axis=0)
        flat = spread < 1e-12
        scaled = (self.values - mean) / np.where(flat, 1.0, spread) * ~flat
        scaled[~self.mask] = 0.0
        return FeatureTable(self.kind, scaled.astype(np.float32), self.mask, self.columns)

    def save(self, path: Path) -> None:
        """Write to an .npz without pickles."""
        with path.open("wb") as stream:
            np.savez_compressed(
                stream,
                kind=np.array(self.kind.value),
                values=self.values,
                mask=self.mask,
                columns=np.array(self.columns, dtype=np.str_),
            )

    @classmethod
    def load(cls, path: Path) -> FeatureTable:
        """Read what `save` wrote; raises DamagedError when it cannot be read."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(
                    EntityKind(str(arrays["kind"])), arrays["values"], arrays["mask"], tuple(arrays["columns"].tolist())
                )
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DamagedError(f"cannot be read ({error})", where=path) from None
