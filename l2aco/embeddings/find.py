"""Searching a store by a text or by an entity: what `l2aco search` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2aco.embeddings.encoders import make_encoder
from l2aco.embeddings.store import EmbeddingStore, Hit, list_stores, open_store
from l2aco.entities import Entity, EntityIndex, EntityKind
from l2aco.errors import InputError, UnknownNameError
from l2aco.progress import Progress
from l2aco.workspace import Workspace


def choose_store(workspace: Workspace, name: str | None = None) -> EmbeddingStore:
    """The store called `name`, else the one written last, those of the fake LLM only where there is no other."""
    if name is not None:
        return open_store(name, workspace)
    stores = [store for store in list_stores(workspace) if len(store)]
    if not stores:
        raise InputError("there is no embedding store", where=workspace.embeddings, remedy="Make one with: l2aco embed")
    real = [store for store in stores if set(store.manifest.counts.get("llm", {})) != {"fake"}]
    return max(real or stores, key=lambda store: (store.manifest.created_at, store.name))


def search_text(
    store: EmbeddingStore,
    text: str,
    k: int = 10,
    *,
    kind: str | None = None,
    where: Mapping[str, Any] | None = None,
    exact: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> list[Hit]:
    """The `k` records nearest to a text, which is encoded as the store's own profiles were."""
    vector = make_encoder(store.encoder, device=device).encode([text], query=True, progress=progress)[0]
    return store.search(vector, k, kind, where, exact)


def search_entity(
    store: EmbeddingStore,
    name: str,
    k: int = 10,
    *,
    kind: str | None = None,
    where: Mapping[str, Any] | None = None,
    exact: bool = False,
) -> tuple[Entity, list[Hit]]:
    """The entity called `name` and the `k` records nearest to its vector; its own are left out.

    Without `kind`, neighbours are of the entity's own kind. Raises UnknownNameError with the nearest names.
    """
    entity = find_entity(store, name)
    vectors, _ = store.vectors(entity.kind.value, [entity.id], where=where)
    own = store.records().filter(id=entity.id, kind=entity.kind.value).height
    hits = store.search(vectors[0], k + own, kind or entity.kind.value, where, exact)
    others = [hit for hit in hits if (hit.kind, hit.id) != entity.key]
    return entity, others[:k]


def find_entity(store: EmbeddingStore, name: str) -> Entity:
    """The stored drug or cell line that answers to `name`, an id or an alias."""
    frame = store.records().select("kind", "id", "name", "aliases").unique(["kind", "id"], maintain_order=True)
    known: list[str] = []
    for kind in EntityKind:
        entities = [
            Entity(row["id"], kind, row["name"], tuple(filter(None, row["aliases"].split("|"))))
            for row in frame.filter(kind=kind.value).iter_rows(named=True)
        ]
        if found := EntityIndex(kind, entities).find(name):
            return found
        known += [text for entity in entities for text in (entity.name, entity.id)]
    raise UnknownNameError("drug or cell line in this store", name, known)
