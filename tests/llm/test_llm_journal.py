"""The journal: what is written stays, what is torn is not counted, one writer at a time."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2aco.errors import DamagedError, LockedError
from l2aco.llm.journal import FAILURES, JOURNAL, RECORDS, Journal


def key(number: int) -> str:
    return f"{number:032x}"


def write(folder: Path, *numbers: int, compact: bool = False) -> None:
    with Journal(folder, "the test") as journal:
        for number in numbers:
            journal.write({"key": key(number), "n": number, "text": "zwölf µg"})
        if compact:
            journal.compact(lambda record: (record["n"],))


def test_what_is_written_is_there_in_the_next_run(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    with Journal(tmp_path, "the test") as journal:
        assert key(1) in journal
        assert key(2) in journal
        assert key(3) not in journal
        assert len(journal) == 2


def test_every_record_reaches_the_file_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path, "the test") as journal:
        for number in range(5):
            journal.write({"key": key(number)})
            assert len((tmp_path / JOURNAL).read_bytes().splitlines()) == number + 1


@given(cut=st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_a_torn_last_line_costs_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("journal")
    write(folder, 1, 2, 3)
    path = folder / JOURNAL
    whole = path.read_bytes()
    torn = whole[: max(0, len(whole) - cut)]
    path.write_bytes(torn)
    complete = torn.count(b"\n")
    write(folder, 9)
    values = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [value["n"] for value in values] == [*[1, 2, 3][:complete], 9]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3)
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    lines[1] = lines[1][:10] + b"\n"
    (tmp_path / JOURNAL).write_bytes(b"".join(lines))
    with pytest.raises(DamagedError) as caught:
        write(tmp_path)
    assert f"{JOURNAL}:2" in str(caught.value)


def test_a_line_that_is_damaged_inside_never_reaches_the_finished_file(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":,'))
    with pytest.raises(DamagedError, match="damaged record"):
        write(tmp_path, 3, compact=True)
    assert not (tmp_path / RECORDS).exists()
    assert path.read_bytes().count(b"\n") == 3, "and nothing else is lost"


def test_compaction_sorts_and_empties_the_journal(tmp_path: Path) -> None:
    write(tmp_path, 5, 1, compact=True)
    write(tmp_path, 3, compact=True)
    values = [json.loads(line)["n"] for line in (tmp_path / RECORDS).read_text(encoding="utf-8").splitlines()]
    assert values == [1, 3, 5]
    assert (tmp_path / JOURNAL).read_bytes() == b""


def test_a_crash_between_the_two_steps_of_compaction_doubles_nothing(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    journal = (tmp_path / JOURNAL).read_bytes()
    write(tmp_path, compact=True)
    (tmp_path / JOURNAL).write_bytes(journal)
    with Journal(tmp_path, "the test") as opened:
        assert len(opened) == 2
        opened.write({"key": key(3), "n": 3})
        opened.compact(lambda record: (record["n"],))
    assert [json.loads(line)["n"] for line in (tmp_path / RECORDS).read_text().splitlines()] == [1, 2, 3]


def test_of_two_records_in_one_place_the_last_stays(tmp_path: Path) -> None:
    with Journal(tmp_path, "the test") as journal:
        for number in (1, 2, 3):
            journal.write({"key": key(number), "n": number % 2})
        assert journal.compact(lambda record: (record["n"],)) == 2
        assert key(1) not in journal and key(3) in journal
    lines = (tmp_path / RECORDS).read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [key(2), key(3)]


def test_a_last_line_that_lost_its_end_is_not_glued_to_another(tmp_path: Path) -> None:
    write(tmp_path, 1, 3, compact=True)
    path = tmp_path / RECORDS
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    write(tmp_path, 4, compact=True)
    assert [json.loads(line)["n"] for line in path.read_text().splitlines()] == [1, 3, 4]


def test_what_a_killed_compaction_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".records.jsonl.abc.partial").write_text("half")
    write(tmp_path, 1)
    assert not list(tmp_path.glob(".*.partial"))


def test_nothing_of_others_is_swept_and_no_link_is_followed(tmp_path: Path) -> None:
    folder, mine = tmp_path / "set", tmp_path / "mine.jsonl"
    folder.mkdir()
    (folder / ".notes.abc.partial").write_text("mine")
    write(folder, 1)
    assert (folder / ".notes.abc.partial").exists()
    for name in (JOURNAL, FAILURES):
        mine.write_text("a line of mine without its end")
        (folder / name).unlink()
        (folder / name).symlink_to(mine)
        with pytest.raises(DamagedError, match="is a link"):
            write(folder, 2)
        assert mine.read_text() == "a line of mine without its end"
        (folder / name).unlink()
        (folder / name).touch()
    write(folder, 3)


@pytest.mark.parametrize(
    "line", ['{"key":"%s"}', '{"key":"%s","n":"five"}', '{"key":"%s","n":[]}', '{"n":1,"key":"%s",}']
)
def test_a_record_that_cannot_be_sorted_stays_in_the_journal(tmp_path: Path, line: str) -> None:
    write(tmp_path, 1)
    with (tmp_path / JOURNAL).open("a") as stream:
        stream.write(line % key(2) + "\n")
    before = (tmp_path / JOURNAL).read_bytes()
    with pytest.raises(DamagedError):
        write(tmp_path, compact=True)
    assert (tmp_path / JOURNAL).read_bytes() == before and not (tmp_path / RECORDS).exists()


@pytest.mark.parametrize("reason", ["[1]", "null", "5"])
def test_a_failure_with_an_odd_reason_is_one(tmp_path: Path, reason: str) -> None:
    (tmp_path / FAILURES).write_text(f'{{"key":"{key(1)}","reason":{reason}}}\n')
    with Journal(tmp_path, "the test") as journal:
        assert isinstance(journal.failed(key(1)), str)


def test_a_second_writer_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with Journal(tmp_path, "the test"):
        with pytest.raises(LockedError) as caught, Journal(tmp_path, "the test"):
            pass
    assert str(os.getpid()) in str(caught.value)
    write(tmp_path, 1)


def test_a_failure_is_forgotten_when_its_key_is_answered(tmp_path: Path) -> None:
    with Journal(tmp_path, "the test") as journal:
        journal.write_failure({"key": key(1), "reason": "empty answer"})
        journal.write_failure({"key": key(2), "reason": "empty answer"})
        journal.write({"key": key(1)})
        assert journal.failed(key(1)) is None
    with Journal(tmp_path, "the test") as journal:
        assert journal.failed(key(1)) is None
        assert journal.failed(key(2)) == "empty answer"
