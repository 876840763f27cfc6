"""The house: no two files import each other in a loop, files and functions stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import grimp
import networkx
import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "l2aco").rglob("*.py"))


def test_no_files_import_each_other_in_a_loop() -> None:
    """Also not inside functions; imports for type checking alone do not run, and are left out."""
    house = grimp.build_graph("l2aco", exclude_type_checking_imports=True, cache_dir=None)
    imports = networkx.DiGraph(
        (one, other) for one in house.modules for other in house.find_modules_directly_imported_by(one)
    )
    loops = [sorted(found) for found in networkx.strongly_connected_components(imports) if len(found) > 1]
    assert not loops


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, path
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[0].lineno if "cli" in path.parts else node.lineno  # a verb's options are its signature
            length = (node.end_lineno or body) - body + 1
            assert length <= 60, f"{path}:{node.lineno} {node.name} has {length} lines"
