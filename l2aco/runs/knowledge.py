"""Profile vectors of the entities that a run reads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.entities import EntityKind
from l2aco.errors import InputError

if TYPE_CHECKING:
    from l2aco.workspace import Workspace


@dataclass(frozen=True)
class Knowledge:
    """Profile vectors for the entities of a data set, in their order; zero rows where the mask is False.

    `drug_vectors` (Nd, D) and `cell_vectors` (Nc, D) float32, `drug_mask` (Nd,) and `cell_mask` (Nc,) bool.
    """

    store: str
    encoder: str
    drug_vectors: np.ndarray
    drug_mask: np.ndarray
    cell_vectors: np.ndarray
    cell_mask: np.ndarray

    @property
    def hash(self) -> str:
        """Hex SHA-256 of the vectors and masks: what a run depends on, whatever else the store holds."""
        digest = hashlib.sha256()
        for array in (self.drug_vectors, self.drug_mask, self.cell_vectors, self.cell_mask):
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def arguments(self) -> dict[str, np.ndarray]:
        """Keyword arguments of `build_model`."""
        names = ("drug_vectors", "drug_mask", "cell_vectors", "cell_mask")
        return {name: getattr(self, name) for name in names}


def load_knowledge(store_name: str, dataset: DataSet, workspace: Workspace) -> Knowledge:
    """The vectors of a data set's entities out of the store; raises InputError where it has none of a kind."""
    from l2aco.embeddings.find import vectors_of
    from l2aco.embeddings.store.store import open_store

    store = open_store(store_name, workspace)
    found: dict[str, Any] = {}
    for prefix, kind, entities in (
        ("drug", EntityKind.drug, dataset.drugs),
        ("cell", EntityKind.cell_line, dataset.cell_lines),
    ):
        vectors, mask = vectors_of(store, kind, entities)
        if not mask.any():
            raise InputError(
                f"the store {store.name} holds none of the {len(entities)} {prefix} entities of {dataset.name}",
                remedy="Profile and embed them (l2aco profile, l2aco embed), or name another store with --store.",
            )
        found |= {f"{prefix}_vectors": vectors, f"{prefix}_mask": mask}
    return Knowledge(store=store.name, encoder=store.encoder.name, **found)
