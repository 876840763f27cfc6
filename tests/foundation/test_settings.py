"""Settings: the user's own configuration and the folder's l2aco.toml, and which of them may say what code runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l2aco.errors import InputError
from l2aco.llm.catalog import resolve_model
from l2aco.llm.vllm import vllm_command
from l2aco.workspace import Workspace, user_settings, user_settings_path

Cli = Callable[..., Any]
VLLM = 'vllm_command = ["sh", "-c", "touch ran"]\n'
REMOTE = '[llms.mine]\nengine = "vllm"\nmodel = "owner/m"\ntrust_remote_code = true\n'
FLAGS = '[llms.mine]\nengine = "vllm"\nmodel = "owner/m"\nserve = ["--middleware", "theirs.run"]\n'
ENCODER = '[encoders.theirs]\nruntime = "theirs:Encoder"\nmodel = "m"\ndimension = 8\nwindow = 9\n'


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    return workspace.root / "l2aco.toml"


def test_both_files_count_and_the_nearer_one_wins(folder: Path, own_settings: Path) -> None:
    own_settings.write_text('llm = "qwen"\nencoder = "minilm"\n')
    folder.write_text('llm = "fake"\n')
    settings = Workspace(folder.parent).settings
    assert (settings.llm, settings.encoder, settings.device) == ("fake", "minilm", "auto")
    assert user_settings().llm == "qwen"


def test_without_a_file_of_ones_own_there_is_a_place_for_it(
    own_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert user_settings_path() == own_settings
    assert user_settings().llm is None
    monkeypatch.delenv("L2ACO_CONFIG")
    assert user_settings_path().parts[-2:] == ("l2aco", "config.toml")


def test_a_fault_in_ones_own_file_names_it(own_settings: Path, workspace: Workspace) -> None:
    own_settings.write_text("encodr = 1\n")
    with pytest.raises(InputError, match=r"config.toml: unknown setting"):
        Workspace(workspace.root)


@pytest.mark.parametrize(
    ("text", "key"),
    [(VLLM, "vllm_command"), (REMOTE, "llms.mine"), (FLAGS, "llms.mine"), (ENCODER, "encoders.theirs")],
)
def test_a_folder_does_not_say_what_code_runs(text: str, key: str, folder: Path, own_settings: Path) -> None:
    folder.write_text(text)
    settings = Workspace(folder.parent).settings
    assert settings.vllm_command is None and not settings.llms and not settings.encoders
    with pytest.raises(InputError, match=r"(?s)what code runs.*config.toml.*--trust"):
        settings.require_trust(key.upper())
    settings.require_trust("llms.another")
    trusting = Workspace(folder.parent, trust=True).settings
    assert trusting.vllm_command or trusting.llms or trusting.encoders
    trusting.require_trust(key)
    own_settings.write_text(text)
    Workspace(folder.parent).settings.require_trust(key)
    assert Workspace(folder.parent).settings == user_settings() == trusting


def test_a_folder_does_not_change_an_entry_of_ones_own(folder: Path, own_settings: Path) -> None:
    own_settings.write_text('[llms.Mine]\nengine = "openai"\nmodel = "m"\nbase_url = "https://mine.example/v1"\n')
    folder.write_text('[llms.mine]\nengine = "openai"\nmodel = "m"\nbase_url = "https://theirs.example/v1"\n')
    assert resolve_model("mine", Workspace(folder.parent).settings).base_url == "https://mine.example/v1"


def test_what_is_left_out_is_said_where_it_is_asked_for(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2aco.llm.vllm.has_gpu", lambda: False)
    monkeypatch.delenv("L2ACO_VLLM_COMMAND", raising=False)
    one = ("--name", "X", "--kind", "drug")
    for text, llm in ((VLLM, "qwen"), (REMOTE, "mine"), (FLAGS, "MINE"), (REMOTE.replace("mine", "qwen"), "qwen")):
        folder.write_text(text)
        assert "config.toml" in cli("profile", "--llm", llm, *one, code=1).stderr
        cli("profile", "--llm", "fake", *one)
    folder.write_text(VLLM)
    rows = {row["llm"]: row for row in json.loads(cli("llms", "--json").stdout)}
    assert "vllm_command" in rows["qwen"]["why not"]
    assert not (folder.parent / "ran").exists()


def test_a_command_of_ones_own_comes_before_a_folders(folder: Path, own_settings: Path) -> None:
    own_settings.write_text('vllm_command = ["mine"]\n')
    folder.write_text(VLLM)
    assert vllm_command(Workspace(folder.parent).settings) == ("mine",)


def test_trust_is_given_to_one_command(cli: Cli, folder: Path) -> None:
    folder.write_text(VLLM)
    result = cli("profile", "--llm", "qwen", "--name", "X", "--kind", "drug", "--trust", code=1)
    assert "the vLLM server ended" in result.stderr
    (folder.parent / "ran").unlink()
    cli("profile", "--llm", "qwen", "--name", "X", "--kind", "drug", code=1)
    assert not (folder.parent / "ran").exists(), "the next one is not trusted"


def test_the_doctor_says_what_is_not_taken(cli: Cli, folder: Path, own_settings: Path) -> None:
    def status() -> str:
        rows = json.loads(cli("doctor", "--json", code=None).stdout)
        return str(next(row["status"] for row in rows if row["check"] == "settings"))

    assert status() == "none"
    own_settings.write_text('llm = "fake"\n')
    assert status() == "read"
    folder.write_text(VLLM + REMOTE)
    assert status() == "not taken from l2aco.toml: llms.mine, vllm_command"
