"""A run speaks of entities that its data set does not hold: by their profile vector and their facts, and says what it
could not read."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from l2aco.data.catalog import open_dataset
from l2aco.embeddings.store.segments import StoreRecord
from l2aco.embeddings.store.store import open_store
from l2aco.entities import Entity, EntityKind
from l2aco.errors import UnknownNameError, UsageError
from l2aco.models.backbones import backbones
from l2aco.models.base import Backbone
from l2aco.models.spec import AlignSpec
from l2aco.runs.run import open_run
from l2aco.runs.spec import TrainSpec
from l2aco.training.train import train

STEPWISE = ("Forest", "GradientBoosting")
"""Trees, to whom two vectors may be alike."""
PAIR = ("--drug-a", "DB00530", "--drug-b", "DB00317")
LINE = Entity("BT-20", EntityKind.cell_line, "BT-20")
ASPIRIN = Entity("aspirin", EntityKind.drug, "aspirin", facts={"smiles": "CC(=O)Oc1ccccc1C(=O)O"})
STORE = "reference--toy"


def unit(seed: int, width: int = 16) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(width).astype(np.float32)
    return vector / np.linalg.norm(vector)


def embedded(lab, entity: Entity, seed: int) -> None:
    open_store(STORE, lab).upsert(
        [StoreRecord(entity.kind.value, entity.id, entity.name, f"about {entity.name} {seed}")], unit(seed)[None]
    )


def probability(cli, *arguments) -> float:
    return json.loads(cli("predict", *arguments, "--json").stdout)[0]["probability"]


def test_a_line_that_no_screen_holds_is_predicted_from_its_profile_vector(lab, cli):
    cli("train", "--backbone", "MLP", "--fusion", "add", "--set", "epochs=3")
    assert "BT-20" in cli("predict", *PAIR, "--cell", "BT-20", code=2).stderr
    found = []
    for seed in (1, 2):
        embedded(lab, LINE, seed)
        said = cli("predict", *PAIR, "--cell", "BT-20").stderr
        assert "BT-20 is not in the run's data set" in said and "without tissue" in said
        found.append(probability(cli, *PAIR, "--cell", "BT-20"))
    assert abs(found[0] - found[1]) > 1e-6
    run = open_run(None, lab)
    for seed, by_cli in zip((1, 2), found, strict=True):
        predictor = run.predictor().admit([LINE], {LINE.key: {STORE: unit(seed)}})
        assert predictor.predict(["DB00530"], ["DB00317"], [LINE])[0] == pytest.approx(by_cli)
    caption = cli("recommend", "--cell", "BT-20", "--top", 3).stderr
    assert "never seen in training" in caption and "not in the run's data set" in caption


def test_facts_of_a_newcomer_are_read_by_a_backbone_of_features(lab, cli):
    cli("train", "--backbone", "MLP", "--align", "none", "--set", "epochs=3")
    (lab.root / "new.csv").write_text(
        "name,kind,smiles,tissue\naspirin,drug,CC(=O)Oc1ccccc1C(=O)O,\nX1,cell_line,,skin\n"
    )
    given = ("--entities", "new.csv")
    known = open_dataset("demo", lab).cell_lines[0].id
    assert "aspirin" in cli("predict", "--drug-a", "aspirin", "--drug-b", "DB00317", "--cell", known, code=2).stderr
    result = cli("predict", "--drug-a", "aspirin", "--drug-b", "DB00317", "--cell", "X1", *given)
    assert "aspirin is not in the run's data set" in result.stderr and "without" not in result.stderr
    predictor = open_run(None, lab).predictor()
    other = Entity("other", EntityKind.drug, "other", facts={"smiles": "CCO"})
    unread = Entity("unread", EntityKind.drug, "unread")
    told = predictor.admit([ASPIRIN, other, unread])
    scores = told.predict([ASPIRIN, other, unread], ["DB00317"] * 3, [known] * 3)
    assert len(set(scores.tolist())) == 3 and told.lacking(unread) == ["morgan"] and told.lacking(ASPIRIN) == []


def test_ids_of_a_table_are_not_taken_for_those_of_the_run(lab, cli):
    cli("train", "--backbone", "MLP", "--align", "none", "--set", "epochs=1")
    known = open_dataset("demo", lab).cell_lines[0].id
    given = ("--drug-b", "DB00317", "--cell", known, "--entities", "new.csv")
    (lab.root / "new.csv").write_text("id,name,kind\nCHEMBL553,Erlotinib,drug\n")
    assert "not in the run's data set" not in cli("predict", "--drug-a", "CHEMBL553", *given).stderr
    assert probability(cli, "--drug-a", "CHEMBL553", *given) == probability(cli, *PAIR, "--cell", known)
    (lab.root / "new.csv").write_text("id,name,kind\nDB00530,aspirin,drug\n")
    assert "the id DB00530 is given to aspirin" in cli("predict", "--drug-a", "DB00530", *given, code=1).stderr


def test_adding_rows_to_the_data_set_does_not_stop_a_run(lab, cli):
    lines = ["drug_a,drug_b,cell_line,score"]
    rng = np.random.default_rng(0)
    lines += [f"d{a},d{b},c{c},{rng.normal():.3f}" for c in range(8) for a in range(6) for b in range(a)]
    (lab.root / "screen.csv").write_text("\n".join(lines) + "\n")
    cli("data", "import", "screen.csv", "--name", "screen")
    cli("train", "--dataset", "screen", "--backbone", "MLP", "--align", "none", "--set", "epochs=2")
    pair = ("--drug-a", "d0", "--drug-b", "d1", "--cell", "c3")
    before = probability(cli, *pair)
    (lab.root / "screen.csv").write_text("\n".join([*lines, "d0,d1,c99,1.5", "d0,new,c3,-1.0"]) + "\n")
    cli("data", "import", "screen.csv", "--name", "screen", "--force")
    assert probability(cli, *pair) == before
    said = cli("predict", "--drug-a", "d0", "--drug-b", "new", "--cell", "c99").stderr
    assert "new is not in the run's data set" in said and "c99 is not in the run's data set" in said
    json.loads(cli("evaluate", "--json").stdout)


@pytest.mark.parametrize("name", [entry.name for entry in backbones if issubclass(entry.load(), Backbone)])
@pytest.mark.parametrize("align", ["none", "infonce", "gate"])
def test_every_backbone_speaks_of_newcomers(lab, name, align):
    spec = AlignSpec(loss="none") if align == "none" else AlignSpec(fusion="gate" if align == "gate" else None)
    run = train(TrainSpec(backbone=name, epochs=1, align=spec), lab)
    newcomers = [LINE, Entity("MX-1", EntityKind.cell_line, "MX-1"), ASPIRIN]
    told = run.predictor().admit(
        newcomers, {LINE.key: {STORE: unit(1)}, newcomers[1].key: {STORE: unit(2)}, ASPIRIN.key: {STORE: unit(3)}}
    )
    known = run.entities(EntityKind.cell_line)[0].id
    drugs = [drug.id for drug in run.entities(EntityKind.drug)[:2]]
    a, b, c = [drugs[0]] * 4, [drugs[1], drugs[1], "aspirin", "aspirin"], ["BT-20", "MX-1", known, "BT-20"]
    scores = told.predict(a, b, c)
    assert np.isfinite(scores).all() and np.array_equal(scores, told.predict(b, a, c))
    assert run.predictor().predict([drugs[0]], [drugs[1]], [known]) == told.predict([drugs[0]], [drugs[1]], [known])
    assert bool(abs(scores[0] - scores[1]) > 1e-9) == (align != "none"), (
        "vectors tell lines apart where the run reads them"
    )


@pytest.mark.parametrize("name", [entry.name for entry in backbones if not issubclass(entry.load(), Backbone)])
def test_backbones_that_are_fitted_at_once_speak_of_newcomers(lab, cli, name):
    reads = backbones.load(name).Config().reads_vectors
    cli("train", "--backbone", name, *(() if reads else ("--set", "cell_features=profile")))
    embedded(lab, LINE, 1)
    first = probability(cli, *PAIR, "--cell", "BT-20")
    embedded(lab, LINE, 2)
    second = probability(cli, *PAIR, "--cell", "BT-20")
    assert first != second or (name in STEPWISE and first > 0)
    assert "pair mean" in cli("runs", "show").stdout and json.loads(cli("evaluate", "--json").stdout)["test"]["pooled"]
    assert "not in the run's data set" in cli("recommend", "--cell", "BT-20", "--top", 3).stderr


def test_a_control_knows_nobody_else(lab):
    run = train(TrainSpec(backbone="MLP", epochs=1, align=AlignSpec(vectors="shuffled")), lab)
    with pytest.raises(UsageError, match="control"):
        run.predictor().admit([LINE], {LINE.key: {STORE: unit(1)}})
    with pytest.raises(UnknownNameError, match="BT-20"):
        run.predictor().predict(["DB00530"], ["DB00317"], ["BT-20"])


def test_a_wrong_name_is_refused_before_torch_is_loaded(lab, cli):
    cli("train", "--backbone", "MLP", "--align", "none", "--set", "epochs=1")
    script = (
        "import sys\nfrom l2aco.cli.main import app\n"
        "try:\n    app()\nexcept SystemExit as end:\n    print(end.code, 'torch' in sys.modules)\n"
    )
    for command in (("recommend", "--cell", "A37x"), ("predict", *PAIR, "--cell", "A37x")):
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, cwd=lab.root)
        assert done.stdout.split() == ["2", "False"] and "A375" in done.stderr, time.monotonic() - started
