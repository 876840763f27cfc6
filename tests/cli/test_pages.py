"""Every command that a page shows is one that there is, with options and values that there are; Python compiles."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from l2aco.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "benchmarks").rglob("*.md"))]
PAGES = [page for page in PAGES if page.name not in ("commands.md", "catalog.md")]


def shown(text: str) -> list[str]:
    """The commands of indented blocks, continued lines joined; what stands apart explains it, `&&` parts two."""
    joined = re.sub(r"\\\n\s+", "", text)
    lines = re.findall(r"^    (l2aco .+)$", joined, flags=re.M)
    return [part.strip() for line in lines for part in re.split(r"&&|\|", re.split(r"\s{2,}", line)[0])]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_are_understood(page: Path) -> None:
    root = typer.main.get_command(app)
    for line in shown(page.read_text(encoding="utf-8")):
        words = shlex.split(line, comments=True)
        if words[:1] != ["l2aco"]:
            continue
        command, rest = root, words[1:]
        while hasattr(command, "commands") and rest and rest[0] in command.commands:
            command, rest = command.commands[rest[0]], rest[1:]
        if (
            rest[:1] in (["--help"], ["--install-completion"], ["--version"])
            or "..." in rest
            or "[" in line
            or "OPTIONS" in rest
        ):
            continue
        assert not hasattr(command, "commands"), line
        with command.make_context("l2aco", rest):
            pass


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_of_a_page_compiles_and_imports_what_there_is(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S):
        compile(block, str(page), "exec")
        for line in re.findall(r"^(?:from l2aco\S* import .+|import l2aco.*)$", block, flags=re.M):
            exec(line, {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_scripts_of_a_page_are_there_with_the_options_that_it_names(page: Path) -> None:
    text = re.sub(r"\\\n\s+", "", page.read_text(encoding="utf-8"))
    for script, rest in re.findall(r"python (benchmarks/\S+\.py)([^`\n]*)", text):
        source = (ROOT / script).read_text(encoding="utf-8")
        for option in re.findall(r"--[a-z-]+", rest):
            assert f'"{option}"' in source, f"{script} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_of_a_page_have_a_head(page: Path) -> None:
    """Rows below an empty line are no table, and shown as one line of bars."""
    lines = ["", *page.read_text(encoding="utf-8").splitlines(), ""]
    starts = [at for at in range(1, len(lines) - 1) if lines[at].startswith("|") and not lines[at - 1].startswith("|")]
    assert [lines[at] for at in starts if not re.fullmatch(r"[|:\s-]+", lines[at + 1])] == []


def test_the_site_is_built_and_no_link_of_it_leads_nowhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    front = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    for name in ["tutorials/uncertainty/", "notebooks/biologist/"]:
        assert f'href="{name}"' in front
        assert (tmp_path / "site" / name / "index.html").exists()
