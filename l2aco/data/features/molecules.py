"""Features of drugs that RDKit computes from the fact `smiles`; a drug without a readable one is masked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from l2aco.data.features.base import Array, Feature
from l2aco.data.features.table import FeatureTable
from l2aco.entities import Entity, EntityKind

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

BITS = 1024
SMILES = "--drugs TABLE_WITH_SMILES"
OVERFLOWING = frozenset({"Ipc", "AvgIpc"})
"""Descriptors whose time and value grow exponentially with the molecule: no number of a peptide, and no end."""


class Molecular(Feature):
    """A row of numbers that RDKit computes of a molecule."""

    kind = EntityKind.drug
    brought_by = SMILES
    dtype: ClassVar[Any] = np.uint8

    @classmethod
    def fit(cls, dataset: DataSet, rows: Array | None = None) -> Self:
        return cls()

    def of(self, entities: Sequence[Entity]) -> FeatureTable:
        found = [molecule(drug) for drug in entities]
        compute, width, columns = self.computation()
        values = np.zeros((len(found), width), dtype=self.dtype)
        mask = np.array([molecule is not None for molecule in found], dtype=bool)
        for row in np.flatnonzero(mask):
            values[row] = compute(found[row])
        return FeatureTable(EntityKind.drug, values, mask, columns)

    @abstractmethod
    def computation(self) -> tuple[Callable[[Any], Any], int, tuple[str, ...]]:
        """What turns a molecule into its row, the row's length, and the columns' names where they have some."""


class Morgan(Molecular):
    """uint8 (drugs, 1024): Morgan fingerprint of radius 2 (Rogers and Hahn 2010, doi:10.1021/ci100050t)."""

    def computation(self) -> tuple[Callable[[Any], Any], int, tuple[str, ...]]:
        from rdkit.Chem import rdFingerprintGenerator

        generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS)
        return generator.GetFingerprintAsNumPy, BITS, ()


class AtomPair(Molecular):
    """uint8 (drugs, 1024): hashed atom-pair fingerprint (Carhart et al. 1985, doi:10.1021/ci00046a002)."""

    def computation(self) -> tuple[Callable[[Any], Any], int, tuple[str, ...]]:
        from rdkit.Chem import rdFingerprintGenerator

        return rdFingerprintGenerator.GetAtomPairGenerator(fpSize=BITS).GetFingerprintAsNumPy, BITS, ()


class MolecularDescriptors(Molecular):
    """float32 (drugs, about 215): RDKit's 2-D descriptors but those that overflow, unscaled; what cannot be computed,
    such as charges of a metal, is 0."""

    version = 4
    dtype = np.float32

    def computation(self) -> tuple[Callable[[Any], Any], int, tuple[str, ...]]:
        from rdkit.Chem import Descriptors

        known = {name: describe for name, describe in Descriptors.descList if name not in OVERFLOWING}

        def compute(molecule: Any) -> Any:
            values = np.array([_number(describe, molecule) for describe in known.values()])
            return np.where(np.isfinite(values), values, 0.0)

        return compute, len(known), tuple(known)


def _number(describe: Callable[[Any], Any], molecule: Any) -> float:
    try:
        return float(describe(molecule))
    except Exception:  # whatever one of two hundred functions finds wrong with a molecule
        return 0.0


def molecule(drug: Entity) -> Any:
    """The RDKit molecule of a drug, None where SMILES is unknown or does not parse."""
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    smiles = drug.facts.get("smiles")
    return Chem.MolFromSmiles(str(smiles)) if smiles else None


def canonical(drug: Entity) -> str:
    """The canonical SMILES of a drug, the same however it was written; empty where there is none that RDKit reads."""
    from rdkit import Chem

    found = molecule(drug)
    return "" if found is None else str(Chem.MolToSmiles(found))
