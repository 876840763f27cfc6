"""Hyper-parameters that every backbone has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class BackboneConfig(BaseModel):
    """Each backbone extends it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    same_numbers: ClassVar[frozenset[str]] = frozenset()
    """Settings that change how something is computed and not what comes out: no part of a run's identity."""

    faithful: bool = False
    """Reproduce the published mathematics, with what it gets wrong."""

    def features(self, uses: Iterable[str], known: Callable[[str], bool]) -> frozenset[str]:
        """Names of the features to bring beside those that are required: of `uses`, which are at hand, or any other
        that these settings name. `known` says of which of `uses` anything is known of anybody."""
        return frozenset(uses)

    @property
    def reads_vectors(self) -> bool:
        """Whether profile vectors are read apart from alignment and fusion."""
        return False


CELL_FEATURES = ("expression", "cell_proteins", "tissue")
"""What is read of cell lines, the first that is there."""
DRUG_FEATURES = ("descriptors",)
"""The same of drugs; where a backbone says nothing else."""
PROFILE, ONE_HOT = "profile", "one_hot"


class FeatureConfig(BackboneConfig):
    """Of backbones that read any numbers of a cell line."""

    cell_features: str = "auto"
    """What is read of a cell line: `expression`, `cell_proteins`, `tissue` or another feature of the data set by its
    name, `profile` (its vectors in the stores), `one_hot` (which line it is: the control of what features add), or
    `auto`: the first of expression, cell_proteins, tissue that is known of any line, else one_hot."""

    def features(self, uses: Iterable[str], known: Callable[[str], bool]) -> frozenset[str]:
        at_hand = frozenset(uses)
        source = self.of_cells(lambda name: name in at_hand and known(name))
        return (at_hand - {*CELL_FEATURES}) | ({source} - {PROFILE, ONE_HOT})

    def of_cells(self, known: Callable[[str], bool]) -> str:
        """What `cell_features` stands for where `known` says of which features anything is known."""
        return _chosen(self.cell_features, CELL_FEATURES, known)

    @property
    def reads_vectors(self) -> bool:
        return self.cell_features == PROFILE


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
        return (super().features(at_hand, known) - {*self.usual_drugs}) | ({source} - {PROFILE, ONE_HOT})

    def of_drugs(self, known: Callable[[str], bool]) -> str:
        """What `drug_features` stands for."""
        return _chosen(self.drug_features, self.usual_drugs, known)

    @property
    def reads_vectors(self) -> bool:
        return PROFILE in (self.cell_features, self.drug_features)


def _chosen(named: str, usual: Iterable[str], known: Callable[[str], bool]) -> str:
    return named if named != "auto" else next((name for name in usual if known(name)), ONE_HOT)
