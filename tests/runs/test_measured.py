"""A finished run takes up measurements of a line without training, and says how sure it is."""

from __future__ import annotations

import json

import polars as pl
import pytest

from l2aco.data.catalog import open_dataset
from l2aco.runs.run import open_run


@pytest.fixture
def mixed(lab, cli):
    cli("train", "--backbone", "Mixed", "--set", "draws=4")
    return lab


def held_out(lab) -> tuple[str, pl.DataFrame]:
    """A line of the test rows, and what was measured of it."""
    table = open_run(None, lab).predictions()
    line = table["cell_line"].mode().sort()[0]
    return line, table.filter(cell_line=line)


def test_measurements_move_a_line_towards_them_and_narrow_its_interval(mixed, cli):
    line, rows = held_out(mixed)
    few, asked = rows.head(40), rows.tail(20).select("drug_a", "drug_b", "cell_line")
    asked.write_csv("asked.csv")
    found = []
    for shift in (None, 30.0, -30.0):
        more = []
        if shift is not None:
            few.select("drug_a", "drug_b", "cell_line", score=pl.lit(shift)).write_csv("few.csv")
            more = ["--measured", "few.csv"]
        said = cli("predict", "--pairs", "asked.csv", *more, "--json")
        assert ("40 measurements of few.csv are taken up" in said.stderr) == bool(more)
        found.append(pl.DataFrame(json.loads(said.stdout)))
    before, high, low = found
    assert (low["probability"] < before["probability"]).all() and (before["probability"] < high["probability"]).all()
    width = [(frame["expected_high"] - frame["expected_low"]).mean() for frame in found]
    assert max(width[1:]) < width[0]
    assert ((before["expected_low"] < before["expected"]) & (before["expected"] < before["expected_high"])).all()
    drugs = [name for drug in asked["drug_a"].unique().sort()[:4] for name in ("--drug", drug)]
    ranked = cli("recommend", "--cell", line, *drugs, "--measured", "few.csv", "--json")
    assert "40 further measurements are taken up" in ranked.stderr
    pair = json.loads(ranked.stdout)[0]
    assert pair["expected_low"] < pair["expected"] < pair["expected_high"]
    one, other = few.select("drug_a", "drug_b").row(0)
    ask = ("recommend", "--cell", line, "--drug", one, "--drug", other)
    (pair,) = json.loads(cli(*ask, "--measured", "few.csv", "--json").stdout)
    assert (pair["measured"], pair["measured_score"]) == (0, -30.0)
    assert "no, -30" in cli(*ask, "--measured", "few.csv").stdout
    few.select("drug_a", "drug_b", "cell_line", score=pl.lit(-30.0), label=pl.lit(1)).write_csv("few.csv")
    (pair,) = json.loads(cli(*ask, "--measured", "few.csv", "--json").stdout)
    assert (pair["measured"], pair["measured_score"]) == (1, -30.0)
    (pair,) = json.loads(cli(*ask, "--json").stdout)
    assert pair["measured_score"] != -30.0


def test_ninety_percent_intervals_hold_most_measurements_of_held_out_lines(mixed, cli):
    rows = open_run(None, mixed).predictions()
    rows.select("drug_a", "drug_b", "cell_line", "score").write_csv("asked.csv")
    cli("predict", "--pairs", "asked.csv", "-o", "out.csv")
    found = pl.read_csv("out.csv")
    target = open_run(None, mixed).predictor().scorer.state.target
    true = ((pl.col("score") - target.centre) / target.width).tanh()
    held = found.select(((true >= pl.col("expected_low")) & (true <= pl.col("expected_high"))).mean()).item()
    assert 0.8 < held < 0.98


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("drug_a,drug_b,cell_line,score\nDB00530,DB00317,{line},much\n", "few.csv:2"),
        ("drug_a,drug_b,cell_line,score\nDB00530,DB00317,{line},\n", "is empty"),
        ("drug_a,drug_b,cell_line,score\nDB00530,DB00530,{line},3\n", "same drug"),
        ("drug_a,drug_b,cell_line,score\nDB00530,nobody,{line},3\n", "few.csv:2"),
        ("drug_a,drug_b,cell_line,score\nDB00530,DB00317,{line},3\nDB00317,DB00530,{line},4\n", "few.csv:3"),
        ("drug_a,drug_b,cell_line\nDB00530,DB00317,{line}\n", "score"),
        ("drug_a,drug_b,cell_line,score\n", "few.csv"),
        (
            "drug_a,drug_b,cell_line,label\nDB00530,DB00317,{line},1\n",
            "few.csv: has labels and no scores, and the run mo",
        ),
    ],
)
def test_a_bad_row_of_measurements_is_named(mixed, cli, text, said):
    (mixed.root / "few.csv").write_text(text.format(line=open_dataset("demo", mixed).cell_lines[0].id))
    result = cli("recommend", "--cell", "A375", "--measured", "few.csv", code=1)
    assert said in result.stderr and not result.stdout


def test_a_column_of_scores_that_is_called_otherwise_is_named(mixed, cli):
    line, rows = held_out(mixed)
    few = rows.head(3).select("drug_a", "drug_b", "cell_line", Bliss=pl.lit(9.0))
    few.write_csv("few.csv")
    few.rename({"Bliss": "Score"}).write_csv("same.csv")
    one, other = few.select("drug_a", "drug_b").row(0)
    for ask in (("predict", "--drug-a", one, "--drug-b", other), ("recommend", "--top", 1)):
        said = cli(*ask, "--cell", line, "--measured", "few.csv").stderr
        assert "column 'Bliss' of few.csv is read as the score" in said
        assert "is read as the score" not in cli(*ask, "--cell", line, "--measured", "same.csv").stderr


def test_a_run_of_labels_asks_for_labels(lab, cli):
    cli("train", "--backbone", "Mixed", "--set", "draws=4", "--set", "target=label")
    line, rows = held_out(lab)
    rows.head(3).select("drug_a", "drug_b", "cell_line", "score").write_csv("few.csv")
    one, other = rows.select("drug_a", "drug_b").row(0)
    ask = ("predict", "--drug-a", one, "--drug-b", other, "--cell", line, "--measured", "few.csv")
    assert "has scores and no labels, and the run models labels" in cli(*ask, code=1).stderr
    rows.head(3).select("drug_a", "drug_b", "cell_line", "label").write_csv("few.csv")
    assert "3 measurements of few.csv are taken up" in cli(*ask).stderr


def test_a_network_says_that_it_takes_no_measurements(lab, cli):
    cli("train", "--backbone", "MLP", "--align", "none", "--set", "epochs=1")
    ask = ("predict", "--drug-a", "nobody", "--drug-b", "no one", "--cell", "nowhere", "--measured", "few.csv")
    (lab.root / "few.csv").write_text("drug_a,drug_b,cell_line,score\n")
    assert "Mixed" in cli(*ask, code=2).stderr  # before names are looked up
    line, rows = held_out(lab)
    rows.select("drug_a", "drug_b", "cell_line", "score").write_csv("few.csv")
    assert "Mixed" in cli("recommend", "--cell", line, "--measured", "few.csv", code=2).stderr


def test_the_call_is_that_of_the_calibrated_probability(mixed, cli):
    line, rows = held_out(mixed)
    pair = rows.row(0, named=True)
    ask = ("--drug-a", pair["drug_a"], "--drug-b", pair["drug_b"], "--cell", line)
    found = json.loads(cli("predict", *ask, "--json").stdout)[0]
    assert found["synergistic"] == (found["calibrated"] >= 0.5)
    assert "from 0.50 a pair is more likely synergistic than not" in cli("recommend", "--cell", line).stderr
