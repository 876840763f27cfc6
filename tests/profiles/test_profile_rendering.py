"""A prompt may come from anybody: it sees its data, does nothing else, and cannot hold the machine up."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError
from l2aco.profiles.prompt import load_templates
from l2aco.workspace import Workspace

ERLOTINIB = Entity("DB00530", EntityKind.drug, "Erlotinib", ("Tarceva",), {"smiles": "C#C", "targets": ["EGFR"]})
RUNS_CODE = [
    '{{ self.__init__.__globals__.__builtins__.__import__("os").system("touch ran") }}',
    "{{ cycler.__init__.__globals__.os.system('touch ran') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ entity.facts.__class__.__init__.__globals__ }}",
    "{{ entity.name.format.__globals__ }}{{ '{0.__class__}'.format(entity) }}",
    "{% for name in ['__class__'] %}{{ entity | attr(name) }}{% endfor %}",
]
READS_FILES = ["{% include '/etc/passwd' %}", "{% import 'drug.toml' as x %}", "{% extends '../plain@1/drug.toml' %}"]
CHANGES_DATA = ["{{ entity.facts.update({'smiles': 'X'}) }}", "{{ entity.aliases.append('X') }}"]
TAKES_ALL = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{{ 'x' * 10 ** 9 }}",
    "{{ 7 ** 7 ** 9 | int }}{{ (9 ** 99999) ** 99999 }}",
    "{% set n = namespace(x='aa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "{% for i in range(99999) %}too much {% endfor %}",
    "{{ 'x' | center(10 ** 11) }}",
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
]


def own(workspace: Workspace, user: str) -> Path:
    path = workspace.prompts / "mine@1" / "drug.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"name": "mine", "version": 1, "kind": "drug", "schema": "drug@1", "system": "Be brief."}
    path.write_text(tomli_w.dumps({**head, "user": user}))
    return path


def rendered(workspace: Workspace, user: str, entity: Entity = ERLOTINIB) -> str:
    own(workspace, user)
    return load_templates("mine", workspace)["drug"].render(entity)[1]["content"]


@pytest.mark.parametrize("user", [*RUNS_CODE, *READS_FILES, *CHANGES_DATA])
def test_a_prompt_reaches_nothing_but_its_data(workspace: Workspace, user: str) -> None:
    with pytest.raises(InputError, match="mine@1"):
        rendered(workspace, user)
    assert not (workspace.root / "ran").exists()


@pytest.mark.parametrize("command", [("profile", "--llm", "fake", "--prompt", "mine", "--name", "x", "--kind", "drug"),
                                     ("profiles", "show", "mine", "x", "--kind", "drug", "--prompt-only")])  # fmt: skip
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_nor_does_it_on_the_command_line(
    cli: Callable[..., Any], workspace: Workspace, command: tuple[str, ...], more: tuple[str, ...]
) -> None:
    own(workspace, RUNS_CODE[0])
    if command[0] == "profiles" and more:
        return
    result = cli(*command, *more, code=1)
    assert "cannot be rendered" in result.stderr and "Traceback" not in result.output
    assert not (workspace.root / "ran").exists()


@pytest.mark.parametrize("user", TAKES_ALL)
def test_a_prompt_ends_in_time(workspace: Workspace, user: str) -> None:
    started = time.monotonic()
    with pytest.raises(InputError):
        rendered(workspace, user)
    assert time.monotonic() - started < 30
    assert rendered(workspace, "{{ entity.name }}") == "Erlotinib", "the next one is rendered all the same"


def test_what_a_prompt_may_do(workspace: Workspace) -> None:
    user = (
        "{% set known = entity.facts.smiles or 'none' %}{{ entity.name | upper }} {{ known }} "
        "{% for target in entity.facts.targets %}{{ loop.index }}. {{ target }}{% endfor %} "
        "{{ entity.aliases | join(', ') }}{{ entity.facts.nothing }} {{ entity.kind }} {{ entity.facts | length }}"
    )
    assert rendered(workspace, user) == "ERLOTINIB C#C 1. EGFR Tarceva drug 2"


def test_names_are_data_and_no_templates(workspace: Workspace) -> None:
    odd = Entity("x", EntityKind.drug, "{{ 7 * 7 }}{% raw %}\u2028\x1b\ud83d", ("\n",), {"a": float("nan")})
    assert rendered(workspace, "{{ entity.name }}", odd).startswith("{{ 7 * 7 }}{% raw %}")


def test_code_beside_a_prompt_is_not_imported(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper process does not look into the current folder for modules."""
    (workspace.root / "jinja2.py").write_text("open('ran', 'w')")
    (workspace.root / "sitecustomize.py").write_text("open('ran', 'w')")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.setattr("l2aco.profiles.render._helper", type(load_helper())())
    assert rendered(workspace, "{{ entity.name }}") == "Erlotinib"
    assert not (workspace.root / "ran").exists()


def load_helper() -> Any:
    from l2aco.profiles import render

    return render._helper
