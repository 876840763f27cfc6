"""The setting long-tail (S0): cell lines with few triples are tested, and the same many head lines as a control."""

from __future__ import annotations

from typing import Any

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.splits.setting import Parts, Setting, generator, ids_of, leak, validation_groups
from l2aco.data.splits.spec import Split, SplitSpec
from l2aco.data.triples import distinct
from l2aco.entities import EntityKind
from l2aco.errors import UsageError

Array = np.ndarray[Any, np.dtype[Any]]


class LongTail(Setting):
    """Tail lines are tested; `shots` rows of each may train. The same share of head lines, cut in the same way, is
    the validation: `shots` rows of each train, the others validate. The fold draws other shots."""

    options = frozenset({"matched"})
    held_out = EntityKind.cell_line

    def num_folds(self, dataset: DataSet, spec: SplitSpec) -> int:
        return 1

    def divide(self, dataset: DataSet, spec: SplitSpec) -> Parts:
        cells = dataset.united.cell_line
        tail = _tail_lines(dataset, spec.tail)
        if not len(tail):
            raise UsageError(
                f"'{dataset.name}' has no cell line with at most {spec.tail} triples", remedy="Raise the limit, `tail`."
            )
        head = np.setdiff1d(distinct(cells), tail)
        if len(head) < 2:
            raise UsageError(f"'{dataset.name}' has no head: {len(head)} cell lines have more than {spec.tail} triples")
        rng = generator(spec, 2 + spec.fold)
        tested = [np.flatnonzero(cells == line) for line in tail]
        dropped = np.concatenate(tested)
        if spec.matched:
            counts = [len(rows) for rows in tested]
            if len(head) < len(tail) + 2:
                raise UsageError(f"{len(head)} head lines are too few to match {len(tail)} tail lines")
            tail = rng.permutation(head)[: len(tail)]
            whole = [np.flatnonzero(cells == line) for line in tail]
            tested = [rng.permutation(rows)[:count] for rows, count in zip(whole, counts, strict=True)]
            dropped = np.concatenate([dropped, *whole])
        shots, test = _take_shots(tested, spec.shots, rng)
        rest = np.delete(np.arange(len(cells)), dropped)
        lines = validation_groups(cells[rest], spec)
        shown, valid = _take_shots([rest[cells[rest] == line] for line in lines], spec.shots, rng)
        train = np.concatenate([rest[~np.isin(cells[rest], lines)], shown, shots])
        return train, valid, test, ids_of(dataset, EntityKind.cell_line, tail)

    def groups(self, dataset: DataSet) -> Array:
        return dataset.united.cell_line

    def check(self, dataset: DataSet, split: Split) -> list[str]:
        cells = dataset.united.cell_line
        tested = distinct(cells[split.test])
        if np.isin(cells[split.valid], tested).any():
            raise leak(split, "a tested cell line is in validation")
        shown = np.bincount(cells[split.train], minlength=len(dataset.cell_lines))
        if (shown[tested] > split.spec.shots).any():
            raise leak(split, f"more than {split.spec.shots} rows of a tested cell line are in training")
        if not split.spec.matched and not np.isin(tested, _tail_lines(dataset, split.spec.tail)).all():
            raise leak(split, f"a tested cell line has more than {split.spec.tail} triples")
        return [f"at most {split.spec.shots} rows of a tested line train, none validates"]


def _tail_lines(dataset: DataSet, limit: int) -> Array:
    """int64: rows of the cell lines with at least one and at most `limit` triples."""
    counts = np.bincount(dataset.united.cell_line, minlength=len(dataset.cell_lines))
    return np.flatnonzero((counts > 0) & (counts <= limit))


def _take_shots(groups: list[Array], shots: int, rng: np.random.Generator) -> tuple[Array, Array]:
    shuffled = [rng.permutation(rows) for rows in groups]
    empty = np.zeros(0, dtype=np.int64)
    shown = np.concatenate([empty, *(rows[:shots] for rows in shuffled)])
    return shown, np.concatenate([empty, *(rows[shots:] for rows in shuffled)])
