"""Lazy registries: a name leads to `"module:attribute"`, imported only when it is asked for.

Our own backbones, encoders, losses, engines and data sources stand in the same registries that third
parties reach through Python entry points, for example in their pyproject.toml:

    [project.entry-points."l2aco.backbones"]
    MyNet = "my_package.my_net:MyNet"
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any

from l2aco.errors import L2aCoError, UnavailableError, UnknownNameError


@dataclass(frozen=True)
class Entry:
    """One name of a registry. `extra` is the pip extra that brings what `target` imports."""

    name: str
    target: str
    summary: str = ""
    extra: str | None = None
    aliases: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def load(self) -> Any:
        """Import and return the object behind the entry; raises UnavailableError with the pip line."""
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            extra = f"[{self.extra}]" if self.extra else ""
            raise UnavailableError(
                f"{self.name} cannot be loaded: {error}", remedy=f"Install it with: pip install 'l2aco{extra}'"
            ) from error


class Registry:
    """Names are matched without case; duplicates and unknown names are refused.

    `what` is the word for one item in messages ("backbone"); `group` the entry-point group.
    """

    def __init__(self, what: str, group: str, entries: tuple[Entry, ...] = ()) -> None:
        self.what = what
        self.group = group
        self._entries: dict[str, Entry] = {}
        self._names: dict[str, str] = {}
        for entry in entries:
            self.register(entry)

    def register(self, entry: Entry) -> None:
        """Add an entry; raises L2aCoError when its name or an alias is taken."""
        for name in (entry.name, *entry.aliases):
            if name.casefold() in self._names:
                taken = self._names[name.casefold()]
                raise L2aCoError(
                    f"{self.what} '{name}' is registered twice ({self._entries[taken].target} and {entry.target})",
                    remedy="Rename one of them; nothing is overwritten silently.",
                )
        self._entries[entry.name] = entry
        for name in (entry.name, *entry.aliases):
            self._names[name.casefold()] = entry.name

    @cached_property
    def _third_party(self) -> None:
        for point in entry_points(group=self.group):
            self.register(Entry(name=point.name, target=point.value, summary=f"from {point.value}"))

    def get(self, name: str) -> Entry:
        """The entry called `name`; raises UnknownNameError with the nearest names."""
        self._third_party  # noqa: B018  (reads the entry points once)
        try:
            return self._entries[self._names[name.casefold()]]
        except KeyError:
            raise UnknownNameError(self.what, name, self._entries) from None

    def load(self, name: str) -> Any:
        """The object called `name`, imported now."""
        return self.get(name).load()

    def __contains__(self, name: str) -> bool:
        self._third_party  # noqa: B018
        return name.casefold() in self._names

    def __iter__(self) -> Iterator[Entry]:
        self._third_party  # noqa: B018
        return iter(sorted(self._entries.values(), key=lambda entry: entry.name.casefold()))
