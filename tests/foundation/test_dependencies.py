"""pyproject.toml tells the truth: whatever is imported is declared, and whoever uses L2aCo sees its types."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import l2aco

ROOT = Path(__file__).parents[2]


def _plain(name: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", name)[0].replace("_", "-").replace(".", "-").casefold()


def _imported() -> set[str]:
    found = set()
    for path in (ROOT / "l2aco").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - {"l2aco", "__future__"} - set(sys.stdlib_module_names)


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for name, lines in project["optional-dependencies"].items() if name != "dev" for line in lines]
    declared = {_plain(line) for line in [*project["dependencies"], *extras]}
    known = packages_distributions()
    homes = {module: {_plain(name) for name in known.get(module, [module])} for module in _imported()}
    assert {module for module, names in homes.items() if not names & declared} == set()


def test_types_are_visible_to_users() -> None:
    assert (Path(l2aco.__file__).parent / "py.typed").exists()
