"""Drugs and cell lines: what they are called, and how a name finds its entity.

The same compound is written "5-FU", "Adrucil" or "Fluorouracil sodium"; the same line "HT-29" or "HT29". `l2aco.names`
folds what never distinguishes two entities and knows synonyms; here names find entities.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.columns import columns_called, pick_columns, shown
from l2aco.errors import InputError, UnknownNameError
from l2aco.names.fold import normalise_name
from l2aco.names.near import NearNames
from l2aco.names.synonyms import is_known, name_key, name_of_id, read_table
from l2aco.tables import Table, read_lines, read_raw

if TYPE_CHECKING:
    import polars as pl


class EntityKind(StrEnum):
    drug = "drug"
    cell_line = "cell_line"


@dataclass(frozen=True, slots=True)
class Entity:
    """A drug or a cell line. `id` is stable (DB00530, A375); `facts` are optional known things about it.

    Facts in use: `smiles`, `targets` (gene symbols), `tissue`, `disease`, `xrefs` (mapping).
    """

    id: str
    kind: EntityKind
    name: str
    aliases: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """(kind, id): an id is unique only within its kind."""
        return (self.kind.value, self.id)


class EntityIndex:
    """Finds entities of one kind by id, name or alias, and by what the synonym table knows of these.

    An exact id wins over a name, a name over an alias, what is written over a synonym. `collisions` lists the groups
    of entities that are called alike.
    """

    def __init__(self, kind: EntityKind, entities: Iterable[Entity]) -> None:
        self.kind = kind
        self.entities = [entity for entity in entities if entity.kind is kind]
        self._by_id = {entity.id: entity for entity in self.entities}
        self._by_name: dict[str, Entity | None] = {}
        for entity in self.entities:
            self._by_name[entity.name] = None if entity.name in self._by_name else entity
        names, aliases, same_names, same_aliases = self._tables = tuple(dict[str, list[Entity]]() for _ in range(4))
        for entity in self.entities:
            for written in (entity.name, entity.id):
                _add(names, normalise_name(written, kind), entity)
            _add(same_names, name_key(entity.name, kind), entity)
            for alias in entity.aliases:
                _add(aliases, normalise_name(alias, kind), entity)
                _add(same_aliases, name_key(alias, kind), entity)
        self.collisions = _together(group for table in (names, same_names) for group in table.values())

    def exact(self, name: str) -> Entity | None:
        """The entity with this id, else the only one with this name, both to the letter."""
        return self._by_id.get(name) or self._by_name.get(name)

    def find(self, name: str) -> Entity | None:
        """The one entity called `name`, or None; raises InputError when the name is ambiguous."""
        if entity := self._by_id.get(name):
            return entity
        keys = (normalise_name(name, self.kind), name_key(name, self.kind))
        for table, key in zip(self._tables, (keys[0], keys[0], keys[1], keys[1]), strict=True):
            found = table.get(key, [])
            if len(found) > 1:  # of several ids of one drug, that of the registry
                main = name_key(name, self.kind)
                found = [item for item in found if key_of_id(item) == main] or found
            if len(found) > 1:
                ids = ", ".join(entity.id for entity in found)
                raise InputError(f"'{name}' may be any of {ids}", remedy="Use the id instead of the name.")
            if found:
                return found[0]
        return None

    def resolve(self, name: str) -> Entity:
        """Like `find`, but an unknown name raises UnknownNameError with the nearest names."""
        if entity := self.find(name):
            return entity
        raise unknown_entity(self.kind.value.replace("_", " "), name, self.entities)

    def match(self, entity: Entity) -> Entity | None:
        """The one entity with the id, else the name or an alias of `entity`; None where there is none, or several, or
        where the one with its id is called otherwise."""
        if self.misnamed(entity) is not None:
            return None
        for written in (entity.id, entity.name, *entity.aliases):
            try:
                found = self.find(written)
            except InputError:
                return None
            if found is not None:
                return found
        return None

    def misnamed(self, entity: Entity) -> str | None:
        """How the one with the id of `entity` is called here, where that is not what `entity` is called; else None."""
        found = self._by_id.get(entity.id)
        if found is None or found is entity:
            return None
        asked, known = _keys(entity), _keys(found)
        return found.name if asked and known and asked.isdisjoint(known) else None

    @cached_property
    def near(self) -> NearNames:
        """Finds the names and ids here of which another name is a slip of the pen."""
        return NearNames(self.kind, _called(self.entities))

    def __len__(self) -> int:
        return len(self.entities)


def join_entities(first: Entity | None, second: Entity) -> Entity:
    """One entity of two with the same id: names of both, each once, facts of the first before those of the second."""
    one = first or second
    names = (*one.aliases, *(() if first is None else (second.name, *second.aliases)))
    facts = {**second.facts, **one.facts}
    if "xrefs" in facts:
        facts["xrefs"] = {**second.facts.get("xrefs", {}), **one.facts.get("xrefs", {})}
    aliases = tuple(name for name in dict.fromkeys(names) if name not in (one.name, one.id))
    return replace(one, aliases=aliases, facts=facts)


def unknown_entity(what: str, name: str, known: Iterable[Entity], *, remedy: str | None = None) -> UnknownNameError:
    """The error for a name that is none of the `known` entities', with those of which it is a slip of the pen by any of
    their names, else the first that begin with it."""
    known = list(known)
    near = [
        text
        for kind in EntityKind
        if (of_kind := [entity for entity in known if entity.kind is kind])
        for text in NearNames(kind, _called(of_kind)).of(name) or _near_synonyms(name, kind, of_kind)
    ]
    names = sorted({entity.name for entity in known})
    return UnknownNameError(what, name, names, remedy=remedy, near=near or _begin_with(name, known))


def _near_synonyms(name: str, kind: EntityKind, known: Sequence[Entity]) -> list[str]:
    """The names of the synonym table that are near, each with that of the entity."""
    by_key = {name_key(entity.name, kind): entity.name for entity in reversed(known)}
    meant = {
        text: by_key[key]
        for one in read_table(kind)
        if (key := normalise_name(one.name, kind)) in by_key
        for text in one.synonyms
    }
    return [f"{text} ({meant[text]})" for text in NearNames(kind, meant).of(name)]


def _begin_with(name: str, known: Sequence[Entity]) -> list[str]:
    """At most three names that begin with two letters or more."""
    asked = {kind: normalise_name(name, kind) for kind in EntityKind}
    found = {
        entity.name
        for entity in known
        if len(asked[entity.kind]) > 1 and normalise_name(entity.name, entity.kind).startswith(asked[entity.kind])
    }
    return sorted(found)[:3]


def _called(entities: Iterable[Entity]) -> list[str]:
    return [text for entity in entities for text in (entity.name, entity.id, *entity.aliases)]


def _add(table: dict[str, list[Entity]], key: str, entity: Entity) -> None:
    found = table.setdefault(key, [])
    if entity not in found:
        found.append(entity)


def _together(groups: Iterable[list[Entity]]) -> list[list[Entity]]:
    """Groups of two and more, those that share an entity as one."""
    group_of: dict[str, list[Entity]] = {}
    for group in groups:
        if len(group) > 1:
            whole = list({item.id: item for one in group for item in group_of.get(one.id, [one])}.values())
            group_of |= {item.id: whole for item in whole}
    return list({id(group): group for group in group_of.values()}.values())


def _keys(entity: Entity) -> set[str]:
    """Keys of what an entity is called; where it has no name but its id, of what the synonym table calls that."""
    named = [text for text in (entity.name, *entity.aliases) if text != entity.id and not name_of_id(text, entity.kind)]
    if not named:
        return {name_key(entity.id, entity.kind)} if is_known(entity.id, entity.kind) else set()
    return {name_key(text, entity.kind) for text in named}


def key_of_id(entity: Entity) -> str | None:
    """The key (`name_key`) of the main name that a public registry gives the id; None where it is no such id."""
    name = name_of_id(entity.id, entity.kind)
    return name and name_key(name, entity.kind)


_COLUMNS = {
    "name": (
        *("name", "entity", "entity_name", "drug_name", "compound_name", "dname", "drug", "compound"),
        *("cell_line_name", "cell_line", "cell", "stripped_cell_line_name"),
    ),
    "kind": ("kind", "entity_kind", "type"),
    "id": ("id", "entity_id", "drugbank_id", "depmap_id", "model_id", "chembl_id"),
    "aliases": ("aliases", "alias", "synonyms"),
    "smiles": ("smiles", "smile", "isomeric_smiles", "canonical_smiles", "canonical_smi", "processed_smiles"),
    "tissue": ("tissue", "tissue_name", "primary_tissue", "lineage", "oncotree_lineage", "organ", "primary_site"),
    "disease": ("disease", "primary_disease", "oncotree_primary_disease"),
}
_FACTS = ("smiles", "tissue", "disease")
_SITES = ("site", "sample_collection_site", "collection_site")
"""Where a sample was taken: the tissue of a line only where nothing says more, and no fluid or lymph node, which the
tumour had merely spread to."""
_SPREAD_TO = re.compile(r"effusion|ascites|lymph.?node|fluid", re.IGNORECASE)
_XREFS = {
    "drugbank": ("drugbank", "drugbank_id"),
    "pubchem": ("pubchem", "pubchem_cid", "cid"),
    "chembl": ("chembl", "chembl_id"),
    "depmap": ("depmap", "depmap_id"),
    "cellosaurus": ("cellosaurus", "cellosaurus_id", "rrid"),
}
_PAIR_COLUMNS = frozenset({"drugb", "drug2", "drugcol", "compoundb", "compound2"})
_KINDS = {
    "drug": EntityKind.drug,
    "drugs": EntityKind.drug,
    "compound": EntityKind.drug,
    "cellline": EntityKind.cell_line,
    "celllines": EntityKind.cell_line,
    "cell": EntityKind.cell_line,
}


_SMILES = r"^(Br|Cl|Si|Se|[BCNOPSFIbcnops]|\[[^\[\]]+\]|[-=#$:/\\.()@+%0-9*])+$"
_LONGEST_NAME = 200


def parse_kind(text: str, *, where: str | None = None) -> EntityKind:
    """`drug` or `cell_line` from what people write ("cell line", "Cell-Line", "drugs")."""
    if _folded_kind(text) not in _KINDS:
        raise InputError(f"'{text}' is no kind of entity", where=where, remedy="Use drug or cell_line.")
    return _KINDS[_folded_kind(text)]


def _folded_kind(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.casefold())


def are_names(text: pl.Series) -> bool:
    """Whether what stands in a column (text, null where nothing does) can be names: mostly no structures, printed
    vectors or long texts."""
    known = text.drop_nulls()
    structure = known.str.contains(_SMILES) & known.str.contains(r"[=#(]")
    strange = structure | known.str.starts_with("[") | (known.str.len_chars() > _LONGEST_NAME)
    return not len(known) or 2 * int(strange.sum()) < len(known)


def read_entities(
    path: Path, kind: EntityKind | None = None, tell: Callable[[str], None] = lambda note: None
) -> list[Entity]:
    """Read entities from CSV, TSV, Parquet, Excel, or TXT (one name a line).

    Columns: name (or id alone, which then is the name), kind, and optionally id and aliases (separated by `;` or `|`);
    every other column that is not empty becomes a fact, those of public registries under `xrefs`. `kind` is used where
    the file has no such column. `tell` hears of facts that were guessed. Raises InputError naming the file, line and
    column.
    """
    raw = read_lines(path, ("name",)) if path.suffix.casefold() == ".txt" else read_raw(path)
    found = raw.frame.columns
    if not _PAIR_COLUMNS.isdisjoint(re.sub(r"[^a-z0-9]", "", column.casefold()) for column in found):
        raise InputError(
            "has two drugs on a line, as a table of measurements has",
            where=path,
            remedy=f"l2aco data import {path} --name NAME makes a data set of it, whose entities are known then.",
        )
    columns = _pick(raw, tell)
    if not {"name", "id"} & columns.keys():
        raise InputError(
            "has no column 'name' or 'id'",
            where=path,
            remedy=f"Columns found: {shown(found)}. Name one of them 'name' or 'id'.",
        )
    table = raw.texts()
    table.require(columns.get("name", columns.get("id", "")))
    entities: dict[tuple[str, str], int] = {}
    listed = []
    for number, row in enumerate(table.frame.iter_rows(named=True)):
        try:
            entity = _entity(row, columns, kind)
        except InputError as error:
            raise InputError(error.message, where=table.where(number), remedy=error.remedy) from None
        if (before := entities.setdefault(entity.key, number)) != number:
            raise InputError(
                f"'{entity.id}' stands on line {table.where(before).rpartition(':')[2]} already",
                where=table.where(number),
                remedy="Remove one of the two lines, or give them different ids.",
            )
        listed.append(entity)
    return listed


def _pick(raw: Table, tell: Callable[[str], None]) -> dict[str, str]:
    """The file's column of each role that it has."""
    fits = {"name": are_names, "kind": _are_kinds, **dict.fromkeys(_FACTS, _is_known)}
    picked = pick_columns(raw.path, raw.frame.columns, _COLUMNS, _COLUMNS, "", fits, raw.text)
    columns = {role: name for role, name in picked.items() if name is not None}
    if "tissue" not in columns and (sites := columns_called(raw.frame.columns, _SITES)):
        columns["tissue"] = sites[0]
        tell(f"{raw.path.name}: '{sites[0]}' is where a sample was taken: fluids and lymph nodes are no tissue.")
    guessed = [f"'{columns[role]}' as {role}" for role in _FACTS if columns.get(role, role).strip().casefold() != role]
    if guessed:
        tell(f"{raw.path.name}: read {', '.join(guessed)}.")
    return columns


def _are_kinds(text: pl.Series) -> bool:
    return all(_folded_kind(value) in _KINDS for value in text.drop_nulls().unique())


def _is_known(text: pl.Series) -> bool:
    return text.null_count() < len(text)


def _entity(row: Mapping[str, str | None], columns: Mapping[str, str], kind: EntityKind | None) -> Entity:
    given = {role: value for role, column in columns.items() if (value := row[column]) is not None}
    name = given.get("name") or given["id"]
    if "kind" in given:
        kind = parse_kind(given["kind"])
    if kind is None:
        raise InputError(
            "says neither drug nor cell line",
            remedy="Add a column 'kind', or pass --kind drug or --kind cell_line.",
        )
    if _SPREAD_TO.search(given.get("tissue", "")):
        del given["tissue"]
    aliases = tuple(part.strip() for part in re.split(r"[;|]", given.get("aliases", "")) if part.strip())
    others = {column: value for column, value in row.items() if value and column not in columns.values()}
    facts = {role: given[role] for role in _FACTS if role in given} | _facts(others)
    return Entity(id=given.get("id", name), kind=kind, name=name, aliases=aliases, facts=facts)


def _facts(columns: Mapping[str, str]) -> dict[str, Any]:
    """Columns as facts: names lower-cased, those of known registries under `xrefs`."""
    facts: dict[str, Any] = {}
    xrefs: dict[str, str] = {}
    for column, value in columns.items():
        folded = column.strip().casefold().replace(" ", "_")
        registry = next((name for name, names in _XREFS.items() if folded in names), None)
        if registry:
            xrefs[registry] = value
        elif folded:
            facts[folded] = value
    return facts | ({"xrefs": xrefs} if xrefs else {})
