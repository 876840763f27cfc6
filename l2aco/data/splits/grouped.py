"""Settings that divide rows by one group each: the row itself, its cell line, its donor, its pair, its tissue."""

from __future__ import annotations

from typing import Any

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.splits.setting import Parts, Setting, generator, ids_of, keep_apart, validation_groups
from l2aco.data.splits.spec import Split, SplitSpec
from l2aco.data.triples import distinct
from l2aco.entities import EntityKind
from l2aco.errors import UsageError
from l2aco.names.synonyms import donor_key

Array = np.ndarray[Any, np.dtype[Any]]


class Random(Setting):
    """Any rows."""

    def divide(self, dataset: DataSet, spec: SplitSpec) -> Parts:
        n = len(dataset.triples)
        test = generator(spec, 0).permutation(n)[spec.fold :: spec.folds]
        rest = np.delete(np.arange(n), test)
        cut = max(1, round(spec.valid_share * len(rest)))
        rest = generator(spec, 1).permutation(rest)
        return rest[cut:], rest[:cut], test, []


class NovelCell(Setting):
    """Cell lines that training never sees."""

    options = frozenset({"stratify"})
    held_out = EntityKind.cell_line

    def divide(self, dataset: DataSet, spec: SplitSpec) -> Parts:
        groups = self.groups(dataset)
        order = generator(spec, 0).permutation(distinct(groups))
        if spec.stratify == "tissue":
            order = order[np.argsort(tissues_of_lines(dataset)[1][order], kind="stable")]
        train, valid, test, held = _by_group(groups, order, spec, "cell lines")
        return train, valid, test, ids_of(dataset, EntityKind.cell_line, held)

    def groups(self, dataset: DataSet) -> Array:
        return dataset.united.cell_line

    def check(self, dataset: DataSet, split: Split) -> list[str]:
        keep_apart(split, "cell line", self.groups(dataset))
        return ["no cell line on two sides, under any of its names"]


class NovelDonor(Setting):
    """Cell lines of people of whom training sees none."""

    held_out = EntityKind.cell_line

    def divide(self, dataset: DataSet, spec: SplitSpec) -> Parts:
        groups = self.groups(dataset)
        order = generator(spec, 0).permutation(distinct(groups))
        train, valid, test, held = _by_group(groups, order, spec, "donors")
        lines = np.flatnonzero(np.isin(_donors(dataset), held))
        return train, valid, test, ids_of(dataset, EntityKind.cell_line, lines)

    def groups(self, dataset: DataSet) -> Array:
        return _donors(dataset)[dataset.united.cell_line]

    def check(self, dataset: DataSet, split: Split) -> list[str]:
        keep_apart(split, "donor", self.groups(dataset))
        return ["no donor of cell lines on two sides, as far as donors are known"]


class NovelPair(Setting):
    """Pairs of drugs that training never sees together."""

    def divide(self, dataset: DataSet, spec: SplitSpec) -> Parts:
        size = len(dataset.drugs)
        groups = self.groups(dataset)
        order = generator(spec, 0).permutation(distinct(groups))
        train, valid, test, held = _by_group(groups, order, spec, "drug pairs")
        names = [f"{dataset.drugs[pair // size].id} + {dataset.drugs[pair % size].id}" for pair in held]
        return train, valid, test, names

    def groups(self, dataset: DataSet) -> Array:
        return dataset.united.pair(len(dataset.drugs))

    def check(self, dataset: DataSet, split: Split) -> list[str]:
        keep_apart(split, "drug pair", self.groups(dataset))
        return ["no unordered drug pair on two sides"]


class NovelTissue(Setting):
    """Lines of a tissue that training never sees, a fold for each tissue; lines of unknown tissue are left out."""

    folds_are_asked_for = False

    def num_folds(self, dataset: DataSet, spec: SplitSpec) -> int:
        return len(_tissues_to_hold_out(dataset)[0])

    def divide(self, dataset: DataSet, spec: SplitSpec) -> Parts:
        tissues, of_line = _tissues_to_hold_out(dataset)
        if spec.fold >= len(tissues):
            raise UsageError(
                f"there is no fold {spec.fold}: '{dataset.name}' has {len(tissues)} tissues",
                remedy=f"Give a --fold of 0 to {len(tissues) - 1}.",
            )
        groups = of_line[dataset.united.cell_line]
        test = np.flatnonzero(groups == spec.fold)
        rest = np.flatnonzero((groups != spec.fold) & (groups >= 0))
        valid = np.isin(groups[rest], validation_groups(groups[rest], spec))
        return rest[~valid], rest[valid], test, [tissues[spec.fold]]

    def groups(self, dataset: DataSet) -> Array:
        return tissues_of_lines(dataset)[1][dataset.united.cell_line]

    def check(self, dataset: DataSet, split: Split) -> list[str]:
        keep_apart(split, "tissue", self.groups(dataset))
        return ["no tissue on two sides"]


def _donors(dataset: DataSet) -> Array:
    """int64 (lines,): whose every cell line is; lines that are called alike, or known to be of one person, share it."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first: dict[str, int] = {}
    alike = [first.setdefault(donor_key(line.name), row) for row, line in enumerate(dataset.cell_lines)]
    size = len(alike)
    ends = np.tile(np.arange(size), 2), np.concatenate([alike, dataset.first_alike(EntityKind.cell_line)])
    return np.asarray(connected_components(coo_array((np.ones(2 * size), ends), (size, size)))[1], dtype=np.int64)


def tissues_of_lines(dataset: DataSet) -> tuple[list[str], Array]:
    """The tissues of lines with triples, sorted, and int64 (lines,) the tissue's number of every line, -1 unknown."""
    known = [str(line.facts.get("tissue") or "").strip().casefold() for line in dataset.cell_lines]
    tissues = sorted({known[row] for row in distinct(dataset.triples.cell_line)} - {""})
    place = {tissue: number for number, tissue in enumerate(tissues)}
    return tissues, np.array([place.get(tissue, -1) for tissue in known], dtype=np.int64)


def _tissues_to_hold_out(dataset: DataSet) -> tuple[list[str], Array]:
    """`tissues_of_lines`; raises UsageError where they are fewer than one to test, to choose with and to train on."""
    tissues, of_line = tissues_of_lines(dataset)
    if len(tissues) < 3:
        raise UsageError(
            f"novel-tissue needs three tissues, '{dataset.name}' knows {len(tissues)}",
            remedy="A table with a column tissue brings them: l2aco data import ... --cell-lines FILE.",
        )
    return tissues, of_line


def _by_group(groups: Array, order: Array, spec: SplitSpec, what: str) -> tuple[Array, Array, Array, Array]:
    if len(order) < 3:
        raise UsageError(f"{spec.setting} needs three {what}, there are {len(order)}", remedy="Take --setting random.")
    if len(order) < spec.folds:
        raise UsageError(f"{len(order)} {what} make no {spec.folds} folds", remedy=f"Give --folds {len(order)}.")
    if len(order) - -(-len(order) // spec.folds) < 2:
        raise UsageError(
            f"{spec.folds} folds of {len(order)} {what} leave none to choose with",
            remedy=f"Give --folds {len(order)}.",
        )
    held = np.sort(order[spec.fold :: spec.folds])
    tested = np.isin(groups, held)
    rest = np.flatnonzero(~tested)
    valid = np.isin(groups[rest], validation_groups(groups[rest], spec))
    return rest[~valid], rest[valid], np.flatnonzero(tested), held
