"""How each setting divides the triples: which rows are tested, which are chosen with, which are trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.splits.spec import SplitSpec
from l2aco.data.triples import distinct
from l2aco.errors import UsageError

Array = np.ndarray[Any, np.dtype[Any]]
Parts = tuple[Array, Array, Array, list[str]]


def partition(dataset: DataSet, spec: SplitSpec) -> Parts:
    """(train, valid, test) row numbers and the held-out ids; the validation rows are held out like the test rows.

    Raises UsageError where there are too few groups.
    """
    divide: dict[str, Callable[[DataSet, SplitSpec], Parts]] = {
        "random": _random,
        "long-tail": _long_tail,
        "novel-cell": _novel_cell,
        "novel-drug": _novel_drug,
        "novel-pair": _novel_pair,
        "novel-tissue": _novel_tissue,
    }
    return divide[spec.setting](dataset, spec)


def tissues_of_lines(dataset: DataSet) -> tuple[list[str], Array]:
    """The tissues of lines with triples, sorted, and int64 (lines,) the tissue's number of every line, -1 unknown."""
    known = [str(line.facts.get("tissue") or "").strip().casefold() for line in dataset.cell_lines]
    tissues = sorted({known[row] for row in distinct(dataset.triples.cell_line)} - {""})
    place = {tissue: number for number, tissue in enumerate(tissues)}
    return tissues, np.array([place.get(tissue, -1) for tissue in known], dtype=np.int64)


def tissues_to_hold_out(dataset: DataSet) -> tuple[list[str], Array]:
    """`tissues_of_lines`; raises UsageError where they are fewer than one to test, to choose with and to train on."""
    tissues, of_line = tissues_of_lines(dataset)
    if len(tissues) < 3:
        raise UsageError(
            f"novel-tissue needs three tissues, '{dataset.name}' knows {len(tissues)}",
            remedy="A table with a column tissue brings them: l2aco data import ... --cell-lines FILE.",
        )
    return tissues, of_line


def tail_lines(dataset: DataSet, limit: int) -> Array:
    """int64: rows of the cell lines with at least one and at most `limit` triples."""
    counts = np.bincount(dataset.triples.cell_line, minlength=len(dataset.cell_lines))
    return np.flatnonzero((counts > 0) & (counts <= limit))


def _random(dataset: DataSet, spec: SplitSpec) -> Parts:
    n = len(dataset.triples)
    order = _rng(spec, 0).permutation(n)
    test = order[spec.fold :: spec.folds]
    rest = np.delete(np.arange(n), test)
    cut = max(1, round(spec.valid_share * len(rest)))
    rest = _rng(spec, 1).permutation(rest)
    return rest[cut:], rest[:cut], test, []


def _novel_cell(dataset: DataSet, spec: SplitSpec) -> Parts:
    groups = dataset.triples.cell_line
    order = _rng(spec, 0).permutation(distinct(groups))
    if spec.stratify == "tissue":
        order = order[np.argsort(tissues_of_lines(dataset)[1][order], kind="stable")]
    train, valid, test, held = _by_group(groups, order, spec, "cell lines")
    return train, valid, test, [dataset.cell_lines[row].id for row in held]


def _novel_pair(dataset: DataSet, spec: SplitSpec) -> Parts:
    size = len(dataset.drugs)
    groups = dataset.triples.pair(size)
    order = _rng(spec, 0).permutation(distinct(groups))
    train, valid, test, held = _by_group(groups, order, spec, "drug pairs")
    names = [f"{dataset.drugs[pair // size].id} + {dataset.drugs[pair % size].id}" for pair in held]
    return train, valid, test, names


def _novel_tissue(dataset: DataSet, spec: SplitSpec) -> Parts:
    tissues, of_line = tissues_to_hold_out(dataset)
    if spec.fold >= len(tissues):
        raise UsageError(f"there is no fold {spec.fold}: '{dataset.name}' has {len(tissues)} tissues, counted from 0")
    groups = of_line[dataset.triples.cell_line]
    test = np.flatnonzero(groups == spec.fold)
    rest = np.flatnonzero((groups != spec.fold) & (groups >= 0))
    chosen = _validation_groups(groups[rest], spec)
    valid = np.isin(groups[rest], chosen)
    return rest[~valid], rest[valid], test, [tissues[spec.fold]]


def _by_group(groups: Array, order: Array, spec: SplitSpec, what: str) -> tuple[Array, Array, Array, Array]:
    if len(order) < 3:
        raise UsageError(f"{spec.setting} needs three {what}, there are {len(order)}", remedy="Use the setting random.")
    if len(order) < spec.folds:
        raise UsageError(f"{len(order)} {what} make no {spec.folds} folds", remedy=f"Use at most {len(order)}.")
    if len(order) - -(-len(order) // spec.folds) < 2:
        raise UsageError(
            f"{spec.folds} folds of {len(order)} {what} leave none to choose with", remedy="Use more folds."
        )
    held = np.sort(order[spec.fold :: spec.folds])
    tested = np.isin(groups, held)
    rest = np.flatnonzero(~tested)
    valid = np.isin(groups[rest], _validation_groups(groups[rest], spec))
    return rest[~valid], rest[valid], np.flatnonzero(tested), held


def _validation_groups(groups: Array, spec: SplitSpec) -> Array:
    """Groups in random order until they hold the validation share of the rows; one group at least is left."""
    names, counts = np.unique(groups, return_counts=True)
    order = _rng(spec, 1).permutation(len(names))
    reached = np.cumsum(counts[order])
    take = int(np.searchsorted(reached, spec.valid_share * len(groups))) + 1
    return names[order[: min(take, len(names) - 1)]]


def _novel_drug(dataset: DataSet, spec: SplitSpec) -> Parts:
    triples = dataset.triples
    drugs = distinct(np.concatenate([triples.drug_a, triples.drug_b]))
    if len(drugs) < spec.folds + 2:
        raise UsageError(f"{len(drugs)} drugs are too few for {spec.folds} folds", remedy="Use fewer folds.")
    held = np.sort(_rng(spec, 0).permutation(drugs)[spec.fold :: spec.folds])
    unseen = np.isin(triples.drug_a, held).astype(int) + np.isin(triples.drug_b, held)
    wanted = 2 if spec.both else 1
    test = np.flatnonzero(unseen == wanted)
    rest = np.flatnonzero(unseen == 0)
    target = len(test) // 2 if spec.both else spec.valid_share * len(rest)
    order = _rng(spec, 1).permutation(np.setdiff1d(drugs, held))
    place = np.full(len(dataset.drugs), len(order))
    place[order] = np.arange(len(order))
    ends = np.sort([place[triples.drug_a[rest]], place[triples.drug_b[rest]]], axis=0)
    one, two = (np.cumsum(np.bincount(end, minlength=len(order))) for end in ends)
    reached = two if spec.both else one - two  # rows of the kind, were the first 1, 2, ... drugs held out
    enough = np.flatnonzero(reached >= max(target, 1))
    last = min(enough[0] if len(enough) else len(order), len(order) - 3)
    inside = np.sum(ends <= last, axis=0)
    train, valid = rest[inside == 0], rest[inside == wanted]
    trained = np.zeros(len(dataset.drugs), dtype=int)
    trained[triples.drug_a[train]] = trained[triples.drug_b[train]] = 1
    known = trained[triples.drug_a] + trained[triples.drug_b]  # the partner may be known to validation alone
    valid, test = (rows[known[rows] == 2 - wanted] for rows in (valid, test))
    return train, valid, test, [dataset.drugs[row].id for row in held]


def _long_tail(dataset: DataSet, spec: SplitSpec) -> Parts:
    """Tail lines are tested; `shots` rows of each may train. The same share of head lines, cut in the same way, is
    the validation: `shots` rows of each train, the others validate."""
    cells = dataset.triples.cell_line
    tail = tail_lines(dataset, spec.tail)
    if not len(tail):
        raise UsageError(
            f"'{dataset.name}' has no cell line with at most {spec.tail} triples", remedy="Raise the limit, `tail`."
        )
    head = np.setdiff1d(distinct(cells), tail)
    if len(head) < 2:
        raise UsageError(f"'{dataset.name}' has no head: {len(head)} cell lines have more than {spec.tail} triples")
    rng = _rng(spec, 2 + spec.fold)
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
    lines = _validation_groups(cells[rest], spec)
    shown, valid = _take_shots([rest[cells[rest] == line] for line in lines], spec.shots, rng)
    train = np.concatenate([rest[~np.isin(cells[rest], lines)], shown, shots])
    return train, valid, test, [dataset.cell_lines[row].id for row in np.sort(tail)]


def _take_shots(groups: list[Array], shots: int, rng: np.random.Generator) -> tuple[Array, Array]:
    shuffled = [rng.permutation(rows) for rows in groups]
    empty = np.zeros(0, dtype=np.int64)
    shown = np.concatenate([empty, *(rows[:shots] for rows in shuffled)])
    return shown, np.concatenate([empty, *(rows[shots:] for rows in shuffled)])


def _rng(spec: SplitSpec, stream: int) -> np.random.Generator:
    """One stream for the folds (the same for every fold), others for what may differ between them."""
    return np.random.default_rng([spec.seed, stream] if stream == 0 else [spec.seed, stream, spec.fold])
