"""Records, their canonical text, and the bundled reference set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2aco.entities import Entity, EntityKind
from l2aco.errors import DamagedError, UnknownNameError
from l2aco.files import read_json, sha256_file, write_json
from l2aco.profiles.record import ProfileRecord, render_text
from l2aco.profiles.sets import BUNDLED, ProfileSet, list_profile_sets, open_profile_set
from l2aco.workspace import Workspace

SCHEMA = {"properties": {"drug_class": {}, "primary_targets": {}, "confidence": {}, "origin": {}}}


def record(**changes: Any) -> ProfileRecord:
    values: dict[str, Any] = {"key": "ab" * 16, "entity_id": "D1", "entity_name": "One", "kind": "drug"}
    return ProfileRecord(**{**values, "fields": {}, "text": "x", **changes})


def test_the_canonical_text() -> None:
    fields = {
        "origin": "a\nb",
        "drug_class": "kinase  inhibitor",
        "primary_targets": ["EGFR", "ERBB2"],
        "confidence": "low",
    }
    assert render_text(fields, SCHEMA) == "drug class: kinase inhibitor\nprimary targets: EGFR; ERBB2\norigin: a b"


def test_a_name_is_part_of_the_text_only_where_the_schema_says_so() -> None:
    assert render_text({"name": "X", "origin": "o"}, {"properties": {"name": {}, "origin": {}}}) == "name: X\norigin: o"
    assert render_text({"name": "X", "origin": "o"}, {"properties": {"origin": {}}}) == "origin: o"


@given(
    st.builds(
        record,
        fields=st.dictionaries(
            st.text(max_size=9), st.one_of(st.text(max_size=9), st.lists(st.text(max_size=5), max_size=3))
        ),
        text=st.text(max_size=20),
        usage=st.one_of(st.none(), st.just({"input": 1, "output": 2})),
        aliases=st.lists(st.text(max_size=5), max_size=2).map(tuple),
    )
)
def test_a_record_survives_json(item: ProfileRecord) -> None:
    assert ProfileRecord.from_json(json.loads(json.dumps(item.to_json()))) == item


def test_a_set_that_is_compacted_while_it_is_read_loses_nothing(workspace: Workspace) -> None:
    from l2aco.llm.journal import Journal

    folder = workspace.profiles / "live"
    lines = [record(key=f"{number:032x}", entity_id=f"D{number}").to_json() for number in range(6)]
    with Journal(folder, "the test") as journal:
        write_json(folder / "manifest.json", {"schemas": {}})
        order = lambda line: (line["kind"], line["entity_id"], line["sample"])  # noqa: E731
        for line in lines[:3]:
            journal.write(line)
        journal.compact(order)
        for line in lines[3:]:
            journal.write(line)
        reading = ProfileSet(folder).records()
        found = [next(reading)]
        journal.compact(order)
        found += reading
    assert [item.entity_id for item in found] == [line["entity_id"] for line in lines]


def test_a_line_that_grows_while_it_is_read_is_not_there_yet(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a line that was half written arrives, in one reading, as a line of its own."""
    import io

    class Growing(io.BytesIO):
        def __iter__(self) -> Any:
            whole, half = (json.dumps(record(entity_id=name).to_json()).encode() + b"\n" for name in ("D1", "D2"))
            yield from (whole, half[:40], half[40:])

    folder = workspace.profiles / "live"
    write_json(folder / "manifest.json", {"schemas": {}})
    monkeypatch.setattr("l2aco.profiles.sets._open", lambda path, _: Growing() if "journal" in path.name else None)
    assert [item.entity_id for item in ProfileSet(folder).records()] == ["D1"]


def test_a_corrected_entity_takes_the_place_of_the_old_one(workspace: Workspace) -> None:
    from l2aco.profiles.generate import generate_profiles
    from l2aco.profiles.spec import ProfileSpec

    spec = ProfileSpec(llm="fake")
    for name in ("Asprin", "Aspirin"):
        entities = [Entity("D1", EntityKind.drug, name), Entity("D2", EntityKind.drug, "Other")]
        report = generate_profiles(spec, entities, workspace)
        assert report.profiles == report.covered == len(list(report.set.records())) == 2
        assert report.set.get("drug", "D1").entity_name == name  # type: ignore[union-attr]


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(DamagedError, match="colour"):
        ProfileRecord.from_json({**record().to_json(), "colour": "red"})


def test_the_reference_set_is_whole_and_keeps_to_its_schemas(workspace: Workspace) -> None:
    reference = open_profile_set("REFERENCE", workspace)
    kinds = [item.kind for item in reference.records()]
    assert (kinds.count("drug"), kinds.count("cell_line"), len(reference)) == (590, 79, 669)
    assert sha256_file(reference.path / "records.jsonl") == reference.manifest["sha256"]["records.jsonl"]
    assert len({item.key for item in reference.records()}) == 669
    for kind, schema in reference.schemas.items():
        check = jsonschema.Draft202012Validator(schema)
        for item in reference.records():
            if item.kind == kind:
                check.validate(item.fields)
                assert list(item.fields) == list(schema["properties"])
                assert item.text == render_text(item.fields, schema)
                assert item.model is item.usage is item.cost_usd is item.created_at is None
                assert item.llm == "reference"


def test_its_size_stays_small() -> None:
    assert sum(path.stat().st_size for path in (BUNDLED / "reference").iterdir()) < 1_200_000


def test_profiles_are_found_by_id_name_and_alias(workspace: Workspace) -> None:
    reference = open_profile_set("reference", workspace)
    by_id = reference.get("drug", "DB08877")
    assert by_id is not None
    assert by_id.entity_name == "RUXOLITINIB"
    assert reference.find(Entity("mine", EntityKind.drug, "Ruxolitinib phosphate")) == by_id
    assert reference.find(Entity("mine", EntityKind.cell_line, "HT-29")) == reference.get("cell_line", "HT29")
    assert reference.find(Entity("mine", EntityKind.drug, "no such thing")) is None
    with pytest.raises(UnknownNameError) as caught:
        reference.resolve("ruxolitinip")
    assert "RUXOLITINIB" in caught.value.nearest


def a_set(folder: Path, *lines: str, journal: str = "") -> ProfileSet:
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", {"name": folder.name, "schemas": {"drug": SCHEMA}})
    (folder / "records.jsonl").write_text("".join(line + "\n" for line in lines))
    (folder / "journal.jsonl").write_text(journal)
    return ProfileSet(folder)


def line(number: int, **changes: Any) -> str:
    return json.dumps(record(key=f"{number:032x}", entity_id=f"D{number}", **changes).to_json())


def test_a_set_shows_what_a_killed_run_had_finished(tmp_path: Path) -> None:
    found = a_set(tmp_path / "s", line(1), line(2), journal=line(2) + "\n" + line(3) + "\n" + line(4)[:50])
    assert [item.entity_id for item in found.records()] == ["D1", "D2", "D3"]


def test_a_damaged_record_is_named_by_file_and_line(tmp_path: Path) -> None:
    found = a_set(tmp_path / "s", line(1), '{"key": "zz"}')
    with pytest.raises(DamagedError, match=r"records\.jsonl:2"):
        list(found.records())


def test_the_first_of_several_samples_is_the_one_that_get_returns(tmp_path: Path) -> None:
    two = [line(1, sample=1, text="second"), json.dumps(record(key="00" * 16, entity_id="D1", text="first").to_json())]
    found = a_set(tmp_path / "s", *two).get("drug", "D1")
    assert found is not None
    assert found.text == "first"


def test_own_sets_hide_bundled_ones_of_the_same_name(workspace: Workspace) -> None:
    a_set(workspace.profiles / "reference", line(1))
    a_set(workspace.profiles / "mine", line(1))
    names = [item.name for item in list_profile_sets(workspace)]
    assert names == ["mine", "reference", "reference-molecular", "reference-panel"]
    assert len(open_profile_set("reference", workspace)) == 1
    assert [item.name for item in list_profile_sets(workspace, bundled=False)] == ["mine", "reference"]


def test_a_set_without_a_readable_manifest_is_one_clear_error(workspace: Workspace) -> None:
    a_set(workspace.profiles / "mine", line(1))
    (workspace.profiles / "mine" / "manifest.json").write_text("{")
    with pytest.raises(DamagedError, match=r"manifest\.json"):
        open_profile_set("mine", workspace)
    assert read_json(BUNDLED / "reference" / "manifest.json")["name"] == "reference"
