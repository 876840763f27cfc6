"""How things look in Python: one line that says what they are, and a table in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from l2aco.strict import Strict


class Shown(ABC):
    """Something that says what it is."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What it is, in a few words each, what matters first."""

    def __repr__(self) -> str:
        try:
            told = ", ".join(f"{name} {value}" for name, value in self.facts().items())
        except Exception as error:  # a damaged file must not hide the object that it is part of
            told = f"damaged: {error}"
        return f"<{type(self).__name__} {told}>"

    def _repr_html_(self) -> str:
        return as_html(type(self).__name__, self.facts())


class ShownSpec(Strict):
    """A spec that shows the values that somebody gave it, and not all its defaults."""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value != field.get_default(call_default_factory=True):
                yield name, value

    def _repr_html_(self) -> str:
        return as_html(type(self).__name__, {str(name): value for name, value in self.__repr_args__()})


def as_html(title: str, facts: Mapping[str, Any]) -> str:
    """A small table of two columns."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table><caption style='text-align:left'>{escape(title)}</caption>{rows}</table>"
