"""Hyper-parameters that every backbone has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, field_validator, model_validator

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

    @property
    def reads_vectors(self) -> bool:
        """Whether profile vectors are read apart from alignment and fusion."""
        return False

    @property
    def reads_panel(self) -> bool:
        """Whether numbers of a panel are among them."""
        return False


CELL_FEATURES = ("expression", "cell_proteins", "tissue")
"""What is read of cell lines, the first that is there."""
DRUG_FEATURES = ("descriptors",)
"""The same of drugs; where a backbone says nothing else."""
PROFILE, PANEL, ONE_HOT = "profile", "panel", "one_hot"
OF_NO_TABLE = frozenset({PROFILE, PANEL, ONE_HOT})
"""What is read of an entity apart from features of the data set."""


def sources(named: str) -> list[str]:
    """The sources that a setting names, joined by +; raises ValueError for none, or one named twice."""
    found = [name.strip() for name in named.split("+")]
    if not all(found) or len(set(found)) < len(found):
        raise ValueError(f"'{named}' must name sources once each, joined by +")
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
        source = self.of_cells(lambda name: name in at_hand and known(name))
        return (at_hand - {*CELL_FEATURES}) | ({*sources(source)} - OF_NO_TABLE)

    def of_cells(self, known: Callable[[str], bool]) -> str:
        """What `cell_features` stands for where `known` says of which features anything is known."""
        return _chosen(self.cell_features, CELL_FEATURES, known)

    @property
    def read(self) -> frozenset[str]:
        """The names of all sources that are read."""
        return frozenset(sources(self.cell_features))

    @property
    def reads_vectors(self) -> bool:
        return not self.read.isdisjoint({PROFILE, PANEL})

    @property
    def reads_panel(self) -> bool:
        return PANEL in self.read


class FeaturesConfig(FeatureConfig):
    """Of backbones that read any numbers of a drug too."""

    drug_features: str = "auto"
    """What is read of a drug: `descriptors`, `morgan`, `atom_pair` or another feature of the data set by its name, such
    as the vectors of a chemical language model, `profile`, `one_hot`, or `auto`: what the backbone usually reads where
    it is known of any drug, else one_hot."""
    usual_drugs: ClassVar[tuple[str, ...]] = DRUG_FEATURES

    def features(self, uses: Iterable[str], known: Callable[[str], bool]) -> frozenset[str]:
        at_hand = frozenset(uses)
        source = self.of_drugs(lambda name: name in at_hand and known(name))
        return (super().features(at_hand, known) - {*self.usual_drugs}) | ({*sources(source)} - OF_NO_TABLE)

    def of_drugs(self, known: Callable[[str], bool]) -> str:
        """What `drug_features` stands for."""
        return _chosen(self.drug_features, self.usual_drugs, known)

    @property
    def read(self) -> frozenset[str]:
        return super().read | {*sources(self.drug_features)}


def _chosen(named: str, usual: Iterable[str], known: Callable[[str], bool]) -> str:
    return named if named != "auto" else next((name for name in usual if known(name)), ONE_HOT)
