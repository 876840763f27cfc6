"""Features of drugs that RDKit computes from the fact `smiles`; a drug without a readable one is masked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.features.table import FeatureTable
from l2aco.entities import EntityKind

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

BITS = 1024


def morgan(dataset: DataSet) -> FeatureTable:
    """uint8 (drugs, 1024): Morgan fingerprint of radius 2 (Rogers and Hahn 2010, doi:10.1021/ci100050t)."""
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS)
    return _from_molecules(dataset, generator.GetFingerprintAsNumPy, BITS, np.uint8)


def molecules(dataset: DataSet) -> list[Any]:
    """The RDKit molecule of every drug, None where SMILES is unknown or does not parse."""
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    found = []
    for drug in dataset.drugs:
        smiles = drug.facts.get("smiles")
        found.append(Chem.MolFromSmiles(str(smiles)) if smiles else None)
    return found


def _from_molecules(
    dataset: DataSet, function: Callable[[Any], Any], width: int, dtype: Any, columns: tuple[str, ...] = ()
) -> FeatureTable:
    found = molecules(dataset)
    values = np.zeros((len(found), width), dtype=dtype)
    mask = np.array([molecule is not None for molecule in found], dtype=bool)
    for row in np.flatnonzero(mask):
        values[row] = function(found[row])
    return FeatureTable(EntityKind.drug, values, mask, columns)
