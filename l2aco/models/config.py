"""Hyper-parameters that every backbone has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, field_validator, model_validator

from l2aco.data.features.base import AUTO, ONE_HOT, PANEL, PROFILE
from l2aco.entities import EntityKind
from l2aco.strict import Strict


class BackboneConfig(Strict):
    """Each backbone extends it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    same_numbers: ClassVar[frozenset[str]] = frozenset()
    """Settings that change how something is computed and not what comes out: no part of a run's identity."""
    published: ClassVar[Mapping[str, Any]] = {}
    """Values that `faithful` takes where no others are given."""

    faithful: bool = False
    """Reproduce the published mathematics, with what it gets wrong."""

    @model_validator(mode="after")
    def _as_published(self) -> Self:
        chosen = {name: value for name, value in self.published.items() if name not in self.model_fields_set}
        self.__dict__.update(chosen if self.faithful else {})  # a copy would not be what `Config(...)` gives
        return self

    def features(self, uses: Iterable[str], known: Callable[[str], bool]) -> frozenset[str]:
        """Names of the features to bring beside those that are required: of `uses`, which are at hand, or any other
        that these settings name. `known` says of which of `uses` anything is known of anybody."""
        return frozenset(uses)

    def sees(self, kind: EntityKind) -> bool:
        """Whether features or vectors of a kind are read at all, where there are any."""
        return True

    def usual(self, kind: EntityKind) -> tuple[str, ...]:
        """The sources of a kind of which the first that is known of anybody is read, where none is asked for."""
        return ()

    def asked(self, kind: EntityKind) -> tuple[str, ...]:
        """The sources of a kind that are asked for by name."""
        return ()

    def vectors_of(self, kind: EntityKind) -> bool:
        """Whether profile vectors of a kind are read apart from alignment and fusion."""
        return not OF_STORES.isdisjoint(self.asked(kind))

    @property
    def reads_vectors(self) -> bool:
        """Whether those of any kind are."""
        return any(self.vectors_of(kind) for kind in EntityKind)

    @property
    def reads_panel(self) -> bool:
        """Whether numbers of a panel are among them."""
        return any(PANEL in self.asked(kind) for kind in EntityKind)


CELL_FEATURES = ("expression", "cell_proteins", "tissue")
"""What is read of cell lines, the first that is there."""
DRUG_FEATURES = ("descriptors",)
"""The same of drugs; where a backbone says nothing else."""
OF_STORES = frozenset({PROFILE, PANEL})
OF_NO_TABLE = OF_STORES | {ONE_HOT}
"""What is read of an entity apart from features of the data set."""


def sources(named: str) -> list[str]:
    """The sources that a setting names, joined by +; raises ValueError for none, one that is named twice, or `auto`
    among others."""
    stripped = (name.strip() for name in named.split("+"))
    found = [name.casefold() if name.casefold() in {AUTO, *OF_NO_TABLE} else name for name in stripped]
    if not all(found) or len(set(found)) < len(found):
        raise ValueError(f"'{named}' must name sources once each, joined by +")
    if AUTO in found and len(found) > 1:
        raise ValueError(f"'{AUTO}' leaves the choice to the backbone and is joined to nothing: name what is read")
    return found


class FeatureConfig(BackboneConfig):
    """Of backbones that read any numbers of a cell line."""

    cell_features: str = "auto"
    """What is read of a cell line: `expression`, `cell_proteins`, `tissue`, `response` (measured) or another feature of
    the data set by its name, `profile` (its vectors in the stores), `panel` (those of stores of numbers alone),
    `one_hot` (which line it is: the control of what features add), several joined by +, or `auto`: the first of
    expression, cell_proteins, tissue that is known of any line, else one_hot."""

    @field_validator("cell_features", "drug_features", check_fields=False)
    @classmethod
    def _sources(cls, named: str) -> str:
        return "+".join(sources(named))

    def features(self, uses: Iterable[str], known: Callable[[str], bool]) -> frozenset[str]:
        at_hand = frozenset(uses)
        usual = {name for kind in EntityKind for name in self.usual(kind)}
        chosen = {name for kind in EntityKind for name in self.read(kind, lambda name: name in at_hand and known(name))}
        return (at_hand - usual) | (chosen - OF_NO_TABLE)

    def read(self, kind: EntityKind, known: Callable[[str], bool]) -> tuple[str, ...]:
        """The sources that are read of a kind where `known` says of which features anything is known."""
        return self.asked(kind) or (next(filter(known, self.usual(kind)), ONE_HOT),)

    def usual(self, kind: EntityKind) -> tuple[str, ...]:
        return CELL_FEATURES if kind is EntityKind.cell_line else ()

    def asked(self, kind: EntityKind) -> tuple[str, ...]:
        return _named(self.cell_features) if kind is EntityKind.cell_line else ()


class FeaturesConfig(FeatureConfig):
    """Of backbones that read any numbers of a drug too."""

    drug_features: str = "auto"
    """What is read of a drug: `descriptors`, `morgan`, `atom_pair` or another feature of the data set by its name, such
    as the vectors of a chemical language model, `profile`, `one_hot`, or `auto`: what the backbone usually reads where
    it is known of any drug, else one_hot."""
    usual_drugs: ClassVar[tuple[str, ...]] = DRUG_FEATURES

    def usual(self, kind: EntityKind) -> tuple[str, ...]:
        return self.usual_drugs if kind is EntityKind.drug else super().usual(kind)

    def asked(self, kind: EntityKind) -> tuple[str, ...]:
        return _named(self.drug_features) if kind is EntityKind.drug else super().asked(kind)


def _named(setting: str) -> tuple[str, ...]:
    return () if setting == AUTO else tuple(sources(setting))
