"""`l2aco embed` and `l2aco encoders`: what a user types, sees and gets back as exit code."""

from __future__ import annotations

import json

import pytest
from small_stores import WORDS, profile, save_bert, tiny_settings, write_set

from l2aco.embeddings.encoders.local import LocalEncoder
from l2aco.workspace import Workspace


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("models") / "tiny-bge-en")


@pytest.fixture
def ready(workspace, tiny):
    (workspace.root / "l2aco.toml").write_text(tiny_settings(tiny))
    write_set(Workspace(workspace.root), "mine", [profile(f"C{n}", f"braf {WORDS[n]} line") for n in range(6)])
    return workspace


def test_embed_needs_no_flag_and_a_second_run_does_nothing(ready, cli, monkeypatch):
    first = cli("embed")
    assert "mine--tiny" in first.stdout
    monkeypatch.setattr(LocalEncoder, "_ready", lambda *_: pytest.fail("a model was loaded"))
    (report,) = json.loads(cli("embed", "--json").stdout)
    assert (report["store"], report["records"], report["unchanged"], report["encoded"]) == ("mine--tiny", 6, 6, 0)


def test_the_default_encoder_without_network_ends_with_the_ways_out(workspace, cli, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = cli("embed", code=1)
    assert "embedding the bundled set 'reference'" in result.stderr
    for word in ("bge-large-en-v1.5", "--encoder minilm", "l2aco[offline]", "/path/to", "hf download"):
        assert word in result.stderr
    assert not (workspace.root / "embeddings").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--encoder", "minilmm"), "Did you mean minilm"),
        (("nosuchset",), "unknown profile set"),
        (("--precision", "int8"), "precision"),
        (("--index", "annoy"), "index"),
        (("--index", "hnsw", "--shard", "1/2"), "Error: a shard has no index"),
        (("--budget-usd", "-1"), "budget_usd"),
        (("--device", "gpu"), "no device"),
        (("--encoder", "foo/bar--baz"), "neither a folder nor the id"),
    ],
)
def test_bad_usage_is_exit_code_2(ready, cli, arguments, message):
    result = cli("embed", *arguments, code=2)
    assert message in result.stderr and "Traceback" not in result.stderr


def test_a_name_in_an_encoders_section_is_one_clear_error(ready, cli):
    settings = ready.root / "l2aco.toml"
    settings.write_text(settings.read_text() + 'name = "other"\n')
    assert "[encoders.tiny]: `name` cannot be given" in cli("embed", code=1).stderr


def test_a_store_of_another_encoder_is_one_clear_error(ready, cli):
    cli("embed")
    settings = ready.root / "l2aco.toml"
    settings.write_text(settings.read_text().replace('pooling = "mean"', 'pooling = "cls"'))
    result = cli("embed", code=1)
    assert "another encoder (pooling 'mean' there, 'cls' here)" in result.stderr


def test_long_texts_are_announced(ready, cli):
    write_set(ready, "long", [profile("C1", " ".join(WORDS * 5)), profile("C2", "short")])
    assert "1 texts (50.0%) are longer than the encoder's window" in cli("embed", "long").stderr


def test_encoders_lists_the_table_and_the_users_own(ready, cli):
    table = {row["name"]: row for row in json.loads(cli("encoders", "--json").stdout)}
    assert {"bge-large-en-v1.5", "bge-m3", "minilm", "text-embedding-3-large", "tiny"} <= set(table)
    assert table["bge-large-en-v1.5"]["pooling"] == "cls" and table["minilm"]["window"] == 512
    assert "minilm" in cli("encoders").stdout
