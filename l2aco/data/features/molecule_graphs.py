"""Molecular graphs with the 78 atom features of DeepDDS (Wang et al. 2022, doi:10.1093/bib/bbab390)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from l2aco.data.features.base import Array, Feature
from l2aco.data.features.molecules import SMILES, molecule
from l2aco.data.features.table import GraphTable
from l2aco.entities import Entity, EntityKind

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

ELEMENTS = (
    "C N O S F Si P Cl Br Mg Na Ca Fe As Al I B V K Tl Yb Sb Sn Ag Pd Co Se Ti Zn H Li Ge Cu Au Ni Cd In Mn Zr Cr Pt "
    "Hg Pb other"
).split()
COUNTS = 11
ATOM_FEATURES = len(ELEMENTS) + 3 * COUNTS + 1


class MoleculeGraphs(Feature):
    """Atoms float32 (all atoms, 78) and bonds of every drug with a readable SMILES.

    An atom is its element (44), degree, total hydrogens and implicit valence (each 0 to 10, more counts as 10)
    one-hot, and whether it is aromatic, divided by their sum.
    """

    kind = EntityKind.drug
    brought_by = SMILES

    @classmethod
    def fit(cls, dataset: DataSet, rows: Array | None = None) -> Self:
        return cls()

    def of(self, entities: Sequence[Entity]) -> GraphTable:
        atoms: list[Any] = []
        bonds: list[Any] = []
        start = [0]
        found = [molecule(drug) for drug in entities]
        for each in found:
            if each is not None:
                atoms += [_atom(atom) for atom in each.GetAtoms()]
                for bond in each.GetBonds():
                    ends = (start[-1] + bond.GetBeginAtomIdx(), start[-1] + bond.GetEndAtomIdx())
                    bonds += [ends, ends[::-1]]
            start.append(len(atoms))
        return GraphTable(
            EntityKind.drug,
            np.array(atoms, dtype=np.float32).reshape(-1, ATOM_FEATURES),
            np.array(bonds, dtype=np.int64).reshape(-1, 2).T.copy(),
            np.array(start, dtype=np.int64),
            np.array([each is not None for each in found], dtype=bool),
        )


def _atom(atom: Any) -> Any:
    from rdkit.Chem import ValenceType

    values = np.zeros(ATOM_FEATURES, dtype=np.float32)
    symbol = atom.GetSymbol()
    values[ELEMENTS.index(symbol) if symbol in ELEMENTS else len(ELEMENTS) - 1] = 1
    numbers = (atom.GetDegree(), atom.GetTotalNumHs(), atom.GetValence(ValenceType.IMPLICIT))
    for block, number in enumerate(numbers):
        values[len(ELEMENTS) + block * COUNTS + min(number, COUNTS - 1)] = 1
    values[-1] = atom.GetIsAromatic()
    return values / values.sum()
