"""Who is asked about: entities that a run was trained with, and those that it was not, with what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from l2aco.entities import Entity, EntityIndex, EntityKind, unknown_entity
from l2aco.errors import InputError, MismatchError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np

    from l2aco.embeddings.store.store import EmbeddingStore
    from l2aco.runs.predictor import Predictor
    from l2aco.runs.run import Run


class Acquaintances:
    """Names to entities: of the run, else `given`, else of the run's data set as it is today, else of its store; one
    that has another id there is the run's own all the same.

    Nothing is loaded but names, so that a wrong one is refused at once.
    """

    def __init__(
        self,
        run: Run,
        given: Sequence[Entity] = (),
        told: Mapping[tuple[str, str], Mapping[str, np.ndarray[Any, Any]]] | None = None,
    ) -> None:
        """`told`: vectors by `Entity.key` and store that go before those of the stores. Raises InputError where the run
        calls the id of one that is given otherwise."""
        self.run, self.given, self.told = run, given, told or {}
        for entity in given:
            self._recognised(entity)

    def resolve(self, kind: EntityKind, name: str) -> Entity:
        """The entity called `name`; raises UnknownNameError with the nearest names and the way to bring it in, or
        InputError where the name is ambiguous."""
        known: list[Entity] = []
        for index in self._indexes(kind):
            if found := index.find(name):
                return self._recognised(found)
            known += index.entities
        raise unknown_entity(kind.value.replace("_", " "), name, known, remedy=self._way_in(kind, name))

    def _recognised(self, entity: Entity) -> Entity:
        """The run's own that `entity` is by its id, name or an alias, else `entity`. Raises InputError where the run
        calls its id otherwise."""
        trained = self._trained[entity.kind]
        if (called := trained.misnamed(entity)) is not None:
            raise InputError(
                f"the id {entity.id} is given to {entity.name}, and is {called} in the run",
                remedy="Leave ids of your own out, names find their entity; or write those of the run.",
            )
        return trained.match(entity) or entity

    @cached_property
    def _trained(self) -> dict[EntityKind, EntityIndex]:
        return {kind: EntityIndex(kind, self.run.entities(kind)) for kind in EntityKind}

    def _indexes(self, kind: EntityKind) -> Iterator[EntityIndex]:
        yield self._trained[kind]
        yield EntityIndex(kind, self.given)
        yield EntityIndex(kind, self._today.get(kind, []))
        for store in self.stores:
            from l2aco.embeddings.store.store import stored_entities

            yield EntityIndex(kind, stored_entities(store, kind))

    def _way_in(self, kind: EntityKind, name: str) -> str | None:
        from l2aco.embeddings.find import is_stand_in
        from l2aco.profiles.sets import open_profile_set

        if not self.run.spec.store:
            return None
        at_once = {
            EntityKind.drug: "`l2aco recommend` takes a new one at once with --smiles STRUCTURE.",
            EntityKind.cell_line: "`l2aco recommend` takes a new one at once with --llm MODEL, or one alone with "
            "--describe TEXT or --profile FILE.",
        }
        found = [
            at_once[kind],
            f"A profile counts where it is in the run's own store ({', '.join(self.run.spec.store)})",
        ]
        for store in self.stores:
            with suppress(UnknownNameError):
                profiles = open_profile_set(store.name.partition("--")[0], self.run.workspace)
                if profiles.manifest.get("llm") and profiles.prompt_label and not is_stand_in(store):
                    found.append(
                        f"l2aco profile --name '{name}' --kind {kind.value} --llm {profiles.manifest['llm']} --prompt "
                        f"{profiles.prompt_label}, then l2aco embed {profiles.name}, brings it into {store.name}"
                    )
        return f"{found[0]} {'; '.join(found[1:])}. Those of other sets are not read."

    @cached_property
    def _today(self) -> dict[EntityKind, list[Entity]]:
        from l2aco.data.catalog import open_dataset

        with suppress(UnknownNameError):
            dataset = open_dataset(str(self.run.spec.dataset), self.run.workspace)
            return {kind: dataset.entities(kind) for kind in EntityKind}
        return {}

    @cached_property
    def stores(self) -> list[EmbeddingStore]:
        """The run's stores as they are today, without those that are gone."""
        from l2aco.embeddings.store.store import open_store

        found = []
        for name in self.run.spec.store or ():
            with suppress(UnknownNameError, InputError):
                found.append(open_store(name, self.run.workspace))
        return found

    @property
    def gone(self) -> list[str]:
        """The names of the run's stores that are not in this workspace."""
        return [name for name in self.run.spec.store or () if name not in {store.name for store in self.stores}]

    def admit(self, predictor: Predictor, entities: Sequence[Entity]) -> Predictor:
        """`predictor`, told of those among `entities` that it does not know, with their vectors in the store.

        Raises MismatchError where the store now holds vectors of another encoder.
        """
        known = {entity.key for kind in EntityKind for entity in predictor.entities(kind)}
        new = list({entity.key: entity for entity in entities if entity.key not in known}.values())
        return predictor.admit(new, self._vectors(new)) if new else predictor

    def misnamed(self, entities: Iterable[Entity]) -> list[str]:
        """One line for each vector that is not used, since the store calls its id otherwise than the entity."""
        from l2aco.embeddings.find import misnamed_in

        new = list({entity.key: entity for entity in entities}.values())
        return [
            f"{line}: its vector in {store.name} is not used"
            for store in self.stores
            for kind in EntityKind
            for line in misnamed_in(store, kind, [entity for entity in new if entity.kind is kind])
        ]

    def _vectors(self, entities: Sequence[Entity]) -> dict[tuple[str, str], dict[str, np.ndarray[Any, Any]]]:
        from l2aco.embeddings.encoders.fields import numbers_in
        from l2aco.embeddings.find import vectors_of

        found: dict[tuple[str, str], dict[str, np.ndarray[Any, Any]]] = {}
        for store in self.stores:
            trained = self.run.manifest["encoders"][store.name]
            if store.encoder.name != trained:
                raise MismatchError(
                    f"the run was trained on vectors of {trained}, the store {store.name} holds those of "
                    f"{store.encoder.name}",
                    where=self.run.path,
                    remedy=f"Embed again with `l2aco embed --encoder {trained}`.",
                )
            for kind in EntityKind:
                asked = [entity for entity in entities if entity.kind is kind]
                vectors, mask = vectors_of(store, kind, asked)
                if columns := len(store.encoder.columns):
                    vectors = numbers_in(vectors, columns)
                for row, entity in enumerate(asked):
                    if mask[row]:
                        found.setdefault(entity.key, {})[store.name] = vectors[row]
        for key, by_store in self.told.items():
            found[key] = {**found.get(key, {}), **by_store}
        return found


def describe_newcomers(predictor: Predictor) -> list[str]:
    """One line for each entity that the model was not trained with: what it could not read of it."""
    if predictor.newcomers is None:
        return []
    everybody = (*predictor.newcomers.drugs, *predictor.newcomers.cell_lines)
    return [describe_newcomer(predictor, entity) for entity in everybody]


def describe_newcomer(predictor: Predictor, entity: Entity) -> str:
    """What the model could not read of one that it was not trained with."""
    assert predictor.newcomers is not None
    unknown, kinds = f"{entity.name} is not in the run's data set", entity.kind.value.replace("_", " ") + "s"
    if not predictor.scorer.reads(entity.kind):
        return f"{unknown}; the model reads nothing of {kinds}, so that all unknown ones are predicted alike"
    lacking = predictor.newcomers.lacking(entity)
    return f"{unknown}; it is predicted from what is known of it{', without ' if lacking else ''}{', '.join(lacking)}"
