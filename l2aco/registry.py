"""Lazy registries: a name leads to `"module:attribute"`, imported only when it is asked for.

Our own backbones, encoders, losses, engines and data sources stand in the same registries that third
parties reach through Python entry points, for example in their pyproject.toml:

    [project.entry-points."l2aco.backbones"]
    MyNet = "my_package.my_net:MyNet"
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any

from l2aco.errors import L2aCoError, UnavailableError, UnknownNameError


@dataclass(frozen=True)
class Entry:
    """One name of a registry. `extra` is the pip extra that brings what `target` imports; `bases`
    ("module:Class") are what it may be: a class that extends one of them, or has what a protocol asks for."""

    name: str
    target: str
    summary: str = ""
    extra: str | None = None
    aliases: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    bases: tuple[str, ...] = ()

    def load(self) -> Any:
        """Import and return the object behind the entry; raises UnavailableError where that cannot be, or is
        something else than it should."""
        try:
            found = _imported(self.target)
        except Exception as error:  # what the code of a third party raises while it is imported
            raise UnavailableError(f"{self.name} cannot be loaded: {_words(error)}", remedy=self._remedy) from error
        wrong = [_lacks(found, _imported(base)) for base in self.bases]
        if wrong and all(wrong):
            raise UnavailableError(f"{self.name} cannot be used: {self.target} {wrong[-1]}", remedy=self._remedy)
        return found

    @property
    def _remedy(self) -> str:
        package = self.target.partition(":")[0].partition(".")[0]
        if self.extra or package == "l2aco":
            return f"Install it with: pip install 'l2aco{f'[{self.extra}]' if self.extra else ''}'"
        return f"It comes from {package}, not from L2aCo: mend that, or uninstall it."


def _imported(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"


def _lacks(found: Any, base: type) -> str:
    """What a class lacks of `base`, empty where that is nothing."""
    if not isinstance(found, type):
        return "is no class"
    if getattr(base, "_is_protocol", False):
        named = sorted(name for name in {*base.__annotations__, *vars(base)} if not name.startswith("_"))
        lacking = [name for name in named if not hasattr(found, name)]
    elif not issubclass(found, base):
        return f"does not extend {base.__module__}.{base.__name__}"
    else:
        lacking = sorted(getattr(found, "__abstractmethods__", ()))
    return f"lacks {', '.join(lacking)}" if lacking else ""


class Registry:
    """Names are matched without case; duplicates and unknown names are refused.

    `what` is the word for one item in messages ("backbone"); `group` the entry-point group; `bases` what each of its
    items is, see `Entry`.
    """

    def __init__(self, what: str, group: str, entries: tuple[Entry, ...] = (), *, bases: tuple[str, ...] = ()) -> None:
        self.what = what
        self.group = group
        self.bases = bases
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
        self._entries[entry.name] = replace(entry, bases=self.bases)
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
