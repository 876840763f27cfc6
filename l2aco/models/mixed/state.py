"""A fitted mixed model as arrays: saved to and loaded from one npz."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from l2aco.files import refuse_not_finite
from l2aco.models.mixed.covariance import Covariance, Rows
from l2aco.models.mixed.kernels import FeatureMap, Scaling
from l2aco.models.mixed.target import Target
from l2aco.models.mixed.terms import NOISE, Term

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Knowledge:
    """values (n, p) of n entities, NaN where unknown; scaling: see `kernels.fit_features`."""

    values: Array
    scaling: Scaling = "columns"


@dataclass(frozen=True)
class Entities:
    """n drugs or cell lines that rows point to by their place.

    number: int64 (n,), who each is among the entities that the model was fitted with, -1 for one that was not there
    (None: the same n entities in the same order). kernels: what is known of them, by the kernel's name; a kernel that
    the model has and that is missing here counts as unknown for all of them.
    """

    size: int
    kernels: Mapping[str, Knowledge] = field(default_factory=dict)
    number: Array | None = None

    def __post_init__(self) -> None:
        from l2aco.errors import InputError

        for name, known in self.kernels.items():
            if len(known.values) != self.size:
                raise InputError(f"the kernel '{name}' has {len(known.values)} rows for {self.size} entities")


@dataclass(frozen=True)
class State:
    """rows: the training rows, entities counted among those that trained; alpha (n,): V^-1 y. drug_numbers,
    line_numbers: which of the entities given trained, ascending. line_maps, drug_maps: the kernels; phi, psi: their
    factors of the training entities. variances: by term and `noise`, in units of the standardised target's variance.
    ignored: kernels that do not tell the training entities apart."""

    target: Target
    variances: dict[str, float]
    rows: Rows
    y: Array
    alpha: Array
    drug_numbers: Array
    line_numbers: Array
    line_maps: dict[str, FeatureMap]
    drug_maps: dict[str, FeatureMap]
    phi: dict[str, Array]
    psi: dict[str, Array]
    ignored: tuple[str, ...] = ()

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        return tuple(Term.parse(name) for name in self.variances if "|" in name)

    @cached_property
    def covariance(self) -> Covariance:
        return Covariance(self.rows, self.terms, self.phi, self.psi)

    @cached_property
    def pair_keys(self) -> Array:
        """int64 (pairs,), ascending: the pairs that trained, as `Rows.pair_keys` numbers them."""
        return np.unique(self.rows.pair_keys)

    @property
    def fitted(self) -> Array:
        """float64 (n,): the expected target of the training rows."""
        return self.y - self.variances[NOISE] * self.alpha

    @cached_property
    def coefficients(self) -> dict[str, Array]:
        """By term: (groups, r), the posterior mean of its coefficients."""
        covariance, alpha = self.covariance, self.alpha[:, None]
        return {
            str(term): self.variances[str(term)] * found[:, :, 0]
            for term in self.terms
            for found in covariance.left[term.left].collect(alpha, [covariance.phi[term.right]])
        }

    def weights(self) -> dict[str, dict[str, float]]:
        """By left side: the share of each right side in its variance."""
        found: dict[str, dict[str, float]] = {}
        for term in self.terms:
            found.setdefault(term.left, {})[term.right] = self.variances[str(term)]
        return {left: {name: v / sum(parts.values()) for name, v in parts.items()} for left, parts in found.items()}

    def arrays(self) -> dict[str, Array]:
        """Everything, as arrays for `numpy.savez`; `State.of` is the way back."""
        found: dict[str, Array] = {
            "target": np.array([self.target.name]),
            "target_numbers": np.array([self.target.centre, self.target.width, self.target.mean, self.target.sd]),
            "target_knots": self.target.knots,
            "terms": np.array(list(self.variances)),
            "variances": np.array(list(self.variances.values())),
            "a": self.rows.a,
            "b": self.rows.b,
            "c": self.rows.c,
            "y": self.y,
            "alpha": self.alpha,
            "drug_numbers": self.drug_numbers,
            "line_numbers": self.line_numbers,
            "ignored": np.array(self.ignored, dtype=np.str_),
        }
        for side, maps, factors in (("line", self.line_maps, self.phi), ("drug", self.drug_maps, self.psi)):
            found[f"{side}_kernels"] = np.array(list(maps), dtype=np.str_)
            for place, (name, fitted) in enumerate(maps.items()):
                parts = {**asdict(fitted), "factor": factors[name]}
                found.update({f"{side}_{place}_{part}": np.asarray(value) for part, value in parts.items()})
        return found

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> State:
        """The state of `arrays()`; raises KeyError or ValueError where they are none's."""
        refuse_not_finite({name: array for name, array in arrays.items() if not name.endswith("_scale")})
        if arrays["variances"].dtype.kind != "f":
            raise ValueError("the variances are no numbers")
        centre, width, mean, sd = map(float, arrays["target_numbers"])
        name: Any = str(arrays["target"][0])
        maps: dict[str, dict[str, FeatureMap]] = {"line": {}, "drug": {}}
        factors: dict[str, dict[str, Array]] = {"line": {}, "drug": {}}
        for side in maps:
            for place, kernel in enumerate(map(str, arrays[f"{side}_kernels"])):
                stored = {part.name: arrays[f"{side}_{place}_{part.name}"] for part in fields(FeatureMap)}
                numbers = {part: value.item() for part, value in stored.items() if value.ndim == 0}
                maps[side][kernel] = FeatureMap(**{**stored, **numbers})
                factors[side][kernel] = arrays[f"{side}_{place}_factor"]
        drugs, lines = arrays["drug_numbers"], arrays["line_numbers"]
        state = cls(
            Target(name, centre, width, arrays["target_knots"], mean, sd),
            dict(zip(map(str, arrays["terms"]), map(float, arrays["variances"]), strict=True)),
            Rows(arrays["a"], arrays["b"], arrays["c"], len(drugs), len(lines)),
            arrays["y"],
            arrays["alpha"],
            drugs,
            lines,
            maps["line"],
            maps["drug"],
            factors["line"],
            factors["drug"],
            tuple(map(str, arrays["ignored"])),
        )
        state.check()
        return state

    def check(self) -> None:
        """Raises ValueError where the arrays are not of the same rows and entities: sparse products go where indices
        lead."""
        rows = self.rows
        ends = ((rows.a, rows.drugs), (rows.b, rows.drugs), (rows.c, rows.lines))
        wrong = [array.dtype != np.int64 or not np.isin(array, np.arange(size)).all() for array, size in ends]
        wrong += [array.shape != rows.c.shape for array in (rows.a, rows.b, self.y, self.alpha)]
        wrong += [array.dtype != np.float64 for array in (self.y, self.alpha, *self.phi.values(), *self.psi.values())]
        factors = [(factor, rows.lines) for factor in self.phi.values()]
        factors += [(factor, rows.drugs) for factor in self.psi.values()]
        wrong += [factor.ndim != 2 or len(factor) != size for factor, size in factors]
        wrong += [array.dtype != np.int64 or array.ndim != 1 for array in (self.drug_numbers, self.line_numbers)]
        maps = (*self.line_maps.values(), *self.drug_maps.values())
        wrong += [not (fitted.scale > 0).all() for fitted in maps]  # infinite: a column that told nobody apart
        if rows.c.ndim != 1 or any(wrong):
            raise ValueError("the arrays are not those of one fitted model")
