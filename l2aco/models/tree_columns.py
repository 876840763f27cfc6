"""What the stores say of a pair of drugs in a cell line, as columns for trees; the order of the pair changes none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np

from l2aco.models.inputs import Inputs
from l2aco.models.moments import moments
from l2aco.models.trees import CATEGORIES
from l2aco.models.vectors import Vectors

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Components:
    """Principal components of training entities. centre (D,): their mean; axes (D, r)."""

    centre: Array
    axes: Array

    @classmethod
    def fit(cls, vectors: Vectors, train: Array | None, count: int) -> Self:
        """At most `count` directions of the known rows among `train` (None: all), columns at variance 1."""
        values = vectors.with_gaps
        chosen = vectors.known if train is None else vectors.known & np.isin(np.arange(len(values)), train)
        rows = values[chosen] if chosen.any() else np.zeros((1, values.shape[1]))
        centre, spread = moments(rows)
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9)
        _, size, axes = np.linalg.svd(np.nan_to_num((rows - centre) * scale), full_matrices=False)
        kept = axes[:count][size[:count] > 1e-9 * max(size[0], 1e-300)]
        largest = np.abs(kept).argmax(axis=1)  # a sign that no library decides
        kept = kept * np.sign(kept[np.arange(len(kept)), largest])[:, None]
        return cls(centre, kept.T * scale[:, None])

    def __call__(self, vectors: Vectors) -> Array:
        """float64 (n, r); NaN where nothing is known of an entity."""
        said = np.nan_to_num(vectors.with_gaps - self.centre) @ self.axes
        return np.where(vectors.known[:, None], said, np.nan)


@dataclass(frozen=True)
class Panel:
    """Where the columns of a store of numbers stand: lines[k] is the grade of the class that drugs[k] says a drug is of
    (columns `grades.WORD` and `class=WORD`); alone: numbers that belong to no group."""

    drugs: list[int]
    lines: list[int]
    alone: list[int]

    @classmethod
    def of(cls, columns: tuple[str, ...]) -> Self:
        grades = {name.partition(".")[2]: place for place, name in enumerate(columns) if "." in name}
        classes = {name.partition("=")[2]: place for place, name in enumerate(columns) if "=" in name}
        both = [word for word in classes if word in grades][:CATEGORIES]
        alone = [place for place, name in enumerate(columns) if "." not in name and "=" not in name]
        return cls([classes[word] for word in both], [grades[word] for word in both], alone)

    def classes(self, drugs: Vectors) -> Array:
        """int64 (Nd,): the class of each drug, -1 where it has none."""
        said = np.nan_to_num(drugs.with_gaps[:, self.drugs])
        return np.where(said.max(axis=1, initial=0.0) > 0, said.argmax(axis=1), -1)

    def grades(self, lines: Vectors) -> Array:
        """float64 (Nl, classes)."""
        return lines.with_gaps[:, self.lines]


@dataclass(frozen=True)
class Columns:
    """What is read of every entity. lines: float64 (Nl, r). panels: for each, classes of the drugs (Nd,) and grades of
    the lines (Nl, classes)."""

    lines: Array
    panels: list[tuple[Array, Array]] = field(default_factory=list)

    @classmethod
    def of(cls, inputs: Inputs, components: Mapping[str, Components]) -> Self:
        """Of the entities of `inputs`, by the components of each store of lines."""
        lines, panels = [np.empty((inputs.num_cells, 0))], []
        for store, fitted in components.items():
            vectors = inputs.cell_vectors[store]
            panel = Panel.of(vectors.columns)
            lines += [vectors.with_gaps[:, panel.alone], fitted(vectors)]
            if panel.drugs and store in inputs.drug_vectors:
                panels.append((panel.classes(inputs.drug_vectors[store]), panel.grades(vectors)))
        return cls(np.concatenate(lines, axis=1), panels)

    def and_of(self, others: Columns) -> Columns:
        """Both, one behind the other."""
        panels = [
            (np.concatenate([classes, more]), np.concatenate([grades, further]))
            for (classes, grades), (more, further) in zip(self.panels, others.panels, strict=True)
        ]
        return Columns(np.concatenate([self.lines, others.lines]), panels)

    @cached_property
    def categories(self) -> int:
        """How many columns hold classes: the first ones."""
        return 2 * len(self.panels)

    def table(self, cheap: Array, effects: Array, a: Array, b: Array, c: Array) -> Array:
        """float64 (n, p) of the triples: both classes, `cheap` (n, m), smaller and larger `effects` (n, 2) of the drugs
        a and b, sum, smaller and larger grade of both in the line, and what is known of the line."""
        swapped = effects[:, 0] > effects[:, 1]
        categories: list[Array] = []
        grades: list[Array] = []
        for classes, of_lines in self.panels:
            one, other = classes[a], classes[b]
            swap = swapped | ((effects[:, 0] == effects[:, 1]) & (one > other))
            categories += [np.where(swap, other, one), np.where(swap, one, other)]
            said = [np.where(of >= 0, of_lines[c, of], np.nan) for of in (one, other)]
            grades += [said[0] + said[1], np.fmin(*said), np.fmax(*said)]
        named = [np.where(of >= 0, of, np.nan) for of in categories]
        return np.column_stack([*named, cheap, np.sort(effects, axis=1), *grades, self.lines[c]])


def stores_of_numbers(inputs: Inputs) -> list[str]:
    """Those that know lines."""
    return [store for store, vectors in inputs.cell_vectors.items() if vectors.columns]


def fit_components(inputs: Inputs, count: int) -> dict[str, Components]:
    """Of every store of numbers."""
    return {
        store: Components.fit(inputs.cell_vectors[store], inputs.train_cells, count)
        for store in stores_of_numbers(inputs)
    }
