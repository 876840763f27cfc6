"""Prompt templates: what every shipped one must say, and how users add theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.llm.structured import explain
from l2aco.profiles.numbers import is_numeric
from l2aco.profiles.prompt import Template, list_prompts, load_templates
from l2aco.profiles.sets import BUNDLED, ProfileSet
from l2aco.workspace import Workspace, bundled

SHIPPED = sorted(
    (folder.name, path.stem)
    for folder in bundled("prompts").glob("*@*")
    for path in folder.glob("*.toml")
    if folder.name not in {"facts@1", "bare-name@1"}  # no model reads them
)
ERLOTINIB = Entity(
    "DB00530", EntityKind.drug, "Erlotinib", ("Tarceva",), {"smiles": "C#Cc1cccc", "targets": ["EGFR", "ERBB2"]}
)
A375 = Entity("A375", EntityKind.cell_line, "A375", (), {"tissue": "skin"})


def template(prompt: str, kind: str, workspace: Workspace) -> Template:
    return load_templates(prompt, workspace)[kind]


@pytest.mark.parametrize(("prompt", "kind"), SHIPPED)
def test_every_shipped_prompt_forbids_combinations_and_asks_for_doubt(
    prompt: str, kind: str, workspace: Workspace
) -> None:
    entity = ERLOTINIB if kind == "drug" else A375
    system, user = (message["content"] for message in template(prompt, kind, workspace).render(entity))
    assert "Never mention the result of any drug combination" in system
    assert "uncertain" in system
    assert "JSON" in user
    assert entity.name in user
    for field in template(prompt, kind, workspace).schema["properties"]:
        assert f"- {field}:" in system, "each field is explained"


@pytest.mark.parametrize(("prompt", "kind"), SHIPPED)
def test_every_schema_bounds_its_texts_and_lists_and_asks_for_all_fields(
    prompt: str, kind: str, workspace: Workspace
) -> None:
    schema = template(prompt, kind, workspace).schema
    assert schema["required"] == list(schema["properties"])
    assert schema["additionalProperties"] is False
    assert schema["properties"]["confidence"]["enum"] == ["high", "medium", "low"]
    for name, field in schema["properties"].items():
        if field["type"] == "array":
            assert field["maxItems"] and field["items"]["maxLength"], name
        elif is_numeric(field):
            for number in field.get("properties", {name: field}).values():
                assert "enum" in number or number["minimum"] < number["maximum"], name
        elif "enum" not in field:
            assert field["maxLength"], name


@pytest.mark.parametrize("prompt", ["plain", "grounded"])
def test_the_fields_are_those_of_the_reference_profiles(prompt: str, workspace: Workspace) -> None:
    for record in ProfileSet(BUNDLED / "reference").records():
        schema = template(prompt, record.kind, workspace).schema
        assert list(schema["properties"]) == list(record.fields)
        assert explain(record.fields, schema) == ""


def test_plain_knows_the_name_alone_and_grounded_the_facts(workspace: Workspace) -> None:
    plain = template("plain", "drug", workspace).render(ERLOTINIB)[1]["content"]
    assert not any(word in plain for word in ("DB00530", "EGFR", "C#C", "Tarceva"))
    grounded = template("grounded", "drug", workspace).render(ERLOTINIB)[1]["content"]
    assert all(word in grounded for word in ("DB00530", "EGFR, ERBB2", "C#Cc1cccc", "Tarceva"))
    assert "skin" in template("grounded", "cell_line", workspace).render(A375)[1]["content"]


def test_a_fact_that_is_not_known_leaves_no_trace(workspace: Workspace) -> None:
    bare = template("grounded", "drug", workspace).render(Entity("X", EntityKind.drug, "X"))[1]["content"]
    assert bare == "Drug: X\n\nWrite the profile as one JSON object."


def own(workspace: Workspace, called: str = "mine", number: int = 1, **changes: str) -> Path:
    values = {
        "name": f'"{called}"',
        "version": str(number),
        "kind": '"drug"',
        "schema": '"drug@1"',
        "system": '"Be brief."',
        "user": '"{{ entity.name }} {{ entity.facts.colour }}"',
        **changes,
    }
    path = workspace.prompts / f"{called}@{number}" / "drug.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(f"{key} = {value}" for key, value in values.items()))
    return path


def test_a_users_prompt_stands_beside_the_shipped_ones(workspace: Workspace) -> None:
    own(workspace)
    own(workspace, number=2, system='"Be briefer."')
    assert list_prompts(workspace)["mine"] == [1, 2]
    assert template("mine", "drug", workspace).system == "Be briefer."
    assert template("MINE@1", "drug", workspace).system == "Be brief."
    assert template("mine@1", "drug", workspace).sha256 != template("mine@2", "drug", workspace).sha256
    red = Entity("X", EntityKind.drug, "X", (), {"colour": "red"})
    assert template("mine", "drug", workspace).render(red)[1]["content"] == "X red"
    assert list(load_templates("mine", workspace)) == ["drug"]


def test_a_users_version_of_a_shipped_prompt_comes_first(workspace: Workspace) -> None:
    own(workspace, called="plain")
    assert template("plain", "drug", workspace).system == "Be brief."
    assert "cell_line" in load_templates("plain", workspace)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": '"other"'}, "says it is other@1"),
        ({"system": '""'}, "system"),
        ({"schema": '"none@1"'}, "none@1"),
        ({"user": '"{{ entity.name "'}, "not a valid template"),
        ({"user": '"{{ entity.colour }}"'}, "cannot be rendered"),
        ({"version": '"one"'}, "version"),
    ],
)
def test_a_wrong_template_names_its_file_and_what_is_wrong(
    workspace: Workspace, changes: dict[str, str], said: str
) -> None:
    path = own(workspace, **changes)
    with pytest.raises(InputError) as caught:
        template("mine", "drug", workspace).render(ERLOTINIB)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_unknown_names_and_versions_get_the_known_ones(workspace: Workspace) -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_templates("plane", workspace)
    assert "plain" in caught.value.nearest
    with pytest.raises(UsageError, match="plain@1"):
        load_templates("plain@7", workspace)
