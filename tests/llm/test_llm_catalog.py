"""The catalog: what must be in it, how names resolve, how users add to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from l2aco.errors import InputError, UnknownNameError
from l2aco.llm.catalog import load_catalog, resolve_model
from l2aco.workspace import Settings, Workspace


@pytest.mark.parametrize(
    ("alias", "model", "price"),
    [
        ("gpt-4o-mini", "gpt-4o-mini", (0.15, 0.60)),
        ("gpt-3.5-turbo", "gpt-3.5-turbo", (0.50, 1.50)),
        ("gpt-5", "gpt-5", (1.25, 10.00)),
        ("llama3-8b-chat", "meta-llama/Meta-Llama-3-8B-Instruct", (None, None)),
        ("llama", "meta-llama/Llama-3.1-8B-Instruct", (None, None)),
        ("qwen", "Qwen/Qwen2.5-7B-Instruct", (None, None)),
        ("Baichuan2-chat", "baichuan-inc/Baichuan2-7B-Chat", (None, None)),
        ("reference", "reference", (0, 0)),
        ("fake", "fake", (0, 0)),
    ],
)
def test_the_models_of_the_paper_and_ours_are_there(alias: str, model: str, price: tuple[float, float]) -> None:
    entry = load_catalog()[alias]
    assert entry.model == model
    assert (entry.price_in, entry.price_out) == price
    assert bool(entry.prices_as_of) == bool(entry.price_in)


def test_traps_of_single_models_are_written_down() -> None:
    catalog = load_catalog()
    assert catalog["Baichuan2-chat"].trust_remote_code
    assert "<reserved_106>" in (catalog["Baichuan2-chat"].chat_template or "")
    assert catalog["gpt-5"].fixed_sampling
    assert catalog["gpt-5"].max_tokens_field == "max_completion_tokens"


def test_names_resolve_without_case_and_by_model_id() -> None:
    assert resolve_model("QWEN").alias == "qwen"
    assert resolve_model("Qwen/Qwen2.5-7B-Instruct").alias == "qwen"
    assert resolve_model("baichuan2-CHAT").alias == "Baichuan2-chat"


def test_providers_and_hub_ids_pass_through() -> None:
    remote = resolve_model("openrouter:mistralai/mistral-small")
    assert (remote.engine, remote.model, remote.key) == ("openai", "mistralai/mistral-small", "OPENROUTER_API_KEY")
    assert remote.alias == "openrouter-mistralai-mistral-small"
    local = resolve_model("mistralai/Mistral-7B-Instruct-v0.3")
    assert (local.engine, local.alias) == ("vllm", "mistralai-Mistral-7B-Instruct-v0.3")
    assert resolve_model("transformers:owner/tiny").engine == "transformers"


def test_a_local_folder_is_called_like_its_last_part(tmp_path: Path) -> None:
    (tmp_path / "my model").mkdir()
    found = resolve_model(f"transformers:{tmp_path / 'my model'}")
    assert (found.alias, found.model) == ("my-model", str(tmp_path / "my model"))
    assert resolve_model(str(tmp_path / "my model")).engine == "vllm"


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve_model("gpt-4o-mimi")
    assert "gpt-4o-mini" in caught.value.nearest


def test_a_user_adds_entries_and_overrides_single_keys() -> None:
    settings = Settings(
        llms={
            "GPT-5": {"price_in": 9.0},
            "mine": {"engine": "openai", "model": "x", "base_url": "http://127.0.0.1:1/v1"},
        }
    )
    catalog = load_catalog(settings)
    assert (catalog["gpt-5"].price_in, catalog["gpt-5"].price_out) == (9.0, 10.0)
    assert resolve_model("mine", settings).base_url == "http://127.0.0.1:1/v1"


def test_a_wrong_entry_names_itself_and_its_key() -> None:
    with pytest.raises(InputError) as caught:
        load_catalog(Settings(llms={"mine": {"engine": "openai", "model": "x", "prise_in": 1}}))
    assert "llms.mine" in str(caught.value)
    assert "prise_in" in str(caught.value)


def test_an_engine_that_is_not_there_is_said_in_the_list_and_when_used(cli: Any, workspace: Workspace) -> None:
    (workspace.root / "l2aco.toml").write_text('[llms.mine]\nengine = "warp"\nmodel = "x"\n')
    rows = {row["llm"]: row for row in json.loads(cli("llms", "--json").stdout)}
    assert "warp" in rows["mine"]["why not"]
    assert "warp" in cli("profile", "--llm", "mine", "--name", "X", "--kind", "drug", code=2).output
