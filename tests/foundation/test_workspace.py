"""The workspace: writes are whole or absent, one writer at a time, settings are checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from l2aco.bounds import MAX_WHOLE
from l2aco.errors import DamagedError, InputError, L2aCoError, LockedError, UsageError
from l2aco.files import atomic_folder, atomic_path, read_json, read_toml, stable_hash, write_json
from l2aco.locks import WriterLock
from l2aco.workspace import Workspace


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, {"old": True})
    with pytest.raises(RuntimeError), atomic_path(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert read_json(target) == {"old": True}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_folder_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "set"
    with atomic_folder(target) as partial:
        (partial / "x").write_text("1")
    with pytest.raises(UsageError, match="exists already"), atomic_folder(target):
        pass
    with pytest.raises(RuntimeError), atomic_folder(target, replace=True) as partial:
        (partial / "y").write_text("2")
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["x"]
    with atomic_folder(target, replace=True) as partial:
        (partial / "y").write_text("2")
    assert [path.name for path in target.iterdir()] == ["y"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


KILLED = """
import os, signal, sys
from pathlib import Path
import l2aco.files as files

def replace(source, target, real=os.replace):
    real(source, target)
    os.kill(os.getpid(), signal.SIGKILL)

files.os.replace = replace
with files.atomic_folder(Path(sys.argv[1]), replace=True) as partial:
    (partial / "y").write_text("2")
"""


def test_a_folder_whose_replacement_was_killed_comes_back(tmp_path: Path) -> None:
    target = tmp_path / "set"
    others = tmp_path / ".set.v2.abcdefgh.old"  # of another folder, called set.v2
    others.mkdir()
    target.mkdir()
    (target / "x").write_text("1")
    subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert not target.exists()
    with pytest.raises(UsageError, match="exists already"), atomic_folder(target):
        pass
    assert [path.name for path in target.iterdir()] == ["x"]
    with atomic_folder(target, replace=True) as partial:
        (partial / "y").write_text("2")
    assert [path.name for path in target.iterdir()] == ["y"]
    assert list(tmp_path.glob(".*.old")) == [others]


def test_an_interrupted_replacement_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "set"
    target.mkdir()
    (target / "x").write_text("1")
    real = os.replace

    def interrupted(source: Path, to: Path) -> None:
        monkeypatch.setattr(os, "replace", real)
        real(source, to)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic_folder(target, replace=True):
        monkeypatch.setattr(os, "replace", interrupted)
    assert [path.name for path in target.iterdir()] == ["x"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_linked_folder_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("link", "dangling"):
        with pytest.raises(UsageError, match="link"), atomic_folder(tmp_path / name, replace=True):
            pass
        with pytest.raises(UsageError, match="link"), WriterLock(tmp_path / name, "it"):
            pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["dangling", "link", "real"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file"), atomic_folder(tmp_path / "file", replace=True):
        pass


def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", 1)
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


def test_second_writer_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\nfrom l2aco.locks import WriterLock\n"
        f"with WriterLock(pathlib.Path({str(tmp_path)!r}), 'the set'):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    first = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline().strip() == "held"
        with pytest.raises(LockedError, match=str(first.pid)), WriterLock(tmp_path, "the set"):
            pass
    finally:
        first.kill()
        first.wait()
    with WriterLock(tmp_path, "the set"):
        assert (tmp_path / ".writer.pid").read_text() == str(os.getpid())


def test_damaged_json_says_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_text('{"a": 1,\n"b": }')
    with pytest.raises(DamagedError, match=r"manifest.json:2"):
        read_json(file)
    with pytest.raises(DamagedError, match="is missing"):
        read_json(tmp_path / "none.json")


def test_settings_are_checked(tmp_path: Path) -> None:
    (tmp_path / "l2aco.toml").write_text('encoder = "minilm"\n')
    assert Workspace(tmp_path).settings.encoder == "minilm"
    (tmp_path / "l2aco.toml").write_text('encodr = "minilm"\n')
    with pytest.raises(InputError, match=r"(?s)unknown setting 'encodr'.*Did you mean encoder"):
        Workspace(tmp_path)
    (tmp_path / "l2aco.toml").write_text("encoder = minilm\n")
    with pytest.raises(InputError, match=r"(?s)not valid TOML.*stands in quotes"):
        Workspace(tmp_path)
    (tmp_path / "l2aco.toml").write_text("encoder = \n")
    with pytest.raises(InputError, match="not valid TOML"):
        Workspace(tmp_path)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", ".."])
def test_names_cannot_leave_their_folder(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(UsageError):
        workspace.child(workspace.runs, name)


def test_stable_hash_ignores_key_order_only() -> None:
    assert stable_hash({"a": 1, "b": [1, 2]}) == stable_hash({"b": [1, 2], "a": 1})
    assert stable_hash({"a": [1, 2]}) != stable_hash({"a": [2, 1]})


@pytest.mark.parametrize("read", [read_json, read_toml])
def test_what_is_read_whole_has_a_bound(tmp_path, read):
    path = tmp_path / "large"
    with path.open("wb") as stream:
        stream.truncate(MAX_WHOLE + 1)
    with pytest.raises(L2aCoError, match=f"holds more than {MAX_WHOLE:,} bytes") as told:
        read(path)
    assert told.value.where == str(path)
