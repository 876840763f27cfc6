"""What the stores and profiles of a suite say of its drugs and cell lines: strata of the rows, maps, and coverage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from l2aco.bench.rows import Array, Rows
from l2aco.data.dataset import DataSet
from l2aco.data.splits.spec import Split
from l2aco.entities import EntityKind
from l2aco.errors import L2aCoError
from l2aco.models.vectors import Knowledge
from l2aco.profiles.sets import open_profile_set
from l2aco.runs.knowledge import load_knowledge
from l2aco.workspace import Workspace

CLASS = "class="
MOST = 8
"""Pairs of classes, the most frequent ones."""
SIMILARITIES = ("far", "middle", "near")


@dataclass(frozen=True)
class Grouping:
    """A name for every row by its cell line or its pair: `of` texts (n,) for the ascending `numbers` (n,); what is not
    among `names` is none."""

    by: str
    what: str
    names: tuple[str, ...]
    numbers: Array
    of: Array

    def of_rows(self, rows: Rows) -> Array:
        """int64 (n,): the place of each row's name in `names`, -1 for none."""
        place = {name: at for at, name in enumerate(self.names)}
        codes = np.array([place.get(name, -1) for name in self.of], dtype=np.int64)
        return np.asarray(codes[np.searchsorted(self.numbers, getattr(rows, self.what))])


@dataclass(frozen=True)
class Map:
    """Vectors of a store in the plane, along the two directions in which they differ most. `group`: tissue or class."""

    store: str
    kind: str
    names: list[str]
    groups: list[str]
    x: list[float]
    y: list[float]


@dataclass(frozen=True)
class Known:
    """Of one data set. `coverage`: (store, kind, entities with a vector, entities, different vectors), of those that
    stand in triples."""

    knowledge: list[Knowledge]
    classes: list[str]
    confidence: list[str]
    maps: list[Map]
    coverage: list[tuple[str, str, int, int, int]]


def known_of(dataset: DataSet, stores: Iterable[str], workspace: Workspace) -> Known:
    """From the stores that the runs read."""
    knowledge = load_knowledge(sorted(set(stores)), dataset, workspace)
    classes = _classes(dataset, knowledge)
    tissues = [str(line.facts.get("tissue") or "") for line in dataset.cell_lines]
    maps, coverage = [], []
    for one in knowledge:
        for kind, vectors, mask, groups in (
            ("cell line", one.cell_vectors, one.cell_mask, tissues),
            ("drug", one.drug_vectors, one.drug_mask, classes),
        ):
            entities = dataset.cell_lines if kind == "cell line" else dataset.drugs
            measured = dataset.measured(EntityKind.cell_line if kind == "cell line" else EntityKind.drug)
            has = mask & measured
            different = len(np.unique(np.nan_to_num(vectors[has], nan=np.inf), axis=0))
            coverage.append((one.store, kind, int(has.sum()), int(measured.sum()), different))
            if (values := _different(vectors[mask], one.columns)).shape[1] > 1:
                x, y = _plane(values).T.tolist()
                names = [entity.name for entity, known in zip(entities, mask, strict=True) if known]
                own = [group for group, known in zip(groups, mask, strict=True) if known]
                maps.append(Map(one.store, kind, names, own, x, y))
    return Known(knowledge, classes, _confidence(dataset, knowledge, workspace), maps, coverage)


def groupings(dataset: DataSet, splits: Sequence[Split], known: Known) -> list[Grouping]:
    """Strata by the confidence of a line's profile, by how near its profile is to the nearest line in training (thirds
    of the tested lines), and by the classes of both drugs; those of which something is known."""
    found = []
    lines = np.arange(len(dataset.cell_lines))
    if any(known.confidence):
        names = tuple(name for name, _ in Counter(filter(None, known.confidence)).most_common())
        found.append(Grouping("profile confidence", "line", names, lines, np.array(known.confidence, dtype=object)))
    if (near := _thirds(dataset, splits, known)) is not None:
        found.append(Grouping("nearest line in training", "line", SIMILARITIES, lines, near))
    if any(known.classes):
        triples, drugs = dataset.triples, len(dataset.drugs)
        numbers, first, count = np.unique(triples.pair(drugs), return_index=True, return_counts=True)
        pairs = zip(triples.drug_a[first], triples.drug_b[first], strict=True)
        of = np.array([_both(known.classes[a], known.classes[b]) for a, b in pairs], dtype=object)
        total = Counter[str]()
        for name, rows in zip(of, count, strict=True):
            total[name] += int(rows) if name else 0
        found.append(Grouping("classes", "pair", tuple(name for name, _ in total.most_common(MOST)), numbers, of))
    return found


def _both(one: str, other: str) -> str:
    return " + ".join(sorted([one, other])) if one and other else ""


def _classes(dataset: DataSet, knowledge: Sequence[Knowledge]) -> list[str]:
    """The class of every drug in the first store of numbers that knows one."""
    for one in knowledge:
        at = [column for column, name in enumerate(one.columns) if CLASS in name]
        values = np.nan_to_num(one.drug_vectors[:, at])
        if at and values.any():
            names = [one.columns[column].partition(CLASS)[2] for column in at]
            return [names[int(row.argmax())] if row.any() else "" for row in values]
    return [""] * len(dataset.drugs)


def _confidence(dataset: DataSet, knowledge: Sequence[Knowledge], workspace: Workspace) -> list[str]:
    """Of every line's profile, in the first set that says it."""
    for one in knowledge:
        said: dict[str, str] = {}
        with suppress(L2aCoError):  # a store outlives its profiles
            said = {
                record.entity_id: str(record.fields["confidence"])
                for record in open_profile_set(one.store.partition("--")[0], workspace).records()
                if record.kind is EntityKind.cell_line and "confidence" in record.fields
            }
        if any(found := [said.get(line.id, "") for line in dataset.cell_lines]):
            return found
    return [""] * len(dataset.cell_lines)


def _thirds(dataset: DataSet, splits: Sequence[Split], known: Known) -> Array | None:
    """By the largest cosine to a training line, of centred vectors, the mean over the splits that test a line."""
    store = next((one for one in known.knowledge if one.cell_mask.sum() > 2), None)
    if store is None:
        return None
    vectors = np.nan_to_num(store.cell_vectors.astype(np.float64))
    vectors -= vectors[store.cell_mask].mean(axis=0)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosine, total, count = vectors @ vectors.T, np.zeros(len(vectors)), np.zeros(len(vectors))
    line = dataset.triples.cell_line
    for split in splits:
        test = np.unique(line[split.test])
        train = np.setdiff1d(line[split.train], test)
        test, train = test[store.cell_mask[test]], train[store.cell_mask[train]]
        if len(train):
            total[test] += cosine[np.ix_(test, train)].max(axis=1)
            count[test] += 1
    tested = count > 0
    if tested.sum() < len(SIMILARITIES):
        return None
    mean = total[tested] / count[tested]
    found = np.full(len(vectors), "", dtype=object)
    third = np.searchsorted(np.quantile(mean, [1 / 3, 2 / 3]), mean, "right")
    found[tested] = np.array(SIMILARITIES, dtype=object)[third]
    return found


def _different(vectors: Any, columns: Sequence[str]) -> Array:
    """The columns in which entities differ; of numbers, those that are no word of a list, with unit variance."""
    values = np.nan_to_num(np.asarray(vectors, dtype=np.float64))
    if len(values) < 3:
        return values[:, :0]
    kept = [at for at in range(values.shape[1]) if not (columns and "=" in columns[at]) and np.ptp(values[:, at]) > 0]
    values = values[:, kept]
    return values / values.std(axis=0) if columns else values


def _plane(values: Array) -> Array:
    """(n, 2): the first two principal components, the largest weight of each positive."""
    centred = values - values.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2].T
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    return np.asarray(centred @ (axes * signs))
