"""Every file that this room reads may hold anything: it is used, or refused with one message; never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from any_bytes import altered_json, feed, json_values, mutated
from hypothesis import example, given
from hypothesis import strategies as st

from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, L2aCoError
from l2aco.profiles.audit.compare import compare_samples, compare_sets
from l2aco.profiles.audit.report import audit_set
from l2aco.profiles.exchange import Format, export_set, import_set
from l2aco.profiles.job import plan_job, set_name
from l2aco.profiles.numbers import has_text, number_columns, numbers_of
from l2aco.profiles.plan import plan_costs
from l2aco.profiles.prompt import list_prompts, load_templates
from l2aco.profiles.record import ProfileRecord, render_text
from l2aco.profiles.sets import ProfileSet, list_profile_sets
from l2aco.profiles.spec import ProfileSpec
from l2aco.profiles.watching import Watched
from l2aco.workspace import Workspace

SCHEMA = {
    "type": "object",
    "properties": {
        "summary": {"type": "string", "maxLength": 40},
        "targets": {"type": "array", "items": {"type": "string", "enum": ["EGFR", "KIT"]}, "maxItems": 2},
        "grades": {"type": "object", "vocabulary": "v@1", "each": {"type": "number", "minimum": -3, "maximum": 3}},
        "works": {"type": ["boolean", "null"]},
        "confidence": {"type": "string", "enum": ["high", "low"]},
    },
    "required": ["summary"],
    "additionalProperties": False,
}
GRADES = {"type": "object", "properties": {word: {"type": "number", "minimum": -3, "maximum": 3} for word in "AB"}}
WRITTEN = {**SCHEMA, "properties": {**SCHEMA["properties"], "grades": GRADES}}  # type: ignore[dict-item]
FIELDS = {"summary": "It binds.", "targets": ["KIT"], "grades": {"A": 1.5}, "works": True, "confidence": "low"}
RECORD = ProfileRecord("ab" * 16, "D1", "Drug 1", "drug", FIELDS, "summary: It binds.", aliases=("one",)).to_json()
MANIFEST = {
    "format": 1,
    "name": "s",
    "llm": "fake",
    "identity": {"llm": "fake", "prompt": {"drug": ["plain", 1, "00"]}},
    "records": 1,
    "schemas": {"drug": WRITTEN},
    "sha256": {},
}
FAILURE = {"key": "ab" * 16, "kind": "drug", "entity_id": "D2", "sample": 0, "reason": "refused", "message": "no"}
TEMPLATE = {
    "name": "mine",
    "version": 1,
    "kind": "drug",
    "about": "x",
    "schema": "mine",
    "system": "{{ words.grades | length }}",
    "user": "{{ entity.name }}",
}


@pytest.fixture
def place(workspace: Workspace) -> Workspace:
    folder = workspace.profiles / "s"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    (folder / "records.jsonl").write_text(json.dumps(RECORD) + "\n")
    for name in ("mine@1", "schemas", "vocabularies"):
        (workspace.prompts / name).mkdir(parents=True)
    (workspace.prompts / "mine@1" / "drug.toml").write_text(tomli_w.dumps(TEMPLATE))
    (workspace.prompts / "schemas" / "mine.json").write_text(json.dumps(SCHEMA))
    (workspace.prompts / "vocabularies" / "v@1.toml").write_text('A = "first"\nB = "second"\n')
    return workspace


def use_set(workspace: Workspace) -> None:
    """All that is done with a set."""
    for step in (
        lambda: [len(item) for item in list_profile_sets(workspace, bundled=False)],
        lambda: set_name(plan_job(ProfileSpec(llm="fake"), workspace), workspace),
        lambda: Watched(ProfileSet(workspace.profiles / "s")).look(),
        lambda: use_open_set(ProfileSet(workspace.profiles / "s"), workspace),
    ):
        with contextlib.suppress(L2aCoError):
            step()


def use_open_set(profiles: ProfileSet, workspace: Workspace) -> None:
    list(profiles.failures())
    profiles.check()
    str(profiles.prompt_label)
    for record in profiles.records():
        json.dumps(record.to_json(), ensure_ascii=False).encode()
    profiles.find(Entity("D1", EntityKind.drug, "Drug 1"))
    audit_set(profiles).rows()
    compare_sets(profiles, profiles)
    compare_samples(profiles)
    export_set(profiles, workspace.root / "out.parquet", "parquet", replace=True)


def lines(*values: Any) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


@given(altered_json(MANIFEST) | json_values())
def test_any_manifest(place: Workspace, value: Any) -> None:
    (place.profiles / "s" / "manifest.json").write_text(json.dumps(value))
    use_set(place)
    with contextlib.suppress(L2aCoError):
        export_set(ProfileSet(place.profiles / "s"), place.root / "out", "paper", replace=True)


@given(st.data())
def test_any_failures(place: Workspace, data: st.DataObject) -> None:
    value = data.draw(altered_json(FAILURE) | json_values())
    text = data.draw(st.sampled_from([lines(FAILURE, value, FAILURE)]) | mutated(lines(FAILURE, FAILURE)))
    (place.profiles / "s" / "failures.jsonl").write_bytes(text)
    list(ProfileSet(place.profiles / "s").failures())


@pytest.mark.parametrize("name", ["manifest.json", "records.jsonl", "journal.jsonl"])
def test_any_bytes_in_a_set(place: Workspace, name: str) -> None:
    def read(data: bytes) -> None:
        (place.profiles / "s" / name).write_bytes(data)
        use_set(place)

    feed(mutated(lines(MANIFEST) if name == "manifest.json" else lines(RECORD)), read)


@pytest.mark.parametrize("name", ["records.jsonl", "journal.jsonl"])
def test_any_line_in_a_set(place: Workspace, name: str) -> None:
    def read(value: Any) -> None:
        (place.profiles / "s" / name).write_bytes(lines(RECORD, value))
        use_set(place)

    bare = {key: value for key, value in RECORD.items() if key != "text"}
    feed(altered_json(RECORD) | altered_json(bare) | json_values(), read)


def use_prompt(workspace: Workspace) -> None:
    with contextlib.suppress(L2aCoError):
        list_prompts(workspace)
        template = load_templates("mine", workspace)["drug"]
        template.render(Entity("D1", EntityKind.drug, "Drug 1", ("a",), {"smiles": "C"}))
        str(template.sha256)
        plan_costs(ProfileSpec(llm="fake", prompt="mine"), [Entity("D1", EntityKind.drug, "Drug 1")], workspace)
        render_text(FIELDS, template.schema)
        has_text(template.schema)
        number_columns(template.schema)
        numbers_of(FIELDS, template.schema)


@given(altered_json(TEMPLATE))
def test_any_template(place: Workspace, value: Any) -> None:
    try:
        text = tomli_w.dumps(value)
        data = text.encode()
    except (TypeError, ValueError, AttributeError):  # TOML has no null
        return
    (place.prompts / "mine@1" / "drug.toml").write_bytes(data)
    use_prompt(place)


@pytest.mark.parametrize("name", ["mine@1/drug.toml", "schemas/mine.json", "vocabularies/v@1.toml"])
def test_any_bytes_in_a_prompt(place: Workspace, name: str) -> None:
    path = place.prompts / name

    def read(data: bytes) -> None:
        path.write_bytes(data)
        use_prompt(place)

    feed(mutated(path.read_bytes()), read)


def limited(**limits: Any) -> dict[str, Any]:
    return {**SCHEMA, "properties": {**SCHEMA["properties"], "summary": {"type": "string", **limits}}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "limits", [{"maxLength": 1.3e304}, {"maxLength": 10.0}, {"minLength": 10**400}, {"minimum": -(10**400)}]
)
def test_numbers_of_a_schema_that_nobody_counts_to_are_refused(place: Workspace, limits: dict[str, Any]) -> None:
    (place.prompts / "schemas" / "mine.json").write_text(json.dumps(limited(**limits)))
    with pytest.raises(InputError, match=f"asks for {next(iter(limits))}"):
        load_templates("mine", place)
    use_prompt(place)


@given(altered_json(SCHEMA) | json_values())
@example(limited(maxLength=1.3e304))
def test_any_schema(place: Workspace, value: Any) -> None:
    (place.prompts / "schemas" / "mine.json").write_text(json.dumps(value))
    use_prompt(place)


@given(st.text(alphabet="{}%#-|()[]'\" abentiy.sf0123456789*~+/", max_size=60))
def test_any_text_of_a_template(place: Workspace, text: str) -> None:
    (place.prompts / "mine@1" / "drug.toml").write_text(tomli_w.dumps({**TEMPLATE, "user": f"x{text}"}))
    use_prompt(place)


def use_import(workspace: Workspace, name: str, data: bytes, form: Format) -> None:
    (workspace.root / name).write_bytes(data)
    with contextlib.suppress(InputError):
        done = import_set(workspace.root / name, "new", workspace, form=form)
        assert len(done.set) == done.profiles
        use_open_set(done.set, workspace)
    shutil.rmtree(workspace.profiles / "new", ignore_errors=True)
    assert [path.name for path in workspace.profiles.iterdir()] == ["s"]


HAND = {"kind": "drug", "name": "A", "id": "1", "text": "x", "llm": "m"}
PAPER = {"name": "A", "response": "x"}


@given(st.lists(altered_json(RECORD) | altered_json(HAND) | json_values(), max_size=3))
def test_any_imported_lines(place: Workspace, values: list[Any]) -> None:
    use_import(place, "a.jsonl", lines(*values), "jsonl")


@given(st.lists(altered_json(PAPER) | json_values(), max_size=3))
@example([{"name": " ", "response": "x"}])
@example([{"name": None, "response": "x"}])
def test_any_lines_of_the_papers_files(place: Workspace, values: list[Any]) -> None:
    use_import(place, "drug_descripts_all_x.jsonl", lines(*values), "paper")


def exported(form: Format, workspace: Workspace) -> bytes:
    path = workspace.root / f"whole.{form}"
    export_set(ProfileSet(workspace.profiles / "s"), path, form, replace=True)
    return path.read_bytes()


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_any_imported_bytes(place: Workspace, form: Format) -> None:
    feed(mutated(exported(form, place)), lambda data: use_import(place, f"a.{form}", data, form), files=3)


@given(st.dictionaries(st.sampled_from([*RECORD, *HAND, "other"]), json_values(), min_size=1, max_size=6))
def test_any_parquet(place: Workspace, row: dict[str, Any]) -> None:
    use_import(place, "a.parquet", parquet({**RECORD, **row}), "parquet")
    use_import(place, "a.parquet", parquet({**HAND, **row}), "parquet")


def parquet(row: dict[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {}
    for name, value in row.items():
        try:
            columns[name.encode(errors="replace").decode()] = pa.array([value])
        except (pa.ArrowException, ValueError, OverflowError, TypeError):
            columns[name.encode(errors="replace").decode()] = pa.array([repr(value)])
    stream = io.BytesIO()
    try:
        pq.write_table(pa.table(columns), stream)
    except (pa.ArrowException, ValueError):  # an empty structure, which Parquet cannot hold
        return b""
    return stream.getvalue()


@given(
    st.lists(
        st.lists(st.text(max_size=5) | st.sampled_from(["drug", "A", "{}", "1", "nan", '"']), max_size=7), max_size=4
    )
)
def test_any_csv(place: Workspace, rows: list[list[str]]) -> None:
    head = ["kind,name,text,id", ",".join(RECORD)][len(rows) % 2]
    data = "\n".join([head, *(",".join(row) for row in rows)]).encode(errors="replace")
    use_import(place, "a.csv", data, "csv")


DEEP: list[tuple[str, Callable[[Workspace], Path]]] = [
    ("manifest", lambda place: place.profiles / "s" / "manifest.json"),
    ("record", lambda place: place.profiles / "s" / "records.jsonl"),
    ("schema", lambda place: place.prompts / "schemas" / "mine.json"),
    ("template", lambda place: place.prompts / "mine@1" / "drug.toml"),
]


@pytest.mark.parametrize("depth", [300, 900, 100_000])
@pytest.mark.parametrize(("name", "where"), DEEP, ids=[name for name, _ in DEEP])
def test_nesting_without_end(place: Workspace, name: str, where: Callable[[Workspace], Path], depth: int) -> None:
    nested = '{"type":"object","properties":{"a":' * depth + "{}" + "}}" * depth
    deep = {
        "manifest": json.dumps(MANIFEST).replace('"schemas": {', f'"more": {nested}, "schemas": {{'),
        "record": json.dumps(RECORD).replace('"It binds."', nested),
        "schema": nested,
        "template": "schema = " + "[" * depth + "]" * depth,
    }[name]
    where(place).write_text(deep)
    use_set(place)
    use_prompt(place)
    if name == "record":
        use_import(place, "a.jsonl", deep.encode(), "jsonl")
