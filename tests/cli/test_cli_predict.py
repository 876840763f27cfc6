"""`l2aco predict` as a user sees it: names, files of pairs, and what is refused."""

from __future__ import annotations

import csv
import json

import pytest

from l2aco.data.catalog import open_dataset
from l2aco.errors import UnknownNameError


def trained(lab, *more):
    from l2aco.training.request import make_spec
    from l2aco.training.train import train

    options = {"backbone": "GCN", "epochs": 2} | dict(more)
    return train(make_spec(options, [], lab), lab)


def test_predict_takes_names_and_ids_and_ignores_the_order_of_the_pair(lab, cli):
    run, dataset = trained(lab), open_dataset("demo", lab)
    a, b, line = dataset.drugs[0], dataset.drugs[1], dataset.cell_lines[2]
    (lab.root / "pairs.csv").write_text(
        f"Drug_A,drug_b,cell_line\n{a.id},{b.name.lower()},{line.name}\n{b.id},{a.id},{line.id}\n"
    )
    cli("predict", "--pairs", "pairs.csv", "-o", "out.csv")
    with (lab.root / "out.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 and rows[0]["drug_a_id"] == a.id and rows[1]["drug_a_id"] == b.id
    assert rows[0]["probability"] == rows[1]["probability"] and 0 < float(rows[0]["probability"]) < 1
    one = json.loads(cli("predict", run.id, "--drug-a", a.id, "--drug-b", b.id, "--cell", line.id, "--json").stdout)
    assert one[0]["probability"] == pytest.approx(float(rows[0]["probability"]))
    before = (lab.root / "pairs.csv").read_bytes()
    assert "would replace" in cli("predict", "--pairs", "pairs.csv", "-o", lab.root / "pairs.csv", code=2).stderr
    assert (lab.root / "pairs.csv").read_bytes() == before


def test_a_predictor_takes_names_and_ids_alike(lab):
    predictor, dataset = trained(lab).predictor(), open_dataset("demo", lab)
    a, b, line = dataset.drugs[0], dataset.drugs[1], dataset.cell_lines[2]
    by_id = predictor.predict([a.id], [b.id], [line.id])
    assert predictor.predict([a.name.lower()], [b.name], [line.name])[0] == by_id[0]
    with pytest.raises(UnknownNameError, match=f"Did you mean {a.name}"):
        predictor.predict([f"{a.name}x"], [b.id], [line.id])


def test_predict_names_the_line_of_what_it_cannot_use(lab, cli):
    trained(lab)
    dataset = open_dataset("demo", lab)
    a, b, line = dataset.drugs[0], dataset.drugs[1], dataset.cell_lines[2]
    cases = {
        f"drug_a,drug_b,cell_line\n{a.id},{b.id},{line.id}\n{a.name[:-1]}x,{b.id},{line.id}\n": (":3", a.name),
        f"drug_a,cell_line\n{a.id},{line.id}\n": ("", "no column 'drug_b'"),
        f"drug_a,drug_b,line\n{a.id},{b.id},{line.id}\n": ("", "Rename yours to cell_line"),
        "": ("", "is empty"),
        "drug_a,drug_b,cell_line\n": ("", "holds no rows"),
        f"drug_a,drug_b,cell_line\n{a.id},{a.id},{line.id}\n": (":2", "same drug"),
        f"drug_a,drug_b,cell_line\n{a.id},,{line.id}\n": (":2", "column 'drug_b' is empty"),
    }
    for text, (where, message) in cases.items():
        (lab.root / "pairs.csv").write_text(text)
        error = cli("predict", "--pairs", "pairs.csv", "-o", "out.csv", code=1).stderr
        assert f"pairs.csv{where}" in error and message in error
        assert not (lab.root / "out.csv").exists()
    assert "no such file" in cli("predict", "--pairs", "nowhere.csv", code=1).stderr
    assert "--drug-b" in cli("predict", "--drug-a", a.id, code=2).stderr


def test_predict_without_a_run_says_train(lab, cli):
    assert "l2aco train" in cli("predict", "--drug-a", "x", "--drug-b", "y", "--cell", "z", code=1).stderr


def test_pairs_carry_their_other_columns_and_all_unknown_lines_are_told(lab, cli):
    trained(lab)
    dataset = open_dataset("demo", lab)
    a, b, line = dataset.drugs[0].name, dataset.drugs[1].name, dataset.cell_lines[2].name
    (lab.root / "p.csv").write_text(f"note;Drug1;Drug2;cell\nfirst;{a};{b};{line}\nsecond;{b};{a};{line}\n")
    cli("predict", "--pairs", "p.csv", "-o", "out.csv")
    with (lab.root / "out.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["note"] for row in rows] == ["first", "second"] and rows[0]["drug_a"] == a
    (lab.root / "p.csv").write_text(f"drug1,drug2,cell,probability\n{a},{b},{line},mine\n")
    cli("predict", "--pairs", "p.csv", "-o", "out.csv")
    assert "mine" in (lab.root / "out.csv").read_text() and "probability_given" in (lab.root / "out.csv").read_text()
    (lab.root / "p.csv").write_text(f"drug1,drug2,cell,note,note\n{a},{b},{line},1,2\n")
    assert "column note twice" in cli("predict", "--pairs", "p.csv", code=1).stderr
    (lab.root / "p.csv").write_text(f"drug1,drug2,cell\n{a},{b},{line}\nfoo,{b},{line}\n{a},{a},{line}\n")
    error = cli("predict", "--pairs", "p.csv", code=1).stderr
    assert "p.csv:3" in error and "foo" in error and "p.csv:4" in error and "same drug" in error
