"""Splits that cannot leak: specs, folds, files, and the check made when they are made and when they are read.

Settings (docs/design/splits.md): random, long-tail (S0), novel-cell (S1), novel-drug, novel-pair, novel-tissue.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.splits.released import is_released, released_rows
from l2aco.data.splits.spec import VERSIONS, Split, SplitSpec
from l2aco.errors import DamagedError, UsageError
from l2aco.files import atomic_path, read_json, sha256_bytes, stable_hash, write_json


def split_hash(dataset: DataSet, spec: SplitSpec) -> str:
    """Hex SHA-256 of what determines a split: the spec, the triples, and the version of the rules."""
    return stable_hash([VERSIONS[spec.setting], spec.model_dump(), dataset.triples_hash])


def make_split(dataset: DataSet, spec: SplitSpec) -> Split:
    """The split of this spec: read from `data/<name>/splits/` where it was made before, else made and written.

    Checked for leaks either way. Raises UsageError where the data set cannot be split so, DamagedError where a
    stored split leaks or was changed.
    """
    from l2aco.data.splits.leaks import check_split

    found = split_hash(dataset, spec)
    path = dataset.path / "splits" / f"{found[:16]}.npz"
    if path.exists():
        split = _read(path, spec, found, dataset)
        check_split(dataset, split)
        return split
    from l2aco.data.splits.rules import partition

    train, valid, test, held_out = released_rows(dataset, spec) or partition(dataset, spec)
    for name, rows in (("training", train), ("validation", valid), ("test", test)):
        if not len(rows):
            raise UsageError(f"{spec.setting} leaves no {name} rows", remedy="Use fewer folds, or another setting.")
    split = Split(spec, found, np.sort(train), np.sort(valid), np.sort(test), held_out)
    check_split(dataset, split)
    _write(path, split, dataset)
    return split


def num_folds(dataset: DataSet, spec: SplitSpec) -> int:
    """How many folds this setting has on this data set: 1 for long-tail and for a released split, one a tissue for
    novel-tissue."""
    from l2aco.data.splits.rules import tissues_to_hold_out

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
