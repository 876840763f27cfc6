"""Models that take no field which they do not know, and say which one may have been meant."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from l2aco.errors import nearest_names


class Strict(BaseModel):
    """A base that refuses unknown fields; a mistyped one is told the nearest that there is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, values: Any) -> Any:
        for name in sorted(map(str, values.keys() - cls.model_fields)) if isinstance(values, dict) else ():
            if near := nearest_names(name, cls.model_fields, 2):
                raise ValueError(f"'{name}' is no name here; did you mean {' or '.join(near)}?")
        return values
