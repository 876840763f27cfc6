"""Models that take no field which they do not know, and say which one may have been meant; no true for a number."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from l2aco.errors import nearest_names


class Strict(BaseModel):
    """A base that refuses unknown fields; a mistyped one is told the nearest that there is. true and false are no
    numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, values: Any) -> Any:
        for name in sorted(map(str, values.keys() - cls.model_fields)) if isinstance(values, dict) else ():
            if near := nearest_names(name, cls.model_fields, 2):
                raise ValueError(f"'{name}' is no name here; did you mean {' or '.join(near)}?")
        return values

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_no_truths(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, dict) else ():
            field = cls.model_fields.get(name)
            if field is not None and _is_number(field.annotation):
                for item in value if isinstance(value, list | tuple) else (value,):
                    if isinstance(item, bool):
                        raise ValueError(f"'{name}' holds {str(item).lower()}, which is no number")
        return values


def _is_number(annotation: Any) -> bool:
    """Whether a field takes numbers, alone or in a list, and no truth value."""
    kinds = _kinds(annotation)
    return bool(kinds & {int, float}) and not kinds & {bool, Any}


def _kinds(annotation: Any) -> set[Any]:
    return set().union(*map(_kinds, get_args(annotation))) if get_args(annotation) else {annotation}
