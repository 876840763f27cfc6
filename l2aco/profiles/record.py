"""The profile record: what a language model said about one entity, and everything that led to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

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
        """The inverse of `to_json`; raises DamagedError when a required field is missing or one is unknown."""
        try:
            return cls(**{**value, "aliases": tuple(value.get("aliases") or ())})
        except TypeError as error:
            raise DamagedError(f"is not a profile record ({error})", where=str(value.get("key", "record"))) from None


RECORD_FIELDS = tuple(item.name for item in fields(ProfileRecord))


def render_text(fields: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The canonical text of a profile: the schema's fields in order, one `label: value` a line.

    The label is the field's name with spaces for underscores, lists are joined by `; `, line breaks inside a
    value become spaces. `confidence` is left out, and so is a field that the profile lacks.
    """
    return "\n".join(
        f"{name.replace('_', ' ')}: {_flat(fields[name])}"
        for name in schema["properties"]
        if name != NOT_EMBEDDED and name in fields
    )


def _flat(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "; ".join(_flat(item) for item in value)
    return " ".join(str(value).split())
