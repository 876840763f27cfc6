"""`l2aco train` as a user sees it: defaults, choices, replay, and bad input."""

from __future__ import annotations

import json
import shutil

import pytest

from l2aco.data.catalog import open_dataset
from l2aco.runs.run import Run, list_runs, open_run

QUICK = ("--backbone", "GCN", "--set", "epochs=2")


def numbers(run: Run):
    """What must be equal where two runs are the same."""
    metrics = {name: value for name, value in run.metrics.items() if name != "training"}
    history = [{name: value for name, value in record.items() if name != "seconds"} for record in run.history]
    return json.dumps(metrics), json.dumps(history), run.manifest["files"]["model.safetensors"]


def test_with_no_other_flag_it_takes_the_demo_the_newest_real_store_and_says_so(lab, cli):
    shutil.copytree(lab.embeddings / "reference--toy", lab.embeddings / "fake--toy")
    result = cli("train", "--backbone", "gcn", "--set", "epochs=1")
    assert "training GCN on demo" in result.stderr and "store reference--toy" in result.stderr
    assert "novel-cell fold 0" in result.stderr
    run = open_run(None, lab)
    assert run.spec.store == ("reference--toy",) and run.spec.align.loss == "infonce"
    for name in ("pair mean", "drug mean", "additive mean", "GCN"):
        assert name in result.stdout
    assert f"run {run.id}" in result.stdout
    assert run.id.startswith("demo-GCN-novel-cell-f0-infonce-s0-")


def test_a_run_holds_everything_that_design_promises(lab, cli):
    cli("train", *QUICK)
    run = open_run(None, lab)
    assert sorted(file.name for file in run.path.iterdir()) == [
        "entities.parquet",
        "environment.json",
        "history.csv",
        "history.png",
        "history.svg",
        "inputs.npz",
        "manifest.json",
        "metrics.json",
        "model.safetensors",
        "predictions.parquet",
        "spec.toml",
    ]
    picture = (run.path / "history.svg").read_text()
    assert "SIMULATED" in picture and "kept: epoch" in picture and "mean (0." in picture
    assert len(run.history) == 2 and {"task", "align_drug", "align_cell", "valid_auroc"} <= set(run.history[0])
    assert run.environment["packages"]["torch"]
    from l2aco.metrics import compute

    table, test = run.predictions(), run.metrics["test"]
    assert len(table) == test["rows"]
    again = compute(table["label"].to_numpy(), table["probability"].to_numpy(), threshold=test["threshold"])
    assert again == pytest.approx(test["pooled"])
    assert set(test["per_cell_line"]) == set(table["cell_line"]) == set(run.manifest["held_out"])
    assert len(run.predictions("valid")) == run.metrics["valid"]["rows"]
    text = (run.path / "environment.json").read_text() + (run.path / "spec.toml").read_text()
    assert str(lab.root) not in text


def test_a_saved_spec_repeats_the_run_with_the_same_numbers_under_a_new_name(lab, cli):
    cli("train", *QUICK, "--seed", 5)
    first = open_run(None, lab)
    assert first.spec.batch_size and first.spec.store and "hidden" in first.spec.config, "every default is written down"
    cli("train", "--spec", first.path / "spec.toml", "--again")
    second = next(run for run in list_runs(lab) if run.id != first.id)
    assert second.id == f"{first.id}-2"
    assert numbers(first) == numbers(second)
    cli("train", *QUICK, "--seed", 6)
    assert numbers(open_run("-s6-", lab)) != numbers(first)


def test_a_spec_lends_another_backbone_its_request_and_not_its_recipe(lab, cli):
    cli("train", *QUICK, "--seed", 5, "--set", "hidden=32")
    saved = open_run(None, lab).path / "spec.toml"
    from l2aco.files import load_spec
    from l2aco.runs.spec import TrainSpec
    from l2aco.training.request import make_spec

    base = load_spec(TrainSpec, saved)
    assert base.epochs == 2 and base.batch_size == 2048 and base.config["hidden"] == 32
    other = make_spec({"backbone": "HAN"}, ["epochs=3"], lab, base)
    assert (other.seed, other.epochs, other.batch_size, other.config) == (5, 3, None, {})
    same = make_spec({"backbone": "gcn"}, [], lab, base)
    assert same.epochs == 2 and same.batch_size == 2048 and same.config["hidden"] == 32
    published = make_spec({}, ["faithful=true"], lab, base)
    assert published.batch_size is None and published.config == {"faithful": True, "hidden": 32}
    for no in ("false", "False", "no"):
        unchanged = make_spec({}, [f"faithful={no}"], lab, base)
        assert unchanged.batch_size == 2048 and unchanged.config["dropout"] == 0.2


def test_faithful_trains_the_published_model_by_its_recipe(lab, cli):
    cli("train", "--backbone", "GCN", "--align", "none", "--faithful", "--set", "epochs=1")
    run = open_run(None, lab)
    assert run.spec.config["faithful"] is True and run.spec.config["dropout"] == 0.5
    assert (run.spec.batch_size, run.spec.learning_rate) == (128, 1e-3)


def test_options_that_exclude_each_other_are_refused(lab, cli):
    result = cli("train", *QUICK, "--set", "compile=true", "--set", "neighbours=3", code=2)
    assert "compile and neighbours do not go together" in result.stderr
    result = cli("train", *QUICK, "--seeds", 2, "--jobs", 2, "--track", "tensorboard", code=2)
    assert "Leave out --jobs" in result.stderr


def test_kernels_are_a_setting(lab, cli):
    cli("train", *QUICK, "--set", "kernels=torch", "--align", "none")
    assert open_run(None, lab).spec.config["kernels"] == "torch"
    assert "auto" in cli("train", *QUICK, "--set", "kernels=quick", code=2).stderr


def test_every_hyper_parameter_can_be_set_and_unknown_ones_get_suggestions(lab, cli):
    cli("train", *QUICK, "--set", "hidden=16", "--set", "temperature=0.2", "--set", "lr=0.005", "--set", "shots=3")
    spec = open_run(None, lab).spec
    assert spec.config["hidden"] == 16 and spec.align.temperature == 0.2
    assert spec.learning_rate == 0.005 and spec.split.shots == 3
    assert "learning_rate" in cli("train", *QUICK, "--set", "learning_rat=1", code=2).stderr
    assert "temperature" in cli("train", *QUICK, "--set", "align.temprature=1", code=2).stderr
    assert "greater than" in cli("train", *QUICK, "--set", "batch_size=0", code=2).stderr
    assert "name=value" in cli("train", *QUICK, "--set", "epochs", code=2).stderr
    assert "HGAT" in cli("train", "--backbone", "HGATT", code=2).stderr
    assert "novel-cell" in cli("train", "--setting", "novel-cel", code=2).stderr


def test_seeds_and_folds_are_trained_summarised_and_not_trained_twice(lab, cli):
    more = ("--fold", "all", "--folds", 2, "--seeds", 2, "--align", "none", "--json")
    result = json.loads(cli("train", *QUICK, *more).stdout)
    assert len(set(result["runs"])) == 4
    own = next(row for row in result["table"] if row["model"] == "GCN")
    pair = next(row for row in result["table"] if row["model"] == "pair mean")
    assert own["runs"] == 4 and pair["runs"] == 2 and own["auroc_sd"] > 0
    found = [run.metrics["test"]["pooled"]["auroc"] for run in list_runs(lab)]
    assert own["auroc"] == pytest.approx(sum(found) / 4)
    assert json.loads(cli("train", *QUICK, *more).stdout)["runs"] == result["runs"]
    assert len(list_runs(lab)) == 4


def test_jobs_train_at_the_same_time_with_the_same_numbers(lab, cli):
    more = ("--seeds", 2, "--align", "none", "--json")
    together = json.loads(cli("train", *QUICK, *more, "--jobs", 2).stdout)
    kept = {name: numbers(open_run(name, lab)) for name in together["runs"]}
    shutil.rmtree(lab.runs)
    assert json.loads(cli("train", *QUICK, *more).stdout) == together
    assert {name: numbers(open_run(name, lab)) for name in together["runs"]} == kept


def test_a_mistake_in_one_of_several_jobs_is_one_clear_error(lab, cli):
    result = cli("train", "--backbone", "GNC", "--seeds", 2, "--jobs", 2, code=2)
    assert "unknown backbone 'GNC'" in result.stderr and "GCN" in result.stderr


def test_a_device_that_is_not_there_is_refused(lab, cli):
    assert "no device 'cuda:7'" in cli("train", *QUICK, "--device", "cuda:7", code=1).stderr
    assert "is no device" in cli("train", *QUICK, "--device", "abacus", code=2).stderr


def test_several_imported_data_sets_ask_for_a_name(lab, cli):
    for name in ("one", "two"):
        shutil.copytree(lab.data / "demo", lab.data / name)
    assert "--dataset" in cli("train", *QUICK, code=2).stderr
    (lab.root / "l2aco.toml").write_text('dataset = "two"\n')
    assert "on two" in cli("train", *QUICK).stderr


def test_a_table_without_a_graph_trains_what_needs_none(lab, cli, tmp_path):
    demo = open_dataset("demo", lab)
    triples, drugs, lines = demo.triples, demo.drugs, demo.cell_lines
    rows = [
        f"{drugs[a].name},{drugs[b].name},{lines[c].name},{label}"
        for a, b, c, label in zip(triples.drug_a, triples.drug_b, triples.cell_line, triples.label, strict=True)
    ]
    (tmp_path / "screen.csv").write_text("\n".join(["drug_a,drug_b,cell_line,label", *rows]) + "\n")
    (tmp_path / "levels.csv").write_text(
        "cell_line,TP53,KRAS\n" + "".join(f"{line.name},{n % 7}.5,{n % 3}\n" for n, line in enumerate(lines))
    )
    cli("data", "import", tmp_path / "screen.csv", "--name", "screen")
    cli(
        "data",
        "import",
        tmp_path / "screen.csv",
        "--name",
        "rich",
        "--features",
        f"expression={tmp_path / 'levels.csv'}",
    )
    quick = ("--dataset", "screen", "--setting", "random", "--align", "none", "--set", "epochs=4")
    assert "training MLP on screen" in cli("train", *quick, "--set", "hidden=16").stderr
    refused = cli("train", *quick, "--backbone", "GCN", code=1).stderr
    assert "knowledge graph" in refused and "--backbone MLP" in refused and "--graph" in refused
    cli("train", *quick, "--dataset", "rich", "--set", "hidden=16")
    poor, rich = (open_run(f"{name}-MLP", lab).predictor() for name in ("screen", "rich"))
    assert rich.scorer.model.backbone.cell.values.shape[1] == poor.scorer.model.backbone.cell.values.shape[1] + 2
    assert "rank" in cli("recommend", "--cell", lines[0].name, "--top", 3).stdout


@pytest.mark.parametrize(("setting", "folds"), [("novel-cell", 5), ("novel-tissue", 7), ("long-tail", 1)])
def test_all_folds_are_those_that_the_setting_has(lab, setting, folds):
    from l2aco.training.request import make_spec, plan

    spec = make_spec({"split.setting": setting}, [], lab)
    assert [one.split.fold for one in plan(spec, lab, all_folds=True)] == list(range(folds))


def test_a_metric_in_any_case_chooses_the_weights(lab, cli):
    cli("train", *QUICK, "--set", "metric=AUPRC")
    run = open_run(None, lab)
    assert run.spec.metric == "auprc" and "valid_auprc" in run.history[0]


@pytest.mark.parametrize(
    ("backbone", "setting", "other", "name", "values"),
    [
        ("Mixed", "novel-cell", "novel-drug", "share_drugs", (False, True)),
        ("Boosted", "random", "novel-cell", "held_out", ("row", "cell_line")),
    ],
)
def test_another_setting_brings_the_defaults_that_depend_on_it(lab, backbone, setting, other, name, values):
    from l2aco.training.prepare import prepare
    from l2aco.training.request import make_spec

    asked = {"backbone": backbone, "split.setting": setting, "dataset": "demo"}
    saved = prepare(make_spec(asked, [], lab), lab).spec
    assert saved.config[name] == values[0]
    assert prepare(make_spec({"split.setting": other}, [], lab, saved), lab).spec.config[name] == values[1]
    assert prepare(make_spec({}, [], lab, saved), lab).spec.config == saved.config
    kept = make_spec({"split.setting": other}, [f"{name}={json.dumps(values[0])}"], lab, saved)
    assert prepare(kept, lab).spec.config[name] == values[0]


def test_a_spec_file_without_a_backbone_speaks_of_any(lab, cli, tmp_path):
    (tmp_path / "spec.toml").write_text("epochs = 1\nlearning_rate = 0.02\n")
    cli("train", "--spec", tmp_path / "spec.toml", "--backbone", "GCN")
    run = open_run(None, lab)
    assert run.spec.backbone == "GCN" and run.spec.epochs == 1 and run.spec.learning_rate == 0.02


def test_what_a_backbone_fuses_by_default_stays_with_it(lab, cli):
    cli("train", "--backbone", "KGNN", "--set", "epochs=1")
    spec = open_run(None, lab).path / "spec.toml"
    cli("train", "--spec", spec, "--align", "none")
    alone = open_run(None, lab).spec
    assert alone.backbone == "KGNN" and alone.align.fusion == "none" and alone.store == ()
    cli("train", "--spec", spec, "--backbone", "GCN", "--set", "epochs=1")
    assert open_run(None, lab).spec.align.fusion == "none"
    cli("train", "--spec", spec, "--seed", 3)
    assert open_run(None, lab).spec.align.fusion == "add"


def test_what_cannot_be_read_or_computed_on_is_one_line(lab, cli, tmp_path):
    assert "is a folder" in cli("train", *QUICK, "--spec", tmp_path, code=1).stderr
    assert "does not compute on 'meta'" in cli("train", *QUICK, "--device", "meta", code=2).stderr
    assert "less than" in cli("train", *QUICK, "--seed", 10**30, code=2).stderr


def test_a_damaged_run_is_trained_again_among_several(lab, cli):
    more = ("--seeds", 2, "--align", "none", "--json")
    first = json.loads(cli("train", *QUICK, *more).stdout)
    (lab.runs / first["runs"][0] / "metrics.json").write_text("{}")
    second = json.loads(cli("train", *QUICK, *more).stdout)
    assert second["runs"] == [f"{first['runs'][0]}-2", first["runs"][1]] and second["table"] == first["table"]
    assert json.loads(cli("train", *QUICK, *more).stdout) == second


ONE_CLASS = [("Mixed",), ("Mixed", "--set", "target=score"), ("Boosted",), ("Logistic",), ("MLP", "--align", "none")]


@pytest.mark.parametrize("backbone", ONE_CLASS, ids=" ".join)
def test_one_class_only_in_training_rows_is_refused_alike(lab, cli, backbone):
    lines = [f"d{a},d{b},c{c},{a + b * c + 1}" for c in range(6) for a in range(6) for b in range(a)]
    (lab.root / "s.csv").write_text("drug1,drug2,cell,score\n" + "\n".join(lines) + "\n")
    cli("data", "import", "s.csv", "--name", "bare")
    said = cli("train", "--dataset", "bare", "--setting", "random", "--backbone", *backbone, code=1).stderr
    assert "the data set bare: all " in said and "training rows are positive: there is nothing to tell apart" in said


@pytest.mark.parametrize("backbone", [("Mixed", "--store", "none"), ("MLP", "--align", "none")], ids=" ".join)
def test_scores_that_are_all_the_same_are_no_target(lab, cli, backbone):
    lines = [f"d{a},d{b},c{c},3,{(a * b + c) % 2}" for c in range(6) for a in range(6) for b in range(a)]
    (lab.root / "s.csv").write_text("drug1,drug2,cell,score,label\n" + "\n".join(lines) + "\n")
    cli("data", "import", "s.csv", "--name", "bare")
    told = ("train", "--dataset", "bare", "--setting", "random", "--backbone", *backbone, "--set", "target=score")
    said = cli(*told, code=1).stderr
    assert "training rows have the score 3: there is nothing to tell apart" in said and "target=label" in said


NOBODY = [
    ("Logistic", "--drug-features", "descriptors", "--cell-features", "one_hot"),
    ("GradientBoosting", "--drug-features", "morgan", "--cell-features", "tissue"),
    ("DeepDDS", "--cell-features", "cell_proteins", "--align", "none"),
    ("MatchMaker", "--cell-features", "tissue+cell_proteins", "--align", "none"),
    ("Mixed", "--set", "knowledge=cell_proteins"),
]


@pytest.mark.parametrize("backbone", NOBODY, ids=" ".join)
def test_a_feature_that_is_asked_for_and_that_nobody_has_is_refused(lab, cli, backbone, recwarn):
    said = cli("train", "--backbone", *backbone, code=1).stderr
    kind, option = (
        ("36 cell lines", "--graph FILE")
        if "cell_proteins" in str(backbone)
        else ("40 drugs", "--drugs TABLE_WITH_SMILES")
    )
    assert f"the data set demo: none of the {kind} has the feature" in said and option in said
    assert not [warning for warning in recwarn if "zero-element" in str(warning.message)]


@pytest.mark.parametrize(
    ("backbone", "reads"),
    [
        ("MatchMaker", "descriptors"),
        ("DeepDDS", "molecule_graphs"),
        ("DFFNDDS", "atom_pair, descriptors"),
        ("Logistic", "morgan"),
        ("MLP", "morgan"),
    ],
)
def test_a_kind_of_which_nothing_is_known_is_told_once_by_the_names_of_its_features(lab, cli, backbone, reads):
    network = () if backbone == "Logistic" else ("--align", "none", "--set", "epochs=1")
    said = cli("train", "--backbone", backbone, *network).stderr
    assert f"have nothing of what {backbone} reads of them ({reads}): it knows them by their ids alone" in said
    assert said.count("40 of 40 drugs") == 1 and "cell lines (" not in said


def test_who_lacks_a_feature_that_others_have_is_counted(lab, cli):
    lines = [f"d{a},d{b},c{c},{(a * b + c) % 3 - 1}" for c in range(6) for a in range(6) for b in range(a)]
    (lab.root / "s.csv").write_text("drug1,drug2,cell,score\n" + "\n".join(lines) + "\n")
    (lab.root / "d.csv").write_text("name,smiles\n" + "".join(f"d{n},{'C' * (n + 1)}O\n" for n in range(4)))
    (lab.root / "c.csv").write_text("name,tissue\nc0,lung\nc1,skin\n")
    cli("data", "import", "s.csv", "--name", "some", "--drugs", "d.csv", "--cell-lines", "c.csv")
    told = ("--dataset", "some", "--setting", "random", "--cell-features", "tissue")
    for backbone, then in (("Logistic", "the average of the others"), ("MatchMaker --align none", "their ids alone")):
        said = cli("train", "--backbone", *backbone.split(), *told).stderr
        assert "2 of 6 drugs (d4, d5)" in said and "4 of 6 cell lines (c2, c3, c4, c5)" in said
        assert "reads of them (tissue)" in said and said.count(then) == 2


def test_a_model_without_inputs_says_that_it_knows_ids_alone(lab, cli, tmp_path):
    lines = [f"d{a},d{b},c{c},{(a * b + c) % 3 - 1}" for c in range(6) for a in range(6) for b in range(a)]
    (tmp_path / "s.csv").write_text("drug1,drug2,cell,score\n" + "\n".join(lines) + "\n")
    cli("data", "import", tmp_path / "s.csv", "--name", "bare")
    said = cli("train", "--dataset", "bare", "--align", "none", "--set", "epochs=1").stderr
    assert "6 of 6 drugs (d0," in said and "6 of 6 cell lines" in said and "ids alone" in said
    assert "ids alone" not in cli("train", *QUICK, "--dataset", "demo", "--align", "none").stderr
