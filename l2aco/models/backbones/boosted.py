"""Boosted: gradient-boosted trees over what a mixed model says without knowledge, and what the stores say.

The trees read the score that the mixed model without kernels gives (of training rows: one that did not see what the
setting holds out), the effects of both drugs, and of each store of profiles eight principal components of the line;
where a store holds numbers, also the numbers of the line, the classes of both drugs, and how the line is expected to
respond to drugs of these classes.

Shapes: stores (n, D) -> columns (rows, p) -> logits (rows,).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from l2aco.data.triples import Triples
from l2aco.models.backbones.mixed import Mixed, MixedConfig
from l2aco.models.config import BackboneConfig
from l2aco.models.estimator import Array, Estimator
from l2aco.models.inputs import Inputs
from l2aco.models.out_of_fold import Scorer, out_of_fold
from l2aco.models.tree_columns import Columns, Components, fit_components
from l2aco.models.trees import Trees
from l2aco.progress import Progress, Silent


class BoostedConfig(BackboneConfig):
    held_out: Literal["cell_line", "drug", "pair", "row"] = "cell_line"
    """What the mixed model must not have seen of a training row that it scores (default: what the split holds out)."""
    iterations: int = Field(default=200, ge=1)
    """Trees."""
    rate: float = Field(default=0.05, gt=0, le=1)
    """Share of a tree that is added."""
    leaves: int = Field(default=15, ge=2)
    """Of a tree."""
    rows_a_leaf: int = Field(default=200, ge=1)
    """At least; a two-hundredth of the training rows where those are few."""
    l2: float = Field(default=5.0, ge=0)
    """Penalty of the leaves' values."""
    components: int = Field(default=8, ge=0)
    """Of the lines of each store."""


BASE = MixedConfig(knowledge="none")
HELD_OUT = {"novel-drug": "drug", "novel-pair": "pair", "random": "row"}


@dataclass(frozen=True)
class Boosted(Estimator):
    """See the module."""

    Config: ClassVar[type[BackboneConfig]] = BoostedConfig
    citation: ClassVar[str] = "Friedman. Greedy function approximation: a gradient boosting machine. 2001."

    inputs: Inputs
    config: BoostedConfig
    base: Mixed
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
        base = Mixed.fit(inputs, BASE, triples, seed=seed, progress=progress)
        components = fit_components(inputs, config.components)
        columns = Columns.of(inputs, components)
        groups = _groups(triples, config.held_out, inputs.num_drugs)
        said = out_of_fold(lambda rows: _cheap(base.anew(rows)), triples, groups, seed=seed)
        a, b, c = triples.drug_a, triples.drug_b, triples.cell_line
        trees = Trees.grow(
            columns.table(said[:, :1], said[:, 1:], a, b, c),
            triples.label,
            categories=columns.categories,
            max_iter=config.iterations,
            learning_rate=config.rate,
            max_leaf_nodes=config.leaves,
            min_samples_leaf=max(1, min(config.rows_a_leaf, len(triples) // 200)),
            l2_regularization=config.l2,
            random_state=seed,
        )
        return cls(inputs, config, base, components, trees, columns)

    def refit(self, triples: Triples) -> Self:
        """The mixed model takes the rows up; the trees stay, since what they read has taken them up."""
        return replace(self, base=self.base.refit(triples))

    def admit(self, newcomers: Inputs) -> Self:
        columns = self.columns.and_of(Columns.of(newcomers, self.components))
        return replace(self, base=self.base.admit(newcomers), columns=columns)

    def probabilities(self, a: Array, b: Array, c: Array) -> Array:
        said = _cheap(self.base)(a, b, c)
        logits = self.trees.logits(self.columns.table(said[:, :1], said[:, 1:], a, b, c))
        return np.asarray(1.0 / (1.0 + np.exp(-logits)))

    def arrays(self) -> dict[str, Array]:
        found = {f"base/{name}": array for name, array in self.base.arrays().items()}
        found |= {f"trees/{name}": array for name, array in self.trees.arrays().items()}
        for place, fitted in enumerate(self.components.values()):
            found |= {f"components/{place}/{name}": getattr(fitted, name) for name in ("centre", "axes")}
        return found

    @classmethod
    def restore(cls, inputs: Inputs, config: Any, arrays: Mapping[str, Array]) -> Self:
        components = {
            store: Components(**_under(f"components/{place}/", arrays))
            for place, store in enumerate(inputs.cell_vectors)
        }
        base = Mixed.restore(inputs, BASE, _under("base/", arrays))
        columns = Columns.of(inputs, components)
        return cls(inputs, config, base, components, Trees.of_arrays(_under("trees/", arrays)), columns)

    def facts(self) -> dict[str, Any]:
        """Of the mixed model that it reads."""
        return self.base.facts()


def _cheap(model: Mixed) -> Scorer:
    """(m, 3): its logit of a triple and the effects of both drugs."""
    effects = model.drug_effects()
    return lambda a, b, c: np.column_stack([model.logits(a, b, c), effects[a], effects[b]])


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


def _under(start: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
