"""Mixed: a mixed-effects model (a Gaussian process) of synergy scores, over kernels of all that is known.

Random effects of pair, drug, cell line, drug x line and pair x line; cell lines, and drugs, share what they do through
kernels of every store of profiles and of measured features, beside a part of their own. Variances and kernel weights
are chosen by restricted maximum likelihood on training rows (docs/design/mixed.md).

Shapes: stores (n, D) and features (n, F) -> factors (n, <= 64) a kernel; scores of the pairs (n,).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, field_validator

from l2aco.data.features import kind_of
from l2aco.data.features.base import how_to_bring
from l2aco.data.triples import Triples
from l2aco.entities import EntityKind
from l2aco.errors import InputError
from l2aco.models.config import BackboneConfig
from l2aco.models.estimator import Array, Estimator, Expected
from l2aco.models.inputs import Inputs
from l2aco.models.mixed.kernels import Scaling
from l2aco.models.mixed.model import fit, score
from l2aco.models.mixed.posterior import Draws, Prediction, draw_posterior, predict
from l2aco.models.mixed.state import Entities, Knowledge, State
from l2aco.models.mixed.target import fit_cut, probability_above, usual_target
from l2aco.models.mixed.terms import FEWER, NOISE
from l2aco.models.mixed.update import update
from l2aco.progress import Progress, Silent

LOGGED = frozenset({"expression"})
"""Features that are counts: where no value is negative, their logarithm is read."""
SCALED = frozenset({"response"})
"""Features whose columns are amounts of their own, each brought to variance 1."""
FEATURES = frozenset({"expression", "cell_proteins", "tissue", "morgan", "response"})


class MixedConfig(BackboneConfig):
    target: Literal["score", "label", "rank"] | None = None
    """What is modelled: a robust function of the score, the label, or the rank of the score (default: the score where
    nine of ten training rows have one, else the label)."""
    knowledge: str = "stores"
    """What cell lines share their effects through: `stores`, `all` (the measured features too), `none` (the baseline
    that says what knowledge adds), or some of stores, tissue, expression, cell_proteins, response and morgan, joined
    by +."""
    effects: Literal["all", "pair", "additive"] = "all"
    """Which there are: all; or of pair, drugs and line alone; or of drugs and line. The last two read no knowledge."""
    share_drugs: bool = False
    """Whether drugs share their effects likewise; the default where drugs are held out, and slower."""
    draws: int = Field(default=24, ge=2)
    """Simulated data sets by which variances are chosen; more are surer and slower."""

    def sees(self, kind: EntityKind) -> bool:
        return kind is EntityKind.cell_line or self.share_drugs

    def asked(self, kind: EntityKind) -> tuple[str, ...]:
        named = FEATURES.intersection(self.knowledge.split("+")) if self.effects == "all" else ()
        return tuple(name for name in sorted(named) if kind_of(name) is kind)

    def vectors_of(self, kind: EntityKind) -> bool:
        return self.reads("stores") and self.sees(kind)

    def features(self, uses: Iterable[str], known: Callable[[str], bool]) -> frozenset[str]:
        return frozenset(name for name in uses if self.reads(name))

    @field_validator("knowledge")
    @classmethod
    def _known(cls, text: str) -> str:
        for part in [] if text in ("all", "none") else text.split("+"):
            if part != "stores" and part not in FEATURES:
                raise ValueError(f"'{part}' is none of all, none, stores, {', '.join(sorted(FEATURES))}")
        return text

    def reads(self, name: str) -> bool:
        """Whether the model reads `stores`, or the feature `name` where there is one."""
        return self.effects == "all" and (self.knowledge == "all" or name in self.knowledge.split("+"))


@dataclass(frozen=True)
class Mixed(Estimator):
    """See the module."""

    Config: ClassVar[type[BackboneConfig]] = MixedConfig
    uses: ClassVar[frozenset[str]] = FEATURES
    citation: ClassVar[str] = "Henderson. Best linear unbiased estimation and prediction under a selection model. 1975."

    inputs: Inputs
    config: MixedConfig
    state: State
    drugs: Entities
    lines: Entities
    cut: float
    """What is measured above it, on the standardised target, counts as synergistic (`target.fit_cut`)."""
    tails: Array = field(default_factory=lambda: np.zeros(0))
    """How far held-out measurements lay from what was expected (`Prediction.tails`); (0,): as a normal's."""

    @classmethod
    def defaults_for(cls, setting: str) -> dict[str, Any]:
        return {"share_drugs": setting == "novel-drug"}

    @classmethod
    def fit(
        cls, inputs: Inputs, config: Any, triples: Triples, *, seed: int = 0, progress: Progress = Silent()
    ) -> Self:
        wanted = FEATURES & {*config.knowledge.split("+")}
        if absent := sorted(wanted - set(inputs.features)) if config.effects == "all" else []:
            raise InputError(
                f"knowledge={config.knowledge}: the data set has no {absent[0]}",
                remedy=how_to_bring(absent[0]),
            )
        with progress.task("choosing variances") as advance:
            fitted = cls._fitted(
                inputs,
                config,
                triples,
                seed=seed,
                told=lambda step, variances: advance(1, f"noise {variances[NOISE]:.3f}"),
            )
        for name in fitted.state.ignored:
            progress.say(
                f"{name} is not used: what it holds is the same for all in training, or known of less than two"
            )
        return fitted

    def anew(self, triples: Triples) -> Self:
        """With the same target, variances and cut, so that nothing is left but to solve: a twentieth of the time."""
        same = {"target": self.state.target.name, "variances": self.state.variances}
        return self._fitted(self.inputs, self.config, triples, self.cut, **same)

    @classmethod
    def _fitted(
        cls, inputs: Inputs, config: MixedConfig, triples: Triples, cut: float | None = None, **how: Any
    ) -> Self:
        usual = config.target or usual_target(triples.score, triples.label) or "label"
        drugs, lines = (_entities(inputs, kind, config) for kind in EntityKind)
        state = fit(
            triples.drug_a,
            triples.drug_b,
            triples.cell_line,
            drugs=drugs,
            lines=lines,
            score=triples.score,
            label=triples.label,
            terms=FEWER.get(config.effects),
            draws=config.draws,
            **{"target": usual, **how},
        )
        if cut is None:
            modelled = np.isfinite(state.target(triples.score, triples.label))
            cut = fit_cut(state.fitted, state.variances[NOISE], triples.label[modelled])
        return cls(inputs, config, state, drugs, lines, cut)

    def refit(self, triples: Triples) -> Self:
        unscored = np.isnan(self.state.target(triples.score, triples.label)).all()
        return self if unscored else self._updated(triples)

    def take_up(self, triples: Triples) -> Self:
        return self._updated(triples, surprising=True)

    def _updated(self, triples: Triples, surprising: bool = False) -> Self:
        state, drugs, lines = update(
            self.state,
            triples.drug_a,
            triples.drug_b,
            triples.cell_line,
            drugs=self.drugs,
            lines=self.lines,
            score=triples.score,
            label=triples.label,
            surprising=surprising,
        )
        return replace(self, state=state, drugs=drugs, lines=lines)

    def judged_on(self, triples: Triples) -> Self:
        asked = triples.drug_a, triples.drug_b, triples.cell_line
        few = draw_posterior(self.state, count=8, tolerance=1e-3)  # of many rows together, so that few draws do
        found = predict(self.state, few, *asked, drugs=self.drugs, lines=self.lines)
        return replace(self, tails=found.tails(self.state.target(triples.score, triples.label)))

    def reads(self, kind: EntityKind) -> bool:
        return bool((self.drugs if kind is EntityKind.drug else self.lines).kernels)

    def admit(self, newcomers: Inputs) -> Self:
        drugs, lines = (
            _joined(known, _entities(newcomers, kind, self.config, self.inputs))
            for known, kind in ((self.drugs, EntityKind.drug), (self.lines, EntityKind.cell_line))
        )
        return replace(self, drugs=drugs, lines=lines)

    def probabilities(self, a: Array, b: Array, c: Array) -> Array:
        mean = score(self.state, a, b, c, drugs=self.drugs, lines=self.lines)
        return probability_above(self.cut, mean, self.state.variances[NOISE])

    def expected(self, a: Array, b: Array, c: Array, share: float = 0.9) -> Expected | None:
        target = self.state.target
        if target.name == "label":
            return None
        found = self.moments(a, b, c)
        mean, low, high = (target.unscaled(values) for values in (found.mean, *found.interval(share, self.tails)))
        return Expected(mean, low, high, share, target.scale)

    def moments(self, a: Array, b: Array, c: Array) -> Prediction:
        """Mean and variance of a measurement, noise included, on the standardised target's scale."""
        return predict(self.state, self._draws, a, b, c, drugs=self.drugs, lines=self.lines)

    def drug_effects(self) -> Array:
        """float64 (Nd,): what each drug does with all others in all lines, 0 where nobody measured it."""
        of_trained = self.state.coefficients["drug|one"][:, 0]
        numbers, trained = _numbers(self.drugs), self.state.drug_numbers
        place = np.minimum(np.searchsorted(trained, numbers), len(trained) - 1)
        return np.where(trained[place] == numbers, of_trained[place], 0.0)

    @cached_property
    def _draws(self) -> Draws:
        return draw_posterior(self.state, tolerance=1e-2)  # errs by a twentieth of what another 32 draws would differ

    def arrays(self) -> dict[str, Array]:
        numbers = {"of_drugs": _numbers(self.drugs), "of_lines": _numbers(self.lines)}
        return {**self.state.arrays(), **numbers, "cut": np.array(self.cut), "tails": self.tails}

    @classmethod
    def restore(cls, inputs: Inputs, config: Any, arrays: Mapping[str, Array]) -> Self:
        drugs, lines = (
            replace(_entities(inputs, kind, config), number=arrays[name])
            for kind, name in ((EntityKind.drug, "of_drugs"), (EntityKind.cell_line, "of_lines"))
        )
        for entities in (drugs, lines):
            number = _numbers(entities)
            if number.shape != (entities.size,) or number.dtype != np.int64 or (number < -1).any():
                raise ValueError("the numbers of the entities are not one for each")
        tails = arrays.get("tails", np.zeros(0))
        if tails.ndim != 1 or tails.dtype != np.float64 or not (np.diff(tails) >= 0).all():
            raise ValueError("the tails do not ascend")
        return cls(inputs, config, State.of(arrays), drugs, lines, float(arrays["cut"]), tails)

    def facts(self) -> dict[str, Any]:
        """The target, the share of its variance of every effect, the kernels, and those that told nobody apart."""
        return {
            "target": self.state.target.name,
            "variances": {name: round(value, 5) for name, value in self.state.variances.items()},
            "kernels": [*self.state.line_maps, *(f"drugs: {name}" for name in self.state.drug_maps)],
            "ignored_kernels": list(self.state.ignored),
        }


def _entities(inputs: Inputs, kind: EntityKind, config: MixedConfig, trained: Inputs | None = None) -> Entities:
    """The entities of a kind with a kernel for each store and each feature of theirs; of newcomers as `trained` has
    it."""
    kernels: dict[str, Knowledge] = {}
    if not config.sees(kind):
        return Entities(len(inputs.entities(kind)))
    if config.reads("stores"):
        vectors = inputs.drug_vectors if kind is EntityKind.drug else inputs.cell_vectors
        for store, known in vectors.items():
            kernels[store] = Knowledge(known.with_gaps, "columns" if known.columns else "none")
    for name, table in inputs.features.items():
        if table.kind is kind and config.reads(name):
            logged = name in LOGGED and not (trained or inputs).features[name].signed
            values = (table.logged() if logged else table).values.astype(np.float64)
            scaling: Scaling = "columns" if name in SCALED else "none"
            kernels[name] = Knowledge(np.where(table.mask[:, None], values, np.nan), scaling)
    return Entities(len(inputs.entities(kind)), kernels)


def _numbers(entities: Entities) -> Array:
    return np.arange(entities.size) if entities.number is None else entities.number


def _joined(known: Entities, new: Entities) -> Entities:
    """Both, one behind the other; nobody among the new was there when the model was fitted."""
    kernels = {
        name: replace(of_known, values=np.concatenate([of_known.values, new.kernels[name].values]))
        for name, of_known in known.kernels.items()
    }
    number = np.concatenate([_numbers(known), np.full(new.size, -1)])
    return Entities(known.size + new.size, kernels, number)
