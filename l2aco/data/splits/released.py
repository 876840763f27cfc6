"""Splits that come with a source: kept as they are, as rows of the merged triples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.manifest import REMEDY
from l2aco.data.splits.setting import Array, Parts, Setting
from l2aco.data.splits.spec import Split, SplitSpec
from l2aco.errors import DamagedError, UsageError
from l2aco.files import read_arrays, write_arrays

if TYPE_CHECKING:
    import polars as pl

PARTS = ("train", "valid", "test")


def write_released(
    folder: Path, table: pl.DataFrame, splits: Mapping[str, Mapping[str, pl.DataFrame]]
) -> dict[str, dict[str, int]]:
    """Write `released/<setting>.npz` for every split and return what is to be said of each.

    table: the merged triples (drug_a, drug_b, cell_line ids, in their final order). splits: by setting and part, rows
    of drug_a, drug_b, cell_line in any order of the drugs. A triple that the source has on several sides stays on
    the one that is tested most strictly (test, then validation), since one triple is one row; these are counted, and
    so are rows whose triple was dropped by the merge, and tested cell lines that training has seen.
    """
    import polars as pl

    said = {}
    order = table.select("drug_a", "drug_b", "cell_line").with_row_index("place")
    for setting, parts in splits.items():
        rows: dict[str, Any] = {}
        lost = 0
        for part in PARTS:
            wanted = parts[part].select(
                pl.min_horizontal("drug_a", "drug_b").alias("drug_a"),
                pl.max_horizontal("drug_a", "drug_b").alias("drug_b"),
                "cell_line",
            )
            found = wanted.unique().join(order, on=["drug_a", "drug_b", "cell_line"], how="left")["place"]
            lost += found.null_count()
            rows[part] = np.sort(found.drop_nulls().to_numpy().astype(np.int64))
        twice = 0
        for part, before in (("valid", ("test",)), ("train", ("test", "valid"))):
            taken = np.isin(rows[part], np.concatenate([rows[name] for name in before]))
            twice += int(taken.sum())
            rows[part] = rows[part][~taken]
        (folder / "released").mkdir(exist_ok=True)
        write_arrays(folder / "released" / f"{setting}.npz", {part: rows[part] for part in ("train", "valid", "test")})
        cells = table["cell_line"].to_numpy()
        shared = np.intersect1d(cells[rows["train"]], cells[rows["test"]])
        said[setting] = {
            **{part: len(rows[part]) for part in PARTS},
            "on_several_sides": twice,
            "triples_dropped": lost,
            "tested_lines_seen_in_training": len(shared),
        }
    return said


def is_released(dataset: DataSet, spec: SplitSpec) -> bool:
    """Whether this spec means the fixed split that came with the source; raises UsageError where there is none."""
    has = spec.setting in dataset.manifest.get("released_splits", {})
    if spec.released and not has:
        raise UsageError(
            f"'{dataset.name}' came with no split for {spec.setting}",
            remedy="Leave `released` out of the spec, or take another --setting.",
        )
    return has and spec.released is not False


def read_parts(path: Path) -> tuple[Array, Array, Array]:
    """int64 row numbers of train, valid and test; raises DamagedError."""
    arrays = read_arrays(path)
    parts = [arrays.get(part, np.zeros(())) for part in PARTS]
    if any(rows.ndim != 1 or rows.dtype.kind not in "iu" for rows in parts):
        raise DamagedError("holds no rows of train, valid and test", where=path, remedy="Delete it; it is made again.")
    train, valid, test = (rows.astype(np.int64) for rows in parts)
    return train, valid, test


class Released(Setting):
    """The fixed split that came with the source, whatever its setting is called: used as it is."""

    def num_folds(self, dataset: DataSet, spec: SplitSpec) -> int:
        return 1

    def divide(self, dataset: DataSet, spec: SplitSpec) -> Parts:
        usual = SplitSpec(setting=spec.setting, released=spec.released)
        if asked := [name for name, value in spec if value != getattr(usual, name)]:
            raise UsageError(
                f"'{dataset.name}' came with one fixed split for {spec.setting}, which takes no {', '.join(asked)}",
                remedy="Leave that out, or make a split of your own: --own (in a spec: released = false).",
            )
        path = dataset.file(f"released/{spec.setting}.npz")
        train, valid, test = read_parts(path)
        rows = np.concatenate([train, valid, test])
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(dataset.triples)):
            raise DamagedError("names rows that the data set does not have", where=path, remedy=REMEDY)
        cells = dataset.triples.cell_line
        unseen = np.setdiff1d(cells[test], cells[np.concatenate([train, valid])])
        return train, valid, test, [dataset.cell_lines[row].id for row in unseen]

    def check(self, dataset: DataSet, split: Split) -> list[str]:
        return ["released with the source, used as it is"]
