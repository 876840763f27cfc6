"""Knowledge as numbers: what of a profile is a number, and the sets that ship."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from any_bytes import altered_json, json_values
from hypothesis import given
from hypothesis import strategies as st

from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError
from l2aco.llm.fake.engine import fake_answer
from l2aco.llm.structured import explain
from l2aco.profiles.exchange import export_set, import_set
from l2aco.profiles.generate import generate_profiles
from l2aco.profiles.numbers import has_text, number_columns, numbers_of
from l2aco.profiles.prompt import load_templates
from l2aco.profiles.record import render_text
from l2aco.profiles.sets import open_profile_set
from l2aco.profiles.spec import ProfileSpec
from l2aco.workspace import Workspace, bundled

PANELS = ["reference-panel", "reference-molecular"]
NUMERIC = [("panel", "cell_line"), ("panel", "drug"), ("molecular", "cell_line")]
SCHEMA: dict[str, Any] = {
    "properties": {
        "summary": {"type": "string"},
        "hours": {"type": ["number", "null"], "minimum": 8, "maximum": 400},
        "works": {"type": "boolean"},
        "dose": {"type": "integer"},
        "half": {"type": "number", "enum": [0, 0.5, 1]},
        "class": {"type": "string", "enum": ["MEK", "AKT"]},
        "hits": {"type": "array", "items": {"type": "string", "enum": ["X", "Y"]}},
        "grades": {
            "type": "object",
            "properties": {"A": {"type": "number", "minimum": -3, "maximum": 3}, "B": {"type": "number"}},
        },
        "free": {"type": "array", "items": {"type": "string"}},
        "confidence": {"type": "string", "enum": ["high", "low"]},
    }
}
COLUMNS = ["hours", "works", "dose", "half", "class=MEK", "class=AKT", "hits=X", "hits=Y", "grades.A", "grades.B"]
WHOLE: dict[str, Any] = {
    "summary": "x", "hours": 22.5, "works": True, "dose": 3, "half": 0.5, "class": "AKT", "hits": ["X"],
    "grades": {"A": -1, "B": 7}, "free": ["a"], "confidence": "low",
}  # fmt: skip


def test_a_number_a_word_and_a_truth_value_are_columns_and_text_is_none() -> None:
    assert number_columns(SCHEMA) == COLUMNS
    assert list(numbers_of(WHOLE, SCHEMA).values()) == [22.5, 1, 3, 0.5, 0, 1, 1, 0, -1, 7]
    assert has_text(SCHEMA)


def test_what_a_profile_does_not_say_is_known_as_missing() -> None:
    assert set(numbers_of({}, SCHEMA).values()) == {None}
    partly = numbers_of({"hours": None, "grades": {"B": math.nan, "A": 0}, "hits": []}, SCHEMA)
    assert partly["hours"] is None and partly["grades.B"] is None and partly["class=MEK"] is None
    assert (partly["grades.A"], partly["hits=X"], partly["hits=Y"]) == (0, 0, 0), "nothing known is 0 where it was said"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("grades", {"A": 3.5}, "grades.A.*3.5.*from -3 to 3"),
        ("grades", {"C": 1}, "'C'.*vocabulary"),
        ("grades", [1], "no group"),
        ("hours", 7, "from 8 to 400"),
        ("hours", "22", "no number"),
        ("hours", True, "no number"),
        ("hours", math.inf, "no number"),
        ("dose", 10**400, "no number"),
        ("half", 0.25, "none of"),
        ("class", "JAK", "JAK.*vocabulary"),
        ("class", ["MEK"], "vocabulary"),
        ("hits", ["X", "Z"], "vocabulary"),
        ("hits", "X", "vocabulary"),
    ],
)
def test_what_breaks_the_schema_is_an_error_with_its_field(field: str, value: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        numbers_of({**WHOLE, field: value}, SCHEMA)
    assert field in str(caught.value)


@given(altered_json(WHOLE) | json_values())
def test_numbers_are_finite_in_range_and_in_one_order_whatever_a_profile_holds(fields: Any) -> None:
    if not isinstance(fields, dict):
        return
    try:
        found = numbers_of(fields, SCHEMA)
    except InputError:
        return
    assert list(found) == COLUMNS
    assert all(value is None or math.isfinite(value) for value in found.values())
    assert found["grades.A"] is None or -3 <= found["grades.A"] <= 3
    assert {found[column] for column in COLUMNS if "=" in column} <= {0.0, 1.0, None}


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5), json_values() | altered_json(SCHEMA["properties"]["grades"]), max_size=4
    )
)
def test_columns_of_any_schema(properties: dict[str, Any]) -> None:
    schema = {"properties": properties}
    try:
        columns = number_columns(schema)
        assert list(numbers_of({}, schema)) == columns
    except InputError as error:
        assert "two columns" in str(error)


@pytest.mark.parametrize(("prompt", "kind"), NUMERIC)
@given(st.integers(min_value=0))
def test_whatever_the_fake_model_answers_fits_the_prompts_schema(prompt: str, kind: str, seed: int) -> None:
    schema = load_templates(prompt, Workspace("/nonexistent"))[kind].schema
    answer = fake_answer(schema, seed)
    assert explain(answer, schema) == ""
    assert list(numbers_of(answer, schema)) == number_columns(schema)
    assert None not in numbers_of(answer, schema).values()
    assert render_text(answer, schema) and not has_text(schema)


@pytest.mark.parametrize(("prompt", "kind"), NUMERIC)
def test_a_prompt_explains_every_word_that_it_asks_for(prompt: str, kind: str, workspace: Workspace) -> None:
    template = load_templates(prompt, workspace)[kind]
    system = template.render(Entity("x", EntityKind(kind), "A375"))[0]["content"]
    for words in template.words.values():
        for word, meaning in words.items():
            assert f"- {word}: {meaning}" in system
    asked = template.schema["properties"]["sensitivity" if kind == "cell_line" else "sensitivity_class"] if (
        prompt == "panel") else None  # fmt: skip
    if asked:
        assert len(asked.get("enum", asked.get("properties"))) == 58


def test_the_words_of_a_prompt_are_part_of_its_identity(workspace: Workspace) -> None:
    for folder in ("mine@1", "vocabularies"):
        (workspace.prompts / folder).mkdir(parents=True)
    (workspace.prompts / "mine@1" / "drug.toml").write_text(
        'name = "mine"\nversion = 1\nkind = "drug"\nsystem = "S"\nuser = "{{ words.a | join }}"\n[schema]\n'
        'type = "object"\n[schema.properties.a]\ntype = "array"\nmaxItems = 2\nvocabulary = "v"\n'
    )
    found = []
    for text in ('A = "one"\nB = "two"\n', 'A = "one"\nB = "other"\n', 'B = "two"\nA = "one"\n'):
        (workspace.prompts / "vocabularies" / "v.toml").write_text(text)
        found.append(load_templates("mine", workspace)["drug"])
    assert len({template.sha256 for template in found}) == 3
    assert found[0].schema["properties"]["a"]["items"] == {"type": "string", "enum": ["A", "B"]}
    assert found[0].render(Entity("x", EntityKind.drug, "x"))[1]["content"] == "AB"
    for wrong in ("", "A = 3\n", "[A]\nb = 'c'\n", "A ="):
        (workspace.prompts / "vocabularies" / "v.toml").write_text(wrong)
        with pytest.raises(InputError, match=r"v\.toml"):
            load_templates("mine", workspace)


def test_every_shipped_schema_is_one() -> None:
    import jsonschema

    for folder in bundled("prompts").glob("*@*"):
        for template in load_templates(folder.name, Workspace("/nonexistent")).values():
            jsonschema.Draft202012Validator.check_schema(dict(template.schema))
            assert "vocabulary" not in str(template.schema)


@pytest.mark.parametrize("name", PANELS)
def test_the_bundled_panels_hold_what_their_schema_says(name: str, workspace: Workspace) -> None:
    profiles = open_profile_set(name, workspace)
    prompt = load_templates(name.partition("-")[2], workspace)
    for kind, schema in profiles.schemas.items():
        for field, item in schema["properties"].items():
            assert item == prompt[kind].schema["properties"][field], "as the prompt asks for it"
    count = 0
    for record in profiles.records():
        count += 1
        schema = profiles.schemas[record.kind]
        assert explain(record.fields, schema) == ""
        numbers = numbers_of(record.fields, schema)
        assert list(numbers) == number_columns(schema) and None not in numbers.values()
        assert record.text == render_text(record.fields, schema) and "{" not in record.text
    assert (
        count
        == {"reference-panel": 79 + 83, "reference-molecular": 79}[name]
        == sum(profiles.manifest["counts"].values())
    )
    reference = open_profile_set("reference", workspace)
    assert all(reference.get(record.kind, record.entity_id) for record in profiles.records())


def test_a_panel_reads_as_people_read_it(workspace: Workspace) -> None:
    text = open_profile_set("reference-panel", workspace).resolve("786-O", "cell_line").text
    assert text.splitlines()[:3] == ["doubling time hours: 22", "chemosensitivity: 0.5", "tp53 functional: 0"]
    assert text.splitlines()[3].startswith("sensitivity: EGFR 1st 0.5; EGFR HER2 0; VEGFR RTK 0.5; ")


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_numbers_travel_as_numbers(workspace: Workspace, form: Any) -> None:
    panel = open_profile_set("reference-molecular", workspace)
    export_set(panel, workspace.root / "out", form)
    back = import_set(workspace.root / "out", "back", workspace, form=form).set
    assert list(back.records()) == list(panel.records())
    assert number_columns(back.schemas["cell_line"]) == number_columns(panel.schemas["cell_line"])


def test_what_imported_profiles_hold_decides_what_is_a_number(workspace: Workspace) -> None:
    held = [
        {"a": 1, "b": 1, "c": None, "d": {"x": 1}},
        {"a": 2.5, "b": "one", "d": {"y": True}},
        {"b": 3, "c": 0, "e": []},
    ]
    whole = {"entity_name": "E", "kind": "drug", "text": "some text"}
    lines = [json.dumps({**whole, "key": f"0{n}", "entity_id": f"E{n}", "fields": it}) for n, it in enumerate(held)]
    (workspace.root / "a.jsonl").write_text("\n".join(lines))
    done = import_set(workspace.root / "a.jsonl", "mine", workspace, form="jsonl").set
    schema = done.schemas["drug"]
    assert number_columns(schema) == ["a", "c", "d.x", "d.y"], "b is text for one of them"
    assert [numbers_of(record.fields, schema)["a"] for record in done.records()] == [1, 2.5, None]


def test_a_set_of_a_known_prompt_keeps_its_schema_on_the_way(workspace: Workspace) -> None:
    drugs = [Entity(f"D{n}", EntityKind.drug, f"Drug {n}") for n in range(3)]
    made = generate_profiles(ProfileSpec(llm="fake", prompt="panel"), drugs, workspace).set
    export_set(made, workspace.root / "out.jsonl", "jsonl")
    back = import_set(workspace.root / "out.jsonl", "back", workspace, form="jsonl").set
    assert back.schemas["drug"] == made.schemas["drug"], "words of its vocabulary included"
