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
UNCITED = """
from l2aco.models.wrap import wrap_module
Net = wrap_module(None, drug_feature="morgan", cell_feature="tissue", encode_drug=id, encode_cell=id, score=id)
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


def test_code_of_others_on_the_command_line_is_one_message(workspace: Workspace) -> None:
    """A plain module, a backbone without its methods and one without a citation: entry points of a package."""
    site = workspace.root / "site"
    facts = site / "theirs-1.0.dist-info"
    facts.mkdir(parents=True)
    (site / "theirs.py").write_text(THEIRS)
    (site / "uncited.py").write_text(UNCITED)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    points = "\n".join(f"[{group}]\nPlain = theirs:Plain" for group in (ENCODERS.group, SETTINGS.group, SOURCES.group))
    more = "Plain = theirs:Plain\nHalf = theirs:Half\nText = theirs:text\nUncited = uncited:Net"
    (facts / "entry_points.txt").write_text(f"{points}\n[{backbones.group}]\n{more}\n")
    Path("t.csv").write_text("a,b\n1,2\n")
    lines = [" ".join(command).replace("NAME", "Plain") for command in COMMANDS]
    lines += [f"backbones {name}" for name in ("Half", "Text", "Uncited")]
    script = f"import sys; sys.path.insert(0, {str(site)!r})\n{RUNS}"
    done = subprocess.run([sys.executable, "-c", script], input="\n".join(lines), capture_output=True, text=True)
    said = done.stdout.splitlines()
    assert len(said) == len(lines), done.stderr
    for line in said:
        assert line.startswith("1 SystemExit Error: ") and "not from L2aCo" in line, line
    assert "lacks encode, score" in said[-3] and "argument: 'citation'" in said[-1]
