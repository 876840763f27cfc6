"""The layout of DeepDDS (Wang et al. 2022, doi:10.1093/bib/bbab390): O'Neil 2016 with SMILES and expression.

Labels and scores are two files with the same rows. The labels that ship are used; where they disagree with the
score rule (Loewe >= 10 against <= 0) the import says how often. Public files: Sinwang404/DeepDDs, folder data/.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from l2aco.data.labels import LabelRule
from l2aco.data.measured import Owners, read_measured
from l2aco.data.sources.base import ReadOptions, SourceData, safe_file
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError
from l2aco.tables import read_table

if TYPE_CHECKING:
    import polars as pl

LABELS = "new_labels_0_10.csv"
SCORES = ("scores_0_10.csv", "score_0_10.csv")
EXPRESSION = "new_cell_features_954.csv"


class DeepDDS:
    """Reads the folder; scores and expression may be missing, which is said in the notes."""

    roles = ()

    def recognises(self, path: Path) -> bool:
        return (path / LABELS).is_file() and (path / "smiles.csv").is_file()

    def read(self, path: Path, options: ReadOptions) -> SourceData:
        import polars as pl

        smiles = self._smiles(safe_file(path, "smiles.csv"))
        labelled = self._labels(safe_file(path, LABELS), smiles)
        notes: list[str] = []
        scores = next((path / name for name in SCORES if (path / name).is_file()), None)
        if scores is None:
            notes.append(f"No {SCORES[0]} there: the triples have labels and no scores.")
            rows = labelled.select("drug_a", "drug_b", "cell_line", "label")
        else:
            rows = self._with_scores(labelled, safe_file(path, scores.name))
        used = sorted(pl.concat([rows["drug_a"], rows["drug_b"]]).unique())
        lines = sorted(rows["cell_line"].unique())
        features = {}
        if (path / EXPRESSION).is_file():
            known = set(lines)
            expression = read_measured(
                safe_file(path, EXPRESSION),
                lambda names: Owners(EntityKind.cell_line, [name if name in known else "" for name in names]),
            )
            features["expression"] = expression.rows
            notes += expression.notes
        else:
            notes.append(f"No {EXPRESSION} there: the cell lines have no expression.")
        return SourceData(
            drugs=[Entity(name, EntityKind.drug, name, facts={"smiles": smiles[name]}) for name in used],
            cell_lines=[Entity(line, EntityKind.cell_line, line) for line in lines],
            rows=rows,
            label_rule=LabelRule(kind="shipped", positive=10, negative=0),
            features=features,
            notes=notes,
            named=frozenset(EntityKind),
        )

    def _smiles(self, path: Path) -> dict[str, str]:
        table = read_table(path, {"name": ("name",), "smiles": ("smile", "smiles")})
        table.require("name", "smiles")
        return dict(table.frame.select("name", "smiles").iter_rows())

    def _labels(self, path: Path, smiles: dict[str, str]) -> pl.DataFrame:
        """Rows with drug names in the place of their SMILES."""
        import polars as pl

        table = read_table(
            path, {"drug_a": ("drug1",), "drug_b": ("drug2",), "cell_line": ("cell",), "label": ("label",)}
        )
        table.require("drug_a", "drug_b", "cell_line", "label")
        names: dict[str, str] = {}
        for name, written in smiles.items():
            if written in names:
                raise InputError(
                    f"gives '{names[written]}' and '{name}' the same SMILES", where=path.parent / "smiles.csv"
                )
            names[written] = name
        for role in ("drug_a", "drug_b"):
            strange = ~table.frame[role].is_in(list(names))
            table.refuse(strange, "column '{column}' holds a SMILES that smiles.csv does not", role)
        return table.frame.with_columns(
            pl.col("drug_a").replace(names), pl.col("drug_b").replace(names), table.labels()
        )

    def _with_scores(self, labelled: pl.DataFrame, path: Path) -> pl.DataFrame:
        import polars as pl

        table = read_table(
            path,
            {
                "drug_a": ("drug_a", "drug1"),
                "drug_b": ("drug_b", "drug2"),
                "cell_line": ("cell",),
                "score": ("score", "synergy"),
            },
        )
        key = ["drug_a", "drug_b", "cell_line"]
        if len(table) != len(labelled):
            raise InputError(f"has {len(table)} rows, {LABELS} {len(labelled)}", where=path)
        differ = (table.frame.select(key) != labelled.select(key)).select(pl.any_horizontal(key).fill_null(True))
        table.refuse(differ.to_series(), f"is about another triple than {LABELS} there")
        return labelled.select(*key, "label").with_columns(table.numbers("score"))
