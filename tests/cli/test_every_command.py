"""Rules of every command there is, found by walking the app: JSON, examples, completion, wrong names, narrow tables."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from rich.console import Console

from l2aco.cli.complete import VALUES
from l2aco.cli.examples import EXAMPLES
from l2aco.cli.main import PANELS, app
from l2aco.cli.shell import Shell

ROOT = Path(__file__).parents[2]


def commands(of: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    of = of or typer.main.get_command(app)
    if not hasattr(of, "commands"):
        yield " ".join(words), of
        return
    for name, inner in of.commands.items():
        yield from commands(inner, (*words, name))


COMMANDS = dict(commands())


def test_every_command_prints_json_has_an_example_and_a_panel() -> None:
    assert {name for name, found in COMMANDS.items() if not any(item.name == "json" for item in found.params)} == set()
    assert set(EXAMPLES) == set(COMMANDS)
    assert all(getattr(found, "rich_help_panel", None) in PANELS for name, found in COMMANDS.items() if " " not in name)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_understood_and_shown(name: str, cli: Any) -> None:
    for example in EXAMPLES[name]:
        words = shlex.split(example)
        assert words[: len(name.split())] == name.split()
        with COMMANDS[name].make_context(name, words[len(name.split()) :]) as context:
            assert context.command is COMMANDS[name]
    shown = cli(*name.split(), "--help").output
    assert re.sub(r"\s+", " ", f"l2aco {EXAMPLES[name][0]}") in re.sub(r"\s+", " ", shown)


def test_what_has_names_completes(lab: Any) -> None:
    from l2aco.cli.complete import completer

    context: Any = SimpleNamespace(params={"workspace": lab.root})

    def words(name: str, begun: str = "") -> list[str]:
        return completer(name)(context, begun)

    assert words("backbone", "hg") == ["HGAT"] and "novel-cell" in words("setting", "novel")
    assert (
        words("dataset") == ["demo"] and words("store") == ["reference--toy"] and words("encoder", "mini") == ["minilm"]
    )
    assert "A375" in words("cell", "a3") and "gpt-4o-mini" in words("llm", "gpt") and words("set_name", "reference-p")
    for command, found in COMMANDS.items():
        for item in found.params:
            assert item.name not in VALUES or item._custom_shell_complete is not None, (command, item.name)


def test_a_shell_is_answered_without_what_is_heavy(lab: Any) -> None:
    script = (
        "import os, sys\nos.environ.update(_L2ACO_COMPLETE='complete_bash', COMP_WORDS='l2aco train --backbone HG', "
        "COMP_CWORD='3')\nfrom l2aco.cli.main import app\n"
        "try:\n    app(prog_name='l2aco')\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'polars', 'numpy', 'faiss') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=lab.root)
    assert done.stdout.split() == ["HGAT", "[]"]


NEEDED = {
    "predict": "GCN --drug-a Gemcitabine --drug-b Erlotinib --cell A375",
    "recommend": "GCN --cell A375",
    "profile": "--llm fake --name Erlotinib --kind drug",
    "profiles show": "reference",
    "profiles audit": "reference",
    "profiles export": "reference out.csv",
    "profiles requests": "gpt-4o-mini -o requests",
    "profiles answers": ".",
    "store export": "reference--toy out.parquet",
    "store import": "x.parquet",
    "store merge": "reference--toy -o joined",
    "search": "melanoma",
    "store search": "melanoma",
    "bench run": "knowledge",
    "bench compare": "GCN MLP",
    "ensemble": "GCN MLP",
    "runs export": "GCN out.zip",
    "runs delete": "GCN",
    "runs embed": "GCN",
    "evaluate": "--dataset demo",
    "data fetch": "oneil",
    "data split": "demo",
}
ELSEWHERE = {"device", "track", "kind"}
"""No names: values that the machine has or that are one of a few words."""
NOT_READ = {
    ("store import", "llm"),
    ("profile", "set_name"),
    ("recommend", "llm"),
    ("profiles requests", "set_name"),
    ("profiles answers", "set_name"),
}
"""Names that are given, not looked up, or only for a cell line that nobody knows."""


def mistakes() -> Iterator[str]:
    """Every command with every parameter that takes a name, and a name that nobody has."""
    for command, found in COMMANDS.items():
        for item in found.params:
            if item.name not in VALUES or item.name in ELSEWHERE or (command, item.name) in NOT_READ:
                continue
            words = NEEDED.get(command, "").split()
            if item.param_type_name == "option":
                option = item.opts[-1]
                if option in words:
                    words[words.index(option) + 1] = "nosuch"
                else:
                    words += [option, "nosuch"]
            else:
                places = [each.name for each in found.params if each.param_type_name == "argument"]
                place = places.index(item.name)
                words = [*words[:place], "nosuch", *words[place + 1 :]]
                if command == "evaluate":
                    words = ["nosuch"]
            yield f"{command} {' '.join(words)}"


def test_a_wrong_name_is_found_before_torch(lab: Any) -> None:
    """In one process, so that the first command that loads torch stands out; each within a second of processor time."""
    from l2aco.runs.spec import TrainSpec
    from l2aco.training.train import train

    train(TrainSpec(backbone="GCN", epochs=1), lab)
    asked = list(mistakes())
    assert len(asked) > 40
    script = (
        "import json, shlex, sys, time\nfrom typer.testing import CliRunner\nfrom l2aco.cli.main import app\n"
        "for line in json.load(sys.stdin):\n"
        "    began = time.process_time()\n"
        "    found = CliRunner().invoke(app, shlex.split(line))\n"
        "    took = time.process_time() - began\n"
        "    print(json.dumps([line, found.exit_code, 'torch' in sys.modules, took, found.stderr]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        cwd=lab.root,
    )
    wrong = []
    for line in done.stdout.splitlines():
        command, code, torch, seconds, said = json.loads(line)
        if code != 2 or "nosuch" not in said or "Traceback" in said or torch or seconds > 1:
            wrong.append((command, code, "torch" if torch else "", round(seconds, 2), said))
    assert not wrong, "\n".join(map(str, wrong))


QUIET = (
    "runs show GCN",
    "runs compare",
    "evaluate GCN",
    "predict GCN --drug-a Gemcitabine --drug-b Erlotinib --cell A375",
    "recommend GCN --cell A375 --top 2",
    "recommend GCN --cell A375 --top 2 --json",
    "bench compare GCN predictions.csv",
    "train --backbone GCN --set epochs=1 --again",
)


def test_quiet_hides_neither_that_data_are_simulated_nor_that_a_naive_one_ranks_better(lab: Any, cli: Any) -> None:
    from l2aco.runs.spec import TrainSpec
    from l2aco.training.train import train

    tested = train(TrainSpec(backbone="GCN", epochs=1), lab).to_polars()
    tested.select("drug_a", "drug_b", "cell_line", "probability").write_csv("predictions.csv")
    for command in QUIET:
        said = " ".join(cli(*shlex.split(command), "--quiet").stderr.split())
        assert "SIMULATED" in said and "better" in said, command


EXIT_CODES = re.findall(
    r"^\|[^|]+\| `l2aco ([^`]+)` \| (\d) \|", (ROOT / "docs" / "command-line.md").read_text(), flags=re.M
)


def test_exit_codes_are_those_of_the_page(lab: Any, cli: Any) -> None:
    assert len(EXIT_CODES) > 15
    for command, code in EXIT_CODES:
        cli(*shlex.split(command), code=int(code))


@pytest.mark.parametrize("command", ["llms", "encoders", "backbones", "profiles list", "data list", "store list"])
def test_tables_fit_a_narrow_terminal(command: str, lab: Any, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = on_a_terminal(monkeypatch, cli, command.split())
    assert len(narrow) > 1 and all(len(line) <= 80 for line in narrow)
    rows = json.loads(cli(*command.split(), "--json").stdout)
    assert next(iter(rows[0].values())) in narrow[1], "what comes first is whole"


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, cli: Any, command: list[str]) -> list[str]:
    import io

    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, color_system=None, highlight=False)
    with monkeypatch.context() as patch:
        patch.setattr(Shell, "out", console)
        cli(*command)
    return screen.getvalue().splitlines()
