"""Measured response of cell lines to single drugs: brought by an import, its origin said, read by the mixed model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from l2aco.data.catalog import open_dataset
from l2aco.data.features import fit_feature, has_feature, table_in
from l2aco.runs.run import open_run

LINES = ["A-375", "HT-29", "MCF7", "A549", "SK-MEL-28", "HCT116", "T-47D", "PC-3"]
DRUGS = ["Erlotinib", "Trametinib", "Bortezomib", "Olaparib", "Paclitaxel"]
RELEASE = """drug,DEPMAP,ACH-000219,HT29,mcf-7,A549_LUNG,PC3,stranger
Trametinib,x,-4.5,-2,3.5,1,2.5,0
Bortezomib,x,-5,-4.5,-5.5,-5,,0
unknown-1,x,1,2,3,4,5,6
"""
"""As GDSC and PRISM publish: a row a drug, a column a line, by DepMap id or in any spelling."""


@pytest.fixture
def screen(tmp_path: Path) -> Path:
    """Synergy that depends on the line's response to Trametinib, of lines that have none of it too."""
    rng = np.random.default_rng(0)
    rows = ["drug_a,drug_b,cell_line,score"]
    for line in LINES:
        for i, a in enumerate(DRUGS):
            rows += [f"{a},{b},{line},{rng.normal():.3f}" for b in DRUGS[i + 1 :]]
    (tmp_path / "screen.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "response.csv").write_text(RELEASE)
    return tmp_path / "screen.csv"


def test_a_release_is_read_by_name_synonym_and_depmap_id(cli, workspace, screen):
    said = " ".join(
        cli("data", "import", screen, "--name", "mine", "--features", "response=response.csv").stderr.split()
    )
    assert "it was turned" in said and "blanks got the mean" in said
    assert "used 5 of 7 cell lines; not in the data set: DEPMAP, stranger" in said
    assert "used 2 of 3 drugs; not in the data set: unknown-1" in said
    dataset = open_dataset("mine", workspace)
    table = table_in(dataset, "response")
    assert table.columns == ("Trametinib", "Bortezomib", "unknown-1")
    rows = {line.name: row for row, line in enumerate(dataset.cell_lines)}
    assert [name for name in LINES if table.mask[rows[name]]] == ["A-375", "HT-29", "MCF7", "A549", "PC-3"]
    assert table.values[rows["A-375"]].tolist() == [-4.5, -5, 1] and table.values[rows["PC-3"], 1] == -5


def test_lines_may_stand_in_rows_too_and_drugs_never_own_them(cli, workspace, screen):
    turned = [*zip(*(row.split(",") for row in RELEASE.strip().splitlines()), strict=True)]
    Path("turned.csv").write_text("\n".join(map(",".join, turned)) + "\n")
    cli("data", "import", screen, "--name", "a", "--features", "response=turned.csv")
    table = table_in(open_dataset("a", workspace), "response")
    assert table.kind == "cell_line" and table.mask.sum() == 5
    Path("drugs.csv").write_text("drug,weight\n" + "\n".join(f"{name},1.5" for name in DRUGS) + "\n")
    said = cli("data", "import", screen, "--name", "b", "--features", "response=drugs.csv", code=1).stderr
    assert "is about none of the cell lines" in said and not (workspace.data / "b").exists()


def test_its_origin_is_said_kept_and_shown(cli, workspace, screen):
    common = ("data", "import", screen, "--features", "response=response.csv")
    cli(*common, "--name", "other")
    cli(*common, "--name", "same", "--same-screen")
    assert "another screen, as nothing else was said" in cli("data", "info", "other").stdout
    assert "the screen that the scores come from" in cli("data", "info", "same").stdout
    assert open_dataset("same", workspace).manifest["same_screen"] is True
    cli("data", "merge", "other", "same", "--name", "both")
    assert open_dataset("both", workspace).manifest["same_screen"] is True
    said = cli("data", "import", screen, "--name", "none", "--same-screen", code=2).stderr
    assert "--features response=FILE" in said and not (workspace.data / "none").exists()
    cli("data", "import", screen, "--name", "none")
    assert "response" not in cli("data", "info", "none").stdout
    assert not has_feature(open_dataset("none", workspace), "response")
    with pytest.raises(Exception, match="--features response=FILE"):
        fit_feature(open_dataset("none", workspace), "response")


def test_the_mixed_model_reads_what_it_is_told_and_says_so(cli, workspace, screen):
    Path("lines.csv").write_text(
        "name,tissue\n" + "\n".join(f"{n},{t}" for n, t in zip(LINES, "sclcscls", strict=True))
    )
    cli("data", "import", screen, "--name", "mine", "--features", "response=response.csv", "--same-screen",
        "--cell-lines", "lines.csv")  # fmt: skip
    train = ("train", "--dataset", "mine", "--backbone", "Mixed", "--setting", "random", "--folds", 3,
             "--store", "none")  # fmt: skip
    read = {"all": ["response", "tissue"], "response": ["response"], "tissue": ["tissue"], "stores": [], "none": []}
    for knowledge, kernels in read.items():
        said = cli(*train, "--set", f"knowledge={knowledge}").stderr
        facts = open_run(None, workspace).metrics["training"]
        assert facts["kernels"] == kernels
        told = "response" in kernels
        assert ("measured in the screen that the scores come from" in said) == told == ("response" in facts)
    assert "none of all, none, stores" in cli(*train, "--set", "knowledge=respones", code=2).stderr
    assert "has no expression" in cli(*train, "--set", "knowledge=stores+expression", code=1).stderr
    assert 0 < json.loads(cli("evaluate", "--json").stdout)["test"]["pooled"]["auroc"] < 1
