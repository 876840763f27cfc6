"""Splits that cannot leak: specs, folds, files, and the check made when they are made and when they are read.

Settings (docs/design/splits.md): random, long-tail (S0), novel-cell (S1), novel-drug, novel-pair, novel-tissue.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from l2aco.data.dataset import DataSet
from l2aco.errors import DamagedError, UnknownNameError, UsageError
from l2aco.workspace import atomic_path, read_json, sha256_bytes, stable_hash, write_json

Array = np.ndarray[Any, np.dtype[Any]]
SETTINGS = ("random", "long-tail", "novel-cell", "novel-drug", "novel-pair", "novel-tissue")
ALIASES = {"s0": "long-tail", "s1": "novel-cell"}
VERSIONS = {**dict.fromkeys(SETTINGS, 1), "novel-drug": 2}
"""Of the rules of each setting: a split that was made by other rules is made again."""


class SplitSpec(BaseModel):
    """Which rows are trained on, chosen with, and tested on.

    setting: see SETTINGS; S0 and S1 are aliases. fold of folds: which group of rows, lines, drugs, pairs or tissues
    is the test (not for long-tail). seed: shuffles the folds, and picks the shots. valid_share: of the training
    rows or groups, for validation. shots: rows of each tail line that may train (long-tail). tail: a line with at
    most so many triples is a tail line. both: test on rows with both drugs unseen instead of exactly one
    (novel-drug). stratify: spread the tissues evenly over the folds (novel-cell). matched: test on as many head
    lines thinned to the counts of the tail lines (long-tail), the size-matched control. released: use the fixed split
    that came with the source, or never; where None, use it if there is one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    setting: str = "novel-cell"
    fold: int = Field(default=0, ge=0)
    folds: int = Field(default=5, ge=2, le=1000)
    seed: int = Field(default=0, ge=0)
    valid_share: float = Field(default=0.1, gt=0, lt=0.5)
    shots: int = Field(default=20, ge=0)
    tail: int = Field(default=100, ge=1)
    both: bool = False
    stratify: Literal["tissue"] | None = None
    matched: bool = False
    released: bool | None = None

    @field_validator("setting")
    @classmethod
    def _known_setting(cls, value: str) -> str:
        folded = value.strip().casefold().replace("_", "-").replace(" ", "-")
        folded = ALIASES.get(folded, folded)
        if folded not in SETTINGS:
            raise UnknownNameError("setting", value, [*SETTINGS, *ALIASES])
        return folded

    @model_validator(mode="after")
    def _consistent(self) -> SplitSpec:
        if self.fold >= self.folds and self.setting != "novel-tissue":
            raise UsageError(f"there is no fold {self.fold} of {self.folds}", remedy="Folds are counted from 0.")
        for name, setting in (("both", "novel-drug"), ("stratify", "novel-cell"), ("matched", "long-tail")):
            if getattr(self, name) and self.setting != setting:
                raise UsageError(f"'{name}' belongs to the setting {setting}, not {self.setting}")
        return self


@dataclass(frozen=True)
class Split:
    """Row numbers of the triples, int64, sorted. `held_out`: ids (or pairs, tissues) that training never sees;
    `hash` of the spec and of the triples."""

    spec: SplitSpec
    hash: str
    train: Array
    valid: Array
    test: Array
    held_out: list[str] = field(default_factory=list)

    @property
    def folder_name(self) -> str:
        return self.hash[:16]


def split_hash(dataset: DataSet, spec: SplitSpec) -> str:
    """Hex SHA-256 of what determines a split: the spec, the triples, and the version of the rules."""
    return stable_hash([VERSIONS[spec.setting], spec.model_dump(), dataset.triples_hash])


def make_split(dataset: DataSet, spec: SplitSpec) -> Split:
    """The split of this spec: read from `data/<name>/splits/` where it was made before, else made and written.

    Checked for leaks either way. Raises UsageError where the data set cannot be split so, DamagedError where a
    stored split leaks or was changed.
    """
    from l2aco.data.leaks import check_split

    found = split_hash(dataset, spec)
    path = dataset.path / "splits" / f"{found[:16]}.npz"
    if path.exists():
        split = _read(path, spec, found, dataset)
        check_split(dataset, split)
        return split
    from l2aco.data.settings import partition

    train, valid, test, held_out = released_rows(dataset, spec) or partition(dataset, spec)
    for name, rows in (("training", train), ("validation", valid), ("test", test)):
        if not len(rows):
            raise UsageError(f"{spec.setting} leaves no {name} rows", remedy="Use fewer folds, or another setting.")
    split = Split(spec, found, np.sort(train), np.sort(valid), np.sort(test), held_out)
    check_split(dataset, split)
    _write(path, split, dataset)
    return split


def is_released(dataset: DataSet, spec: SplitSpec) -> bool:
    """Whether this spec means the fixed split that came with the source; raises UsageError where there is none."""
    has = spec.setting in dataset.manifest.get("released_splits", {})
    if spec.released and not has:
        raise UsageError(f"'{dataset.name}' came with no split for {spec.setting}")
    return has and spec.released is not False


def released_rows(dataset: DataSet, spec: SplitSpec) -> tuple[Array, Array, Array, list[str]] | None:
    """The rows of the split that came with the source, or None where this spec does not mean it."""
    if not is_released(dataset, spec):
        return None
    usual = SplitSpec(setting=spec.setting, released=spec.released)
    if asked := [name for name, value in spec if value != getattr(usual, name)]:
        raise UsageError(
            f"'{dataset.name}' came with one fixed split for {spec.setting}, which takes no {', '.join(asked)}",
            remedy="Leave that out, or make a split of your own: --own (in a spec: released = false).",
        )
    with np.load(dataset.file(f"released/{spec.setting}.npz"), allow_pickle=False) as arrays:
        train, valid, test = (arrays[part].astype(np.int64) for part in ("train", "valid", "test"))
    cells = dataset.triples.cell_line
    unseen = np.setdiff1d(cells[test], cells[np.concatenate([train, valid])])
    return train, valid, test, [dataset.cell_lines[row].id for row in unseen]


def num_folds(dataset: DataSet, spec: SplitSpec) -> int:
    """How many folds this setting has on this data set: 1 for long-tail and for a released split, one a tissue for
    novel-tissue."""
    from l2aco.data.settings import tissues_to_hold_out

    if spec.setting == "long-tail" or is_released(dataset, spec):
        return 1
    return len(tissues_to_hold_out(dataset)[0]) if spec.setting == "novel-tissue" else spec.folds


def _write(path: Path, split: Split, dataset: DataSet) -> None:
    # The rows come last: who sees them sees the description too.
    write_json(
        path.with_suffix(".json"),
        {
            "version": VERSIONS[split.spec.setting],
            "spec": split.spec.model_dump(),
            "hash": split.hash,
            "triples_hash": dataset.triples_hash,
            "rows": {"train": len(split.train), "valid": len(split.valid), "test": len(split.test)},
            "rows_hash": _rows_hash(split),
            "held_out": split.held_out,
        },
    )
    with atomic_path(path) as partial, partial.open("wb") as stream:
        np.savez(stream, train=split.train, valid=split.valid, test=split.test)


def _read(path: Path, spec: SplitSpec, found: str, dataset: DataSet) -> Split:
    remedy = "Delete the file; it is made again."
    stored = read_json(path.with_suffix(".json"))
    try:
        with np.load(path, allow_pickle=False) as arrays:
            train, valid, test = (arrays[name].astype(np.int64) for name in ("train", "valid", "test"))
        split = Split(spec, found, train, valid, test, list(stored["held_out"]))
        changed = stored["hash"] != found or stored["rows_hash"] != _rows_hash(split)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise DamagedError(f"cannot be read ({error})", where=path, remedy=remedy) from None
    if changed:
        raise DamagedError("is not the split that was made here", where=path, remedy=remedy)
    return split


def _rows_hash(split: Split) -> str:
    return stable_hash([sha256_bytes(rows.astype("<i8").tobytes()) for rows in (split.train, split.valid, split.test)])
