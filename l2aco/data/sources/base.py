"""What a source hands over, and what it is asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from l2aco.columns import Roles
from l2aco.data.labels import LabelRule
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UsageError

if TYPE_CHECKING:
    import polars as pl

    from l2aco.data.features.table import FeatureRows

COLUMNS_REMEDY = "Name yours with --columns {role}=NAME."
"""For the tables that --columns speaks of."""

Edges = dict[tuple[str, str, str], tuple[Any, Any]]
"""Forward relations as two columns of ids, each a list or a polars series."""


@dataclass
class SourceData:
    """Everything of a source before anything is merged: the arguments of `write_dataset`.

    `named` are the kinds whose ids are no more than names: the import tries to resolve these to the ids of the
    bundled reference profiles. `splits` are the source's own, as
    unordered triples of ids by split name and part; `notes` are lines for the person who imports. `repeats`: whether
    rows of one triple are repeats of one measurement, which tell of its noise.
    """

    drugs: list[Entity]
    cell_lines: list[Entity]
    rows: pl.DataFrame
    label_rule: LabelRule = field(default_factory=LabelRule)
    graph_nodes: dict[str, list[str]] | None = None
    graph_edges: Edges | None = None
    gene_symbols: dict[str, str] = field(default_factory=dict)
    features: dict[str, FeatureRows] = field(default_factory=dict)
    splits: dict[str, dict[str, pl.DataFrame]] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    named: frozenset[EntityKind] = frozenset()
    repeats: bool = True


@dataclass(frozen=True)
class ReadOptions:
    """`columns`: the user's own names of columns by role, empty for a role that no column has. `allow_pickle`: read
    pickled files, which can run code."""

    columns: Mapping[str, str] = field(default_factory=dict)
    allow_pickle: bool = False

    def named(self, roles: Roles, *, optional: Collection[str] = ()) -> Roles:
        """The names that a column may have by role: where the user has named it, that one alone. Raises UsageError
        where a role that is needed is said to have none."""
        for role, name in self.columns.items():
            if not name and role not in optional:
                raise UsageError(f"--columns {role}= leaves out what is needed", remedy=f"Name one: {role}=NAME.")
        given = {role: (name,) if name else () for role, name in self.columns.items()}
        return {role: given.get(role, names) for role, names in roles.items()}


class Source(Protocol):
    """A layout of files. `recognises` looks at names only; `read` reads all or raises InputError. `roles` are what
    --columns may name."""

    roles: Collection[str]

    def recognises(self, path: Path) -> bool: ...

    def read(self, path: Path, options: ReadOptions) -> SourceData: ...


def entities_from_names(ids: pl.Series, names: pl.Series, kind: EntityKind) -> list[Entity]:
    """One entity for each id, called by its most frequent name (the alphabetically first of equals), the other
    names as aliases. ids, names: text of equal length."""
    import polars as pl

    counted = (
        pl.DataFrame({"id": ids, "name": names})
        .group_by("id", "name")
        .len()
        .sort(["id", "len", "name"], descending=[False, True, False])
        .group_by("id", maintain_order=True)
        .agg("name")
    )
    return [Entity(key, kind, found[0], tuple(found[1:])) for key, found in counted.iter_rows()]


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
