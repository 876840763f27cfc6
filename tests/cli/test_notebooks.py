"""The notebooks run from their first cell to the last in an empty folder, and say what their texts promise."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"
SAID = {
    "biologist": ("BT-20", "SIMULATED", "pair mean"),
    "researcher": ("resolves 0.", "the panel helps on unseen cell lines", "panel, shuffled"),
    "engineer": ("the budget is spent", "Did you mean reference-panel--fields?", "(3, 239)"),
}


@pytest.mark.parametrize("name", sorted(SAID))
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("L2ACO_WORKSPACE", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    folder = tmp_path / "empty"
    folder.mkdir()
    book = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    shown = str([cell.outputs for cell in book.cells if cell.cell_type == "code"])
    assert "ipywidgets" not in shown, "who has no bars is not told so at every step"
    assert not [words for words in SAID[name] if words not in shown]


def test_notebooks_hold_no_outputs() -> None:
    found = sorted(NOTEBOOKS.glob("*.ipynb"))
    assert [path.stem for path in found] == sorted(SAID)
    for path in found:
        for cell in nbformat.read(path, as_version=4).cells:
            assert cell.cell_type != "code" or (not cell.outputs and cell.execution_count is None), path.name
