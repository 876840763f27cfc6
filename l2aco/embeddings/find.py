"""Finding a store, and what is in it by a text or by an entity: what `l2aco search` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from l2aco.embeddings.encoders.table import make_encoder
from l2aco.embeddings.encoders.trust import trusted_encoder
from l2aco.embeddings.store.exact import check_k
from l2aco.embeddings.store.store import EmbeddingStore, Hit, list_stores, open_store, stored_entities
from l2aco.entities import Entity, EntityIndex, EntityKind, unknown_entity
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.progress import Progress, Silent
from l2aco.workspace import Settings, Workspace, names_in

NO_LLM = {"fake", "facts", "bare-name"}


def choose_store(
    workspace: Workspace,
    name: str | None = None,
    *,
    llm: str | None = None,
    encoder: str | None = None,
    suits: Callable[[EmbeddingStore], bool] = lambda _: True,
    progress: Progress | None = None,
) -> EmbeddingStore:
    """The store called `name`; else one of `llm` and `encoder` that holds something: first that of the settings, then
    the one written last; one that does not suit, is without an LLM, or a control, only where there is no other.

    Raises UsageError where `name` is a store of something else than `llm` and `encoder`, InputError where none fits. A
    damaged store is left out of the choice where `progress` can be told; else, or where all are, its DamagedError is
    raised.
    """
    wanted = " and ".join(f"{what} '{value}'" for what, value in (("LLM", llm), ("encoder", encoder)) if value)
    if name is not None:
        named = open_store(name, workspace)
        if not _fits(named, llm, encoder, workspace):
            raise UsageError(f"the store {named.name} is not of {wanted}", remedy="Leave one of the two out.")
        return named
    stores = [store for store in list_stores(workspace, progress) if len(store)]
    if not stores:
        list_stores(workspace)  # raises where all that there are are damaged
        raise InputError("there is no embedding store", remedy=_way_to_a_store(workspace))
    fitting = [store for store in stores if _fits(store, llm, encoder, workspace)]
    if not fitting:
        raise InputError(
            f"no embedding store of {wanted}",
            remedy=f"There are {', '.join(store.name for store in stores)}. Name one with --store, or make one with "
            f"`l2aco profile{f' --llm {llm}' if llm else ''}` and `l2aco embed`.",
        )
    settings = workspace.settings

    def rank(store: EmbeddingStore) -> tuple[bool, bool, bool, bool, str, str]:
        real = not is_stand_in(store)
        of_llm = _fits(store, settings.llm, None, workspace)
        of_encoder = _fits(store, None, settings.encoder, workspace)
        return suits(store), real, of_llm, of_encoder, store.manifest.created_at, store.name

    return max(fitting, key=rank)


def stores_of_sets(workspace: Workspace) -> list[EmbeddingStore]:
    """The store of every profile set that was written last and holds something, by name; none without an LLM, none that
    is a control, nor any that is damaged."""
    newest: dict[str, EmbeddingStore] = {}
    for store in list_stores(workspace, Silent()):
        name = store.name.partition("--")[0]
        if len(store) and not is_stand_in(store):
            newest[name] = max(store, newest.get(name, store), key=lambda item: (item.manifest.created_at, item.name))
    return sorted(newest.values(), key=lambda store: store.name)


def is_stand_in(store: EmbeddingStore) -> bool:
    """Whether it is of no LLM or of an encoder that is a control: used where it is asked for."""
    written_by = set(store.manifest.counts.get("llm", {}))
    return store.encoder.control or (bool(written_by) and written_by <= NO_LLM)


def check_store_words(workspace: Workspace, *, llm: str | None = None, encoder: str | None = None) -> None:
    """Raises UnknownNameError where `llm` is no language model and no profile set, or nothing answers to `encoder`."""
    from l2aco.embeddings.encoders.table import resolve_encoder
    from l2aco.llm.catalog import resolve_model
    from l2aco.profiles.sets import open_profile_set

    names = [name.casefold().partition("--") for name in names_in(workspace.embeddings)]
    if llm is not None and llm.casefold() not in (profiles for profiles, _, _ in names):
        try:
            open_profile_set(llm, workspace)
        except UnknownNameError:
            resolve_model(llm, workspace.settings)
    if encoder is not None and encoder.casefold() not in (used for _, _, used in names):
        resolve_encoder(encoder, workspace.settings)


def _fits(store: EmbeddingStore, llm: str | None, encoder: str | None, workspace: Workspace) -> bool:
    """Whether a store called `<profile set>--<encoder>` is of this encoder and holds profiles of this LLM (any set of
    it), or of a set of that name."""
    profiles, _, used = store.name.casefold().partition("--")
    if encoder is not None and used != encoder.casefold():
        return False
    if llm is None:
        return True
    written_by = {name.casefold() for name in store.manifest.counts.get("llm", {})}
    return not {profiles, *written_by}.isdisjoint(_names_of(llm, workspace))


def _names_of(llm: str, workspace: Workspace) -> set[str]:
    """How an LLM may be called in a store: as the user does, and by its alias."""
    from l2aco.llm.catalog import resolve_model

    names = {llm.casefold()}
    with suppress(UnknownNameError):  # `reference` is a set of profiles and no model
        names.add(resolve_model(llm, workspace.settings).alias.casefold())
    return names


def _way_to_a_store(workspace: Workspace) -> str:
    from l2aco.profiles.sets import list_profile_sets

    if made := list_profile_sets(workspace, bundled=False):
        return f"Embed the profiles of {', '.join(item.name for item in made)}: l2aco embed."
    return "Make one: l2aco profile --llm reference, then l2aco embed --encoder minilm."


def search_text(
    store: EmbeddingStore | str,
    text: str,
    k: int = 10,
    *,
    kind: str | None = None,
    where: Mapping[str, Any] | None = None,
    exact: bool = False,
    device: str = "auto",
    settings: Settings | None = None,
    trust: bool = False,
    progress: Progress | None = None,
) -> list[Hit]:
    """The `k` records nearest to a text, which is encoded as the store's own profiles were.

    By an encoder that this installation or `settings` know, `trust` or not: see `encoders.trust.trusted_encoder`.
    """
    store = open_store(store)
    check_k(k)
    encoder = make_encoder(trusted_encoder(store.encoder, settings, trust=trust), device=device)
    vector = encoder.encode([text], query=True, progress=progress)[0]
    return store.search(vector, k, kind, where, exact)


def search_entity(
    store: EmbeddingStore | str,
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
    store = open_store(store)
    check_k(k)
    entity = find_entity(store, name)
    vectors, _ = store.vectors_of_ids(entity.kind.value, [entity.id], where=where)
    own = store.records().filter(id=entity.id, kind=entity.kind.value).height
    hits = store.search(vectors[0], k + own, kind or entity.kind.value, where, exact)
    others = [hit for hit in hits if (hit.kind, hit.id) != entity.key]
    return entity, others[:k]


def vectors_of(
    store: EmbeddingStore, kind: EntityKind, entities: Sequence[Entity]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """float32 (n, D) and bool (n,): the vector of each entity by its id, else of the one in the store that is called
    like it; zero and False where there is none, or where the one with its id is called otherwise (`misnamed_in`)."""
    vectors, mask = store.vectors_of_ids(kind, [entity.id for entity in entities])
    wrong = [row for row, _ in _misnamed_rows(store, kind, entities)]
    vectors[wrong], mask[wrong] = 0, False
    if not mask.all():
        index = EntityIndex(kind, stored_entities(store, kind))
        lacking = np.flatnonzero(~mask).tolist()
        called = {row: found.id for row in lacking if (found := index.match(entities[row])) is not None}
        vectors[[*called]], mask[[*called]] = store.vectors_of_ids(kind, [*called.values()])
    return vectors, mask


def misnamed_in(store: EmbeddingStore, kind: EntityKind, entities: Sequence[Entity]) -> list[str]:
    """The entities whose id is in the store that of something called otherwise, in words."""
    return [
        f"{entities[row].id} '{entities[row].name}' (there '{name}')"
        for row, name in _misnamed_rows(store, kind, entities)
    ]


def _misnamed_rows(store: EmbeddingStore, kind: EntityKind, entities: Sequence[Entity]) -> list[tuple[int, str]]:
    index = EntityIndex(kind, stored_entities(store, kind, {entity.id for entity in entities}))
    names = (index.misnamed(entity) for entity in entities)
    return [(row, name) for row, name in enumerate(names) if name is not None]


def find_entity(store: EmbeddingStore, name: str) -> Entity:
    """The stored drug or cell line that answers to `name`, an id, an alias or a synonym."""
    known: list[Entity] = []
    for kind in EntityKind:
        entities = stored_entities(store, kind)
        if found := EntityIndex(kind, entities).find(name):
            return found
        known += entities
    raise unknown_entity("drug or cell line in this store", name, known)
