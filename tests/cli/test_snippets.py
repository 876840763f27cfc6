"""Every snippet of every page is run, on a small simulated screen, with the fake model and a quick encoder.

What the machine of a test has no network, no GPU and no hour for stands in NOT_HERE with its reason, or below a comment
`<!-- skip: next "reason" -->` in the page. The tutorials are followed in test_tutorials.py.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from snippets import followed, snippets
from typer.testing import CliRunner

import l2aco
from l2aco.cli.examples import EXAMPLES
from l2aco.cli.main import app
from l2aco.embeddings.encoders.base import Encoder

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "benchmarks").rglob("*.md"))]
PAGES = [page for page in PAGES if page.parent.name != "tutorials" and any(snippets(page, print))]

NOT_HERE = {
    r"^(make|pip|python\S*|export|hf|\S+/pip|vllm|[A-Z0-9_]+=\S+|\.) ": "installs, or is a program of its own",
    r"data fetch": "downloads; tests/data/test_fetching.py does",
    r"--base-url http://node1": "servers of a cluster; tests/llm has its own",
    r"--batch|--tier": "an API of batches and tiers; test_tutorials.py and tests/llm have them",
    r"--install-completion": "changes the shell of the user",
    r"bench (run|board)": "minutes to hours; tests/bench runs smoke, test_tutorials.py a suite",
    r"^l2aco explore": "serves until Ctrl-C; tests/explore does it, and exports",
    r"^l2aco quickstart": "minutes; test_cli_pipeline.py does it",
    r"smiles_model:": "a model of Hugging Face",
    r"store merge|--shard \d+/|--executor ray": "of several machines; tests/embeddings has them",
    r"profiles (answers|watch)": "of another engine, or of a job; tests/profiles has both",
}
QUICK = {
    r"--trials \d+|--minutes \d+": "--trials 1",
    r"(.* --backbone GradientBoosting .*)": r"\1 --set iterations=5",
    r"(l2aco (?:train|tune)(?!.*(?:Mixed|Boosted|GradientBoosting|epochs=)).*)": r"\1 --set epochs=1",
}
"""One trial, five trees and one epoch are enough to see that a training starts, ends and is saved."""


class Words(Encoder):
    """The names `minilm` and `bge-large-en-v1.5` with vectors that cost nothing: words counted by a hash."""

    def _encode(self, texts: list[str], progress: Any) -> np.ndarray:
        found = np.zeros((len(texts), self.spec.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                found[row, sum(map(ord, word)) % self.spec.dimension] += 1
        return found


CONFIGURATION = """
dataset = "mine"
llms = { qwen.engine = "fake", gpt-4o-mini.engine = "fake", gpt-5.engine = "fake" }
[encoders]
minilm = { runtime = "test_snippets:Words", model = "words", dimension = 384, window = 512 }
"bge-large-en-v1.5" = { runtime = "test_snippets:Words", model = "words", dimension = 1024, window = 512 }
"""


def run(command: str) -> str:
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, f"{command}\nexit {result.exit_code}\n{result.output}\n{result.exception!r}"
    return result.output


def shell(command: str) -> None:
    if any(re.search(pattern, command) for pattern in NOT_HERE):
        return
    for pattern, instead in QUICK.items():
        command = re.sub(f"^{pattern}$" if "(" in pattern else pattern, instead, command)
    if imported := re.search("data import .* --name (\\w+)", command):
        shutil.rmtree(Path("data", imported[1]), ignore_errors=True)  # whose page brings it in begins without
    if command.startswith("cat "):
        subprocess.run(command, shell=True, check=True)
    else:
        run(command)


@pytest.fixture(scope="module")
def at_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with what pages speak of: screens, stores, runs, and the files of a user."""
    folder = tmp_path_factory.mktemp("pages") / "workspace"
    with pytest.MonkeyPatch.context() as patch:
        folder.mkdir()
        patch.chdir(folder)
        patch.delenv("L2ACO_WORKSPACE", raising=False)
        configuration = folder.parent / "config.toml"
        configuration.write_text(CONFIGURATION)
        patch.setenv("L2ACO_CONFIG", str(configuration))
        write_files()
        for source, name in (
            ("my_screen.csv", "mine"),
            ("graphsynergy/DrugCombDB", "drugcombdb"),
            ("deepdds", "oneil"),
        ):
            shell(
                f"l2aco data import {source} --name {name} --drugs drugs.csv" + " --graph edges.csv" * (name == "mine")
            )
        shell("l2aco profile --llm reference")
        shell("l2aco embed reference --encoder minilm")
        shell("l2aco embed reference-panel")
        for backbone in ("GCN", "MLP", "Mixed"):
            shell(f"l2aco train --dataset mine --backbone {backbone}")
        shutil.copy(next(folder.glob("runs/mine-GCN-*/spec.toml")), "spec.toml")
        shell("l2aco runs export Mixed colleague.zip")
        shell("l2aco store export reference-panel--fields colleague.parquet")
    return folder


DRUGS = (
    "ERLOTINIB GEMCITABINE EVEROLIMUS LAPATINIB PACLITAXEL TOPOTECAN IMATINIB TAMOXIFEN DASATINIB BORTEZOMIB".split()
)


def write_files() -> None:
    """A small part of the demo as a user's screen, and what a user may bring beside it."""
    screen = l2aco.open("demo").to_polars().filter(pl.col("drug_a").is_in(DRUGS), pl.col("drug_b").is_in(DRUGS))
    lines = sorted({"A375", "MCF7", *screen["cell_line"].unique().sort()[:16]})
    screen = screen.filter(pl.col("cell_line").is_in(lines))
    shutil.rmtree("data")
    of_others(screen, lines)
    screen = screen.select("drug_a", "drug_b", "cell_line", "score")
    screen.write_csv("my_screen.csv")
    screen.head(5).drop("score").write_csv("pairs.csv")
    screen.drop("score").with_columns(probability=0.5).write_csv("predictions.csv")
    response = {line: [float(at + len(line)) for at in range(10)] for line in lines}
    pl.DataFrame({"drug": DRUGS, **response}).write_csv("measured.csv")
    edges = [f"targets,{drug},drug,{number % 5},protein" for number, drug in enumerate(DRUGS)]
    edges += [f"overexpresses,{line},cell_line,{number % 5},protein" for number, line in enumerate(lines)]
    Path("edges.csv").write_text("\n".join(["relation,x_id,x_type,y_id,y_type", *edges]))
    Path("mine.csv").write_text("name,kind\nErlotinib,drug\n")
    Path("notes.csv").write_text("kind,name,text\ndrug,Erlotinib,Inhibits EGFR\n")
    Path("first_results.csv").write_text("drug_a,drug_b,cell_line,score\nErlotinib,Everolimus,A375,12\n")
    Path("bt20.json").write_text('{"doubling_time_hours": 45, "sensitivity": {"EGFR_1st": 1}}')


def of_others(screen: pl.DataFrame, lines: list[str]) -> None:
    """The same screen as GraphSynergy and DeepDDS would lay it out."""
    smiles = pl.DataFrame({"name": DRUGS, "smile": ["C" * size + "O" for size in range(1, 11)]})
    one, other = Path("graphsynergy", "DrugCombDB"), Path("deepdds")
    one.mkdir(parents=True), other.mkdir()
    smiles.rename({"smile": "smiles"}).write_csv("drugs.csv")
    shutil.copy("drugs.csv", "smiles.csv")
    ids = dict(screen.select("drug_a", "drug_a_id").rows() + screen.select("drug_b", "drug_b_id").rows())
    columns = {
        "Drug1": "drug_a",
        "Drug2": "drug_b",
        "cell": "cell_line",
        "drug1_db": "drug_a_id",
        "drug2_db": "drug_b_id",
    }
    screen.select(**columns, synergy="score").write_csv(one / "drug_combinations.csv")
    targets = [(ids[drug], number % 5) for number, drug in enumerate(DRUGS)]
    pl.DataFrame(targets, ["drug", "protein"], orient="row").write_csv(one / "drug_protein.csv")
    rows = [("G", "na", number % 5, line, "lung", -666, 1) for number, line in enumerate(lines)]
    heads = ["GeneSym", "source_desc", "protein", "cell", "Tissue", "target_id", "weight"]
    pl.DataFrame(rows, heads, orient="row").write_csv(one / "cell_protein.csv")
    pl.DataFrame({"protein_a": [0, 1], "protein_b": [1, 2]}).write_csv(one / "protein-protein_network.csv")
    smiles.write_csv(other / "smiles.csv")
    structure = dict(smiles.rows())
    named = screen.select(drug1="drug_a", drug2="drug_b", cell="cell_line", score="score", label="label")
    named.drop("label").write_csv(other / "scores_0_10.csv")
    named.drop("score").with_columns(pl.col("drug1", "drug2").replace(structure)).write_csv(
        other / "new_labels_0_10.csv"
    )
    genes = pl.DataFrame(
        {"gene_id": ["gene", *lines], "g1": ["t1", *map(str, range(len(lines)))], "g2": ["t2", *["1"] * len(lines)]}
    )
    genes.write_csv(other / "new_cell_features_954.csv")


@pytest.fixture
def here(at_hand: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, which is the current folder."""
    folder = tmp_path / "workspace"
    shutil.copytree(at_hand, folder)
    (folder / "my-project").symlink_to(folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("L2ACO_WORKSPACE", raising=False)
    monkeypatch.setenv("L2ACO_CONFIG", str(at_hand.parent / "config.toml"))
    yield folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_snippets_of_a_page_do_what_they_say(page: Path, here: Path) -> None:
    followed(page, shell)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_a_command_do_what_they_say(name: str, here: Path) -> None:
    """Those of --help, which stand in docs/commands.md too."""
    for example in EXAMPLES[name]:
        shell(f"l2aco {example}")


def test_what_is_left_out_is_still_there() -> None:
    shown = [command for examples in EXAMPLES.values() for command in (f"l2aco {example}" for example in examples)]
    for page in PAGES:
        shown += [
            command for found in snippets(page, print) if isinstance(found.parsed, list) for command in found.parsed
        ]
    assert [pattern for pattern in NOT_HERE if not any(re.search(pattern, command) for command in shown)] == []
