"""`l2aco recommend`: ranked pairs for a cell line, whatever way it is written."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from l2aco.data.catalog import open_dataset
from l2aco.data.splits.make import make_split
from l2aco.entities import EntityKind
from l2aco.files import sha256_file, write_json


@pytest.fixture
def trained(lab, cli):
    cli("train", "--backbone", "GCN", "--align", "none", "--set", "epochs=2")
    return lab


def test_ranks_every_pair_once_by_probability(trained, cli):
    drugs = len(open_dataset("demo", trained).drugs)
    everything = drugs * (drugs - 1) // 2
    pairs = json.loads(cli("recommend", "--cell", "mcf-7", "--all-pairs", "--top", everything, "--json").stdout)
    assert [pair["rank"] for pair in pairs] == list(range(1, everything + 1))
    assert len({frozenset((pair["drug_a_id"], pair["drug_b_id"])) for pair in pairs}) == everything
    probabilities = [pair["probability"] for pair in pairs]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(0 < value < 1 for value in probabilities)


def test_says_what_was_measured_here_and_elsewhere(trained, cli):
    dataset = open_dataset("demo", trained)
    triples = dataset.triples
    row = next(number for number, line in enumerate(dataset.cell_lines) if line.id == "MCF7")
    first = int((triples.cell_line == row).argmax())
    a, b = dataset.drugs[triples.drug_a[first]], dataset.drugs[triples.drug_b[first]]
    result = cli("recommend", "--cell", "MCF7", "--drug", a.id, "--drug", b.name, "--json")
    (pair,) = json.loads(result.stdout)
    same = (triples.drug_a == triples.drug_a[first]) & (triples.drug_b == triples.drug_b[first])
    elsewhere = same & (triples.cell_line != row)
    assert pair["measured"] == triples.label[first]
    assert pair["measured_score"] == triples.score[first]
    assert pair["elsewhere_measured"] == elsewhere.sum()
    assert pair["elsewhere_synergistic"] == triples.label[elsewhere].sum()


def test_says_how_much_each_drug_was_trained_on_and_leaves_out_the_rare(trained, cli):
    from l2aco.runs.run import open_run

    dataset = open_dataset("demo", trained)
    triples, train = dataset.triples, make_split(dataset, open_run(None, trained).spec.split).train
    counts = np.bincount(np.concatenate([triples.drug_a[train], triples.drug_b[train]]))
    by_id = {drug.id: count for drug, count in zip(dataset.drugs, counts.tolist(), strict=False)}
    least = int(np.median(counts))
    pairs = json.loads(
        cli("recommend", "--cell", "A375", "--all-pairs", "--top", 10_000, "--min-triples", least, "--json").stdout
    )
    assert all(pair["training_a"] == by_id[pair["drug_a_id"]] >= least for pair in pairs)
    assert all(pair["training_b"] == by_id[pair["drug_b_id"]] >= least for pair in pairs)
    left = sum(count >= least for count in by_id.values())
    assert len(pairs) == left * (left - 1) // 2
    said = cli("recommend", "--cell", "A375", "--min-triples", 10**6, code=None)
    assert said.exit_code and "0 of the drugs" in said.stderr and "--min-triples" in said.stderr


def rewritten(run, change) -> None:
    """The run with other metrics, as if it had been saved so."""
    metrics = run.metrics
    change(metrics)
    write_json(run.path / "metrics.json", metrics)
    manifest = run.manifest | {
        "files": run.manifest["files"] | {"metrics.json": sha256_file(run.path / "metrics.json")}
    }
    write_json(run.path / "manifest.json", manifest)


def test_says_when_a_naive_predictor_ranks_better(trained, cli):
    from l2aco.runs.run import open_run

    def of_naive(auroc):
        def change(metrics):
            for row in metrics["baselines"]:
                row["auroc"] = auroc if row["model"] == "pair mean" else 0.5
            metrics["test"]["pooled"]["auroc"] = 0.7

        return change

    for auroc, said in ((0.8, True), (0.6, False), (float("nan"), False)):
        rewritten(open_run(None, trained), of_naive(auroc))
        text = cli("recommend", "--cell", "A375").stderr
        assert ("'pair mean' ranks better (AUROC 0.800, this run 0.700)" in text) is said
        assert ("naive" in text) is said


def test_says_how_many_pairs_rest_on_drugs_that_training_hardly_held(lab, cli):
    from l2aco.runs.run import open_run

    cli("train", "--backbone", "GCN", "--align", "none", "--setting", "novel-drug", "--set", "epochs=2")
    held_out = open_run(None, lab).manifest["held_out"][:3]
    options = [part for drug in held_out for part in ("--drug", drug)]
    assert (
        "3 pairs hold a drug with fewer than 10 training triples" in cli("recommend", "--cell", "A375", *options).stderr
    )


def test_a_metric_that_is_undefined_is_null_on_disk_and_reads_as_nan(trained, cli):
    from l2aco.runs.run import open_run

    def undefined(metrics):
        metrics["test"]["pooled"]["auroc"] = metrics["test"]["macro"]["auroc"] = float("nan")

    rewritten(open_run(None, trained), undefined)
    path = open_run(None, trained).path / "metrics.json"
    assert json.loads(path.read_text(), parse_constant=pytest.fail)["test"]["pooled"]["auroc"] is None
    assert np.isnan(open_run(None, trained).metrics["test"]["pooled"]["auroc"])
    for verb in (("runs", "show"), ("runs", "list"), ("runs", "compare"), ("recommend", "--cell", "A375")):
        cli(*verb)
    assert json.loads(cli("runs", "list", "--json").stdout)[0]["auroc"] is None


def test_simulated_data_and_unseen_lines_are_named_as_such(trained, cli):
    from l2aco.runs.run import open_run

    run = open_run(None, trained)
    held_out = run.manifest["held_out"][0]
    said = cli("recommend", "--cell", held_out).stderr
    assert "never seen in training" in said and "SIMULATED" in said
    lines = run.counts(EntityKind.cell_line)
    known = lines.filter(lines["training_triples"] > 0)["id"][0]
    assert "was seen in training" in cli("recommend", "--cell", known).stderr


def test_writes_a_table_that_other_programs_read(trained, cli, tmp_path):
    cli("recommend", "--cell", "A375", "--top", "3", "--output", tmp_path / "pairs.csv")
    with (tmp_path / "pairs.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--cell", "MFC7"), "MCF7"),
        (("--cell", "A375", "--drug", "Erlotinb", "--drug", "SN-38"), "ERLOTINIB"),
        (("--cell", "A375", "--drug", "SN-38", "--drug", "sn38"), "two different drugs"),
        (("--cell", "A375", "--top", "0"), "--top"),
        (("--cell", "A375", "nosuchrun"), "unknown run"),
    ],
)
def test_mistakes_are_answered_with_what_to_do(trained, cli, options, expected):
    result = cli("recommend", *options, code=None)
    assert result.exit_code in (1, 2)
    assert expected in result.stderr and "Traceback" not in result.stderr


def test_without_a_run_it_says_how_to_get_one(workspace, cli):
    assert "l2aco train" in cli("recommend", "--cell", "A375", code=1).stderr


def test_a_cell_line_without_a_profile_is_said_to_have_none(lab, cli):
    from l2aco.embeddings.store.store import open_store

    open_store("reference--toy", lab).delete(where={"id": "MCF7"})
    cli("train", "--backbone", "GCN", "--set", "epochs=1")
    assert "no profile vector" in cli("recommend", "--cell", "mcf-7", "--top", 2).stderr
    assert "no profile vector" not in cli("recommend", "--cell", "A375", "--top", 2).stderr
    cli("train", "--backbone", "GCN", "--align", "none", "--set", "epochs=1")
    assert "no profile vector" not in cli("recommend", "--cell", "mcf-7", "--top", 2).stderr
