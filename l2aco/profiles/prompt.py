"""Prompt templates: one TOML file for each prompt, version and kind of entity.

    prompts/<name>@<version>/<kind>.toml      name, version, kind, schema, system, user

A workspace's own prompts/ is looked at first, then the shipped one. Templates are Jinja with `entity` (id,
name, kind, aliases, facts) and `words` (the vocabularies of the schema, by field); a fact that is not known is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.files import describe_validation, read_toml, stable_hash
from l2aco.profiles.render import MOST_CHARACTERS, NotRendered, render
from l2aco.profiles.schema import Vocabulary, load_schema
from l2aco.workspace import Workspace, bundled

_VERSION = re.compile(r"[1-9][0-9]{0,5}")


class _TemplateFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int = Field(gt=0)
    kind: str
    about: str = ""
    schema_: str | dict[str, Any] = Field(alias="schema")
    system: str = Field(min_length=1, max_length=MOST_CHARACTERS)
    user: str = Field(min_length=1, max_length=MOST_CHARACTERS)


@dataclass(frozen=True)
class Template:
    """The prompt for one kind of entity. `sha256` covers system, user, schema and words.

    `words` are the vocabularies that the schema names, by field.
    """

    name: str
    version: int
    kind: str
    about: str
    schema: Mapping[str, Any]
    system: str
    user: str
    path: Path
    words: Mapping[str, Vocabulary] = field(default_factory=dict)

    @cached_property
    def sha256(self) -> str:
        words = {"words": _ordered(self.words)} if self.words else {}
        return stable_hash({"system": self.system, "user": self.user, "schema": list(_ordered(self.schema)), **words})

    def render(self, entity: Entity) -> tuple[dict[str, str], ...]:
        """The messages for one entity; raises InputError where the template cannot be used, or not for this one."""
        about = {
            "id": entity.id,
            "name": entity.name,
            "kind": entity.kind.value,
            "aliases": list(entity.aliases),
            "facts": dict(entity.facts),
        }
        shipped = self.path.is_relative_to(bundled("prompts"))
        try:
            system, user = render(
                (self.system, self.user), {"entity": about, "words": dict(self.words)}, trusted=shipped
            )
        except NotRendered as problem:
            raise InputError(f"{problem}, for '{entity.id}'", where=self.path) from None
        return ({"role": "system", "content": system}, {"role": "user", "content": user})


def _ordered(value: Any) -> Any:
    """`value` with its order made part of it: the order of fields decides the text."""
    if isinstance(value, Mapping):
        return [[key, _ordered(item)] for key, item in value.items()]
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return value


def list_prompts(workspace: Workspace) -> dict[str, list[int]]:
    """The versions of every prompt, the workspace's and the shipped ones."""
    found: dict[str, set[int]] = {}
    for root in (workspace.prompts, bundled("prompts")):
        for folder in root.glob("*@*"):
            name, _, version = folder.name.rpartition("@")
            if folder.is_dir() and _VERSION.fullmatch(version):
                found.setdefault(name, set()).add(int(version))
    return {name: sorted(versions) for name, versions in sorted(found.items())}


def load_templates(prompt: str, workspace: Workspace) -> dict[str, Template]:
    """The templates of `NAME` (its newest version) or `NAME@VERSION`, by kind of entity.

    Raises UnknownNameError with the nearest names, InputError with file and key where a file is wrong.
    """
    name, at, written = prompt.partition("@")
    known = list_prompts(workspace)
    by_fold = {item.casefold(): item for item in known}
    if name.casefold() not in by_fold:
        raise UnknownNameError("prompt", name, known, remedy="Your own go into prompts/NAME@1/drug.toml.")
    name = by_fold[name.casefold()]
    version = known[name][-1] if not at else int(written) if _VERSION.fullmatch(written) else 0
    if version not in known[name]:
        versions = ", ".join(f"{name}@{item}" for item in known[name])
        raise UsageError(f"prompt {name} has no version '{written}'", remedy=f"Known: {versions}.")
    found = {}
    for root in (bundled("prompts"), workspace.prompts):
        for kind in EntityKind:
            path = root / f"{name}@{version}" / f"{kind.value}.toml"
            if path.is_file():
                found[kind.value] = _read(path, name, version, kind.value)
    if not found:
        raise InputError("holds no drug.toml and no cell_line.toml", where=f"prompts/{name}@{version}")
    return found


def _read(path: Path, name: str, version: int, kind: str) -> Template:
    try:
        file = _TemplateFile.model_validate(read_toml(path))
    except ValidationError as error:
        raise InputError(describe_validation(error), where=path) from None
    if (file.name, file.version, file.kind) != (name, version, kind):
        raise InputError(
            f"says it is {file.name}@{file.version} for {file.kind}", where=path, remedy="Name and folder must agree."
        )
    schema, words = load_schema(file.schema_, path)
    return Template(name, version, kind, file.about, schema, file.system, file.user, path, words)
