"""Models that take no field which they do not know, and say which one may have been meant."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from l2aco.errors import nearest_names


class Strict(BaseModel):
    """A base that refuses unknown fields; a mistyped one is told the nearest that there is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, values: Any) -> Any:
        unknown = values.keys() - cls.model_fields if isinstance(values, dict) else ()
        near = {name: nearest_names(str(name), cls.model_fields, 2) for name in unknown}
        if wrong := [_mistyped(name, found, values[name]) for name, found in near.items() if found]:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return values


def _mistyped(name: str, meant: list[str], value: Any) -> InitErrorDetails:
    error = PydanticCustomError(
        "extra_forbidden", "is no name here; did you mean {meant}?", {"meant": " or ".join(meant)}
    )
    return InitErrorDetails(type=error, loc=(name,), input=value)
