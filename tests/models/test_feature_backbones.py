"""Backbones of features: they learn what there is to learn, are as large as their papers say, read what they are told
to read, and do something documented with every molecule."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_data import CELLS, DRUGS, build_model, small_data, vectors
from small_stores import save_bert

from l2aco.data.features.base import Feature
from l2aco.data.features.molecule_graphs import ATOM_FEATURES, MoleculeGraphs
from l2aco.data.features.molecules import AtomPair, MolecularDescriptors
from l2aco.data.features.smiles_model import SmilesModel
from l2aco.data.features.substructures import Substructures
from l2aco.data.features.table import FeatureTable
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.metrics import compute
from l2aco.models import assemble
from l2aco.models.backbones import backbones
from l2aco.models.spec import AlignSpec
from l2aco.testing import Example

ALONE = AlignSpec(loss="none")
STILL: dict[str, dict[str, Any]] = {
    "DeepDDS": {"dropout": 0.0},
    "MatchMaker": {"dropout": 0.0, "input_dropout": 0.0},
    "DFFNDDS": {"dropout": 0.0, "r_drop": 0.0},
    "SynergyX": {"dropout": 0.0},
}
"""Each without what keeps it from learning by heart."""
every_one = pytest.mark.parametrize("name", STILL)
SMILES = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "carboplatin": "C1CC(C1)(C(=O)[O-])C(=O)[O-].N.N.[Pt+2]",
    "arsenic trioxide": "O=[As]O[As]=O",
    "imatinib mesylate": "Cc1ccc(cc1Nc1nccc(n1)-c1cccnc1)NC(=O)c1ccc(cc1)CN1CCN(C)CC1.CS(=O)(=O)O",
    "methane": "C",
    "sirolimus": "CC1CCC2CC(C(=CC=CC=CC(CC(C(=O)C(C(C(=CC(C(=O)CC(OC(=O)C3CCCCN3C(=O)C(=O)C1(O2)O)C(C)CC4CCC(C(C4)OC)O)"
    "C)C)O)OC)C)C)C)OC",
    "glycine, twelve times": "N" + "CC(=O)N" * 12 + "CC(=O)O",
}
UNREADABLE = {"invalid": "C1CC(", "empty": "", "nothing": None}


def drugs_of(smiles: dict[str, Any]) -> list[Entity]:
    return [Entity(name, EntityKind.drug, name, facts={"smiles": text}) for name, text in smiles.items()]


def triples(count: int = 64) -> tuple[torch.Tensor, ...]:
    """Rows of the example with random labels, no pair in a cell line twice."""
    draw = np.random.default_rng(0)
    pairs = [(a, b, c) for a in range(DRUGS) for b in range(a) for c in range(CELLS)]
    chosen = draw.permutation(len(pairs))[:count]
    a, b, c = np.array(pairs)[chosen].T
    return *map(torch.from_numpy, (a, b, c)), torch.from_numpy(draw.integers(0, 2, count)).float()


@every_one
def test_it_learns_sixty_four_random_labels_by_heart(name: str) -> None:
    model = build_model(name, STILL[name], small_data(), ALONE)
    a, b, c, y = triples()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(30):
        for _ in range(10):
            optimiser.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(model.train()(a, b, c).logits[0], y).backward()
            optimiser.step()
        model.eval()
        with torch.inference_mode():
            found = model.score(model.tables(), b, a, c)
        if compute(y.numpy(), found.sigmoid().double().numpy())["auroc"] == 1.0:
            return
    raise AssertionError("it does not learn them by heart")


def linear(source: int, width: int) -> int:
    return source * width + width


def parameters(module: torch.nn.Module) -> int:
    return sum(values.numel() for values in module.parameters())


def with_genes(count: int = 954) -> Example:
    """The example with as many genes as the landmark genes of DeepDDS."""
    data = small_data()
    known = data.features["expression"].mask
    levels = np.random.default_rng(0).gamma(1.0, size=(CELLS, count)) * known[:, None]
    data.features["expression"] = FeatureTable(EntityKind.cell_line, levels.astype(np.float32), known)
    return data


def test_deepdds_is_as_large_as_published() -> None:
    """Widths of the paper: 78, 156, 312 and 156 to 128; 954, 512, 256, 128; 384, 512, 128, 1."""
    backbone = build_model("DeepDDS", {"encoder": "gcn"}, with_genes(), ALONE).backbone
    assert parameters(backbone.molecule) == (
        linear(78, 78) + linear(78, 156) + linear(156, 312) + linear(312, 156) + linear(156, 128)
    )
    assert parameters(backbone.cell) == linear(954, 512) + linear(512, 256) + linear(256, 128)
    assert parameters(backbone.head) == linear(384, 512) + linear(512, 128) + linear(128, 1)
    backbone = build_model("DeepDDS", {"encoder": "gat", "faithful": True}, with_genes(), ALONE).backbone
    attention = (78 * 1280 + 3 * 1280) + (1280 * 128 + 3 * 128)
    assert parameters(backbone.molecule) == attention + linear(128, 128)
    assert parameters(backbone.cell) == linear(954, 2048) + linear(2048, 512) + linear(512, 256)
    assert parameters(backbone.head) == linear(512, 2048) + linear(2048, 512) + linear(512, 128) + linear(128, 1)


def test_matchmaker_and_dffndds_are_as_large_as_published() -> None:
    backbone = build_model("MatchMaker", {"faithful": True}, with_genes(), ALONE).backbone
    of_drug = linear(5 + 954, 2048) + linear(2048, 4096) + linear(4096, 2048)
    first = parameters(backbone.drug) + parameters(backbone.cell)
    assert first + parameters(backbone.deeper) == 2 * of_drug
    assert parameters(backbone.pair) == linear(4096, 2048) + linear(2048, 1024) + linear(1024, 1)
    backbone = build_model("DFFNDDS", {"faithful": True}, with_genes(), ALONE).backbone
    flat = 5 * 256
    tail = 2 * flat + linear(flat, 1024) + linear(1024, flat)
    assert parameters(backbone.interaction) == 4 * 256 * 256 + 2 * 3 * linear(flat, flat) + 2 * tail
    assert parameters(backbone.smiles) == 2 * (linear(5, 256) + 2 * 256)
    assert parameters(backbone.out) == linear(flat, 1)


def test_synergyx_is_as_large_as_published() -> None:
    """Widths of the code with three omics: 8, 16, 32 channels, kernels of 16, then 64; sequences of 50 pieces and of
    165 tokens of 4,079 genes to 2,560; four of these to 5,120, 2,560, 1. The code pads pieces to as many as tokens."""
    data = with_genes(4079)
    genes = tuple(f"G{number}" for number in range(4079))
    table = data.features["expression"]
    for omics in ("expression", "mutation", "copies"):
        data.features[omics] = replace(table, columns=genes)
    config = {"faithful": True, "cell_features": "expression+mutation+copies", "dropout": 0.1}
    inputs = data.inputs(backbones.load("SynergyX"))
    more = {name: data.features[name] for name in ("mutation", "copies")}
    inputs = replace(inputs, features={**inputs.features, **more})
    backbone = assemble.build_model("SynergyX", config, inputs, ALONE).backbone
    convolved = (3 * 16 + 1) * 8 + (8 * 16 + 1) * 16 + (16 * 16 + 1) * 32
    assert backbone.lines.count == 165 and parameters(backbone.lines) == convolved + linear(32, 64)
    attention, block, norm = 4 * linear(64, 64) + 2 * 64, linear(64, 128) + linear(128, 64), 2 * 64
    assert parameters(backbone.drug_self) == parameters(backbone.drug_pair) == attention + block + norm
    assert parameters(backbone.line_self) == parameters(backbone.line_pair) == attention + block + norm
    assert parameters(backbone.meeting) == attention + 2 * (block + norm)
    flat = linear(50 * 64, 2560) + linear(165 * 64, 2560)
    assert parameters(backbone.head) == flat + linear(10240, 5120) + linear(5120, 2560) + linear(2560, 1)


def test_padding_of_a_molecule_says_nothing() -> None:
    """A drug among longer ones scores as it does alone, and only its own pieces count."""
    data = small_data()
    model = build_model("SynergyX", {}, data, ALONE).eval()
    a, b, c, _ = triples(8)
    with torch.inference_mode():
        tables = model.tables()
        alone = torch.cat([model.score(tables, *(rows[at : at + 1] for rows in (a, b, c))) for at in range(8)])
        torch.testing.assert_close(alone, model.score(tables, a, b, c), rtol=1e-4, atol=1e-5)
        noise = tables.drug + torch.randn_like(tables.drug) * ~tables.extra["drug_mask"].unsqueeze(2)
        torch.testing.assert_close(model.score(replace(tables, drug=noise), a, b, c), alone, rtol=1e-4, atol=1e-5)


def test_tables_with_the_same_columns_are_channels_and_others_have_tokens_of_their_own() -> None:
    data = small_data()
    table = replace(data.features["expression"], columns=tuple("abcdef"))
    data.features |= {"expression": table, "mutation": table}
    inputs = replace(data.inputs(backbones.load("SynergyX")), features=data.features)
    for source, channels in (("expression+mutation", [2]), ("expression+tissue", [1, 1]), ("One_Hot", [1])):
        lines = assemble.build_model("SynergyX", {"cell_features": source}, inputs, ALONE).backbone.lines
        assert [stack.convolutions[0].in_channels for stack in lines.stacks] == channels
    for wrong, said in (
        ("expression+", "once each"),
        ("tissue+tissue", "once each"),
        ("Auto+tissue", "joined to nothing"),
    ):
        with pytest.raises(UsageError, match=said):
            assemble.build_model("SynergyX", {"cell_features": wrong}, inputs, ALONE)


@pytest.mark.parametrize("encoder", ["gat", "gcn"])
def test_a_molecule_is_the_one_of_pytorch_geometric(encoder: str) -> None:
    """Atom by atom and bond by bond, with PyG's own layers and the weights of ours."""
    from torch_geometric.nn import GATConv, GCNConv, global_max_pool

    model = build_model("DeepDDS", {"encoder": encoder}, small_data(), ALONE).eval()
    table, ours = model.backbone.molecules.table, model.backbone.molecule
    x, bonds = torch.from_numpy(table.atoms), torch.from_numpy(table.bonds)
    owner = torch.from_numpy(np.searchsorted(table.start, np.arange(len(table.atoms)), side="right") - 1)
    with torch.inference_mode():
        for conv in ours.convs:
            kind = (
                GCNConv(x.shape[1], conv.out_channels)
                if encoder == "gcn"
                else GATConv(x.shape[1], conv.out_channels, heads=conv.heads)
            )
            kind.load_state_dict(conv.state_dict())
            x = kind(x, bonds)
            x = x.relu() if encoder == "gcn" else torch.nn.functional.elu(x)
        pooled = global_max_pool(x, owner, DRUGS)
        expected = ours.dense(pooled) if encoder == "gcn" else ours.dense(pooled).relu()
        known = table.mask
        torch.testing.assert_close(model.backbone.encode().drug[known], expected[known], rtol=1e-4, atol=1e-5)


def test_every_molecule_that_rdkit_reads_has_atoms_and_the_others_are_masked() -> None:
    table = MoleculeGraphs().of(drugs_of({**SMILES, **UNREADABLE}))
    assert table.mask.tolist() == [True] * len(SMILES) + [False] * len(UNREADABLE)
    atoms = np.diff(table.start)
    assert (atoms[: len(SMILES)] > 0).all() and not atoms[len(SMILES) :].any()
    assert atoms[1] == 10 + 2 + 1 and table.atoms.shape[1] == ATOM_FEATURES  # a salt is all of its parts
    np.testing.assert_allclose(table.atoms.sum(axis=1), 1.0, rtol=1e-5)


@every_one
def test_drugs_are_told_apart_by_their_smiles_and_unreadable_ones_are_the_average_drug(name: str) -> None:
    data = small_data()
    data.drugs = drugs_of({**SMILES, **UNREADABLE, "ethanol": "CCO", "urea": "NC(N)=O"})
    data.features |= {key: feature.of(data.drugs) for key, feature in COMPUTED.items()}
    inputs = data.inputs(backbones.load(name))
    inputs = replace(inputs, fitted={key: COMPUTED.get(key, feature) for key, feature in inputs.fitted.items()})
    model = assemble.build_model(name, {}, inputs, ALONE).eval()
    new = drugs_of({"caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "new salt": SMILES["carboplatin"], **UNREADABLE})
    new = [Entity(f"new {drug.id}", drug.kind, drug.name, facts=drug.facts) for drug in new]
    with torch.inference_mode():
        known, found = model.tables().drug.flatten(1), model.newcomers(inputs.of(new, {})).drug.flatten(1)
    assert len(known.unique(dim=0)) == len(data.drugs) and torch.isfinite(known).all()
    names = list(SMILES)
    torch.testing.assert_close(found[1], known[names.index("carboplatin")], rtol=1e-4, atol=1e-5)
    assert (
        not torch.allclose(found[0], found[1]) and torch.equal(found[2], found[3]) and torch.equal(found[2], found[4])
    )
    drugs, _ = model.backbone.measured()
    assert drugs.tolist() == [drug.name not in UNREADABLE for drug in data.drugs]


COMPUTED: dict[str, Feature] = {
    "molecule_graphs": MoleculeGraphs(),
    "descriptors": MolecularDescriptors(),
    "atom_pair": AtomPair(),
    "substructures": Substructures.fit(Example(None, drugs_of(SMILES), [])),  # type: ignore[arg-type]
}


@every_one
@pytest.mark.parametrize("source", ["expression", "tissue", "profile", "one_hot"])
def test_any_numbers_of_a_cell_line_are_read(name: str, source: str) -> None:
    data = small_data()
    model = build_model(name, {"cell_features": source}, data, AlignSpec(), **vectors()).eval()
    with torch.inference_mode():
        cells = model.tables().cell.flatten(1)
    assert len(cells.unique(dim=0)) >= {"tissue": 3, "one_hot": 4}.get(source, CELLS)
    _, lines = model.backbone.measured()
    trained = np.arange(CELLS) < 4
    expected = {"profile": np.ones(CELLS, bool), "one_hot": trained}.get(source, np.arange(CELLS) != CELLS - 1)
    assert lines.tolist() == expected.tolist()


def test_features_that_nobody_can_read_are_refused() -> None:
    with pytest.raises(InputError, match="no store brings vectors of any cell line"):
        build_model("DeepDDS", {"cell_features": "profile"}, small_data(), ALONE)
    data = small_data()
    data.features["expression"].values[0, 0] = np.nan
    with pytest.raises(InputError, match="'expression' holds values that are not finite"):
        build_model("DeepDDS", {}, data, ALONE)
    data.features["expression"] = data.features["morgan"]
    with pytest.raises(UsageError, match="'expression' is not one row of numbers for each cell line"):
        build_model("DeepDDS", {"cell_features": "expression"}, data, ALONE)


@every_one
def test_the_faithful_variant_depends_on_the_order(name: str) -> None:
    model = build_model(name, {"faithful": True}, small_data(), ALONE).eval()
    a, b, c, _ = triples()
    with torch.inference_mode():
        tables = model.tables()
        assert not torch.allclose(model.score(tables, a, b, c), model.score(tables, b, a, c), atol=1e-6)


def test_a_run_scores_a_drug_known_by_its_smiles_and_reads_profiles_of_lines(lab: Any, cli: Any) -> None:
    cli("data", "import", screen(lab.root / "screen"), "--name", "screen")
    told = ("--dataset", "screen", "--setting", "random", "--align", "none")
    brief = (*told, "--set", "epochs=2")
    (lab.root / "new.csv").write_text("name,kind,smiles\ncaffeine,drug,Cn1cnc2c1c(=O)n(C)c(=O)n2C\nblank,drug,\n")
    for name in STILL:
        cli("train", "--backbone", name, *brief)
        asked = ("--drug-b", "aspirin", "--cell", "A375", "--entities", "new.csv", "--json")
        scores = []
        for drug in ("caffeine", "blank"):
            result = cli("predict", "--drug-a", drug, *asked)
            assert ("without" in result.stderr) == (drug == "blank")
            scores.append(json.loads(result.stdout)[0]["probability"])
        assert scores[0] != scores[1]
    profile = ("train", "--backbone", "DeepDDS", *brief, "--set", "cell_features=profile")
    assert "store reference--toy" in cli(*profile).stderr
    cli(*profile, "--vectors", "shuffled")
    assert "nothing reads" in cli("train", "--backbone", "DeepDDS", *brief, "--vectors", "shuffled", code=2).stderr
    assert (
        "expresion"
        in cli("train", "--backbone", "MatchMaker", *told, "--set", "cell_features=expresion", code=2).stderr
    )


def screen(folder: Path) -> Path:
    """Drugs with SMILES in four lines of the lab's store, in the layout of DeepDDS."""
    draw = np.random.default_rng(0)
    named = {name: SMILES[name] for name in ("aspirin", "carboplatin", "methane", "sirolimus")} | {"urea": "NC(N)=O"}
    labels, scores = ["drug1,drug2,cell,label"], ["drug1,drug2,cell,score"]
    for line in ("A375", "MCF7", "A549", "K562"):
        for one, other in combinations(named, 2):
            score = draw.choice([-1, 1]) * draw.uniform(11, 20)
            labels.append(f"{named[one]},{named[other]},{line},{int(score > 0)}")
            scores.append(f"{one},{other},{line},{score:.3f}")
    folder.mkdir()
    (folder / "new_labels_0_10.csv").write_text("\n".join(labels) + "\n")
    (folder / "scores_0_10.csv").write_text("\n".join(scores) + "\n")
    (folder / "smiles.csv").write_text("name,smile\n" + "".join(f"{name},{text}\n" for name, text in named.items()))
    return folder


def test_a_run_that_read_a_feature_as_it_was_computed_before_predicts_no_more(
    lab: Any, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("data", "import", screen(lab.root / "screen"), "--name", "screen")
    brief = ("train", "--backbone", "Logistic", "--dataset", "screen", "--setting", "random")
    asked = ("--drug-a", "urea", "--drug-b", "aspirin", "--cell", "A375")
    with monkeypatch.context() as before:
        before.setattr(MolecularDescriptors, "version", Feature.version)
        old = cli(*brief, "--drug-features", "descriptors").stdout
        cli("predict", *asked)
    said = cli("predict", *asked, code=1).stderr
    assert "read descriptors as another version of L2aCo computes it" in said and "Train the run again" in said
    assert "auroc" in cli("runs", "show").stdout
    new = cli(*brief, "--drug-features", "descriptors").stdout
    assert old.splitlines()[-2:] != new.splitlines()[-2:] and "there already" not in new
    cli("predict", *asked)


@every_one
def test_it_runs_where_no_drug_has_a_smiles_on_whatever_is_read_of_lines(name: str, lab: Any, cli: Any) -> None:
    brief = ("train", "--backbone", name, "--dataset", "demo", "--align", "none", "--set", "epochs=1")
    cli(*brief, "--set", "batch_size=4096", "--cell-features", "tissue+panel")


def test_the_smiles_of_dffndds_may_be_read_by_a_chemical_language_model(lab: Any, cli: Any, tmp_path: Path) -> None:
    cli("data", "import", screen(lab.root / "screen"), "--name", "screen")
    brief = ("train", "--backbone", "DFFNDDS", "--dataset", "screen", "--setting", "random", "--align", "none")
    model = save_bert(tmp_path / "chemberta")
    cli(*brief, "--set", "epochs=1", "--drug-features", f"smiles_model:{model}")
    (lab.root / "new.csv").write_text("name,kind,smiles\ncaffeine,drug,Cn1cnc2c1c(=O)n(C)c(=O)n2C\nblank,drug,\n")
    asked = ("--drug-b", "aspirin", "--cell", "A375", "--entities", "new.csv", "--json")
    scores = [
        json.loads(cli("predict", "--drug-a", drug, *asked).stdout)[0]["probability"] for drug in ("caffeine", "blank")
    ]
    assert scores[0] != scores[1]
    gone = cli(*brief, "--drug-features", f"smiles_model:{tmp_path / 'nowhere'}", code=None)
    assert gone.exit_code and "cannot be loaded" in gone.stderr and "descriptors" in gone.stderr
    assert "smiles_model:MODEL" in cli(*brief, "--drug-features", "smiles_model", code=2).stderr


def test_a_language_model_reads_the_canonical_smiles_and_no_others(tmp_path: Path) -> None:
    feature = SmilesModel(str(save_bert(tmp_path / "chemberta")))
    table = feature.of(drugs_of({"aspirin": SMILES["aspirin"], "the same": "OC(=O)c1ccccc1OC(C)=O", **UNREADABLE}))
    assert table.mask.tolist() == [True, True, False, False, False] and table.values.shape == (5, 32)
    np.testing.assert_allclose(table.values[0], table.values[1], rtol=1e-4)
    again = SmilesModel.restore(feature.state()).of(drugs_of({"aspirin": SMILES["aspirin"]}))
    np.testing.assert_allclose(again.values[0], table.values[0], rtol=1e-4, atol=1e-5)
    assert not table.values[2:].any() and not feature.of(drugs_of(UNREADABLE)).mask.any()
