"""Boosted: gradient-boosted trees over what mixed models say, and what panels say, averaged with the mixed model.

The trees read the logits of the mixed model without knowledge (of a training row: by models that did not see what the
setting holds out of it), the effects of both drugs, and of each store of numbers the line's components and plain
numbers, the classes of both drugs, and how the line is expected to respond to drugs of these classes. They are grown
several times, each time on some of the lines: fifty are few to learn from, and one alone can mislead. Embeddings reach
the sum through the mixed model alone, components of texts do harm.

Shapes: stores (n, D) -> columns (rows, p) -> logits (rows,).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from l2aco.data.triples import Triples
from l2aco.entities import EntityKind
from l2aco.files import part_of, under
from l2aco.models.backbones.mixed import Mixed, MixedConfig
from l2aco.models.config import BackboneConfig
from l2aco.models.estimator import Array, Estimator, Expected
from l2aco.models.inputs import Inputs
from l2aco.models.out_of_fold import Scorer, out_of_fold
from l2aco.models.tree_columns import Columns, Components, fit_components, stores_of_numbers
from l2aco.models.trees import Trees
from l2aco.progress import Progress, Silent


class BoostedConfig(BackboneConfig):
    held_out: Literal["cell_line", "drug", "pair", "row"] = "cell_line"
    """What the mixed model must not have seen of a training row that it scores (default: what the split holds out)."""
    knowledge: Literal["all", "stores"] = "stores"
    """What the mixed model reads: the stores, or the measured features too."""
    bags: int = Field(default=8, ge=1)
    """How often trees are grown."""
    share: float = Field(default=0.6, gt=0, le=1)
    """Of what is held out, lines for instance, that is there each time."""
    iterations: int = Field(default=120, ge=1)
    """Trees of a bag."""
    rate: float = Field(default=0.05, gt=0, le=1)
    """Share of a tree that is added."""
    leaves: int = Field(default=15, ge=2)
    """Of a tree."""
    rows_a_leaf: int = Field(default=100, ge=1)
    """At least; a two-hundredth of the training rows where those are few."""
    l2: float = Field(default=5.0, ge=0)
    """Penalty of the leaves' values."""
    components: int = Field(default=8, ge=0)
    """Of the lines of each store of numbers."""
    folds: int = Field(default=15, ge=2)
    """Parts of the training rows that the mixed model scores without having seen them."""
    mixed: float = Field(default=0.5, ge=0, le=1)
    """Share of the mixed model in the logit; the rest is the trees'."""

    def vectors_of(self, kind: EntityKind) -> bool:
        return True

    def features(self, uses: Iterable[str], known: Callable[[str], bool]) -> frozenset[str]:
        return _settings(self)[1].features(uses, known)


HELD_OUT = {"novel-drug": "drug", "novel-pair": "pair", "random": "row"}


@dataclass(frozen=True)
class Boosted(Estimator):
    """See the module."""

    Config: ClassVar[type[BackboneConfig]] = BoostedConfig
    uses: ClassVar[frozenset[str]] = Mixed.uses
    citation: ClassVar[str] = "Friedman. Greedy function approximation: a gradient boosting machine. 2001."

    inputs: Inputs
    config: BoostedConfig
    plain: Mixed
    """Without knowledge."""
    knowing: Mixed
    components: Mapping[str, Components]
    trees: Trees
    columns: Columns

    @classmethod
    def defaults_for(cls, setting: str) -> dict[str, Any]:
        return {"held_out": HELD_OUT.get(setting, "cell_line")}

    @classmethod
    def fit(
        cls, inputs: Inputs, config: Any, triples: Triples, *, seed: int = 0, progress: Progress = Silent()
    ) -> Self:
        plain, knowing = (
            Mixed.fit(inputs, settings, triples, seed=seed, progress=progress) for settings in _settings(config)
        )
        components = fit_components(inputs, config.components)
        columns = Columns.of(inputs, components)
        groups = _groups(triples, config.held_out, inputs.num_drugs)
        said = out_of_fold(lambda rows: _cheap(plain.anew(rows)), triples, groups, folds=config.folds, seed=seed)
        a, b, c = triples.drug_a, triples.drug_b, triples.cell_line
        if config.held_out != "drug":  # one value a drug: another in each part would tell trees which lines those are
            said[:, 1:] = _cheap(plain)(a, b, c)[:, 1:]
        table = columns.table(said[:, :1], said[:, 1:], a, b, c)
        trees = _grown(config, table, triples.label, groups, columns.categories, seed, progress)
        return cls(inputs, config, plain, knowing, components, trees, columns)

    def refit(self, triples: Triples) -> Self:
        """The mixed models take the rows up; the trees stay, since what they read has taken them up."""
        return replace(self, plain=self.plain.refit(triples), knowing=self.knowing.refit(triples))

    def take_up(self, triples: Triples) -> Self:
        """What is expected rises with what was measured; the trees were grown free of such a bond, and the probability
        may not follow."""
        return replace(self, plain=self.plain.take_up(triples), knowing=self.knowing.take_up(triples))

    def judged_on(self, triples: Triples) -> Self:
        return replace(self, knowing=self.knowing.judged_on(triples))

    def admit(self, newcomers: Inputs) -> Self:
        columns = self.columns.and_of(Columns.of(newcomers, self.components))
        return replace(self, plain=self.plain.admit(newcomers), knowing=self.knowing.admit(newcomers), columns=columns)

    def probabilities(self, a: Array, b: Array, c: Array) -> Array:
        said, known = _cheap(self.plain)(a, b, c), self.knowing.logits(a, b, c)
        grown = self.trees.logits(self.columns.table(said[:, :1], said[:, 1:], a, b, c))
        return np.asarray(1.0 / (1.0 + np.exp(-grown - self.config.mixed * (known - grown))))

    def expected(self, a: Array, b: Array, c: Array, share: float = 0.9) -> Expected | None:
        """By the mixed model with knowledge."""
        return self.knowing.expected(a, b, c, share)

    def arrays(self) -> dict[str, Array]:
        parts: dict[str, Mixed | Trees] = {"plain": self.plain, "knowing": self.knowing, "trees": self.trees}
        found: dict[str, Array] = {}
        for part, of in parts.items():
            found |= under(part, of.arrays())
        for place, fitted in enumerate(self.components.values()):
            found |= under(f"components/{place}", vars(fitted))
        return found

    @classmethod
    def restore(cls, inputs: Inputs, config: Any, arrays: Mapping[str, Array]) -> Self:
        components = {
            store: Components(**part_of(f"components/{place}", arrays))
            for place, store in enumerate(stores_of_numbers(inputs))
        }
        plain, knowing = (
            Mixed.restore(inputs, settings, part_of(part, arrays))
            for part, settings in zip(("plain", "knowing"), _settings(config), strict=True)
        )
        columns = Columns.of(inputs, components)
        return cls(inputs, config, plain, knowing, components, Trees.of_arrays(part_of("trees", arrays)), columns)

    def facts(self) -> dict[str, Any]:
        """Of the mixed model with knowledge."""
        return self.knowing.facts()


def _settings(config: BoostedConfig) -> tuple[MixedConfig, MixedConfig]:
    """Of the mixed model without knowledge, and with it."""
    return MixedConfig(knowledge="none"), MixedConfig(knowledge=config.knowledge, share_drugs=config.held_out == "drug")


def _cheap(plain: Mixed) -> Scorer:
    """(m, 3): the logits of a triple, and the effects of both drugs."""
    effects = plain.drug_effects()
    return lambda a, b, c: np.column_stack([plain.logits(a, b, c), effects[a], effects[b]])


def _grown(
    config: BoostedConfig, table: Array, label: Array, groups: Array, categories: int, seed: int, progress: Progress
) -> Trees:
    """The mean of the trees of all bags; a bag is the rows (n,) of some groups, all of it where it has one label."""
    rng, names = np.random.default_rng(seed), np.unique(groups)
    found = []
    with progress.task("growing trees", total=config.bags, unit="bags") as advance:
        for bag in range(config.bags):
            there = rng.permutation(names)[: math.ceil(config.share * len(names))]
            rows = np.isin(groups, there).reshape(len(label), -1).all(axis=1)
            if len(np.unique(label[rows])) < 2:
                rows = np.ones(len(label), dtype=bool)
            grown = Trees.grow(
                table[rows],
                label[rows],
                categories=categories,
                max_iter=config.iterations,
                learning_rate=config.rate,
                max_leaf_nodes=config.leaves,
                min_samples_leaf=max(1, min(config.rows_a_leaf, int(rows.sum()) // 200)),
                l2_regularization=config.l2,
                random_state=seed + bag,
            )
            found.append(grown)
            advance(1)
    return Trees.mean(found)


def _groups(triples: Triples, held_out: str, drugs: int) -> Array:
    """int64 (n,) or (n, 2): what the mixed model must not have seen of each row; the row itself where all share it."""
    rows = np.arange(len(triples))
    groups = {
        "cell_line": triples.cell_line,
        "drug": np.stack([triples.drug_a, triples.drug_b], axis=1),
        "pair": triples.pair(drugs),
        "row": rows,
    }[held_out]
    return groups if len(np.unique(groups)) > 1 else rows
