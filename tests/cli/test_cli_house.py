"""Rules that hold for the whole command line: light to start, kind to mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from l2aco.cli.main import VERBS
from l2aco.cli.shell import Shell, verb

HEAVY = ("torch", "transformers", "faiss", "vllm", "FlagEmbedding", "openai", "rdkit", "numba", "sentence_transformers",
         "torch_geometric", "dgl", "sklearn", "scipy", "polars", "pandas", "matplotlib", "numpy")  # fmt: skip


def test_help_and_version_import_nothing_heavy() -> None:
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom l2aco.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "assert CliRunner().invoke(app, ['train', '--help']).exit_code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_explains_itself(cli: Callable[..., Any], name: str) -> None:
    text = cli(name, "--help").output
    assert "Usage" in text
    if name not in ("profiles", "store", "data", "runs"):
        assert "--workspace" in text


def test_unknown_verb_and_option_are_usage_errors(cli: Callable[..., Any]) -> None:
    assert "trian" in cli("trian", code=2).output
    cli("train", "--no-such-option", code=2)


def test_a_bad_workspace_is_one_clear_error(cli: Callable[..., Any], tmp_path: Any) -> None:
    file = tmp_path / "file"
    file.write_text("")
    result = cli("doctor", "--workspace", file, code=2)
    assert "the workspace is a file" in result.output
    assert "Traceback" not in result.output


def test_doctor_never_prints_a_key(cli: Callable[..., Any], workspace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-secret")
    output = cli("doctor", "--json").output
    assert "sk-planted" not in output
    assert '"set"' in output


def test_doctor_works_without_torch(cli: Callable[..., Any], workspace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    rows = {row["check"]: row for row in json.loads(cli("doctor", "--json", code=1).stdout)}
    assert rows["torch"]["status"] == "missing" and rows["device"]["status"].startswith("unknown")
    assert not rows["device"]["ok"] and "torch" in rows["device"]["remedy"]


def test_doctor_says_whether_the_encoder_must_be_downloaded(
    cli: Callable[..., Any], workspace: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "nothing"))

    def encoder() -> dict[str, Any]:
        return next(row for row in json.loads(cli("doctor", "--json").stdout) if row["check"] == "encoder")

    assert encoder()["status"] == "bge-large-en-v1.5: not here yet" and "minilm" in encoder()["remedy"]
    facts = f'runtime = "transformers"\nmodel = "{tmp_path}"\ndimension = 8\nwindow = 64\npooling = "mean"\n'
    (workspace.root / "l2aco.toml").write_text(f'encoder = "mine"\n[encoders.mine]\n{facts}')
    assert encoder()["status"] == "mine: here" and encoder()["remedy"] == ""


def test_an_interrupt_is_resumable_not_a_traceback() -> None:
    app = typer.Typer()

    @app.command()
    @verb(resumes=True)
    def stop(shell: Shell) -> None:
        raise KeyboardInterrupt

    @app.command()
    @verb
    def look(shell: Shell) -> None:
        raise KeyboardInterrupt

    for name, goes_on in (("stop", True), ("look", False)):
        result = CliRunner().invoke(app, [name])
        assert result.exit_code == 130 and "Interrupted." in result.output
        assert ("goes on where this one stopped" in result.output) is goes_on
