"""Profile sets out and in again, without loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, L2aCoError, UsageError
from l2aco.profiles.exchange import Format, export_set, import_set, parse_format
from l2aco.profiles.generate import generate_profiles
from l2aco.profiles.sets import ProfileSet, open_profile_set
from l2aco.profiles.spec import ProfileSpec
from l2aco.workspace import Workspace

WHOLE = {"key": "00", "entity_id": "D", "entity_name": "D", "kind": "drug", "fields": {}, "text": "x"}


@pytest.fixture
def made(workspace: Workspace) -> ProfileSet:
    listed = [
        Entity(f"E{n}", EntityKind.drug if n % 2 else EntityKind.cell_line, f"Näme {n}", ("x", "y")) for n in range(9)
    ]
    return generate_profiles(ProfileSpec(llm="fake", samples=2, temperature=1.0), listed, workspace).set


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_nothing_is_lost_on_the_way_out_and_back(made: ProfileSet, workspace: Workspace, form: Format) -> None:
    path = workspace.root / f"out.{form}"
    assert export_set(made, path, form) == [path]
    back = import_set(path, "back", workspace, form=form)
    assert list(back.set.records()) == list(made.records())
    assert (back.profiles, back.repeated, back.empty) == (18, 0, 0)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_the_reference_set_travels_too(workspace: Workspace, form: Format) -> None:
    reference = open_profile_set("reference", workspace)
    export_set(reference, workspace.root / "reference.out", form)
    back = import_set(workspace.root / "reference.out", "copy", workspace, form=form)
    assert list(back.set.records()) == list(reference.records())


def test_the_papers_layout_and_back(workspace: Workspace) -> None:
    reference = open_profile_set("reference", workspace)
    folder = workspace.root / "descriptions"
    files = export_set(reference, folder, "paper")
    assert [path.name for path in files] == ["drug_descripts_all_reference.jsonl", "cell_descripts_all_reference.jsonl"]
    line = json.loads(files[1].read_text(encoding="utf-8").splitlines()[0])
    assert list(line) == ["name", "response"]
    known = [
        Entity(record.entity_id, EntityKind(record.kind), record.entity_name, record.aliases)
        for record in reference.records()
    ]
    back = import_set(folder, "back", workspace, form=parse_format(None, folder), entities=lambda: known)
    assert back.unresolved == ()
    assert {(record.kind, record.entity_id): record.text for record in back.set.records()} == {
        (record.kind, record.entity_id): record.text for record in reference.records()
    }
    assert back.set.manifest["llm"] == "reference"


def test_names_that_nobody_knows_become_ids(workspace: Workspace) -> None:
    path = workspace.root / "drug_descripts_all_gpt-5.jsonl"
    lines = [
        {"name": " Aspirin ", "response": "COX."},
        {"name": "Aspirin", "response": "Again."},
        {"name": "X", "response": " "},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    known = [
        Entity("DB00945", EntityKind.drug, "Acetylsalicylic acid", ("aspirin",)),
        Entity("Q", EntityKind.drug, "Q"),
    ]
    back = import_set(path, "paper", workspace, form="paper", entities=lambda: known)
    assert (back.profiles, back.repeated, back.empty, back.unresolved) == (1, 1, 1, ("X",))
    record = back.set.get("drug", "DB00945")
    assert record is not None
    assert (record.text, record.llm) == ("COX.", "gpt-5")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_profiles_written_by_hand_need_a_kind_a_name_and_a_text(workspace: Workspace, suffix: str) -> None:
    import polars as pl

    rows = [
        {"Kind": "drug", "Name": "aspirin", "id": None, "text": "COX."},
        {"Kind": "Cell line", "Name": "A375", "id": "A375_SKIN", "text": "BRAF, ünlaut"},
        {"Kind": "drug", "Name": "nobody", "id": None, "text": "hm"},
        {"Kind": "drug", "Name": "empty", "id": None, "text": ""},
    ]
    path, frame = workspace.root / f"mine.{suffix}", pl.DataFrame(rows)
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[suffix](path)
    known = [Entity("DB00945", EntityKind.drug, "Acetylsalicylic acid", ("aspirin",))]
    done = import_set(path, "mine", workspace, form=parse_format(None, path), entities=lambda: known)
    assert (done.profiles, done.empty, done.unresolved) == (3, 1, ("nobody", "empty"))
    found = {(record.kind, record.entity_id): record.text for record in done.set.records()}
    assert found == {
        ("drug", "DB00945"): "COX.",
        ("cell_line", "A375_SKIN"): "BRAF, ünlaut",
        ("drug", "nobody"): "hm",
    }
    back = open_profile_set("mine", workspace)
    assert len({record.key for record in back.records()}) == 3
    assert back.resolve("Aspirin", None).text == "COX."


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "drug,profile\nErlotinib,EGFR\n", "a.csv:2.*Needed: kind"),
        ("a.csv", "kind,name,text\nprotein,TP53,guardian\n", "a.csv:2.*no kind of entity"),
        ("a.jsonl", '{"key": "00"}\n', "a.jsonl:1"),
        ("a.jsonl", b'{"key": "\xe9"}\n', "a.jsonl.*UTF-8"),
        ("a.jsonl", "[" * 100_000, "a.jsonl:1"),
        ("a.jsonl", '{"kind": "drug", "name": "A", "text": null}\n', "a.jsonl:1.*text"),
        ("a.jsonl", '{"kind": "drug", "name": "A", "text": "\\ud83d"}\n', "a.jsonl:1"),
        ("a.jsonl", json.dumps({**WHOLE, "fields": None}), "a.jsonl:1.*fields"),
        ("a.jsonl", json.dumps({**WHOLE, "text": None}), "a.jsonl:1.*text"),
        ("a.jsonl", json.dumps({**WHOLE, "text": "\ud83d"}), "a.jsonl:1"),
        ("a.csv", b"kind,name,text\ndrug,\xe9,x\n", "a.csv.*UTF-8"),
        ("a.csv", "kind,name,text\ndrug,A," + "x" * 200_000, "a.csv:2: column 'text' holds more than 100,000"),
        ("a.jsonl", "not json\n", "a.jsonl:1"),
        ("a.jsonl", "", "no profiles"),
        ("a.csv", "key,kind\n00,drug\n", "a.csv:2"),
        ("a.parquet", "nonsense", "a.parquet"),
        ("drug_descripts_all_x.jsonl", '{"name": "A"}\n', "lacks"),
        ("missing.jsonl", None, "missing.jsonl"),
    ],
)
def test_what_cannot_be_read_leaves_nothing_behind(
    workspace: Workspace, name: str, text: str | bytes | None, said: str
) -> None:
    path = workspace.root / name
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=f"(?s){said}"):
        import_set(path, "broken", workspace, form=parse_format(None, path))
    assert not workspace.profiles.exists() or not list(workspace.profiles.iterdir())


def test_a_parquet_file_that_unfolds_to_too_much_is_refused(
    made: ProfileSet, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_set(made, workspace.root / "a.parquet", "parquet")
    monkeypatch.setattr("l2aco.bounds.MAX_ROWS", 17)
    with pytest.raises(InputError, match="unfolds to 18 rows"):
        import_set(workspace.root / "a.parquet", "back", workspace, form="parquet")


def test_an_existing_set_is_not_written_over(made: ProfileSet, workspace: Workspace) -> None:
    export_set(made, workspace.root / "a.jsonl", "jsonl")
    with pytest.raises(UsageError, match="exists already"):
        import_set(workspace.root / "a.jsonl", made.name, workspace, form="jsonl")


def test_an_export_replaces_only_what_it_may(made: ProfileSet, workspace: Workspace) -> None:
    path = workspace.root / "a.jsonl"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        export_set(made, path, "jsonl")
    assert path.read_text() == "mine"
    export_set(made, path, "jsonl", replace=True)
    assert len(path.read_text().splitlines()) == 18


def test_formats_are_named_or_guessed() -> None:
    assert parse_format("JSONL", Path("x")) == "jsonl"
    assert parse_format(None, Path("cell_descripts_all_gpt-5.jsonl")) == "paper"
    for written, path in (("xml", "x.csv"), (None, "x.xml")):
        with pytest.raises(L2aCoError):
            parse_format(written, Path(path))
