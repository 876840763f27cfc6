"""Which drugs and cell lines are known: those of the imported data sets and of the bundled reference profiles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from l2aco.data.catalog import list_datasets, open_or_simulate
from l2aco.data.dataset import DataSet
from l2aco.data.spellings import contradiction
from l2aco.entities import Entity, EntityIndex, EntityKind, join_entities, key_of_id, parse_kind, read_entities
from l2aco.errors import UsageError
from l2aco.names.synonyms import name_key
from l2aco.profiles.sets import BUNDLED, ProfileSet
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace

REFERENCE = "reference"
_ACCESSION = re.compile(r"(DB|CHEMBL|CID)?\d+")


def gather_entities(
    workspace: Workspace,
    *,
    file: Path | None = None,
    names: Sequence[str] = (),
    kind: str | None = None,
    progress: Progress | None = None,
) -> list[Entity]:
    """The entities of a file and of names of one kind, else those of the imported data sets, else those of the demo.

    `kind` is the kind of `names` and of what a file does not say; of data sets it chooses. Raises UsageError, and
    InputError where the file cannot be read.
    """
    wanted = parse_kind(kind) if kind else None
    if file is None and not names:
        return [entity for entity in _of_data_sets(workspace, progress) if wanted is None or entity.kind is wanted]
    named = _named(names, wanted)
    listed = read_entities(file, wanted) if file is not None else []
    chosen, renamed = with_known_ids([*listed, *named], workspace, progress)
    if renamed:
        shown = ", ".join(renamed[:5]) + (", ..." if len(renamed) > 5 else "")
        (progress or Silent()).say(f"{len(renamed):,} of the names have a known id or name: {shown}")
    return chosen


def _named(names: Sequence[str], kind: EntityKind | None) -> list[Entity]:
    if names and kind is None:
        raise UsageError("--name does not say what it is", remedy="Add --kind drug or --kind cell_line.")
    if not all(map(_is_text, names)):
        raise UsageError("--name holds bytes that are no UTF-8 text")
    return [Entity(name, kind, name) for name in names if kind is not None]


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _of_data_sets(workspace: Workspace, progress: Progress | None) -> list[Entity]:
    data_sets = list_datasets(workspace, progress)
    if not data_sets:
        list_datasets(workspace)  # raises where all that there are are damaged: nobody asked for the demo
        data_sets = [open_or_simulate("demo", workspace)]
    everyone = _each_once(data_sets)
    chosen = [entity for entity in everyone if not _is_nameless(entity)]
    left_out = f" ({len(everyone) - len(chosen):,} without a name left out)" if len(chosen) < len(everyone) else ""
    (progress or Silent()).say(
        f"{len(chosen):,} entities of {', '.join(data_set.name for data_set in data_sets)}{left_out}"
    )
    return chosen


def _is_nameless(entity: Entity) -> bool:
    """Whether a data set knows no more of it than an accession number, of which no model can write a profile."""
    return bool(_ACCESSION.fullmatch(entity.name)) and not entity.facts.get("smiles")


def with_known_ids(
    entities: Iterable[Entity], workspace: Workspace, progress: Progress | None = None
) -> tuple[list[Entity], list[str]]:
    """Entities without an id of their own become the ones of the imported data sets that are called so, or get the id
    of the reference profile that is: as an import gives it to them. Each stands once, also under two names that nothing
    else is called like. Beside them "name = id" of those whose id is new."""
    imported = imported_entities(workspace, progress)
    indexes = {kind: EntityIndex(kind, _with_reference(imported)) for kind in EntityKind}
    own = {entity.key for entity in imported}
    found: dict[tuple[str, str], Entity] = {}
    unknown: dict[tuple[str, str], Entity] = {}
    renamed = []
    for entity in entities:
        called = indexes[entity.kind].match(entity) if entity.id == entity.name else None
        if called is not None:
            chosen = called if called.key in own else replace(entity, id=called.id, aliases=called.aliases)
        elif entity.id == entity.name:
            first = unknown.setdefault((entity.kind, name_key(entity.name, entity.kind)), entity)
            chosen = entity if contradiction(first, entity) else first
        else:
            chosen = entity
        if chosen.id != entity.id:
            renamed.append(f"{entity.name} = {chosen.id}")
        found.setdefault(chosen.key, chosen)
    return list(found.values()), renamed


def known_entities(workspace: Workspace, progress: Progress | None = None) -> list[Entity]:
    """The entities of the imported data sets, and those of the reference profiles that none of these is called like."""
    return _with_reference(imported_entities(workspace, progress))


def _with_reference(imported: list[Entity]) -> list[Entity]:
    indexes = {kind: EntityIndex(kind, imported) for kind in EntityKind}
    return [*imported, *(entity for entity in reference_entities() if indexes[entity.kind].match(entity) is None)]


@cache
def reference_entities() -> Sequence[Entity]:
    """Those of the bundled reference profiles; what has two of them stands once, under the id of its registry."""
    entities = [
        Entity(record.entity_id, EntityKind(record.kind), record.entity_name, record.aliases)
        for record in ProfileSet(BUNDLED / REFERENCE).records()
    ]
    found = {entity.key: entity for entity in entities}
    for kind in EntityKind:
        for group in EntityIndex(kind, entities).collisions:
            first, *others = sorted(group, key=lambda entity: key_of_id(entity) is None)
            names = (text for other in others for text in (other.id, other.name, *other.aliases))
            found[first.key] = replace(first, aliases=(*first.aliases, *names))
            for other in others:
                del found[other.key]
    return tuple(found.values())


def imported_entities(workspace: Workspace, progress: Progress | None = None) -> list[Entity]:
    """Those of all data sets of the workspace, each once; see `list_datasets` for damaged ones."""
    return _each_once(list_datasets(workspace, progress))


def _each_once(data_sets: Iterable[DataSet]) -> list[Entity]:
    """With what any of the data sets tells of it; where several tell a fact, the first of them. Not taken is what a
    simulated one tells of somebody that a real one has, for it is made up, and what is told of an id that is somebody
    else's before."""
    found: dict[tuple[str, str], Entity] = {}
    for data_set in sorted(data_sets, key=lambda one: one.simulated):
        indexes = {kind: EntityIndex(kind, [one for one in found.values() if one.kind is kind]) for kind in EntityKind}
        for entity in entities_with_targets(data_set):
            known = found.get(entity.key)
            if known is None:
                found[entity.key] = entity
            elif not (data_set.simulated or indexes[entity.kind].misnamed(entity) or contradiction(known, entity)):
                first = replace(known, name=entity.name) if _ACCESSION.fullmatch(known.name) else known
                found[entity.key] = join_entities(first, entity)
    return list(found.values())


def entities_with_targets(data_set: DataSet) -> list[Entity]:
    """The entities of a data set; drugs get the targets that its knowledge graph gives them as a fact."""
    targets = known_targets(data_set)
    drugs = [
        replace(drug, facts={**drug.facts, "targets": sorted(targets[drug.id])}) if targets.get(drug.id) else drug
        for drug in data_set.drugs
    ]
    return [*drugs, *data_set.cell_lines]


def known_targets(data_set: DataSet) -> dict[str, set[str]]:
    """Gene symbols of the proteins that the graph connects with each drug, by drug id."""
    if data_set.graph is None:
        return {}
    found: dict[str, set[str]] = {}
    proteins = data_set.graph.nodes.get("protein", [])
    for (source, relation, target), ends in data_set.graph.edges.items():
        if (source, target) == ("drug", "protein") and not relation.startswith("rev_"):
            for drug, protein in ends.T.tolist():
                symbol = data_set.gene_symbols.get(proteins[protein])
                if symbol:
                    found.setdefault(data_set.graph.nodes["drug"][drug], set()).add(symbol)
    return found
