"""The other Pythons that we promise: none of them finds fault with our code, not even a warning."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMISED = [
    line.rpartition(" ")[2]
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    if line.startswith("Programming Language :: Python :: 3.")
]
COMPILE = """
import pathlib, sys
for path in map(pathlib.Path, sys.argv[1:]):
    for file in sorted(path.rglob("*.py")):
        compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
print("%d.%d" % sys.version_info[:2])
"""


def interpreter(version: str) -> str:
    """That of PATH, or one that pyenv keeps."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(root.glob(f"versions/{version}.*/bin/python"))
    found = str(kept[-1]) if kept else shutil.which(f"python{version}")
    if found is None:
        pytest.skip(f"no Python {version} on this machine")
    return found


@pytest.mark.parametrize("version", PROMISED)
def test_our_code_is_code_there(version: str) -> None:
    command = [
        interpreter(version),
        "-W",
        "error",
        "-c",
        COMPILE,
        *(ROOT / part for part in ("l2aco", "benchmarks", "docs")),
    ]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr[-2000:]
    assert found.stdout.strip() == version
