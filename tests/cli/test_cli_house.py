"""Rules that hold for the whole command line: light to start, kind to mistakes."""

from __future__ import annotations

import io
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
        "assert 'pydantic' not in sys.modules\n"  # which typer itself brings for the help of a verb
        "assert CliRunner().invoke(app, ['train', '--help']).exit_code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_explains_itself(cli: Callable[..., Any], name: str) -> None:
    text = cli(name, "--help").output
    assert "Usage" in text
    if name not in ("profiles", "store", "data", "runs", "bench"):
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


def test_no_linked_folder_is_written_through(cli: Callable[..., Any], workspace: Any, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    cli("profile", "--llm", "fake", "--prompt", "panel", "--name", "A", "--kind", "drug", "--set", "mine")
    cli("profiles", "export", "mine", "out.jsonl")
    workspace.embeddings.mkdir()
    for link in ("profiles/evil", "embeddings/mine--fields", "embeddings/mine--fields.shards"):
        (workspace.root / link).symlink_to(elsewhere)
    for arguments in (
        ("profile", "--llm", "fake", "--name", "A", "--kind", "drug", "--set", "evil"),
        ("profiles", "import", "out.jsonl", "--name", "evil"),
        ("embed", "mine", "--encoder", "fields"),
        ("embed", "mine", "--encoder", "fields", "--shard", "1/2"),
    ):
        assert "--workspace" in cli(*arguments, code=2).stderr
    assert not list(elsewhere.iterdir())
    for name in ("profiles", "embeddings"):  # the folder of all sets may be a link
        (workspace.root / name).rename(tmp_path / f"other {name}")
        (workspace.root / name).symlink_to(tmp_path / f"other {name}")
    cli("profile", "--llm", "fake", "--prompt", "panel", "--name", "B", "--kind", "drug", "--set", "mine")


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


@pytest.mark.parametrize("how", ["print", "write", "echo", "rich"])
def test_standard_output_is_for_results_alone(how: str) -> None:
    """A cluster, or a backbone of the user's own, prints as it likes: not into the JSON that a program reads."""
    import rich

    app = typer.Typer()

    @app.command()
    @verb
    def make(shell: Shell, json: bool = False) -> None:
        {"print": print, "write": sys.stdout.write, "echo": typer.echo, "rich": rich.print}[how]("a worker died")
        shell.made({"made": 1}, "made 1", json=json)

    for more, result in ((["--json"], {"made": 1}), ([], "made 1")):
        done = CliRunner().invoke(app, more)
        assert (json.loads(done.stdout) if more else done.stdout.strip()) == result
        assert "a worker died" in done.stderr


ODD_NAMES = [
    "[red]",
    "[/]",
    "[/red] b",
    ":skull: x",
    "a\x1b[2J\x1b]0;owned\x07b",
    "a\x9b31mb",
    "left\u202eright",
    "del\x7f",
]


def shown(name: str) -> str:
    return "".join(f"\\x{ord(c):02x}" if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in name).replace(
        "\u202e", "\\u202e"
    )


@pytest.mark.parametrize("name", ODD_NAMES)
def test_whatever_a_shell_prints_is_shown_and_not_obeyed(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    shell = Shell(verbose=True)
    shell.print(f"result {name}")
    shell.say(f"news {name}")
    shell.warn(f"warning {name}")
    shell.table([{f"column {name}": name, "list": [name, 1]}], title=f"title {name}")
    with shell.task(f"bar {name}", total=1, unit="x") as advance:
        advance(1, note=name)
    try:
        raise ValueError(f"cause {name}")
    except ValueError:
        shell.fail(f"error {name}")
    out, err = capfd.readouterr()
    for what in ("result", "column", "title"):
        assert f"{what} {shown(name)}" in out
    for what in ("news", "warning", "cause", "error"):
        assert f"{what} {shown(name)}" in err
    assert f"{shown(name)}, 1" in out, "in a list too"
    assert not any(c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e") for c in out + err)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_on_their_way_through_commands(cli: Callable[..., Any], workspace: Any, name: str) -> None:
    (workspace.root / "a.jsonl").write_text(
        json.dumps({"kind": "drug", "name": name, "text": f"about {name}", "llm": name}) + "\n"
    )
    said = cli("profiles", "import", "a.jsonl", "--name", "mine").stderr
    assert shown(name) in said, "known to nobody"
    assert shown(name) in cli("profiles", "list").stdout
    text = cli("profiles", "show", "mine", name).stdout
    assert f"about {shown(name)}" in text and "\x1b" not in text
    error = cli("profiles", "show", "mine", f"{name} x", code=2).output
    assert shown(name) in error and "Traceback" not in error and "\x1b[2J" not in error
    assert json.loads(cli("profiles", "show", "mine", name, "--json").stdout)["entity_name"] == name.strip()


def test_line_breaks_and_tabs_stay(capfd: pytest.CaptureFixture[str]) -> None:
    Shell().print("one\ntwo\tthree, åß日本")
    assert capfd.readouterr().out.splitlines()[0] == "one"


def test_a_command_to_copy_is_left_to_the_terminal_which_copies_it_whole() -> None:
    from rich.console import Console

    out, shell = io.StringIO(), Shell()
    shell.__dict__["out"] = Console(file=out, width=80, force_terminal=True, color_system=None, highlight=False)
    command = f"Next: l2aco train --spec {'folder/' * 20}spec.toml --store none"
    shell.print(command)
    assert out.getvalue() == command + "\n"
    shell.print("many words " * 20)
    assert all(len(line) <= 80 for line in out.getvalue().splitlines()[1:])
