"""`l2aco tune`: over validation rows, resumable, seeded, bounded."""

from __future__ import annotations

import json

import numpy as np
import pytest
from any_bytes import altered_json, dumps, feed, mutated
from hypothesis import strategies as st

from l2aco.embeddings.store.segments import StoreRecord
from l2aco.embeddings.store.store import open_store
from l2aco.runs.run import list_runs
from l2aco.runs.spec import TrainSpec
from l2aco.training.train import train
from l2aco.training.tune import _study, parse_space, validation_value

pytest.importorskip("optuna")
SPACE = ("--backbone", "GCN", "--store", "none", "--set", "align.loss=none", "--set", "epochs=1")


def test_a_search_goes_on_where_it_stopped_and_leaves_a_spec(lab, cli):
    asked = ("tune", *SPACE, "--space", "learning_rate=1e-4:1e-1:log", "--space", "hidden=8,16", "--json")
    first = json.loads(cli(*asked, "--trials", 2).stdout)
    assert len(first["trials"]) == 2 and not list_runs(lab), "no run is saved, no test row scored"
    more = cli(*asked, "--trials", 3)
    assert "2 trials are there already" in more.stderr
    told = json.loads(more.stdout)
    assert len(told["trials"]) == 3 and told["value"] == max(row["auroc"] for row in told["trials"])
    run = json.loads(cli("train", "--spec", told["spec"], "--json").stdout)["runs"][0]
    (made,) = list_runs(lab)
    assert made.id == run and made.metrics["training"]["best_value"] == pytest.approx(told["value"])
    assert made.metrics["valid"]["auroc"] == pytest.approx(told["value"])


def test_what_is_fitted_at_once_is_valued_on_validation_rows(lab):
    spec = TrainSpec(backbone="Logistic", dataset="demo")
    value = validation_value(spec, "auroc", lab)
    assert train(spec, lab).metrics["valid"]["auroc"] == pytest.approx(value)


def test_wrong_ranges_are_refused_before_anything_is_trained(lab, cli):
    for space in ("nosuch=1,2", "learning_rate=1e-2:1e-4", "learning_rate=-1:1:log", "learning_rate", "hidden=a:b"):
        assert "Error" in cli("tune", *SPACE, "--space", space, code=2).stderr
    (whole,) = parse_space(("epochs=5:50",))
    assert whole.kind == "whole" and parse_space(("lr=0.1:1",))[0].kind == "float"
    assert not (lab.root / "tune").exists()


def test_a_search_of_other_data_begins_anew(lab, cli):
    rng = np.random.default_rng(0)
    rows = [f"d{a},d{b},c{c},{rng.normal():.3f}" for c in range(8) for a in range(6) for b in range(a)]
    search = ("tune", "--backbone", "Logistic", "--space", "strength=0.1:1", "--trials", 1)
    of_data = (*search, "--dataset", "screen", "--store", "none")
    of_store = (*search, "--dataset", "demo", "--store", "reference--toy", "--set", "cell_features=profile")

    def bring(rows):
        (lab.root / "screen.csv").write_text("drug_a,drug_b,cell_line,score\n" + "\n".join(rows) + "\n")
        cli("data", "import", "screen.csv", "--name", "screen", "--force")

    bring(rows)
    for asked in (of_data, of_store):
        cli(*asked)
        assert "1 trials are there already" in cli(*asked).stderr
    bring([*rows, "d0,d1,c99,1.5"])
    line = StoreRecord("cell_line", "X1", "X1", "about X1")
    open_store("reference--toy", lab).upsert([line], np.full((1, 16), 0.25, dtype=np.float32))
    for asked in (of_data, of_store):
        assert "there already" not in cli(*asked).stderr


@pytest.fixture
def searched(lab, cli):
    """The log of a search of two trials, and the command that goes on with it."""
    asked = ("tune", "--backbone", "Logistic", "--space", "strength=0.1:1", "--trials", 2)
    cli(*asked)
    (log,) = lab.root.glob("tune/*/trials.log")
    return log, asked


def test_a_search_that_was_killed_while_it_wrote_goes_on(searched, cli):
    log, asked = searched
    log.write_bytes(log.read_bytes()[:-15])
    assert "1 trials are there already" in cli(*asked).stderr
    assert "2 trials are there already" in cli(*asked).stderr


def test_a_log_that_tells_no_search_is_said_and_kept(searched, cli):
    log, asked = searched
    events = [json.loads(line) for line in log.read_text().splitlines()]
    for wrong in ({"directions": [1]}, {"param_name": "seed"}, {"values": [float("nan")]}, {"values": [1, 2]}):
        log.write_text(
            "".join(json.dumps(event | {k: v for k, v in wrong.items() if k in event}) + "\n" for event in events)
        )
        before = log.read_bytes()
        assert "the search begins anew" in cli(*asked, code=1).stderr
        assert log.read_bytes().startswith(before), "nothing is taken out of it"
    log.unlink()
    cli(*asked)


def test_any_log_of_a_search(searched):
    optuna = pytest.importorskip("optuna")
    log, _ = searched
    ranges = parse_space(("strength=0.1:1",))
    good = log.read_bytes()

    def read(data):
        log.write_bytes(data)
        _study(optuna, log, "auroc", 0, ranges)

    read(good)
    events = [json.loads(line) for line in good.splitlines()]
    odd = st.builds(lambda value: "".join(dumps(event) + "\n" for event in value).encode(), altered_json(events))
    feed(mutated(good) | odd, read)
