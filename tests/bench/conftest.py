from __future__ import annotations

from pathlib import Path

import pytest
from small_suite import SUITE

from l2aco.workspace import Workspace


@pytest.fixture
def suite(workspace: Workspace) -> Path:
    """The file of a small suite, which a test may change."""
    path = workspace.root / "small.toml"
    path.write_text(SUITE)
    return path
