"""What the fields of a profile may hold: JSON schemas of one level of names, and vocabularies of fixed words.

    prompts/schemas/<name>.json            the JSON schema that a template's `schema` names
    prompts/vocabularies/<name>.toml       `word = "what it means"`, one a line

A schema may say `"vocabulary": "NAME"` in place of listing words: a text is then one of them, a list holds some of
them, an object has one value of the schema `each` for every one. What is asked, kept and read is the schema with the
words written out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from l2aco.errors import DamagedError, InputError
from l2aco.files import is_name, read_json, read_toml
from l2aco.workspace import Workspace, bundled

Vocabulary = Mapping[str, str]
"""What each word means, in order."""

_ELSEWHERE = ("$ref", "$dynamicRef", "$recursiveRef")
_SIZES = (
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
    "maxProperties",
    "minProperties",
    "maxContains",
    "minContains",
)
_MOST = 1_000_000
"""Letters of a text, or items of a list."""


def load_schema(given: str | Mapping[str, Any], template: Path) -> tuple[dict[str, Any], dict[str, Vocabulary]]:
    """The schema of a template (a name, or the schema itself) with its vocabularies written out, and these by field.

    Raises InputError with the file that is wrong.
    """
    root = template.parent.parent
    path = _found(root, "schemas", given, "json", template) if isinstance(given, str) else template
    try:
        value: Any = read_json(path) if isinstance(given, str) else given
    except DamagedError as error:
        raise InputError(error.message, where=error.where) from None
    words: dict[str, Vocabulary] = {}
    try:
        check_fields(value)
        fields = value["properties"]
        if not fields:
            raise ValueError("is an object without properties")
        for name, field in fields.items():
            if (vocabulary := field.get("vocabulary")) is not None:
                words[name] = _read_vocabulary(root, vocabulary, template)
        written = {name: _with_words(field, words.get(name)) for name, field in fields.items()}
        schema = {**value, "properties": written}
        if not path.is_relative_to(bundled("prompts")):  # ours are checked once and for all, in the tests
            _check_schema(schema)
    except (ValueError, RecursionError) as error:
        raise InputError(f"its schema {str(error)[:300]}", where=path) from None
    return schema, words


def check_fields(schema: Any) -> None:
    """Raise ValueError unless `schema` is that of an object with named fields, each with a schema of its own."""
    fields = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(fields, Mapping) or schema.get("type", "object") != "object":
        raise ValueError("is not an object with properties")
    for name, field in fields.items():
        if not isinstance(field, Mapping):
            raise ValueError(f"says nothing of the field '{name}'")


def infer_schema(value: Any) -> dict[str, Any]:
    """The schema of a field that holds `value`, as far as one value tells; {} is anything."""
    if isinstance(value, Mapping):
        return {"type": "object", "properties": {name: infer_schema(item) for name, item in value.items()}}
    if isinstance(value, list):
        return {"type": "array", "items": {"type": "string"}}
    names = ((bool, "boolean"), (int | float, "number"), (str, "string"))
    return next(({"type": name} for kind, name in names if isinstance(value, kind)), {})


def join_schemas(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of what either of two inferred schemas allows: text, where they are of different types."""
    if not one or not other:
        return dict(one or other)
    if one["type"] != other["type"]:
        return {"type": "string"}
    if one["type"] != "object":
        return dict(one)
    names = {**one["properties"], **other["properties"]}
    joined = {name: join_schemas(one["properties"].get(name, {}), other["properties"].get(name, {})) for name in names}
    return {**one, "properties": joined}


def _check_schema(schema: dict[str, Any]) -> None:
    import jsonschema

    if found := next((key for key in _ELSEWHERE if _holds(schema, key)), None):
        raise ValueError(f"must say everything itself: {found} leads elsewhere")
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "as a whole"
        raise ValueError(f"is no JSON schema ({place}: {error.message})") from None
    if found := next(_beyond(schema), None):
        raise ValueError(f"asks for {found[:80]}: sizes are whole numbers up to {_MOST:,}, others up to 2**53")


def _beyond(value: Any, key: str = "") -> Iterator[str]:
    """Numbers that cannot be counted with: JSON lets them have any size."""
    if isinstance(value, Mapping | list):
        for name, item in value.items() if isinstance(value, Mapping) else ((key, item) for item in value):
            yield from _beyond(item, name)
    elif isinstance(value, float):
        if key in _SIZES or not abs(value) <= 2**53:
            yield f"{key} {value:g}"
    elif isinstance(value, int) and abs(value) > (_MOST if key in _SIZES else 2**53):
        yield f"{key} of {value.bit_length()} bits"


def _holds(value: Any, key: str) -> bool:
    if isinstance(value, Mapping):
        return key in value or any(_holds(item, key) for item in value.values())
    return isinstance(value, list) and any(_holds(item, key) for item in value)


def _with_words(field: Mapping[str, Any], words: Vocabulary | None) -> dict[str, Any]:
    rest = {key: value for key, value in field.items() if key not in ("vocabulary", "each")}
    if words is None:
        return dict(field)
    if rest.get("type") == "object":
        each = {word: field.get("each", {}) for word in words}
        return {**rest, "properties": each, "required": list(words), "additionalProperties": False}
    one = {"type": "string", "enum": list(words)}
    return {**rest, "items": one, "uniqueItems": True} if rest.get("type") == "array" else {**rest, **one}


def _read_vocabulary(root: Path, name: Any, template: Path) -> Vocabulary:
    path = _found(root, "vocabularies", name, "toml", template)
    words = read_toml(path)
    if not words or not all(isinstance(meaning, str) for meaning in words.values()):
        raise InputError('holds no words, or more than words: word = "what it means"', where=path)
    return words


def _found(root: Path, folder: str, name: Any, suffix: str, template: Path) -> Path:
    """The file called `name`, beside the template or among the shipped ones."""
    if not isinstance(name, str) or not is_name(name):
        raise InputError(f"'{name}' is not the name of a file in {folder}/", where=template)
    paths = [Workspace.child(place / folder, f"{name}.{suffix}") for place in (root, bundled("prompts"))]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise InputError(f"'{name}' is not in {folder}/", where=template)
    return path
