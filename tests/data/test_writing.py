"""Writing a data set: one process a name, nothing of others is touched, and what killed ones left goes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets_for_tests import screen, write

from l2aco.data.catalog import list_datasets, open_dataset, open_or_simulate
from l2aco.data.importing import ImportSpec, import_dataset
from l2aco.data.known import gather_entities
from l2aco.errors import DamagedError, L2aCoError, LockedError, UsageError
from l2aco.locks import WriterLock
from l2aco.progress import Silent
from l2aco.workspace import Workspace

TABLE = "drug_a,drug_b,cell_line,score\nA,B,X,1\nA,C,X,-1\nB,C,Y,2\n"


@pytest.fixture
def bring(workspace: Workspace) -> Callable[..., str]:
    """`bring(name)` imports a small table and returns the hash."""
    (workspace.root / "t.csv").write_text(TABLE)

    def run(name: str = "mine", **more: bool) -> str:
        return import_dataset(ImportSpec(path=workspace.root / "t.csv", name=name, **more), workspace).hash

    return run


@pytest.mark.parametrize("force", [False, True])
def test_of_two_imports_of_one_name_one_is_told(
    bring: Callable[..., str], workspace: Workspace, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    from l2aco.data import write as module

    released, told = module.write_released, []

    def meanwhile(*arguments: object) -> object:
        monkeypatch.setattr(module, "write_released", released)
        with pytest.raises(LockedError, match="being written by another process") as caught:
            bring(replace=force)
        told.append(caught.value)
        return released(*arguments)  # type: ignore[arg-type]

    if force:
        bring()
    monkeypatch.setattr(module, "write_released", meanwhile)
    bring(replace=force)
    assert told and len(open_dataset("mine", workspace).triples) == 3
    assert [dataset.name for dataset in list_datasets(workspace)] == ["mine"]


def test_two_names_that_differ_in_case_only_are_not_both_written(
    bring: Callable[..., str], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from l2aco.data import write as module

    released = module.write_released

    def meanwhile(*arguments: object) -> object:
        monkeypatch.setattr(module, "write_released", released)
        bring("Mine")
        return released(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "write_released", meanwhile)
    with pytest.raises(UsageError, match="in case only"):
        bring("mine")
    assert [dataset.name for dataset in list_datasets(workspace)] == ["Mine"]


def test_a_folder_that_no_import_wrote_is_not_replaced(bring: Callable[..., str], workspace: Workspace) -> None:
    raw = workspace.data / "mine" / "plates"
    raw.mkdir(parents=True)
    (raw / "one.csv").write_text("a month of pipetting")
    with pytest.raises(UsageError, match=r"plates/one\.csv"):
        bring(replace=True)
    assert (raw / "one.csv").read_text() == "a month of pipetting"


def test_a_data_set_with_a_link_in_it_is_not_replaced(
    bring: Callable[..., str], workspace: Workspace, tmp_path: Path
) -> None:
    before = bring()
    (tmp_path / "away").mkdir()
    (workspace.data / "mine" / "more").symlink_to(tmp_path / "away")
    with pytest.raises(UsageError, match="did not write"):
        bring(replace=True)
    assert open_dataset("mine", workspace).hash == before


def test_a_data_set_with_splits_and_a_damaged_manifest_is_replaced(
    bring: Callable[..., str], workspace: Workspace
) -> None:
    screen(workspace)
    write(workspace, [(1, 2, 1, 1.0), (1, 3, 1, -1.0)])  # over the other one
    (workspace.data / "small" / "manifest.json").write_text("[]")
    with pytest.raises(L2aCoError, match="format None"):
        open_dataset("small", workspace)
    bring("small", replace=True)
    assert len(open_dataset("small", workspace).triples) == 3


def test_what_a_killed_import_left_goes_with_the_next(bring: Callable[..., str], workspace: Workspace) -> None:
    killed = (
        "import os, pathlib, sys; from l2aco.files import atomic_folder\n"
        "with atomic_folder(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('x' * 1000); os._exit(9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", killed, str(workspace.data / "other")], check=False)
    assert ended.returncode == 9 and len(list(workspace.data.iterdir())) == 1
    bring()
    assert [path.name for path in workspace.data.iterdir()] == ["mine"]


def test_the_demo_that_another_process_simulates_is_waited_for_by_nobody(workspace: Workspace) -> None:
    with WriterLock(workspace.data / ".demo.partial", "the demo"):
        with pytest.raises(LockedError, match="Wait for it to end"):
            open_or_simulate("demo", workspace)
    assert open_or_simulate("Demo", workspace).simulated


@pytest.mark.parametrize("manifest", ["[]", "nonsense", '{"format": 99}', ""])
def test_a_damaged_data_set_or_profile_set_does_not_hide_the_others(
    bring: Callable[..., str], workspace: Workspace, cli: Callable[..., Any], manifest: str
) -> None:
    bring()
    for folder in (workspace.data / "bad", workspace.profiles / "worse"):
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(manifest)
    listed = cli("data", "list", "--json")
    assert [row["name"] for row in json.loads(listed.stdout)] == ["mine"]
    assert "Left out: " in listed.stderr and "--force" in listed.stderr
    assert "Import the data set again with --force" in cli("data", "info", "bad", code=1).stderr
    assert "worse" in cli("data", "info", "mine").stderr


def test_who_is_known_comes_from_the_data_sets_that_can_be_read(
    bring: Callable[..., str], workspace: Workspace
) -> None:
    bring(), bring("lost")
    (workspace.data / "lost" / "manifest.json").unlink()
    told: list[str] = []

    class Told(Silent):
        def say(self, text: str) -> None:
            told.append(text)

    assert {entity.id for entity in gather_entities(workspace, progress=Told())} == {"A", "B", "C", "X", "Y"}
    (named,) = gather_entities(workspace, names=["b"], kind="drug", progress=Told())
    assert named.id == "B"
    assert len([text for text in told if text.startswith("Left out: ") and "lost" in text]) == 2
    (workspace.data / "mine" / "manifest.json").unlink()
    with pytest.raises(DamagedError):  # not the demo, of which nobody spoke
        gather_entities(workspace, progress=Told())
