"""What an import says aloud of names: taken as one, kept apart, known to nobody, contradicted by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from l2aco.data.spellings import contradiction
from l2aco.entities import Entity, EntityIndex, EntityKind
from l2aco.names.synonyms import name_key, name_of_id

EXAMPLES = 10


def alike_but_apart(entities: Iterable[Entity], kind: EntityKind) -> list[list[str]]:
    """Groups of entities that are called alike, and last what contradicts, where something does."""
    groups = []
    for group in EntityIndex(kind, entities).collisions:
        first, *others = group
        against = next(filter(None, (contradiction(first, other) for other in others)), None)
        groups.append([_called(entity) for entity in group] + ([f"({against})"] if against else []))
    return groups


def left_over(entities: Sequence[Entity], known: EntityIndex) -> list[str]:
    """The entities that are none of the `known` ones, with what is near, or that are the same one as another here."""
    ids = {entity.id for entity in entities}
    found = []
    for entity in entities:
        same = known.match(entity)
        near = known.near.of(entity.name, limit=1)
        if same is None:
            found.append(entity.name + (f" (near {near[0]})" if near else ""))
        elif same.id != entity.id and same.id in ids:
            found.append(f"{entity.name} (like {same.id})")
    return found


def misnamed(entities: Iterable[Entity], known: EntityIndex) -> list[str]:
    """The entities whose id is that of something else by the `known` entities, or by the synonym table."""
    found = []
    for entity in entities:
        here = known.misnamed(entity)
        public = name_of_id(entity.id, known.kind)
        if here is None and (public is None or entity.name == entity.id or _is_called(entity, public)):
            continue
        others = [f"'{here}' in the reference profiles"] if here is not None else []
        if public is not None and not (entity.name != entity.id and _is_called(entity, public)):
            others.append(f"'{public}' in its registry")
        name = "" if entity.name == entity.id else f" '{entity.name}'"
        found.append(f"{entity.id}{name} is {' and '.join(others)}")
    return found


def _is_called(entity: Entity, name: str) -> bool:
    return name_key(name, entity.kind) in {name_key(own, entity.kind) for own in (entity.name, *entity.aliases)}


def _called(entity: Entity) -> str:
    return f"'{entity.name}'" if entity.name == entity.id else f"'{entity.name}' ({entity.id})"


def name_notes(report: Mapping[str, Any], kind: EntityKind) -> list[str]:
    """Lines for the person who imports, from the report of one kind."""
    what = kind.value.replace("_", " ")
    sentences = {
        "guessed": f"Names of {what}s that the reference profiles write otherwise: {{}}. --aliases says who "
        "is who where a guess is wrong.",
        "spellings_joined": f"Names of one {what}: {{}}. --keep-apart takes them as two.",
        "joined_by_name": f"One {what} of two ids: {{}}. --keep-apart takes them as two.",
        "ids_with_other_names": f"One {what} by its id, though called otherwise: {{}}.",
        "left": f"No reference profile is of these {what}s: {{}}.",
        "ids_that_disagree": f"Ids of {what}s that the names beside them contradict: {{}}. What is known under such an "
        "id is used only where it is called so too; --trust-ids says that the ids are right, --aliases which one is.",
        "alike_but_apart": f"Each a {what} of its own, though alike: {{}}. --aliases makes them one.",
    }
    return [sentence.format(_shown(report[key])) for key, sentence in sentences.items() if report.get(key)]


def _shown(items: Sequence[Any]) -> str:
    texts = [item if isinstance(item, str) else " and ".join(item).replace(" and (", " (") for item in items[:EXAMPLES]]
    left = len(items) - EXAMPLES
    more = f"; {left:,} more under resolution in the data set's manifest.json" if left > 0 else ""
    return "; ".join(texts) + more
