"""Prompt templates: one TOML file for each prompt, version and kind of entity.

    prompts/<name>@<version>/<kind>.toml      name, version, kind, schema, system, user
    prompts/schemas/<name>.json               the JSON schema that a template's `schema` names

A workspace's own prompts/ is looked at first, then the shipped one. Templates are Jinja with `entity` (id,
name, kind, aliases, facts); a fact that is not known is empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.files import describe_validation, read_toml, stable_hash
from l2aco.workspace import Workspace, bundled

DEFAULT_PROMPT = "plain"


class _TemplateFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int = Field(gt=0)
    kind: str
    about: str = ""
    schema_: str | dict[str, Any] = Field(alias="schema")
    system: str = Field(min_length=1)
    user: str = Field(min_length=1)


@dataclass(frozen=True)
class Template:
    """The prompt for one kind of entity. `sha256` covers system, user and schema."""

    name: str
    version: int
    kind: str
    about: str
    schema: Mapping[str, Any]
    system: str
    user: str
    path: Path

    @cached_property
    def sha256(self) -> str:
        return stable_hash({"system": self.system, "user": self.user, "schema": list(_ordered(self.schema))})

    @cached_property
    def _compiled(self) -> tuple[Any, Any]:
        import jinja2

        environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        try:
            return environment.from_string(self.system), environment.from_string(self.user)
        except jinja2.TemplateError as error:
            raise InputError(f"is not a valid template ({error})", where=self.path) from None

    def render(self, entity: Entity) -> tuple[dict[str, str], ...]:
        """The messages for one entity; raises InputError where the template uses something unknown."""
        import jinja2

        facts = _Facts(entity.facts)
        values = {"id": entity.id, "name": entity.name, "kind": entity.kind.value, "aliases": entity.aliases}
        try:
            system, user = (part.render(entity={**values, "facts": facts}).strip() for part in self._compiled)
        except jinja2.TemplateError as error:
            raise InputError(f"cannot be rendered for '{entity.id}' ({error})", where=self.path) from None
        return ({"role": "system", "content": system}, {"role": "user", "content": user})


class _Facts(dict[str, Any]):
    """Facts of an entity; one that is not known is empty, so that templates can ask for any."""

    def __missing__(self, key: str) -> str:
        return ""


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
            if folder.is_dir() and version.isdigit():
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
    version = known[name][-1] if not at else int(written) if written.isdigit() else 0
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
    schema = file.schema_ if isinstance(file.schema_, dict) else _read_schema(path, file.schema_)
    if schema.get("type") != "object" or not schema.get("properties"):
        raise InputError("its schema is not an object with properties", where=path)
    return Template(name, version, kind, file.about, schema, file.system, file.user, path)


def _read_schema(template: Path, name: str) -> dict[str, Any]:
    for root in (template.parent.parent, bundled("prompts")):
        path = root / "schemas" / f"{name}.json"
        if path.is_file():
            try:
                value = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InputError(f"is not valid JSON ({error})", where=path) from None
            return dict(value)
    raise InputError(f"its schema '{name}' is not in schemas/", where=template)
