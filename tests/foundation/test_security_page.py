"""docs/security.md: each sentence names tests that hold it, and those that no other test holds are held here."""

from __future__ import annotations

import ast
import getpass
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l2aco.files import sha256_file
from l2aco.runs.run import open_run
from l2aco.workspace import Workspace

Cli = Callable[..., Any]
ROOT = Path(__file__).parents[2]
LINES = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").splitlines()
SENTENCES = [line for line in LINES[3:] if line and not line.startswith("#")]
ONE = ("--backbone", "MLP", "--align", "none", "--set", "epochs=1")


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda sentence: sentence[2:42])
def test_a_sentence_names_the_tests_that_hold_it(sentence: str) -> None:
    found = re.fullmatch(r"- [^.]*(?:\.(?=\S)[^.]*)*\. <!-- (.+) -->", sentence)
    assert found, "one sentence, and the tests behind it"
    for test in found[1].split(", "):
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, test


def test_the_page_is_found() -> None:
    assert "(docs/security.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_nothing_is_sent_unasked(cli: Cli, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object, address: Any) -> None:
        raise AssertionError(f"asked {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    cli("profile", "--llm", "reference")
    cli("train", *ONE)
    cli("predict", "--drug-a", "DB00530", "--drug-b", "DB00317", "--cell", "A375")
    cli("recommend", "--cell", "A375")
    cli("doctor", code=None)


def test_commands_write_into_their_folders(cli: Cli, workspace: Workspace) -> None:
    (workspace.root / "own.csv").write_text("drug_a,drug_b,cell_line,score\nErlotinib,Sorafenib,A375,1\n")
    cli("data", "import", "own.csv", "--name", "own")
    cli("profile", "--llm", "fake", "--name", "Erlotinib", "--kind", "drug")
    cli("train", "--dataset", "demo", *ONE)
    cli("predict", "--drug-a", "DB00530", "--drug-b", "DB00317", "--cell", "A375", "--output", "out.csv")
    assert {path.name for path in workspace.root.iterdir()} == {"own.csv", "out.csv", "data", "profiles", "runs"}


def test_a_run_names_no_person_and_no_path(cli: Cli, workspace: Workspace) -> None:
    cli("train", *ONE)
    names = [getpass.getuser(), socket.gethostname(), str(workspace.root), str(Path.home())]
    for path in open_run(None, workspace).path.iterdir():
        if path.suffix in (".json", ".toml", ".csv"):
            text = path.read_text()
            assert not [name for name in names if len(name) > 3 and name in text], path.name


def test_a_checksum_is_no_signature(cli: Cli, workspace: Workspace) -> None:
    cli("train", *ONE)
    run = open_run(None, workspace)
    metrics, manifest = run.path / "metrics.json", run.path / "manifest.json"
    value = json.loads(metrics.read_text())
    value["test"]["pooled"]["auroc"] = 0.999
    metrics.write_text(json.dumps(value))
    assert "does not match its checksum" in cli("runs", "show", code=1).stderr
    files = json.loads(manifest.read_text())
    files["files"]["metrics.json"] = sha256_file(metrics)
    manifest.write_text(json.dumps(files))
    assert "0.999" in cli("runs", "show").stdout
