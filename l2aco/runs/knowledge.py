"""Profile vectors of the entities that a run reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from l2aco.data.dataset import DataSet
from l2aco.embeddings.encoders.fields import numbers_in
from l2aco.embeddings.find import misnamed_in, vectors_of
from l2aco.embeddings.store.store import EmbeddingStore, open_store
from l2aco.entities import EntityKind
from l2aco.errors import InputError
from l2aco.files import stable_hash
from l2aco.models.vectors import Knowledge
from l2aco.progress import Progress, Silent

if TYPE_CHECKING:
    from l2aco.workspace import Workspace


def load_knowledge(
    stores: Sequence[str], dataset: DataSet, workspace: Workspace, progress: Progress = Silent()
) -> list[Knowledge]:
    """The vectors of a data set's entities out of each store; raises InputError where one knows none of them. What is
    not used since the store calls its id otherwise is named to `progress`."""
    return [_load(open_store(name, workspace), dataset, progress) for name in stores]


def _load(store: EmbeddingStore, dataset: DataSet, progress: Progress) -> Knowledge:
    for kind in EntityKind:
        if wrong := misnamed_in(store, kind, dataset.entities(kind)):
            shown = ", ".join(wrong[:5]) + (", ..." if len(wrong) > 5 else "")
            progress.say(
                f"{len(wrong)} vectors of {store.name} are not used, their ids being called otherwise there: {shown}. "
                "Where the ids are right, import with --trust-ids."
            )
    drugs, drug_mask = vectors_of(store, EntityKind.drug, dataset.drugs)
    lines, cell_mask = vectors_of(store, EntityKind.cell_line, dataset.cell_lines)
    if not (drug_mask.any() or cell_mask.any()):
        raise InputError(
            f"the store {store.name} holds none of the drugs and cell lines of {dataset.name}",
            remedy="Profile and embed them (l2aco profile, l2aco embed), or name another store with --store.",
        )
    columns = store.encoder.columns
    if columns:
        drugs, lines = numbers_in(drugs, len(columns)), numbers_in(lines, len(columns))
    return Knowledge(store.name, store.encoder.name, drugs, drug_mask, lines, cell_mask, columns)


def combined_hash(knowledge: Sequence[Knowledge]) -> str | None:
    """What a run depends on of all stores that it reads; None where there are none."""
    hashes = [one.hash for one in knowledge]
    return stable_hash(hashes) if len(hashes) > 1 else next(iter(hashes), None)
