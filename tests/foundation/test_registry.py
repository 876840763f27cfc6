"""Registries: case does not matter, duplicates and unknown names are refused, a missing extra is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from l2aco.data.features.compute import FEATURES
from l2aco.data.sources import SOURCES
from l2aco.data.splits import SETTINGS
from l2aco.embeddings.encoders.table import ENCODERS
from l2aco.errors import L2aCoError, UnavailableError, UnknownNameError
from l2aco.llm.engine import engines
from l2aco.models.backbones import backbones
from l2aco.registry import Entry, Registry
from l2aco.workspace import Workspace

THEIRS = """
import torch
from l2aco.models.base import Backbone
from l2aco.models.wrap import wrap_module

class Plain(torch.nn.Module): ...
class Half(Backbone): ...
text = "x"
"""
UNSCORED = """
from l2aco.models.wrap import wrap_module
Net = wrap_module(None, drug_feature="morgan", cell_feature="tissue", encode_drug=id, encode_cell=id)
"""
GOOD = """
from l2aco.data.sources.table import Triples
from l2aco.embeddings.encoders.base import Encoder
from l2aco.models.backbones.mlp import MLP

class Net(MLP):
    citation = "ours, 2026"

class Loud(Encoder):
    facts = {"model": "loud", "dimension": 2, "window": 8}
    def _encode(self, texts, progress):
        return [[len(text), 1.0] for text in texts]

class Mine(Triples):
    def recognises(self, path):
        return path.suffix == ".mine"
"""
COMMANDS = (
    ("backbones", "NAME"),
    ("train", "--backbone", "NAME", "--align", "none"),
    ("embed", "reference", "--encoder", "NAME"),
    ("data", "split", "demo", "--setting", "NAME"),
    ("data", "import", "t.csv", "--name", "x", "--source", "NAME"),
    ("data", "import", "t.csv", "--name", "x"),
)
RUNS = """
import sys
from typer.testing import CliRunner
from l2aco.cli.main import app
for line in sys.stdin:
    result = CliRunner().invoke(app, line.split())
    print(result.exit_code, type(result.exception).__name__, *result.output.split())
"""


def registry() -> Registry:
    return Registry(
        "codec",
        "l2aco.test",
        (Entry("Json", "json:dumps", aliases=("js",)), Entry("No", "no_such_module:x", extra="gpu")),
    )


def test_names_and_aliases_without_case() -> None:
    assert registry().load("JSON")([1]) == "[1]"
    assert registry().get("JS").name == "Json"
    assert "json" in registry()


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean Json") as caught:
        registry().get("jsn")
    assert caught.value.exit_code == 2


def test_duplicates_are_refused() -> None:
    with pytest.raises(L2aCoError, match="registered twice"):
        registry().register(Entry("js", "pickle:dumps"))


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(UnavailableError, match=r"l2aco\[gpu\]"):
        registry().load("no")


@pytest.mark.parametrize("items", [backbones, engines, ENCODERS, FEATURES, SETTINGS, SOURCES], ids=lambda r: r.what)
@pytest.mark.parametrize("target", ["torch.nn:Module", "json:dumps", "json:__name__"])
def test_what_an_entry_point_gives_is_looked_at(items: Registry, target: str) -> None:
    strange = Registry(items.what, "l2aco.test", (Entry("theirs", target),), bases=items.bases)
    with pytest.raises(UnavailableError, match=rf"(?s)theirs cannot be used: {target} .*not from L2aCo"):
        strange.load("theirs")


@pytest.mark.parametrize("items", [backbones, engines, FEATURES, SETTINGS, SOURCES], ids=lambda r: r.what)
def test_ours_are_what_they_should_be(items: Registry) -> None:
    for entry in items:
        assert items.bases and isinstance(entry.load(), type)


def answers(site: Path, points: dict[str, dict[str, str]], modules: dict[str, str], lines: list[str]) -> list[str]:
    """What each command says where a package with these entry points and modules is installed, in one process."""
    facts = site / "theirs-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    groups = [f"[{group}]\n" + "".join(f"{name} = {to}\n" for name, to in at.items()) for group, at in points.items()]
    (facts / "entry_points.txt").write_text("\n".join(groups))
    for name, text in modules.items():
        (site / f"{name}.py").write_text(text)
    script = f"import sys; sys.path.insert(0, {str(site)!r})\n{RUNS}"
    done = subprocess.run([sys.executable, "-c", script], input="\n".join(lines), capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == len(lines), done.stderr
    return done.stdout.splitlines()


def test_code_of_others_on_the_command_line_is_one_message(workspace: Workspace) -> None:
    """A plain module, a backbone without its methods and one without a citation: entry points of a package."""
    Path("t.csv").write_text("a,b\n1,2\n")
    plain = {"Plain": "theirs:Plain"}
    points = {items.group: plain for items in (ENCODERS, SETTINGS, SOURCES)}
    points[backbones.group] = {**plain, "Half": "theirs:Half", "Text": "theirs:text", "Unscored": "unscored:Net"}
    lines = [" ".join(command).replace("NAME", "Plain") for command in COMMANDS]
    lines += [f"backbones {name}" for name in ("Half", "Text", "Unscored")]
    said = answers(workspace.root / "site", points, {"theirs": THEIRS, "unscored": UNSCORED}, lines)
    for line in said:
        assert line.startswith("1 SystemExit Error: ") and "not from L2aCo" in line, line
    assert "lacks encode, score" in said[-3] and "argument: 'score'" in said[-1]


def test_an_installed_package_brings_encoders_backbones_and_sources(workspace: Workspace) -> None:
    Path("t.mine").write_text("drug_a,drug_b,cell_line,score\nErlotinib,Sorafenib,A375,1\nX,Y,MCF7,-1\n")
    points = {backbones.group: {"Net": "good:Net"}, ENCODERS.group: {"loud": "good:Loud"}}
    points[SOURCES.group] = {"mine": "good:Mine"}
    lines = ["backbones net", "data import t.mine --name t", "embed reference --encoder loud"]
    shown, imported, embedded = answers(workspace.root / "site", points, {"good": GOOD}, lines)
    assert shown.startswith("0 ") and "ours, 2026" in shown
    assert imported.startswith("0 ") and (workspace.data / "t" / "manifest.json").exists()
    assert embedded.startswith("0 ") and "reference--loud" in embedded
