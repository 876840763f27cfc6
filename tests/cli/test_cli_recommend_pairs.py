"""Which pairs `l2aco recommend` ranks, for how many lines, and where it writes them; what it says against a list."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest

from l2aco.data.catalog import open_dataset
from l2aco.entities import EntityKind
from l2aco.profiles.sets import open_profile_set
from l2aco.recommend.facts import Facts
from l2aco.recommend.rank import rank_pairs
from l2aco.runs.run import open_run
from l2aco.workspace import Workspace


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A workspace with the demo and a Mixed run that reads the bundled panel."""
    from typer.testing import CliRunner

    from l2aco.cli.main import app

    folder = tmp_path_factory.mktemp("mixed")
    arguments = ["train", "--backbone", "Mixed", "--dataset", "demo", "--set", "draws=4", "--workspace", str(folder)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    return Workspace(folder)


@pytest.fixture
def ask(mixed, cli):
    def run(*arguments, cell="MCF7", code=0):
        return cli("recommend", "--cell", cell, *arguments, "--workspace", mixed.root, code=code)

    return run


def pairs(result):
    return json.loads(result.stdout)


def said(result):
    return result.stderr.replace("\n", " ")


def test_one_drug_stands_for_all_pairs_of_it(ask, mixed):
    drugs = len(open_dataset("demo", mixed).drugs)
    found = pairs(ask("--drug", "Erlotinib", "--all-pairs", "--top", 10_000, "--json"))
    assert len(found) == drugs - 1
    assert all("ERLOTINIB" in (pair["drug_a"].upper(), pair["drug_b"].upper()) for pair in found)


def test_what_was_measured_in_the_line_is_left_out_and_counted(ask):
    every, left = (pairs(ask(option, "--top", 10_000, "--json")) for option in ("--all-pairs", "--unmeasured"))
    measured = [pair for pair in every if pair["measured"] is not None]
    assert measured
    assert len(left) == len(every) - len(measured)
    assert all(pair["measured"] is None for pair in left)
    assert f"{len(measured):,} pairs were measured in it and are left out" in said(ask())


def test_two_lines_are_two_lists_and_a_table(ask, tmp_path):
    long, wide = tmp_path / "pairs.parquet", tmp_path / "lines.csv"
    printed = ask("--cell", "A375", "--top", 5, "-o", long, "--table", wide).stdout
    rows = pl.read_parquet(long)
    assert rows.group_by("cell_line").len().sort("cell_line").rows() == [("A375", 5), ("MCF7", 5)]
    assert rows["supports"].str.contains("The model's score").any()
    table = pl.read_csv(wide)
    assert table.columns == ["drug_a", "drug_b", "drug_a_id", "drug_b_id", "MCF7", "A375"]
    assert len(table) == 5
    assert "MCF7" in printed and "A375" in printed
    last = next(line.index("alone") for line in printed.splitlines() if "alone" in line)
    assert max(len(line[:last].rstrip()) for line in printed.splitlines()) <= 80


def test_the_table_ranks_all_pairs_by_their_mean_but_those_measured_in_a_line(ask, tmp_path):
    ask("--cell", "A375", "--top", 20, "--table", tmp_path / "lines.json")
    every = pl.DataFrame(
        pairs(ask("--cell", "A375", "--all-pairs", "--top", 10_000, "--json")), infer_schema_length=None
    )
    free = every.filter(pl.col("measured").is_null().all().over("drug_a_id", "drug_b_id"))
    means = free.group_by("drug_a_id", "drug_b_id").agg(pl.col("calibrated").mean()).sort("calibrated", descending=True)
    found = json.loads((tmp_path / "lines.json").read_text())
    wanted = means["calibrated"].head(20).to_list()
    assert [(row["MCF7"] + row["A375"]) / 2 for row in found] == pytest.approx(wanted)


@pytest.mark.parametrize("name", ["pairs.xlsx", "pairs"])
def test_a_file_of_another_kind_is_refused_at_once(ask, tmp_path, name):
    assert ".parquet" in ask("-o", tmp_path / name, code=2).stderr
    assert not (tmp_path / name).exists()


def test_json_holds_the_whole_recommendation(ask, tmp_path):
    ask("--top", 3, "-o", tmp_path / "all.json")
    (found,) = json.loads((tmp_path / "all.json").read_text())
    assert len(found["pairs"]) == 3
    assert found["notes"] and found["neighbours"]
    assert {"supports", "against", "about"} <= set(found["pairs"][0])


def test_a_diverse_list_has_no_two_pairs_of_the_same_classes(ask, mixed):
    facts, run = Facts(open_run(None, mixed)), open_run(None, mixed)
    group = {drug.id: facts.of_drug(drug).group or drug.id for drug in open_dataset("demo", run.workspace).drugs}
    of_two = [
        frozenset((group[pair["drug_a_id"]], group[pair["drug_b_id"]])) for pair in pairs(ask("--diverse", "--json"))
    ]
    assert len(of_two) == len(set(of_two)) == 10


def test_classes_and_targets_are_met_by_the_drugs_of_a_pair(ask, mixed):
    facts = Facts(open_run(None, mixed))
    drugs = {drug.id: facts.of_drug(drug) for drug in open_dataset("demo", mixed).drugs}
    found = pairs(ask("--target", "EGFR", "--class", "taxane", "--top", 50, "--json"))
    assert found
    for pair in found:
        one, other = drugs[pair["drug_a_id"]], drugs[pair["drug_b_id"]]
        assert (one.hits("EGFR") and other.is_of_class("taxane")) or (other.hits("EGFR") and one.is_of_class("taxane"))
    for pair in pairs(ask("--drugs", "approved", "--top", 50, "--json")):
        assert drugs[pair["drug_a_id"]].approved and drugs[pair["drug_b_id"]].approved


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--class", "taxanes of the moon"), "unknown class of the drugs"),
        (("--target", "EGFRR"), "EGFR"),
        (("--target", "EGFR", "--target", "KDR", "--class", "taxane"), "a pair has two drugs"),
        (("--drugs", "nosuchfile.csv"), "nosuchfile.csv"),
        (("--drug", "NEW-X", "--smiles", "C(("), "is no SMILES"),
        (("--drug", "Erlotinib", "--smiles", "CCO"), "1 --smiles for 0 drugs"),
        (("--cell", "A375", "--describe", "a line"), "several cell lines"),
        (("--cell", "A375", "--top", "0"), "--top"),
        (("--design", "3", "--table", "wide.csv"), "belong to a ranking"),
        (("--design", "3", "--html", "pages"), "belong to a ranking"),
        (("--design", "3", "--reasons"), "belong to a ranking"),
        (("--design", "3", "--top", "5"), "belong to a ranking"),
        (("--design", "3", "--all-pairs"), "belong to a ranking"),
    ],
)
def test_what_cannot_be_asked(ask, options, words):
    found = ask(*options, code=None)
    assert found.exit_code in (1, 2), found.stdout
    assert words in said(found) and "Traceback" not in found.stderr


def test_a_new_drug_is_ranked_and_said_to_be_new(ask, tmp_path):
    found = ask("--drug", "NEW-X", "--smiles", "CCO", "--json")
    assert all("NEW-X" in (pair["drug_a"], pair["drug_b"]) for pair in pairs(found))
    assert "NEW-X is not in the run's data set" in said(found)
    assert any("0 measurements of NEW-X" in text for text in pairs(found)[0]["against"])
    table = tmp_path / "drugs.csv"
    table.write_text("name,smiles\nNEW-X,CCO\nErlotinib,\nSorafenib,\n")
    assert len(pairs(ask("--drugs", table, "--all-pairs", "--json"))) == 3


def test_a_drug_in_a_table_is_the_runs_own_whatever_its_id_there(ask, tmp_path):
    table = tmp_path / "drugs.csv"
    table.write_text("chembl_id,name\nCHEMBL553,Erlotinib\nCHEMBL939,Gefitinib\n")
    found = ask("--drugs", table, "--all-pairs", "--json")
    (pair,) = pairs(found)
    assert {pair["drug_a_id"], pair["drug_b_id"]} == {"DB00530", "DB00317"}
    assert "not in the run's data set" not in said(found)
    table.write_text("id,name\nDB00317,Erlotinib\nDB00530,Gefitinib\n")
    refused = said(ask("--drugs", table, code=1))
    assert "the id DB00317 is given to Erlotinib, and is GEFITINIB in the run" in refused


def test_no_probability_contradicts_what_is_called_synergistic(ask):
    """There is one probability, calibrated, and one half is where it turns."""
    result = ask()
    head = result.stdout.splitlines()[0].split()
    assert "synergy" in head and not {"probability", "calibrated", "synergistic"} & set(head)
    assert "from 0.50 a pair is more likely synergistic than not" in said(result)
    for pair in pairs(ask("--top", 50, "--json")):
        assert pair["low"] <= pair["calibrated"] <= pair["high"]


def test_it_abstains_where_nothing_is_like_the_line(ask, tmp_path):
    """A profile of extremes lies farther from all lines than these from each other; nothing told is nothing known."""
    from l2aco.profiles.sets import open_profile_set

    usual = open_profile_set("reference-panel", Workspace(tmp_path)).resolve("T47D", "cell_line")
    grades = usual.fields["sensitivity"]
    strange = {name: (3 if number % 2 else -3) for number, name in enumerate(grades)}
    near, far = tmp_path / "near.json", tmp_path / "far.json"
    near.write_text(json.dumps({"sensitivity": grades}))
    far.write_text(json.dumps({"sensitivity": strange}))
    assert "ABSTAINS" not in said(ask("--profile", near, cell="NEW-1"))
    assert "ABSTAINS: NEW-1 is stranger than the lines that the model was trained on: at most " in said(
        ask("--profile", far, cell="NEW-1")
    )


def test_reasons_are_those_of_the_data(ask, mixed):
    dataset = open_dataset("demo", mixed)
    printed = ask("--reasons", "--top", 2).stdout
    (first, _) = pairs(ask("--top", 2, "--json"))
    total, good = first["elsewhere_measured"], first["elsewhere_synergistic"]
    assert f"Synergistic in {good} of {total} other lines" in printed or not total
    assert "Expected effect of" in printed and "(reference-panel)" in printed
    assert dataset.simulated


def test_designed_pairs_are_not_measured_already_and_promise_ever_less(ask, mixed):
    found = pairs(ask("--design", 8, "--json"))
    assert len(found) == 8
    assert [pair["gain"] for pair in found] == sorted((pair["gain"] for pair in found), reverse=True)
    dataset = open_dataset("demo", mixed)
    names = {drug.name: row for row, drug in enumerate(dataset.drugs)}
    line = next(row for row, one in enumerate(dataset.cell_lines) if one.id == "MCF7")
    triples = dataset.triples
    here = triples.cell_line == line
    there = {frozenset(both) for both in zip(triples.drug_a[here].tolist(), triples.drug_b[here].tolist(), strict=True)}
    assert not there & {frozenset((names[pair["drug_a"]], names[pair["drug_b"]])) for pair in found}


def test_a_design_says_what_its_numbers_are_and_that_data_are_simulated(ask):
    quiet, loud = said(ask("--design", 2, "-q")), said(ask("--design", 2))
    assert "SIMULATED" in quiet and "gain" not in quiet
    assert "gain: the share" in loud and "left: the share" in loud
    assert "most like it" in loud and "Rank correlation with the list" in loud and "(run " in loud


def test_a_design_says_which_drugs_training_hardly_held(ask):
    rare = said(ask("--drug", "NEW-X", "--smiles", "CCO", "--design", 2))
    assert "2 pairs hold a drug with fewer than 10 training triples: --min-triples 10" in rare
    assert "fewer than 10" not in said(ask("--design", 2, "--min-triples", 10))


def test_what_the_line_itself_measured_is_called_so(ask):
    """Beside what a kernel over lines knows of it; a line without measurements has no such part."""
    parts = {
        cell: " ".join(text for pair in pairs(ask("--top", 20, "--json", cell=cell)) for text in pair["supports"])
        for cell in ("MCF7", "T47D")
    }
    assert "its drugs, by the line's own measurements" in parts["MCF7"]
    assert "own measurements" not in parts["T47D"]  # held out
    assert all("its drugs, by what is known of the line" in text for text in parts.values())


def test_lines_that_the_split_held_out_are_counted(ask, mixed):
    """Those of validation are read: the model takes them up once it was chosen."""
    run = open_run("knowledge-s0", mixed)
    assert f"Of the data set's lines {len(run.manifest['held_out'])} are held out by the run's split" in said(ask())
    lines = run.counts(EntityKind.cell_line).filter(training_triples=0)["id"]
    validated = next(line for line in lines if line not in run.manifest["held_out"])
    assert f"{validated} was seen in validation" in said(ask(cell=validated))


def test_what_the_split_held_out_is_taken_up_when_asked_for(ask, mixed, cli, lab):
    """As if the run had been fitted to these rows too; its own metrics stay those of rows that it had not read."""
    run = open_run("knowledge-s0", mixed)
    asked = ask("--held-out", "--top", 10_000, "--json", cell="A375")
    assert f"The {len(run.predictions('test')):,} rows that the run's split kept for tests are taken up" in said(asked)
    before = pairs(ask("--top", 10_000, "--json", cell="A375"))
    assert {pair["probability"] for pair in before} != {pair["probability"] for pair in pairs(asked)}
    again = rank_pairs(run, "A375", held_out=True, top=1).pairs[0]
    assert again.probability == pytest.approx(pairs(asked)[0]["probability"], abs=1e-12)
    (best, *_) = pairs(asked)
    pair = ("--drug-a", best["drug_a"], "--drug-b", best["drug_b"], "--cell", "A375")
    (told,) = pairs(cli("predict", *pair, "--held-out", "--json", "--workspace", mixed.root))
    assert told["calibrated"] == pytest.approx(best["calibrated"], abs=1e-12)
    cli("train", "--backbone", "GCN", "--align", "none", "--set", "epochs=1")
    none = cli("recommend", "--cell", "A375", "--held-out", code=2)
    assert "takes up measurements only by training" in said(none)


def test_rows_of_a_data_set_that_has_changed_are_not_taken_up(mixed, cli, tmp_path):
    shutil.copytree(mixed.root, tmp_path / "other")
    manifest = tmp_path / "other" / "runs" / open_run("knowledge-s0", mixed).id / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(told | {"dataset_hash": "0" * 64}))
    asked = cli("recommend", "--cell", "MCF7", "--held-out", "--workspace", tmp_path / "other", code=1)
    assert "demo has changed since the run was trained" in said(asked)
    manifest.write_text(json.dumps(told | {"split_hash": "0" * 64}))
    asked = cli("recommend", "--cell", "MCF7", "--held-out", "--workspace", tmp_path / "other", code=1)
    assert "the split of demo has changed since the run was trained" in said(asked)
    shutil.rmtree(tmp_path / "other" / "data")
    asked = cli("recommend", "--cell", "MCF7", "--held-out", "--workspace", tmp_path / "other", code=1)
    assert "the data set demo, whose rows the run held out, is not here" in said(asked)
    plain = cli("recommend", "--cell", "MCF7", "--reasons", "--workspace", tmp_path / "other")
    assert "Nobody measured" not in plain.stdout and "--held-out" not in said(plain)


def test_a_line_that_was_held_out_is_no_test_once_its_rows_are_read(ask, mixed, cli):
    run = open_run("knowledge-s0", mixed)
    held = run.manifest["held_out"][0]
    assert "was held out of training, and its own measurements are taken up" in said(ask("--held-out", cell=held))
    one = run.predictions("test").filter(cell_line=held).row(0, named=True)
    pair = ("--drug-a", one["drug_a"], "--drug-b", one["drug_b"], "--cell", held)
    asked = cli("predict", *pair, "--held-out", "--workspace", mixed.root)
    assert "how near such predictions come says nothing of the run" in said(asked)
    elsewhere = cli("predict", *pair[:4], "--cell", "MCF7", "--held-out", "--workspace", mixed.root)
    assert "are taken up" in said(elsewhere) and "says nothing of the run" not in said(elsewhere)


def test_what_is_read_is_never_written_over(mixed, cli, tmp_path, monkeypatch):
    """Of any option that names a file, also through a link; and no two of the written ones are one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.csv").write_text("drug_a,drug_b,cell_line,score\nErlotinib,Sorafenib,MCF7,3\n")
    (tmp_path / "e.csv").write_text("name,kind\nX1,cell_line\n")
    (tmp_path / "d.csv").write_text("name\nErlotinib\nSorafenib\nGefitinib\n")
    (tmp_path / "p.json").write_text('{"sensitivity": {"EGFR_1st": 1}}')
    (tmp_path / "link.csv").symlink_to("m.csv")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    at = ("--workspace", mixed.root)
    predict = ("predict", "--pairs", "m.csv", "--entities", "e.csv", "--measured", "m.csv", *at)
    ranked = ("recommend", "--cell", "MCF7", "--measured", "m.csv", "--drugs", "d.csv", *at)
    told = ("recommend", "--cell", "X9", "--profile", "p.json", *at)
    for command, option, name in (
        (predict, "-o", "m.csv"), (predict, "-o", "e.csv"), (predict, "-o", "link.csv"), (ranked, "-o", "m.csv"),
        (ranked, "--table", "link.csv"), (ranked, "-o", "d.csv"), (told, "-o", "p.json"), (told, "--table", "p.json"),
    ):  # fmt: skip
        assert "would replace the file of --" in said(cli(*command, option, name, code=2)), (command, name)
    assert "--table would replace" in said(cli(*told, "-o", "x.csv", "--table", "x.csv", code=2))
    assert "pages need a folder" in said(cli(*told, "--html", "p.json", code=2))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_predictions_are_written_as_their_ending_says(mixed, cli, tmp_path):
    pair = ("predict", "--drug-a", "Erlotinib", "--drug-b", "Sorafenib", "--cell", "MCF7", "--workspace", mixed.root)
    for name in ("p.csv", "p.parquet", "p.json"):
        cli(*pair, "-o", tmp_path / name)
    rows = json.loads((tmp_path / "p.json").read_text())
    assert rows == pl.read_parquet(tmp_path / "p.parquet").to_dicts()
    assert pl.read_csv(tmp_path / "p.csv").columns == list(rows[0])
    assert ".parquet" in said(cli(*pair, "-o", tmp_path / "p.txt", code=2))


def test_a_profile_of_the_fake_model_carries_no_list(mixed, cli):
    asked = cli("recommend", "--cell", "BT-20", "--llm", "fake", "--workspace", mixed.root)
    assert "ABSTAINS: fake wrote what it reads of BT-20, and knows nothing." in said(asked)


@pytest.mark.parametrize(
    ("option", "name", "words"),
    [
        ("--cell", "HL", "Did you mean HL60?"),
        ("--cell", "bt20", "known, the nearest: BT549"),
        ("--cell", "BT_20", "known, the nearest: BT549"),
        ("--drug", "Velcad", "Did you mean Velcade (BORTEZOMIB)?"),
    ],
)
def test_names_that_are_near_are_named(cli, mixed, option, name, words):
    cells = () if option == "--cell" else ("--cell", "MCF7")
    assert words in said(cli("recommend", *cells, option, name, "--workspace", mixed.root, code=2))


def test_a_model_that_reads_nothing_of_drugs_says_so_and_predicts_new_ones_alike(mixed, ask, cli, tmp_path):
    """The panel's store holds vectors of drugs, which a run for unseen lines does not read."""
    names = [one.entity_name for one in open_profile_set("reference-panel", mixed).records() if one.kind == "drug"]
    known = {drug.name.upper() for drug in open_dataset("demo", mixed).drugs}
    (one, other, *_) = [name for name in names if name.upper() not in known]
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"drug_a,drug_b,cell_line\n{one},Erlotinib,A375\n{other},Erlotinib,A375\n")
    asked = cli("predict", "--pairs", pairs, "--json", "--workspace", mixed.root)
    first, second = json.loads(asked.stdout)
    assert first["probability"] == second["probability"]
    assert said(asked).count("the model reads nothing of drugs") == 2
    assert "the model reads nothing of drugs" in said(ask("--drug", one, "--top", 1))


def test_what_calls_a_pair_synergistic_is_what_predict_says(mixed, cli, tmp_path):
    pairs = tmp_path / "pairs.csv"
    rows = open_run("knowledge-s0", mixed).predictions("test").head(400)
    lines = (f"{a},{b},{c}" for a, b, c in rows.select("drug_a", "drug_b", "cell_line").iter_rows())
    pairs.write_text("\n".join(["drug_a,drug_b,cell_line", *lines]))
    asked = cli("predict", "--pairs", pairs, "--json", "--workspace", mixed.root)
    found = json.loads(asked.stdout)
    assert "a calibrated probability of 0.50 or more" in said(asked)
    assert {row["synergistic"] for row in found} == {True, False}
    assert all(row["synergistic"] == (row["calibrated"] >= 0.5) for row in found)


def test_an_unknown_drug_is_sent_another_way_than_an_unknown_line(mixed, ask):
    assert "--smiles" in ask("--drug", "Nosuchdrug", code=2).stderr
    line = ask(cell="NOSUCH-1", code=2).stderr
    assert "--describe" in line and "--smiles" not in line
