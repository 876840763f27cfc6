"""Features of drugs that RDKit computes from the fact `smiles`; a drug without a readable one is masked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.features.table import FeatureTable
from l2aco.entities import Entity, EntityKind

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

BITS = 1024
DESCRIPTOR_LIMIT = 1e6
"""Descriptors beyond are clipped: one of them, Ipc, grows exponentially with the molecule."""


def morgan(dataset: DataSet) -> FeatureTable:
    """uint8 (drugs, 1024): Morgan fingerprint of radius 2 (Rogers and Hahn 2010, doi:10.1021/ci100050t)."""
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS)
    return _from_molecules(dataset, generator.GetFingerprintAsNumPy, BITS, np.uint8)


def atom_pair(dataset: DataSet) -> FeatureTable:
    """uint8 (drugs, 1024): hashed atom-pair fingerprint (Carhart et al. 1985, doi:10.1021/ci00046a002)."""
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetAtomPairGenerator(fpSize=BITS)
    return _from_molecules(dataset, generator.GetFingerprintAsNumPy, BITS, np.uint8)


def descriptors(dataset: DataSet) -> FeatureTable:
    """float32 (drugs, about 217): all of RDKit's 2-D descriptors, unscaled; what cannot be computed is 0."""
    from rdkit.Chem import Descriptors

    names = tuple(name for name, _ in Descriptors.descList)

    def compute(molecule: Any) -> Any:
        values = np.array(list(Descriptors.CalcMolDescriptors(molecule, missingVal=0.0).values()), dtype=np.float64)
        return np.clip(np.nan_to_num(values), -DESCRIPTOR_LIMIT, DESCRIPTOR_LIMIT)

    return _from_molecules(dataset, compute, len(names), np.float32, names)


def molecules(dataset: DataSet) -> list[Any]:
    """The RDKit molecule of every drug, None where SMILES is unknown or does not parse."""
    return [molecule(drug) for drug in dataset.drugs]


def molecule(drug: Entity) -> Any:
    """The RDKit molecule of a drug, None where SMILES is unknown or does not parse."""
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    smiles = drug.facts.get("smiles")
    return Chem.MolFromSmiles(str(smiles)) if smiles else None


def _from_molecules(
    dataset: DataSet, function: Callable[[Any], Any], width: int, dtype: Any, columns: tuple[str, ...] = ()
) -> FeatureTable:
    found = molecules(dataset)
    values = np.zeros((len(found), width), dtype=dtype)
    mask = np.array([molecule is not None for molecule in found], dtype=bool)
    for row in np.flatnonzero(mask):
        values[row] = function(found[row])
    return FeatureTable(EntityKind.drug, values, mask, columns)
