"""Any table with two drug columns, a cell-line column, and a score or a label: CSV, TSV, Parquet or Excel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from l2aco.columns import columns_called
from l2aco.data.labels import LabelRule
from l2aco.data.sources.base import COLUMNS_REMEDY, ReadOptions, SourceData
from l2aco.entities import Entity, EntityKind, are_names
from l2aco.errors import InputError
from l2aco.tables import Table, as_labels, read_raw

if TYPE_CHECKING:
    import polars as pl

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".parquet", ".xlsx")
ROLES = {
    "drug_a": (
        *("drug_a", "drug1", "drug_1", "drug_row", "drug_row_name", "compound_a", "compound1", "a", "drug_a_name"),
        *("drug1_name", "drug_1_name", "drug_a_id", "drug1_id", "drug_1_id", "nsc1", "nsc_1", "nsc_a"),
    ),
    "drug_b": (
        *("drug_b", "drug2", "drug_2", "drug_col", "drug_col_name", "compound_b", "compound2", "b", "drug_b_name"),
        *("drug2_name", "drug_2_name", "drug_b_id", "drug2_id", "drug_2_id", "nsc2", "nsc_2", "nsc_b"),
    ),
    "cell_line": (
        *("cell_line", "cell", "cell_line_name", "context", "cellname", "sample", "depmap_id", "c", "cell_line_id"),
        *("cell_name", "cell_id"),
    ),
    "score": ("score", "synergy", "synergy_score", "synergy_loewe", "loewe", "synergy_zip", "synergy_bliss", "bliss"),
    "label": ("label", "synergistic", "class", "y"),
}
ENDS = ("drug_a", "drug_b", "cell_line")
_NUMBER = r"^[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?$"
_DOSE = re.compile(r"(conc|dose)(?!.*unit)", re.IGNORECASE)
_LARGEST = re.compile(r"max|min|ic50", re.IGNORECASE)


def are_numbers(text: pl.Series) -> bool:
    """Whether most of what stands in a column is a number."""
    known = text.drop_nulls()
    return len(known) > 0 and 2 * int(known.str.contains(_NUMBER).sum()) > len(known)


def are_labels(text: pl.Series) -> bool:
    """Whether nothing but 0 and 1, or true and false, stands in a column."""
    known = text.drop_nulls()
    return len(known) > 0 and as_labels(known).null_count() == 0


FITS = {"drug_a": are_names, "drug_b": are_names, "cell_line": are_names, "score": are_numbers, "label": are_labels}


class Triples:
    """Reads one file. Columns are guessed from common names and from what stands in them, or named with
    --columns role=NAME; --columns label= says that there is none."""

    roles = tuple(ROLES)

    def recognises(self, path: Path) -> bool:
        return path.is_file() and path.suffix.casefold() in SUFFIXES

    def read(self, path: Path, options: ReadOptions) -> SourceData:
        import polars as pl

        raw = read_raw(path)
        optional = [role for role in ("score", "label") if not options.columns.get(role)]
        roles = options.named(ROLES, optional=("score", "label"))
        table = raw.by_role(roles, optional=optional, remedy=COLUMNS_REMEDY, fits=FITS)
        notes = _guessed(raw, table, options)
        table = table.with_columns(table.numbers("score"), table.labels())
        read, table = len(table), table.filter(~_says_nothing(table.frame))
        table.require(*ENDS)
        rows = table.frame
        if rows["score"].null_count() == rows["label"].null_count() == len(rows):
            raise InputError(
                "has neither scores nor labels",
                where=path,
                remedy=" ".join([*notes, "Name the column with --columns score=NAME or --columns label=NAME."]),
            )
        doses = _doses(raw, table)
        return SourceData(
            drugs=[
                Entity(name, EntityKind.drug, name)
                for name in pl.concat([rows["drug_a"], rows["drug_b"]]).unique(maintain_order=True)
            ],
            cell_lines=[
                Entity(name, EntityKind.cell_line, name) for name in rows["cell_line"].unique(maintain_order=True)
            ],
            rows=rows.select(*ENDS, "score", "label"),
            label_rule=LabelRule(kind="shipped") if rows["label"].is_not_null().any() else LabelRule(),
            repeats=not doses,
            report={"nothing_said": read - len(table)},
            notes=[*notes, *doses],
            named=frozenset(EntityKind),
        )


def _says_nothing(rows: pl.DataFrame) -> pl.Series:
    """Rows without score and label that lack a drug, as screens write of single drugs."""
    import polars as pl

    unmeasured = pl.col("score").is_null() & pl.col("label").is_null()
    return rows.select(unmeasured & (pl.col("drug_a").is_null() | pl.col("drug_b").is_null())).to_series()


def _guessed(raw: Table, table: Table, options: ReadOptions) -> list[str]:
    """Notes of the columns that were guessed, and of those that were not read although they are called so; raises
    InputError where several may hold the scores."""
    score = table.names["score"]
    if score is not None and "score" not in options.columns and score.casefold() != "score":
        called = columns_called(raw.frame.columns, ROLES["score"])
        several = [name for name in raw.frame.columns if name in called and are_numbers(raw.text(name))]
        if len(several) > 1:
            raise InputError(
                f"has {len(several)} columns that may be the score: {', '.join(several)}",
                where=raw.path,
                remedy="Name the one that you mean: --columns score=NAME.",
            )
    read = [f"'{name}' as {role}" for role, name in table.names.items() if name is not None and name.casefold() != role]
    unread = [
        f"'{name}' as {role}"
        for role, names in ROLES.items()
        if role not in options.columns
        for name in columns_called(raw.frame.columns, names)
        if name not in table.names.values() and not FITS[role](raw.text(name))
    ]
    notes = [f"Read the columns {', '.join(read)}."] if read else []
    return [*notes, f"Not read, for what stands there: {', '.join(unread)}."] if unread else notes


def _doses(raw: Table, table: Table) -> list[str]:
    """A note where rows of one triple differ in their doses: no repeats of one measurement."""
    import polars as pl

    columns = [name for name in raw.frame.columns if _DOSE.search(name) and not _LARGEST.search(name)]
    if not columns:
        return []
    rows = table.frame.select(
        pl.min_horizontal("drug_a", "drug_b").alias("a"), pl.max_horizontal("drug_a", "drug_b").alias("b"), "cell_line"
    )
    given = pl.concat([rows, raw.frame[table.rows].select(columns)], how="horizontal")
    several = given.unique().group_by("a", "b", "cell_line").len().filter(pl.col("len") > 1)
    if not len(several):
        return []
    return [
        f"{len(several):,} triples stand at several doses ({', '.join(columns)}): their mean is taken, and they are no "
        "repeats that tell of the noise."
    ]
