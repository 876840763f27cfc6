"""The check that every split passes when it is made and each time it is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.splits.released import is_released
from l2aco.data.splits.rules import tail_lines, tissues_of_lines
from l2aco.data.splits.spec import Split
from l2aco.data.triples import distinct
from l2aco.errors import DamagedError

Array = np.ndarray[Any, np.dtype[Any]]


def check_split(dataset: DataSet, split: Split) -> list[str]:
    """The promises that the split keeps, one line each; raises DamagedError naming the first that it breaks.

    For every setting: row numbers exist, none stands twice, and no unordered triple (so no replicate) is on two
    sides. For a grouped setting: no held-out cell line, drug, pair or tissue is on another side.
    """
    triples, cells = dataset.triples, dataset.triples.cell_line
    sides = {"training": split.train, "validation": split.valid, "test": split.test}
    everything = np.concatenate(list(sides.values()))
    if len(everything) and not (everything.min() >= 0 and everything.max() < len(triples)):
        raise _leak(split, "it names rows that the data set does not have")
    if len(everything) and np.bincount(everything).max() > 1:
        raise _leak(split, "a row stands in it twice")
    key = triples.key(len(dataset.drugs), len(dataset.cell_lines))
    _apart(split, "unordered triple", {name: key[rows] for name, rows in sides.items()})
    kept = ["rows exist and stand once", "no unordered triple, so no replicate, on two sides"]
    if is_released(dataset, split.spec):
        return [*kept, "released with the source, used as it is"]
    setting = split.spec.setting
    if setting == "novel-cell":
        _apart(split, "cell line", {name: cells[rows] for name, rows in sides.items()})
        kept.append("no cell line on two sides")
    elif setting == "novel-tissue":
        tissue = tissues_of_lines(dataset)[1][cells]
        _apart(split, "tissue", {name: tissue[rows] for name, rows in sides.items()})
        kept.append("no tissue on two sides")
    elif setting == "novel-pair":
        pair = triples.pair(len(dataset.drugs))
        _apart(split, "drug pair", {name: pair[rows] for name, rows in sides.items()})
        kept.append("no unordered drug pair on two sides")
    elif setting == "novel-drug":
        _check_drugs(dataset, split)
        kept.append(f"{'both drugs' if split.spec.both else 'exactly one drug'} of every test row unseen before")
    elif setting == "long-tail":
        _check_tail(dataset, split)
        kept.append(f"at most {split.spec.shots} rows of a tested line train, none validates")
    return kept


def _leak(split: Split, what: str) -> DamagedError:
    return DamagedError(
        f"the {split.spec.setting} split leaks: {what}",
        where=split.hash[:16],
        remedy="Delete its file; it is made again.",
    )


def _apart(split: Split, what: str, sides: dict[str, Array]) -> None:
    names = list(sides)
    sides = {name: distinct(values) for name, values in sides.items()}
    for first, second in ((names[0], names[1]), (names[0], names[2]), (names[1], names[2])):
        shared = np.intersect1d(sides[first], sides[second], assume_unique=True)
        if len(shared):
            raise _leak(split, f"{len(shared)} {what}s are on both the {first} and the {second} side")


def _check_drugs(dataset: DataSet, split: Split) -> None:
    a, b = dataset.triples.drug_a, dataset.triples.drug_b
    place = {drug.id: row for row, drug in enumerate(dataset.drugs)}
    held = np.zeros(len(dataset.drugs), dtype=bool)
    held[[place[name] for name in split.held_out]] = True
    wanted = 2 if split.spec.both else 1
    before = np.concatenate([split.train, split.valid])
    if (held[a[before]] | held[b[before]]).any():
        raise _leak(split, "a held-out drug is in training or validation")
    if (held[a[split.test]].astype(int) + held[b[split.test]] != wanted).any():
        raise _leak(split, f"a test row has not {wanted} unseen drug{'s' if wanted == 2 else ''}")
    seen = np.zeros(len(dataset.drugs), dtype=bool)
    seen[a[split.train]] = seen[b[split.train]] = True
    for name, rows in (("validation", split.valid), ("test", split.test)):
        if (seen[a[rows]].astype(int) + seen[b[rows]] != 2 - wanted).any():
            known = "no drug" if split.spec.both else "exactly one drug"
            raise _leak(split, f"not every {name} row has {known} of the training side")


def _check_tail(dataset: DataSet, split: Split) -> None:
    cells = dataset.triples.cell_line
    tested = distinct(cells[split.test])
    if np.isin(cells[split.valid], tested).any():
        raise _leak(split, "a tested cell line is in validation")
    shown = np.bincount(cells[split.train], minlength=len(dataset.cell_lines))
    if (shown[tested] > split.spec.shots).any():
        raise _leak(split, f"more than {split.spec.shots} rows of a tested cell line are in training")
    tail = tail_lines(dataset, split.spec.tail)
    if not split.spec.matched and not np.isin(tested, tail).all():
        raise _leak(split, f"a tested cell line has more than {split.spec.tail} triples")
