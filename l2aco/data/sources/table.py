"""Any table with two drug columns, a cell-line column, and a score or a label: CSV, TSV, Parquet or Excel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from l2aco.data.labels import LabelRule
from l2aco.data.sources.base import ReadOptions, SourceData
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError
from l2aco.tables import COLUMNS_REMEDY, pick_columns, read_raw

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".parquet", ".xlsx")
ROLES = {
    "drug_a": ("drug_a", "drug1", "drug_1", "drug_row", "drug_row_name", "compound_a", "compound1", "a", "drug_a_name"),
    "drug_b": ("drug_b", "drug2", "drug_2", "drug_col", "drug_col_name", "compound_b", "compound2", "b", "drug_b_name"),
    "cell_line": ("cell_line", "cell", "cell_line_name", "context", "cellname", "sample", "depmap_id", "c"),
    "score": ("score", "synergy", "synergy_score", "synergy_loewe", "loewe", "synergy_zip", "synergy_bliss", "bliss"),
    "label": ("label", "synergistic", "class", "y"),
}


class Table:
    """Reads one file; columns are guessed from common names, or named with --columns role=NAME."""

    roles = tuple(ROLES)

    def recognises(self, path: Path) -> bool:
        return path.is_file() and path.suffix.casefold() in SUFFIXES

    def read(self, path: Path, options: ReadOptions) -> SourceData:
        import polars as pl

        optional = {"score", "label"} - set(options.columns)
        raw = read_raw(path)
        table = raw.by_role(options.named(ROLES), optional=optional, remedy=COLUMNS_REMEDY)
        table.require("drug_a", "drug_b", "cell_line")
        rows = table.frame.with_columns(table.numbers("score"), table.labels())
        scored, labelled = rows["score"].is_not_null().any(), rows["label"].is_not_null().any()
        if not scored and not labelled:
            raise InputError(
                "has neither scores nor labels",
                where=path,
                remedy="Name the column with --columns score=NAME or --columns label=NAME.",
            )
        drugs = pl.concat([rows["drug_a"], rows["drug_b"]]).unique(maintain_order=True)
        lines = rows["cell_line"].unique(maintain_order=True)
        return SourceData(
            drugs=[Entity(name, EntityKind.drug, name) for name in drugs],
            cell_lines=[Entity(name, EntityKind.cell_line, name) for name in lines],
            rows=rows.select("drug_a", "drug_b", "cell_line", "score", "label"),
            label_rule=LabelRule(kind="shipped") if labelled else LabelRule(),
            named=frozenset(EntityKind),
            notes=_guessed(path, table.names, raw.frame.columns, options),
        )


def _guessed(path: Path, columns: Mapping[str, str | None], found: Sequence[str], options: ReadOptions) -> list[str]:
    """A note of the columns that were guessed; raises InputError where several may hold the scores."""
    score = columns["score"]
    if score is not None and "score" not in options.columns and score.casefold() != "score":
        several = [name for name in found if pick_columns(path, [name], {"score": ROLES["score"]}, {"score"})["score"]]
        if len(several) > 1:
            raise InputError(
                f"has {len(several)} columns that may be the score: {', '.join(several)}",
                where=path,
                remedy="Name the one that you mean: --columns score=NAME.",
            )
    guessed = [f"'{name}' as {role}" for role, name in columns.items() if name is not None and name.casefold() != role]
    return [f"Read the columns {', '.join(guessed)}."] if guessed else []
