"""The numbers of docs/data.md are those of the public files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_the_page_is_up_to_date(shared: Path, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "docs" / "data_numbers.py", shared / "data", "--check"]
    result = subprocess.run(command, env={**os.environ, "L2ACO_CACHE": str(tmp_path)}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr or "run `python docs/data_numbers.py` and commit docs/data.md"
