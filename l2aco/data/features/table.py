"""A feature of every drug or every cell line, with a mask of what is missing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.data.triples import distinct
from l2aco.entities import Entity, EntityKind
from l2aco.errors import DamagedError, UnknownNameError
from l2aco.files import read_arrays, write_arrays

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class FeatureRows:
    """A feature as a source brings it: `values` (m, ...) of the entities `ids`, in any order, some missing. `known`: as
    of a `FeatureTable`."""

    kind: EntityKind
    ids: list[str]
    values: Array
    columns: tuple[str, ...] = ()
    known: Array | None = None

    def align(self, entities: Sequence[Entity]) -> FeatureTable:
        """The feature in the order of `entities` (n,); ids not among them are left out, the first of equal ids wins."""
        place = {entity.id: row for row, entity in enumerate(entities)}
        values = np.zeros((len(entities), *self.values.shape[1:]), dtype=self.values.dtype)
        mask = np.zeros(len(entities), dtype=bool)
        known = None if self.known is None else np.zeros(values.shape, dtype=bool)
        for row, key in enumerate(self.ids):
            if key in place and not mask[place[key]]:
                values[place[key]] = self.values[row]
                mask[place[key]] = True
                if known is not None and self.known is not None:
                    known[place[key]] = self.known[row]
        return FeatureTable(self.kind, values, mask, self.columns, known)


@dataclass(frozen=True)
class FeatureTable:
    """`values` (n, ...) in the order of the data set's drugs or cell lines; where `mask` (n,) is False the
    entity has no such feature and its row is zero. `columns` names the last axis where that makes sense. `known` (n,
    ...) is False where a value stands for one that nobody measured; None where every one of them was."""

    kind: EntityKind
    values: Array
    mask: Array
    columns: tuple[str, ...] = ()
    known: Array | None = None

    def scaling(self, fit_rows: Array, *, logged: bool = False) -> Scaling:
        """How to bring this feature, or its logarithm, to zero mean and unit variance over `fit_rows`, int64 rows of
        training entities, repeats and what is NaN ignored."""
        rows = distinct(fit_rows)
        table = self.logged() if logged else self
        known = table.values[rows[self.mask[rows]]].astype(np.float64)
        if not len(known):
            width = self.values.shape[1:]
            return Scaling(np.zeros(width), np.zeros(width), logged)
        if not np.isnan(known).any():
            return Scaling(known.mean(axis=0), known.std(axis=0), logged)
        with warnings.catch_warnings(category=RuntimeWarning, action="ignore"):  # a column of which nothing is known
            return Scaling(np.nanmean(known, axis=0), np.nanstd(known, axis=0), logged)

    def measured(self) -> Array:
        """float64 (n, ...): NaN where nothing was measured."""
        known = self.mask.reshape(-1, *[1] * (self.values.ndim - 1))
        return np.where(known if self.known is None else known & self.known, self.values, np.nan).astype(np.float64)

    @property
    def signed(self) -> bool:
        """Whether a value is negative: then expression is no count, and has been through a logarithm."""
        return bool((self.values < 0).any())

    def logged(self) -> FeatureTable:
        """log2(1 + value), for expression in TPM; negative values count as 0."""
        values = np.log2(1.0 + np.maximum(self.values, 0)).astype(np.float32)
        return FeatureTable(self.kind, values, self.mask, self.columns)

    def unit(self) -> FeatureTable:
        """Every row divided by its length (Euclidean norm), as DeepDDS does with expression."""
        norm = np.linalg.norm(self.values, axis=1, keepdims=True)
        values = np.divide(self.values, norm, out=np.zeros(self.values.shape, np.float32), where=norm > 0)
        return FeatureTable(self.kind, values.astype(np.float32), self.mask, self.columns)

    def pick(self, columns: Sequence[str]) -> FeatureTable:
        """These columns (genes) in this order; raises UnknownNameError for one that is not there."""
        place = {column: number for number, column in enumerate(self.columns)}
        for column in columns:
            if column not in place:
                raise UnknownNameError("column of the feature", column, self.columns)
        return FeatureTable(self.kind, self.values[:, [place[column] for column in columns]], self.mask, tuple(columns))

    def arrays(self) -> dict[str, Array]:
        """What `table_of` makes the table of again."""
        names = np.array(self.columns, dtype=np.str_)
        known = {} if self.known is None else {"known": self.known}
        return {"kind": np.array(self.kind.value), "values": self.values, "mask": self.mask, "columns": names, **known}


@dataclass(frozen=True)
class Scaling:
    """Zero mean and unit variance as they were over training entities, of the logarithm where `logged`. A column that
    was constant there becomes zero, and what is NaN its mean, zero."""

    mean: Array
    spread: Array
    logged: bool

    def of(self, table: FeatureTable) -> FeatureTable:
        values = (table.logged() if self.logged else table).values
        flat = ~(self.spread >= 1e-12)
        scaled = np.nan_to_num((values - self.mean) / np.where(flat, 1.0, self.spread) * ~flat)
        scaled[~table.mask] = 0.0
        return FeatureTable(table.kind, scaled.astype(np.float32), table.mask, table.columns)


@dataclass(frozen=True)
class GraphTable:
    """A small graph for every drug: molecules.

    atoms: float32 (all atoms, F); bonds: int64 (2, E) of atom numbers, both directions, drug by drug; start: int64
    (n + 1,), drug i has the atoms start[i] to start[i + 1]; mask: bool (n,), False where there is none.
    """

    kind: EntityKind
    atoms: Array
    bonds: Array
    start: Array
    mask: Array

    def batch(self, rows: Array) -> tuple[Array, Array, Array]:
        """The graphs of these drugs side by side: atoms (A, F), bonds (2, E), and for each atom its place in `rows`.

        A drug without a graph has no atoms.
        """
        size = self.start[rows + 1] - self.start[rows]
        offset = np.cumsum(size) - size
        owner = np.repeat(np.arange(len(rows)), size)
        atoms = self.atoms[np.arange(len(owner)) - np.repeat(offset, size) + np.repeat(self.start[rows], size)]
        first = np.searchsorted(self._bond_drug, rows, side="left")
        count = np.searchsorted(self._bond_drug, rows, side="right") - first
        which = np.repeat(np.arange(len(rows)), count)
        at = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
        return atoms, self.bonds[:, at] - self.start[rows][which] + offset[which], owner

    @cached_property
    def _bond_drug(self) -> Array:
        return np.searchsorted(self.start, self.bonds[0], side="right") - 1

    def arrays(self) -> dict[str, Array]:
        """What `table_of` makes the table of again."""
        kind = np.array(self.kind.value)
        return {"kind": kind, "atoms": self.atoms, "bonds": self.bonds, "start": self.start, "mask": self.mask}


Table = FeatureTable | GraphTable


def table_of(arrays: Mapping[str, Array]) -> Table:
    """The table whose `arrays()` these are; raises KeyError or ValueError where they are none's."""
    kind, mask = EntityKind(str(arrays["kind"])), arrays["mask"]
    if mask.ndim != 1 or mask.dtype != bool:
        raise ValueError("the mask is none")
    if "atoms" in arrays:
        return _graphs(kind, arrays["atoms"], arrays["bonds"], arrays["start"], mask)
    values, columns = arrays["values"], arrays["columns"]
    if values.ndim < 2 or len(values) != len(mask) or values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise ValueError("the values are not one row of finite numbers for each entity")
    if columns.ndim != 1 or columns.dtype.kind != "U":
        raise ValueError("the columns have no names")
    known = arrays.get("known")
    if known is not None and (known.shape != values.shape or known.dtype != bool):
        raise ValueError("what is known of the values is not said of each")
    return FeatureTable(kind, values, mask, tuple(columns.tolist()), known)


def _graphs(kind: EntityKind, atoms: Array, bonds: Array, start: Array, mask: Array) -> GraphTable:
    whole = all(array.dtype.kind in "iu" for array in (bonds, start)) and atoms.dtype.kind == "f"
    if not whole or atoms.ndim != 2 or bonds.ndim != 2 or len(bonds) != 2 or start.shape != (len(mask) + 1,):
        raise ValueError("atoms and bonds have other shapes")
    if start[0] != 0 or start[-1] != len(atoms) or (np.diff(start.astype(np.int64)) < 0).any():
        raise ValueError("the atoms are not those of the drugs")
    if bonds.size and not (bonds.min() >= 0 and bonds.max() < len(atoms)):
        raise ValueError("a bond leads to no atom")
    return GraphTable(kind, atoms, bonds, start, mask)


def save_table(table: Table, path: Path) -> None:
    """Write to an .npz without pickles."""
    write_arrays(path, table.arrays())


def load_table(path: Path) -> Table:
    """Read what `save_table` wrote; raises DamagedError when it cannot be read."""
    try:
        return table_of(read_arrays(path))
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"cannot be read ({error})", where=path) from None
