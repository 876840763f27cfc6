"""Registries: case does not matter, duplicates and unknown names are refused, a missing extra is named."""

from __future__ import annotations

import pytest

from l2aco.errors import L2aCoError, UnavailableError, UnknownNameError
from l2aco.registry import Entry, Registry


def registry() -> Registry:
    return Registry(
        "codec",
        "l2aco.test",
        (Entry("Json", "json:dumps", aliases=("js",)), Entry("No", "no_such_module:x", extra="gpu")),
    )


def test_names_and_aliases_without_case() -> None:
    assert registry().load("JSON")([1]) == "[1]"
    assert registry().get("JS").name == "Json"
    assert "json" in registry()


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean Json") as caught:
        registry().get("jsn")
    assert caught.value.exit_code == 2


def test_duplicates_are_refused() -> None:
    with pytest.raises(L2aCoError, match="registered twice"):
        registry().register(Entry("js", "pickle:dumps"))


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(UnavailableError, match=r"l2aco\[gpu\]"):
        registry().load("no")
