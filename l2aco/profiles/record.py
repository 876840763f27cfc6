"""The profile record: what a language model said about one entity, and everything that led to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from l2aco.entities import EntityKind
from l2aco.errors import DamagedError

NOT_EMBEDDED = "confidence"
"""The field that says how sure the model is; it is kept, but not part of the embedded text."""


Place = tuple[str, str, int]
"""The kind and id of an entity and the number of the sample."""


@dataclass(frozen=True, slots=True)
class ProfileRecord:
    """One profile. What an imported set does not know is None.

    `key` is the hash of everything that determined the request. `fields` follows the schema of the prompt,
    `text` is its canonical rendering (see `render_text`) and the only thing that is embedded. `usage` counts
    tokens (`input`, `output`), `cost_usd` is in US dollars, `latency_s` in seconds, `created_at` is UTC in
    ISO 8601. `sample` numbers several profiles of one entity from 0.
    """

    key: str
    entity_id: str
    entity_name: str
    kind: str
    fields: Mapping[str, Any]
    text: str
    llm: str | None = None
    model: str | None = None
    endpoint: str | None = None
    prompt_name: str | None = None
    prompt_version: int | None = None
    prompt_sha256: str | None = None
    sampling: Mapping[str, Any] | None = None
    sample: int = 0
    finish_reason: str | None = None
    usage: Mapping[str, int] | None = None
    cost_usd: float | None = None
    attempts: int | None = None
    latency_s: float | None = None
    created_at: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """A set holds one record of each."""
        return self.kind, self.entity_id, self.sample

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object with every field, in order."""
        return {name: getattr(self, name) for name in RECORD_FIELDS}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; raises DamagedError when a required field is missing, one is unknown or holds
        something else."""
        try:
            aliases = value.get("aliases") or ()
            record = cls(**{**value, "aliases": tuple(aliases) if isinstance(aliases, list) else aliases})
            record._check()
        except (TypeError, ValueError) as error:
            raise DamagedError(f"is not a profile record ({error})", where=str(value.get("key", "record"))) from None
        return record

    def _check(self) -> None:
        for name in RECORD_FIELDS:
            value, wanted = getattr(self, name), _TYPES.get(name, str)
            optional = value is None and name not in _NEVER_NONE
            if not optional and (not isinstance(value, wanted) or isinstance(value, bool)):
                raise ValueError(f"'{name}' holds {type(value).__name__}")
            if isinstance(value, int | float) and not abs(value) <= _MOST:
                raise ValueError(f"'{name}' holds a number out of all bounds")
        if not all(isinstance(alias, str) for alias in self.aliases):
            raise ValueError("'aliases' holds more than text")
        bytes.fromhex(self.key)
        EntityKind(self.kind)
        if not self.entity_id or self.sample < 0:
            raise ValueError("'entity_id' is empty, or 'sample' below 0")


RECORD_FIELDS = tuple(item.name for item in fields(ProfileRecord))
_TYPES: dict[str, type | tuple[type, ...]] = {
    "fields": Mapping,
    "prompt_version": int,
    "sampling": Mapping,
    "sample": int,
    "usage": Mapping,
    "cost_usd": (int, float),
    "attempts": int,
    "latency_s": (int, float),
    "aliases": tuple,
}
"""What a field holds that is not text."""
_MOST = 2**53
"""Beyond it whole numbers are not exact everywhere."""
_NEVER_NONE = ("key", "entity_id", "entity_name", "kind", "fields", "text", "sample")


def render_text(fields: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The canonical text of a profile: the schema's fields in order, one `label: value` a line.

    The label is the field's name with spaces for underscores, lists are joined by `; `, and so are the named values of
    a group, each `label value`; line breaks inside a value become spaces. `confidence` is left out, and so is what
    the profile lacks.
    """
    return "\n".join(
        f"{_label(name)}: {_flat(fields[name])}"
        for name in schema["properties"]
        if name != NOT_EMBEDDED and fields.get(name) is not None
    )


def _label(name: str) -> str:
    return name.replace("_", " ")


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{_label(name)} {_flat(item)}" for name, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        return "; ".join(_flat(item) for item in value)
    return " ".join(str(value).split())
