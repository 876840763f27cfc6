"""A network on a cheap model: what the run keeps, what it adds by itself, and what a score teaches beside its label."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from l2aco.data.catalog import open_dataset
from l2aco.data.splits.make import make_split
from l2aco.data.splits.spec import SplitSpec
from l2aco.data.write import write_dataset
from l2aco.embeddings.store.segments import StoreRecord
from l2aco.embeddings.store.store import open_store
from l2aco.entities import Entity, EntityKind
from l2aco.models.losses import correlation_loss
from l2aco.runs.run import open_run
from l2aco.runs.spec import TrainSpec
from l2aco.training.offset import SHARES, choose_share
from l2aco.training.prepare import prepare
from l2aco.training.train import train

QUICK = ("--backbone", "MLP", "--set", "epochs=1", "--set", "learning_rate=1e-12")
LINE = Entity("BT-20", EntityKind.cell_line, "BT-20")


@pytest.mark.parametrize("name", ["mixed", "pair", "additive"])
def test_a_network_that_has_learned_nothing_says_what_its_offset_says(lab, cli, name):
    said = cli("train", *QUICK, "--align", "none", "--offset", name)
    run = open_run(None, lab)
    assert f"on the offset {name}" in said.stderr and f"on-{name}-s0" in run.id and run.spec.offset == name
    table = {row["model"]: row["auroc"] for row in run.metrics["baselines"]}
    alone = table[f"offset ({name})"]
    cli("train", *QUICK, "--align", "none")
    bare = open_run(None, lab).metrics["test"]["pooled"]["auroc"]
    assert abs(run.metrics["test"]["pooled"]["auroc"] - alone) < 0.05 < alone - bare
    assert f"offset ({name})" in said.stdout


def test_the_run_repeats_its_own_numbers_without_data_set_and_store(lab, cli):
    import shutil

    cli("train", "--backbone", "GCN", "--set", "epochs=2", "--offset", "mixed")
    run = open_run(None, lab)
    rows = run.predictions("test")
    shutil.rmtree(lab.root / "data")
    shutil.rmtree(lab.embeddings / "reference--toy")
    again = run.predictor().predict(*(rows[name].to_list() for name in ("drug_a", "drug_b", "cell_line")))
    np.testing.assert_allclose(again, rows["probability"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "patience"),
    [
        ({"offset": "pair", "epochs": 100}, 50),
        ({"offset": "pair", "patience": 7}, 7),
        ({"offset": "pair", "epochs": 10}, 20),
        ({}, 20),
    ],
)
def test_a_network_on_an_offset_is_waited_for_longer(lab, given, patience):
    spec = TrainSpec(backbone="GCN", align={"loss": "none"}, **given)
    recipe = prepare(spec, lab).recipe
    assert recipe is not None and recipe.patience == patience


@pytest.mark.parametrize("setting", ["novel-drug", "novel-pair", "long-tail", "random"])
def test_every_setting_has_an_offset(lab, setting):
    spec = TrainSpec(backbone="MLP", epochs=1, align={"loss": "none"}, offset="mixed", split={"setting": setting})
    run = train(spec, lab)
    assert np.isfinite(run.predictions("test")["probability"].to_numpy()).all()


@pytest.mark.parametrize("align", ["none", "infonce"])
def test_a_newcomer_is_scored_by_both(lab, cli, align):
    cli("train", *QUICK, "--align", align, "--offset", "mixed")
    drugs = [drug.id for drug in open_run(None, lab).entities(EntityKind.drug)[:2]]
    store = open_store("reference--toy", lab)
    dataset = open_dataset("demo", lab)
    known = dataset.cell_lines[int(dataset.triples.cell_line[0])]
    vector = store.vectors(EntityKind.cell_line, [known.id])[0]
    found = []
    for sign in (1.0, -1.0):
        store.upsert([StoreRecord("cell_line", LINE.id, LINE.name, f"about {LINE.name} {sign}")], sign * vector)
        store = open_store("reference--toy", lab)
        pair = ("--drug-a", drugs[0], "--drug-b", drugs[1], "--cell", "BT-20")
        result = cli("predict", *pair, "--json")
        found.append(json.loads(result.stdout)[0]["probability"])
    assert found[0] != found[1]
    predictor = open_run(None, lab).predictor()
    told = predictor.admit([LINE], {LINE.key: {"reference--toy": -vector[0]}})
    assert told.predict([drugs[0]], [drugs[1]], ["BT-20"])[0] == pytest.approx(found[1], abs=1e-6)
    assert told.scorer.offset is not predictor.scorer.offset
    assert "profile vector" in predictor.admit([LINE]).lacking(LINE)


def test_an_interrupted_run_on_an_offset_ends_with_the_same_numbers(lab):
    class Killed(BaseException):
        pass

    from l2aco.training.callbacks import Callback

    class After(Callback):
        def epoch(self, record):
            if record["epoch"] == 3:
                raise Killed

    spec = TrainSpec(backbone="MLP", epochs=4, align={"loss": "none"}, offset="pair", target="rank")
    with pytest.raises(Killed):
        train(spec, lab, callbacks=[After()], state_seconds=0)
    resumed = train(spec, lab)
    whole = train(spec, lab)
    assert resumed.predictions("test").equals(whole.predictions("test"))
    assert [row["task"] for row in resumed.history] == [row["task"] for row in whole.history]


def test_what_an_offset_cannot_stand_under_is_refused(lab, cli):
    assert "networks" in cli("train", "--backbone", "Mixed", "--offset", "pair", code=2).stderr
    assert "offset" in cli("train", "--offset", "forest", code=2).stderr


def test_old_specs_and_plain_runs_keep_their_names(lab):
    plain = TrainSpec(backbone="MLP", epochs=1, align={"loss": "none"})
    run = train(plain, lab)
    assert "-f0-none-s0-" in run.id and "offset.npz" not in run.manifest["files"]
    other = train(plain.model_copy(update={"offset": "pair"}), lab)
    assert "-f0-none-on-pair-s0-" in other.id and "offset.npz" in other.manifest["files"]


@given(st.integers(3, 30), st.integers(0, 999), st.floats(0.1, 9), st.floats(-5, 5))
def test_correlation_by_numpy_whatever_the_scale_and_without_what_is_unknown(n, seed, scale, shift):
    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=(2, n)), draw.normal(size=n)
    expected = np.mean([1 - np.corrcoef(row, y)[0, 1] for row in x])
    x, y = np.append(x, [[7.0], [8.0]], axis=1), np.append(y, np.nan)
    logits = torch.tensor(x * scale + shift, requires_grad=True)
    loss = correlation_loss(logits, torch.tensor(y))
    loss.backward()
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert logits.grad.isfinite().all() and (logits.grad[:, -1] == 0).all()


@pytest.mark.parametrize("target", [[1.0, float("nan")], [2.0, 2.0]])
def test_a_batch_that_says_nothing_of_scores_teaches_nothing(target):
    logits = torch.randn(1, 2, requires_grad=True)
    correlation_loss(logits, torch.tensor(target)).backward()
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("target", ["score", "rank"])
def test_a_network_learns_scores_beside_labels(lab, cli, target):
    cli("train", "--backbone", "MLP", "--align", "none", "--set", f"target={target}", "--set", "epochs=4")
    run = open_run(None, lab)
    assert run.spec.target == target and run.history[-1]["target"] < run.history[0]["target"] < 1.5


def test_a_target_without_scores_is_refused_and_mixed_keeps_its_own(lab, cli):
    demo = open_dataset("demo", lab)
    triples = demo.triples
    rows = pl.DataFrame(
        {
            "drug_a": [demo.drugs[row].id for row in triples.drug_a],
            "drug_b": [demo.drugs[row].id for row in triples.drug_b],
            "cell_line": [demo.cell_lines[row].id for row in triples.cell_line],
            "label": triples.label,
        }
    )
    write_dataset("labels", lab, drugs=demo.drugs, cell_lines=demo.cell_lines, rows=rows)
    said = cli("train", "--dataset", "labels", *QUICK, "--align", "none", "--set", "target=score", code=2).stderr
    assert "target score" in said and "target=label" in said
    cli("train", "--dataset", "demo", "--backbone", "Mixed", "--set", "target=rank")
    assert open_run(None, lab).metrics["training"]["target"] == "rank"


def without_scores(lab, name, rows):
    """The demo as a data set in which these rows have a label and no score."""
    demo = open_dataset("demo", lab)
    triples = demo.triples
    score = triples.score.copy()
    score[rows] = np.nan
    table = pl.DataFrame(
        {
            "drug_a": [demo.drugs[row].id for row in triples.drug_a],
            "drug_b": [demo.drugs[row].id for row in triples.drug_b],
            "cell_line": [demo.cell_lines[row].id for row in triples.cell_line],
            "score": score,
            "label": triples.label,
        }
    )
    return write_dataset(name, lab, drugs=demo.drugs, cell_lines=demo.cell_lines, rows=table)


def test_mixed_goes_without_validation_rows_of_which_none_has_a_score(lab):
    blank = without_scores(lab, "blank", make_split(open_dataset("demo", lab), SplitSpec()).valid)
    assert np.isnan(blank.triples.score[make_split(blank, SplitSpec()).valid]).all()
    run = train(TrainSpec(backbone="Mixed", dataset="blank", config={"draws": 4, "target": "score"}), lab)
    assert run.metrics["training"]["target"] == "score"


def test_mixed_learns_labels_where_many_training_rows_have_no_score(lab):
    rows = make_split(open_dataset("demo", lab), SplitSpec()).train
    without_scores(lab, "most", rows[::20])
    most = train(TrainSpec(backbone="Mixed", dataset="most", config={"draws": 4}), lab)
    assert most.metrics["training"]["target"] == "score"
    few = without_scores(lab, "few", rows[::4])
    run = train(TrainSpec(backbone="Mixed", dataset="few", config={"draws": 4}), lab)
    assert run.metrics["training"]["target"] == "label"
    scored = few.triples.take(np.flatnonzero(~np.isnan(few.triples.score)))
    assert run.predictor().scorer.anew(scored).state.target.name == "label"


def planted_logits(groups: int, rows: int, good: float) -> tuple[np.ndarray, ...]:
    """Labels, logits of a cheap model that know something of them, a network's that know `good` more, and groups."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, groups * rows)
    below = (label - 0.5) + rng.normal(size=len(label))
    network = good * (label - 0.5) + rng.normal(size=len(label))
    return label, below, network, np.repeat(np.arange(groups), rows)


@pytest.mark.parametrize(("groups", "rows"), [(6, 300), (1800, 1), (1, 1800)], ids=["lines", "rows", "one line"])
def test_a_network_that_only_disturbs_is_not_added_and_one_that_helps_is(groups, rows):
    assert choose_share(*planted_logits(groups, rows, 0.0)) == 0.0
    assert choose_share(*planted_logits(groups, rows, 1.0)) >= 0.5


def test_what_lifts_whole_lines_and_disturbs_within_them_is_not_added():
    label, below, network, groups = planted_logits(6, 300, 0.0)
    lifted = np.repeat([2.0, -2.0], 900)
    label = (label | (lifted > 0) & (np.arange(1800) % 3 == 0)).astype(np.int64)
    assert choose_share(label, below, network + lifted, groups) == 0.0


def test_rows_of_one_label_leave_the_network_whole():
    assert choose_share(np.ones(9, dtype=np.int64), np.zeros(9), np.ones(9), np.arange(9)) == 1.0


def test_a_run_says_and_repeats_how_much_of_its_network_it_adds(lab):
    run = train(TrainSpec(backbone="MLP", epochs=2, align={"loss": "none"}, offset="pair"), lab)
    share = run.metrics["training"]["share_of_network"]
    assert share in SHARES and run.predictor().scorer.share == share
    rows = run.predictions("test")
    again = run.predictor().predict(*(rows[name].to_list() for name in ("drug_a", "drug_b", "cell_line")))
    np.testing.assert_allclose(again, rows["probability"], rtol=0, atol=1e-6)
    beside = {row["model"]: row["auroc"] for row in run.metrics["baselines"]}
    if share == 0:
        assert run.metrics["test"]["pooled"]["auroc"] == pytest.approx(beside["offset (pair)"])
