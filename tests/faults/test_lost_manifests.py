"""A folder whose manifest is gone is named where things are listed, and says what to do where it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from l2aco.workspace import Workspace

Cli = Callable[..., Any]
TRAIN = ("train", "--backbone", "Logistic", "--align", "none", "--dataset", "demo")


@pytest.mark.parametrize(
    ("folder", "list_", "ask", "remedy"),
    [
        ("data", ("data", "list"), ("data", "info"), "Import the data set again with --force"),
        ("profiles", ("profiles", "list"), ("profiles", "show"), "Restore it, or move its folder away"),
        ("runs", ("runs", "list"), ("runs", "show"), "Train it again: l2aco train --spec"),
        ("embeddings", ("store", "list"), ("store", "info"), "l2aco store"),
    ],
)
def test_it_does_not_vanish(
    cli: Cli, lab: Workspace, folder: str, list_: tuple[str, ...], ask: tuple[str, ...], remedy: str
) -> None:
    if made := {"profiles": ("profile", "--llm", "fake", "--name", "A", "--kind", "drug"), "runs": TRAIN}.get(folder):
        cli(*made, "-q")
    path = next(path for path in (lab.root / folder).iterdir() if (path / "manifest.json").exists())
    (path / "manifest.json").unlink()
    said = cli(*list_)
    assert f"{path / 'manifest.json'}: is missing" in said.stderr and "eft out" in said.stderr
    asked = cli(*ask, path.name, code=1).stderr
    assert f"{path / 'manifest.json'}: is missing" in asked and remedy in asked


def test_a_data_set_is_imported_anew_over_what_is_left_of_it(cli: Cli, workspace: Workspace) -> None:
    (workspace.root / "t.csv").write_text("drug_a,drug_b,cell_line,score\nA,B,X,1\nA,C,X,-1\n")
    cli("data", "import", "t.csv", "--name", "base")
    (workspace.data / "base" / "manifest.json").unlink()
    assert "exists already" in cli("data", "import", "t.csv", "--name", "base", code=2).stderr
    cli("data", "import", "t.csv", "--name", "base", "--force")
    assert "base" in cli("data", "list").stdout


def test_a_folder_of_other_things_is_none_of_ours(cli: Cli, workspace: Workspace) -> None:
    (workspace.data / "raw").mkdir(parents=True)
    (workspace.data / "raw" / "screen.csv").touch()
    assert "raw" not in cli("data", "list").stderr
