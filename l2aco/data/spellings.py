"""Spellings: which names of a source without ids are one entity's, and what speaks against it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

from l2aco.entities import Entity, EntityIndex
from l2aco.names.synonyms import name_key


def joined_spellings(
    entities: Iterable[Entity], described: Mapping[str, Entity], known: EntityIndex | None
) -> dict[str, str]:
    """The first id by every other that is a name of the same entity: one that folds alike, is a synonym, or is one of
    the `known` entities' as well, where nothing contradicts. Without `known`, only what differs in case, spaces and
    Unicode form.

    `described` holds by id what else is known of an entity.
    """
    groups: dict[str, list[list[Entity]]] = {}
    for entity in entities:
        alike = groups.setdefault(_key(entity, known), [])
        own = described[entity.id]
        group = next((group for group in alike if not any(contradiction(own, other) for other in group)), None)
        if group is None:
            alike.append(group := [])
        group.append(own)
    return {other.id: group[0].id for alike in groups.values() for group in alike for other in group[1:]}


def _key(entity: Entity, known: EntityIndex | None) -> str:
    if known is None:
        return " ".join(unicodedata.normalize("NFKC", entity.id).casefold().split())
    called = known.match(entity)
    return name_key(entity.id if called is None else called.name, entity.kind)


def contradiction(one: Entity, other: Entity) -> str | None:
    """What two entities that are called alike cannot both be: their ids in one registry, structures or tissues; None
    where nothing contradicts."""
    ids, others = one.facts.get("xrefs", {}), other.facts.get("xrefs", {})
    for registry in sorted(ids.keys() & others.keys()):
        if ids[registry] != others[registry]:
            return f"{registry} {ids[registry]} and {others[registry]}"
    if _differ(one, other, "smiles") and _skeleton(one.facts["smiles"]) != _skeleton(other.facts["smiles"]):
        return "other structures"
    if _differ(one, other, "tissue"):
        return f"{one.facts['tissue']} and {other.facts['tissue']}"
    return None


def _differ(one: Entity, other: Entity, fact: str) -> bool:
    texts = [str(entity.facts.get(fact) or "").strip().casefold() for entity in (one, other)]
    return all(texts) and texts[0] != texts[1]


def _skeleton(smiles: str) -> str:
    """What two ways of writing a compound, or two salts of it, have in common: the first block of the InChIKey of the
    largest part; the text itself where RDKit cannot read it."""
    from rdkit import Chem
    from rdkit.Chem.MolStandardize import rdMolStandardize
    from rdkit.rdBase import BlockLogs

    with BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None:
            return smiles
        parent = rdMolStandardize.ChargeParent(molecule)
        return Chem.MolToInchiKey(parent).partition("-")[0]
