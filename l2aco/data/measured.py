"""Tables of features as people have them: entities in rows or in columns, blanks, second headers, columns of words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.columns import refuse_repeats
from l2aco.data.features.table import FeatureRows
from l2aco.entities import EntityKind
from l2aco.errors import InputError
from l2aco.tables import read_raw

Array = np.ndarray[Any, np.dtype[Any]]
SHOWN = 5


@dataclass(frozen=True)
class Owners:
    """The entity's id for each of many names, empty for nobody's. `passed_over`: names that are merely like an entity
    which another one names to the letter.
    `strangers`: names that are nobody's."""

    kind: EntityKind
    ids: Sequence[str]
    passed_over: Sequence[str] = ()
    strangers: Sequence[str] = ()

    def __len__(self) -> int:
        return sum(map(bool, self.ids))

    @property
    def left_out(self) -> str:
        """Who was not used, in words; empty where everybody was."""
        kinds, named = f"{self.kind.replace('_', ' ')}s", len(self) + len(self.strangers)
        here = f"used {len(self):,} of {named:,} {kinds}; not in the data set: {_shown(self.strangers)}"
        return here if self.strangers else ""


@dataclass(frozen=True)
class Measured:
    """What a table tells of entities. `rows`: finite numbers, one row an entity; `owners` of all that it names, here or
    not; `notes`: what was done to them."""

    rows: FeatureRows
    owners: Owners
    notes: list[str]


def read_measured(path: Path, whose: Callable[[Sequence[str]], Owners], who: str = "drugs and cell lines") -> Measured:
    """Numbers of the entities that `whose` knows (in words: `who`), out of a table with the entity in the first column
    or in the header.

    Records and columns about nobody are left out, and so are features of which nobody has a number, such as a second
    header. A blank gets the mean of its feature. Raises InputError with the line of a word among numbers, where an
    entity stands twice, and where neither side of the table names anybody.
    """
    import polars as pl

    raw = read_raw(path)
    first, *header = raw.frame.columns
    if not header:
        raise InputError("has no feature columns beside the first", where=path)
    names = raw.text(first).fill_null("").to_list()
    down, across = whose(names), whose(header)
    turned = len(across) > len(down)
    if not down and not turned:
        raise InputError(
            f"is about none of the {who}, neither by its first column nor by its header",
            where=path,
            remedy="One row is an entity and one column a feature, or the other way around. "
            "Names that differ: --aliases FILE says who is who.",
        )
    if turned:
        refuse_repeats("columns", header, across.ids, lambda column: f"{path}:1")
        used = [column for column, owner in zip(header, across.ids, strict=True) if owner]
        return _filled(path, across, raw.matrix(used, words="row").T, names, ["it was turned: one column is an entity"])
    refuse_repeats("rows", names, down.ids, raw.where)
    table = raw.filter(pl.Series([bool(owner) for owner in down.ids], dtype=pl.Boolean))
    return _filled(path, down, table.matrix(header, words="column"), header, [])


def _filled(path: Path, owners: Owners, values: Array, features: Sequence[str], said: list[str]) -> Measured:
    """What is known of whom, without entities and features of which nothing is, and without blanks."""
    ids = [owner for owner in owners.ids if owner]
    known = np.isfinite(values)
    someone: Array = np.asarray(known.any(axis=0))
    something: Array = np.asarray(known.any(axis=1))
    if not someone.any():
        raise InputError("holds no numbers of the drugs and cell lines", where=path)
    if not something.all():
        said.append(f"no number for {_shown([ids[row] for row in np.flatnonzero(~something)])}")
    if not someone.all():
        left = [feature for feature, there in zip(features, someone, strict=True) if not there]
        said.append(f"left out, as no number stands there: {_shown(left)}")
    values, known = values[something][:, someone], known[something][:, someone]
    if not known.all():
        mean = np.nanmean(values, axis=0, dtype=np.float64)
        values = np.where(known, values, mean).astype(np.float32)
        said.append(f"{int((~known).sum()):,} blanks got the mean of their feature")
    if owners.left_out:
        said.append(owners.left_out)
    if owners.passed_over:
        said.append(f"passed over, for one that fits better: {', '.join(owners.passed_over)}")
    rows = FeatureRows(
        owners.kind,
        [entity for entity, there in zip(ids, something, strict=True) if there],
        np.ascontiguousarray(values),
        tuple(feature for feature, there in zip(features, someone, strict=True) if there),
        None if known.all() else known,
    )
    return Measured(rows, owners, [f"{path.name}: {'; '.join(said)}."] if said else [])


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(str, names[:SHOWN])) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
