"""Everybody that a workspace knows: the drugs and cell lines of its data sets, profile sets and stores as one list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from l2aco.data.dataset import DataSet
from l2aco.entities import Entity, EntityIndex, EntityKind, normalise_name
from l2aco.errors import InputError, L2aCoError
from l2aco.explore.page import slug
from l2aco.profiles.sets import ProfileSet
from l2aco.progress import Progress

if TYPE_CHECKING:
    from l2aco.embeddings.store.store import EmbeddingStore

FOLDERS = {EntityKind.drug: "drug", EntityKind.cell_line: "cell-line"}
MOST_FOUND = 50


@dataclass
class Known:
    """An entity with what all of its sources know of it; `where`: their names."""

    entity: Entity
    where: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    aliases: dict[str, None] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        return slug(self.entity.kind.value, self.entity.id, self.entity.name)

    @property
    def path(self) -> str:
        return f"{FOLDERS[self.entity.kind]}/{self.slug}.html"

    @property
    def whole(self) -> Entity:
        """The entity with every alias and fact."""
        one = self.entity
        return Entity(one.id, one.kind, one.name, tuple(self.aliases), self.facts)

    def add(self, other: Entity, where: str) -> None:
        """What another source says of the same entity; the first word counts."""
        if where not in self.where:
            self.where.append(where)
        self.facts = {**other.facts, **self.facts}
        named = (other.name, other.id, *other.aliases)
        self.aliases |= dict.fromkeys(name for name in named if name not in (self.entity.name, self.entity.id))


class Catalogue:
    """Those that are known, by name; found by slug, as an entity, or by what somebody writes."""

    def __init__(self, known: Sequence[Known]) -> None:
        self.known = sorted(known, key=lambda one: (one.entity.name.casefold(), one.entity.id))
        self.by_slug = {kind: {one.slug: one for one in self.of(kind)} for kind in EntityKind}
        self._by_key = {one.entity.key: one for one in self.known}
        self._indexes = {kind: EntityIndex(kind, [one.whole for one in self.of(kind)]) for kind in EntityKind}

    def of(self, kind: EntityKind) -> list[Known]:
        """The drugs or the cell lines."""
        return [one for one in self.known if one.entity.kind is kind]

    def find(self, entity: Entity) -> Known | None:
        """The one that is this entity, by id, name or synonym."""
        found = self._indexes[entity.kind].match(entity)
        return None if found is None else self._by_key[found.key]

    def path_of(self, entity: Entity) -> str | None:
        """The path of its page, where it has one."""
        found = self.find(entity)
        return None if found is None else found.path

    def search(self, text: str) -> list[Known]:
        """Who may be meant: called so, or by a known synonym; then those whose name holds the text or is near it."""
        from rapidfuzz import fuzz, process

        found: dict[tuple[str, str], Known] = {}
        for kind, index in self._indexes.items():
            with suppress(InputError):  # several: those come by the likeness of their names
                called_so = index.find(text)
                meant = [called_so] if called_so else [index.find(name) for name in index.near.of(text)]
                found |= {one.key: self._by_key[one.key] for one in meant if one is not None}
            called = {
                (one.entity.key, name): normalise_name(name, kind)
                for one in self.of(kind)
                for name in (one.entity.name, one.entity.id, *one.aliases)
            }
            near = process.extract(
                normalise_name(text, kind), called, scorer=fuzz.partial_ratio, score_cutoff=85, limit=4 * MOST_FOUND
            )
            if len(text.strip()) > 1:
                found |= {key: self._by_key[key] for _, _, (key, _) in near if key not in found}
        return list(found.values())[:MOST_FOUND]


def gather(sources: Sequence[DataSet | ProfileSet | EmbeddingStore], progress: Progress) -> Catalogue:
    """One list of all. Who is called alike is one, unless ids say otherwise; a damaged source is said and left out."""
    known: dict[tuple[str, str], Known] = {}
    for source in sources:
        try:
            entities = list({entity.key: entity for entity in _entities(source)}.values())
        except L2aCoError as error:
            progress.say(f"Left out: {error}")
            continue
        for kind in EntityKind:
            for line in _add([entity for entity in entities if entity.kind is kind], kind, source.name, known):
                progress.say(line)
    return Catalogue(list(known.values()))


def _add(
    entities: Sequence[Entity], kind: EntityKind, where: str, known: dict[tuple[str, str], Known]
) -> Iterator[str]:
    """Yields one line for each that is left out, since its id is somebody else's."""
    index = EntityIndex(kind, [one.whole for one in known.values() if one.entity.kind is kind])
    for entity in entities:
        found = index.match(entity)
        if found is None and entity.key in known:
            yield f"Left out: {entity.id} is '{known[entity.key].entity.name}', and '{entity.name}' in {where}"
        else:
            known.setdefault((found or entity).key, Known(entity)).add(entity, where)


def _entities(source: DataSet | ProfileSet | EmbeddingStore) -> Iterator[Entity]:
    if isinstance(source, DataSet):
        yield from (*source.drugs, *source.cell_lines)
    elif isinstance(source, ProfileSet):
        for record in source.records():
            yield Entity(record.entity_id, EntityKind(record.kind), record.entity_name, record.aliases)
    else:
        from l2aco.embeddings.store.store import stored_entities

        for kind in EntityKind:
            yield from stored_entities(source, kind)
