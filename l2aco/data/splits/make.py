"""Splits made, kept and read: files named by a hash of spec and triples, checked when made and when read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from l2aco.data.catalog import open_or_simulate
from l2aco.data.dataset import DataSet
from l2aco.data.splits import SETTINGS
from l2aco.data.splits.released import Released, is_released, read_parts
from l2aco.data.splits.setting import Array, Setting, keep_apart, leak
from l2aco.data.splits.spec import Split, SplitSpec
from l2aco.entities import EntityKind
from l2aco.errors import DamagedError, UsageError
from l2aco.files import atomic_path, read_json, sha256_bytes, stable_hash, write_json


def make_split(dataset: DataSet | str, spec: SplitSpec) -> Split:
    """The split of this spec: read from `data/<name>/splits/` where it was made before, else made and written.

    Checked for leaks either way. Raises UsageError where the data set cannot be split so, DamagedError where a
    stored split leaks or was changed.
    """
    dataset = open_or_simulate(dataset)
    found = split_hash(dataset, spec)
    path = dataset.path / "splits" / f"{found[:16]}.npz"
    if path.exists():
        split = _read(path, spec, found)
        check_split(dataset, split)
        return split
    train, valid, test, held_out = _way(dataset, spec).divide(dataset, spec)
    triple = _triple(dataset, spec)
    valid = valid[~np.isin(triple[valid], triple[test])]  # where two that are called alike were kept apart
    train = train[~np.isin(triple[train], triple[np.concatenate([valid, test])])]
    split = Split(spec, found, np.sort(train), np.sort(valid), np.sort(test), held_out)
    for name, rows in split.sides.items():
        if not len(rows):
            remedy = f"Change {'--shots' if spec.setting == 'long-tail' else '--folds'}, or take another --setting."
            raise UsageError(f"{spec.setting} leaves no {name} rows", remedy=remedy)
    check_split(dataset, split)
    _write(path, split, dataset)
    return split


def num_folds(dataset: DataSet, spec: SplitSpec) -> int:
    """How many folds this setting has on this data set: 1 for long-tail and for a released split, one a tissue for
    novel-tissue."""
    return _way(dataset, spec).num_folds(dataset, spec)


def split_hash(dataset: DataSet, spec: SplitSpec) -> str:
    """Hex SHA-256 of what determines a split: the spec, the triples, the version of the rules, and which entities are
    called alike, where some are."""
    first = {kind.value: dataset.first_alike(kind) for kind in EntityKind}
    alike = {kind: rows.tolist() for kind, rows in first.items() if (rows != np.arange(len(rows))).any()}
    determined = [setting_of(spec).version, spec.model_dump(), dataset.triples_hash]
    return stable_hash([*determined, alike] if alike else determined)


def setting_of(spec: SplitSpec) -> Setting:
    """The object of a spec's setting."""
    made: Setting = SETTINGS.load(spec.setting)()
    return made


def check_split(dataset: DataSet, split: Split) -> list[str]:
    """The promises that the split keeps, one line each; raises DamagedError naming the first that it breaks.

    For every setting: row numbers exist, none stands twice, and no unordered triple (so no replicate) is on two
    sides. What else it promises is the setting's own.
    """
    everything = np.concatenate(list(split.sides.values()))
    if len(everything) and not (everything.min() >= 0 and everything.max() < len(dataset.triples)):
        raise leak(split, "it names rows that the data set does not have")
    if len(everything) and np.bincount(everything).max() > 1:
        raise leak(split, "a row stands in it twice")
    keep_apart(split, "unordered triple", _triple(dataset, split.spec))
    kept = ["rows exist and stand once", "no unordered triple, so no replicate, on two sides"]
    return [*kept, *_way(dataset, split.spec).check(dataset, split)]


def _triple(dataset: DataSet, spec: SplitSpec) -> np.ndarray[Any, Any]:
    """int64 (n,): one number for each unordered triple, the same under all names of its drugs and cell line; of a split
    that came with the source, as it names them."""
    triples = dataset.triples if is_released(dataset, spec) else dataset.united
    return triples.key(len(dataset.drugs), len(dataset.cell_lines))


def _way(dataset: DataSet, spec: SplitSpec) -> Setting:
    """How the rows are divided: as the source did, or as the setting does."""
    return Released() if is_released(dataset, spec) else setting_of(spec)


def _write(path: Path, split: Split, dataset: DataSet) -> None:
    # The rows come last: who sees them sees the description too.
    write_json(
        path.with_suffix(".json"),
        {
            "version": setting_of(split.spec).version,
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


def _read(path: Path, spec: SplitSpec, found: str) -> Split:
    remedy = "Delete the file; it is made again."
    stored = read_json(path.with_suffix(".json"))
    held_out = stored.get("held_out") if isinstance(stored, dict) else None
    if not isinstance(held_out, list) or not all(isinstance(name, str) for name in held_out):
        raise DamagedError("does not say what is held out", where=path.with_suffix(".json"), remedy=remedy)
    split = Split(spec, found, *read_parts(path), held_out)
    if stored.get("hash") != found or stored.get("rows_hash") != _rows_hash(split):
        raise DamagedError("is not the split that was made here", where=path, remedy=remedy)
    return split


def _rows_hash(split: Split) -> str:
    return stable_hash([sha256_bytes(rows.astype("<i8").tobytes()) for rows in (split.train, split.valid, split.test)])


def held_out_groups(dataset: DataSet, split: Split, rows: Array) -> Array:
    """int64 (n,): what each of these validation or test rows holds out; of its two drugs the one that training never
    saw."""
    groups = SETTINGS.load(split.spec.setting)().groups(dataset)
    asked = groups[rows]
    if asked.ndim == 1:
        return np.asarray(asked)
    unseen = ~np.isin(asked, groups[split.train])
    return np.asarray(asked[np.arange(len(asked)), unseen.argmax(axis=1)])
