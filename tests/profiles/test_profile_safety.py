"""Nothing is written or deleted outside a set's own folder, nothing is lost to another writer, damage is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l2aco.entities import Entity, EntityKind
from l2aco.errors import DamagedError, InputError, LockedError, UsageError
from l2aco.profiles import generate as stage
from l2aco.profiles.exchange import export_set, import_set
from l2aco.profiles.generate import generate_profiles
from l2aco.profiles.prompt import load_templates
from l2aco.profiles.sets import ProfileSet, list_profile_sets, open_profile_set
from l2aco.profiles.spec import ProfileSpec
from l2aco.workspace import Workspace

Cli = Callable[..., Any]
FAKE = ProfileSpec(llm="fake")
SOME = [Entity(f"E{number}", EntityKind.drug, f"Name {number}") for number in range(5)]


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# A folder that is no profile set


@pytest.mark.parametrize("spec", [ProfileSpec(llm="reference"), FAKE, ProfileSpec(llm="fake", set_name="reference")])
def test_a_folder_of_the_users_is_left_alone(workspace: Workspace, spec: ProfileSpec) -> None:
    folder = workspace.profiles / (spec.set_name or spec.llm)
    (folder / "notes").mkdir(parents=True)
    for name in ("thesis.docx", ".thesis.docx.partial", "notes/a.txt"):
        (folder / name).write_text("mine")
    before = everything(folder)
    with pytest.raises(UsageError, match=r"(?s)no profile set.*thesis"):
        generate_profiles(spec, SOME, workspace)
    assert everything(folder) == before


def test_a_manifest_of_something_else_makes_no_profile_set(workspace: Workspace) -> None:
    folder = workspace.profiles / "fake"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"manifest_version": 3, "name": "an extension"}')
    (folder / ".background.partial").write_text("mine")
    before = everything(folder)
    with pytest.raises(DamagedError, match="not the manifest of a profile set"):
        generate_profiles(FAKE, SOME, workspace)
    assert everything(folder) == before


def test_a_link_out_of_the_workspace_is_not_filled(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / "thesis.docx").write_text("mine")
    workspace.profiles.mkdir()
    (workspace.profiles / "reference").symlink_to(home)
    with pytest.raises(UsageError, match="no profile set"):
        generate_profiles(ProfileSpec(llm="reference"), SOME, workspace)
    assert everything(home) == {"thesis.docx": b"mine"}


# Names that would lead elsewhere


def test_the_llm_of_imported_profiles_is_no_path(workspace: Workspace) -> None:
    record = {"kind": "drug", "name": "A", "text": "x", "llm": "/../../x"}
    (workspace.root / "a.jsonl").write_text(json.dumps(record) + "\n")
    done = import_set(workspace.root / "a.jsonl", "mine", workspace, form="jsonl")
    before = set(workspace.root.rglob("*"))
    files = export_set(done.set, workspace.root / "out" / "deep", "paper")
    assert {path.parent for path in files} == {workspace.root / "out" / "deep"}
    assert set(workspace.root.rglob("*")) - before == {workspace.root / "out", files[0].parent, *files}


@pytest.mark.parametrize(
    "name", ["../x", "/tmp/x", "..", ".hidden", "a/b", "a\\b", "", "x" * 300, "a\nb", "a\x1b[2Jb", "\0"]
)
def test_a_set_is_called_by_a_name(workspace: Workspace, name: str) -> None:
    (workspace.root / "a.csv").write_text("kind,name,text\ndrug,A,x\n")
    with pytest.raises(UsageError, match="cannot be a name"):
        import_set(workspace.root / "a.csv", name, workspace, form="csv")
    if name:
        with pytest.raises(UsageError, match="cannot be a name"):
            generate_profiles(ProfileSpec(llm="fake", set_name=name), SOME, workspace)
    assert not workspace.profiles.exists()


@pytest.mark.parametrize("schema", ["../../secret", "/etc/passwd", "..", "a/b"])
def test_the_schema_of_a_prompt_is_called_by_a_name(workspace: Workspace, schema: str) -> None:
    folder = workspace.prompts / "mine@1"
    folder.mkdir(parents=True)
    (workspace.root / "secret.json").write_text('{"type": "object", "properties": {"a": {"type": "string"}}}')
    head = 'name = "mine"\nversion = 1\nkind = "drug"\nsystem = "S"\nuser = "U"\n'
    (folder / "drug.toml").write_text(f'{head}schema = "{schema}"\n')
    with pytest.raises(InputError, match="not the name of a file"):
        load_templates("mine", workspace)
    (folder / "drug.toml").write_text(
        f'{head}[schema]\ntype = "object"\n[schema.properties.a]\ntype = "string"\nvocabulary = "{schema}"\n'
    )
    with pytest.raises(InputError, match="not the name of a file"):
        load_templates("mine", workspace)


def test_a_schema_fetches_nothing(workspace: Workspace) -> None:
    folder = workspace.prompts / "mine@1"
    folder.mkdir(parents=True)
    head = 'name = "mine"\nversion = 1\nkind = "drug"\nsystem = "S"\nuser = "U"\n'
    (folder / "drug.toml").write_text(
        head + '[schema]\ntype = "object"\n[schema.properties.a]\n"$ref" = "http://127.0.0.1:9/x.json"\n'
    )
    with pytest.raises(InputError, match=r"\$ref leads elsewhere"):
        load_templates("mine", workspace)


def test_a_bundled_set_of_the_settings_is_a_bundled_set(workspace: Workspace) -> None:
    (workspace.root / "l2aco.toml").write_text('[llms.evil]\nengine = "bundled"\nmodel = "../../prompts"\n')
    with pytest.raises(UsageError):
        generate_profiles(ProfileSpec(llm="evil"), SOME, Workspace(workspace.root))


# Two at once


def test_of_two_imports_of_one_name_at_one_time_one_is_refused(workspace: Workspace) -> None:
    def path(name: str) -> Path:
        (workspace.root / f"{name}.csv").write_text(f"kind,name,text\ndrug,{name},about {name}\n")
        return workspace.root / f"{name}.csv"

    def another() -> list[Entity]:
        with pytest.raises(LockedError, match="another process"):
            import_set(path("B"), "mine", workspace, form="csv")
        return []

    import_set(path("A"), "mine", workspace, form="csv", entities=another)
    with pytest.raises(UsageError, match="exists already"):
        import_set(path("B"), "mine", workspace, form="csv")
    assert [record.text for record in open_profile_set("mine", workspace).records()] == ["about A"]
    assert [item.name for item in workspace.profiles.iterdir()] == ["mine"]


def test_an_import_does_not_take_the_place_of_a_job_that_began_meanwhile(workspace: Workspace) -> None:
    (workspace.root / "a.csv").write_text("kind,name,text\ndrug,A,x\n")

    def known() -> list[Entity]:
        generate_profiles(ProfileSpec(llm="fake", set_name="mine"), SOME, workspace)
        return []

    with pytest.raises(UsageError, match="exists already"):
        import_set(workspace.root / "a.csv", "mine", workspace, form="csv", entities=known)
    assert len(open_profile_set("mine", workspace)) == 5


def test_a_set_made_meanwhile_in_another_way_is_not_mixed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the choice of a set and its lock another job writes it, with another prompt."""
    real = stage.make_engine

    def slow(job: Any, *arguments: Any) -> Any:
        monkeypatch.setattr(stage, "make_engine", real)
        generate_profiles(ProfileSpec(llm="fake", set_name="mine", prompt="brief"), SOME, workspace)
        return real(job, *arguments)

    monkeypatch.setattr(stage, "make_engine", slow)
    with pytest.raises(UsageError, match="never mixes"):
        generate_profiles(ProfileSpec(llm="fake", set_name="mine"), SOME, workspace)
    found = open_profile_set("mine", workspace)
    assert {record.prompt_name for record in found.records()} == {"brief"}
    assert found.prompt_label == "brief@1"


def test_names_of_sets_are_one_in_any_case(workspace: Workspace) -> None:
    generate_profiles(ProfileSpec(llm="fake", set_name="Mine"), SOME, workspace)
    assert generate_profiles(ProfileSpec(llm="fake", set_name="mine"), SOME, workspace).run.calls == 0
    (workspace.root / "a.csv").write_text("kind,name,text\ndrug,A,x\n")
    with pytest.raises(UsageError, match="exists already"):
        import_set(workspace.root / "a.csv", "MINE", workspace, form="csv")


# Damage


def flipped(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("what", ["letter", "cut", "gone", "swapped"])
def test_records_that_are_not_what_was_written_are_not_read(workspace: Workspace, what: str) -> None:
    profiles = generate_profiles(FAKE, SOME, workspace).set
    path = profiles.path / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    if what == "letter":
        flipped(path, path.read_bytes().index(b"Fake: ") + 8)
    elif what == "cut":
        path.write_bytes(b"".join(lines[:-1]))
    elif what == "swapped":
        path.write_bytes(b"".join([lines[1], lines[0], *lines[2:]]))
    else:
        path.unlink()
    with pytest.raises(DamagedError, match=r"(?s)records.jsonl.*(checksum|missing).*import"):
        list(ProfileSet(profiles.path).records())
    before = everything(profiles.path)
    with pytest.raises(DamagedError):
        generate_profiles(FAKE, [*SOME, Entity("E9", EntityKind.drug, "N")], workspace)
    left = everything(profiles.path)
    assert {name: left[name] for name in before} == before, "and the damage is not signed as whole"


def test_what_one_changed_oneself_becomes_a_set(workspace: Workspace) -> None:
    profiles = generate_profiles(FAKE, SOME, workspace).set
    path = profiles.path / "records.jsonl"
    path.write_text(path.read_text().replace("Fake: ", "Mine: "))
    done = import_set(path, "mine", workspace, form="jsonl")
    assert done.profiles == 5 and sum("Mine" in record.text for record in done.set.records()) == 5


def test_the_bundled_sets_are_what_their_manifests_say(workspace: Workspace) -> None:
    for item in list_profile_sets(workspace):
        assert item.manifest["sha256"]["records.jsonl"]
        item.check()


def test_a_reader_of_a_set_that_is_written_meanwhile_finds_no_damage(workspace: Workspace) -> None:
    profiles = generate_profiles(FAKE, SOME, workspace).set
    reading = profiles.records()
    next(reading)
    generate_profiles(FAKE, [*SOME, Entity("E9", EntityKind.drug, "N")], workspace)
    assert len(list(reading)) == 4, "it keeps what it opened"
    assert len(list(profiles.records())) == 6, "and sees the new file afterwards"


@pytest.mark.parametrize("where", ["write_json", "compact"])
def test_a_job_killed_while_it_puts_its_set_in_order_leaves_it_readable(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    generate_profiles(FAKE, SOME, workspace)
    more = [*SOME, Entity("E9", EntityKind.drug, "N")]

    class Killed(BaseException):
        pass

    real = stage.write_json
    calls = 0

    def write(path: Path, value: Any) -> None:
        nonlocal calls
        calls += 1
        if calls >= 3:  # the manifest with the new checksum
            raise Killed
        real(path, value)

    def compact(*_: Any) -> int:
        raise Killed

    with monkeypatch.context() as patch:
        if where == "compact":
            patch.setattr("l2aco.llm.journal.Journal.compact", compact)
        else:
            patch.setattr(stage, "write_json", write)
        with pytest.raises(Killed):
            generate_profiles(FAKE, more, workspace)
    assert len(list(ProfileSet(workspace.profiles / "fake").records())) == 6
    assert generate_profiles(FAKE, more, workspace).run.calls == 0


def test_a_field_of_a_later_version_is_passed_over(workspace: Workspace) -> None:
    profiles = generate_profiles(FAKE, SOME, workspace).set
    line = json.loads((profiles.path / "records.jsonl").read_text().splitlines()[0])
    (profiles.path / "journal.jsonl").write_text(json.dumps({**line, "colour": "red"}) + "\n")
    report = generate_profiles(FAKE, SOME, workspace)
    assert report.complete and len(list(report.set.records())) == 5


def test_a_journal_that_cannot_be_read_stops_the_job_before_it_pays(workspace: Workspace) -> None:
    profiles = generate_profiles(FAKE, SOME, workspace).set
    (profiles.path / "journal.jsonl").write_text('{"key":"' + "ab" * 16 + '"}\n')
    with pytest.raises(DamagedError, match=r"journal\.jsonl:1"):
        generate_profiles(FAKE, [*SOME, Entity("E9", EntityKind.drug, "N")], workspace)


@pytest.mark.parametrize(
    "manifest",
    ["[]", "{}", "3", '{"schemas": []}', '{"format": 99, "schemas": {}}', '{"schemas": {"drug": {}}}'],
)
def test_a_manifest_that_is_none_is_one_clear_error(cli: Cli, workspace: Workspace, manifest: str) -> None:
    generate_profiles(FAKE, SOME, workspace)
    generate_profiles(ProfileSpec(llm="fake", set_name="sound"), SOME, workspace)
    path = workspace.profiles / "fake" / "manifest.json"
    path.write_text(manifest)
    for command in (("profiles", "show", "fake"), ("profile", "--llm", "fake"), ("profiles", "audit", "fake")):
        assert "not the manifest of a profile set" in cli(*command, code=1).stderr
    assert path.read_text() == manifest, "nor is it written over"
    listed = cli("profiles", "list")
    assert "sound" in listed.stdout and "Left out" in listed.stderr, "one damaged set does not hide the others"


def test_links_in_a_set_are_not_followed_when_it_is_written(workspace: Workspace) -> None:
    profiles = generate_profiles(FAKE, SOME, workspace).set
    (workspace.root / "mine.txt").write_text("mine")
    (profiles.path / ".records.jsonl.abcdefgh.partial").symlink_to(workspace.root / "mine.txt")
    generate_profiles(FAKE, [*SOME, Entity("E9", EntityKind.drug, "N")], workspace)
    assert (workspace.root / "mine.txt").read_text() == "mine"
