"""A real vLLM that l2aco starts, uses and stops. docs/profiling.md says how to install one without a GPU.

L2ACO_VLLM_COMMAND is the command that starts vLLM's OpenAI server, L2ACO_VLLM_MODEL a folder with a small chat model
in the Hugging Face layout.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from l2aco.files import write_toml
from l2aco.llm.structured import explain
from l2aco.profiles.sets import ProfileSet
from l2aco.workspace import Workspace, user_settings_path

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
COMMAND, MODEL = os.environ.get("L2ACO_VLLM_COMMAND"), os.environ.get("L2ACO_VLLM_MODEL")
needs_vllm = pytest.mark.skipif(
    not COMMAND or not MODEL, reason="no vLLM: set L2ACO_VLLM_COMMAND and L2ACO_VLLM_MODEL (docs/profiling.md)"
)
ENTITIES = "id,kind,name\n" + "".join(
    f"{name},{kind},{name}\n"
    for kind, names in (("drug", ("Erlotinib", "Cisplatin", "Olaparib")), ("cell_line", ("A375", "MCF7", "HCT116")))
    for name in names
)


@pytest.fixture
def small(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose model `small` is the one that L2ACO_VLLM_MODEL names."""
    for name, value in {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}.items():
        monkeypatch.setenv(name, value)
    serve = os.environ.get("L2ACO_VLLM_FLAGS", "--dtype bfloat16 --enforce-eager --max-num-seqs 8").split()
    entry = {"engine": "vllm", "model": str(MODEL), "context": 4096, "max_tokens": 1200, "serve": serve}
    write_toml(user_settings_path(), {"llms": {"small": entry}})
    (workspace.root / "entities.csv").write_text(ENTITIES)
    return Workspace(workspace.root)


def servers_of(workspace: Workspace) -> str:
    """Processes whose command line names this workspace's model and port, as `ps` shows them."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in listed.splitlines() if "--served-model-name" in line and str(MODEL) in line)


@needs_vllm
def test_it_writes_valid_profiles_and_the_server_is_gone_afterwards(small: Workspace, cli: Callable[..., Any]) -> None:
    result = cli(
        *("profile", "--llm", "small", "--prompt", "brief", "--entities", small.root / "entities.csv"),
        *("--timeout", 600, "--json"),
    )
    report = json.loads(result.stdout)
    profiles = ProfileSet(Path(report["path"]))
    records = list(profiles.records())
    assert len(records) == 6
    for record in records:
        assert explain(record.fields, profiles.schemas[record.kind]) == ""
        assert record.finish_reason == "stop"
        assert record.usage is not None
        assert record.usage["output"] > 20
    assert report["repairs"] == 0, "structured decoding keeps to the schema"
    assert servers_of(small) == ""
    ends = [datetime.fromisoformat(record.created_at or "").timestamp() for record in records]
    begins = [end - (record.latency_s or 0) for end, record in zip(ends, records, strict=True)]
    busy = max(ends) - min(begins)
    print(
        f"\n{report['tokens_out']} tokens in {busy:.0f} s of answering, {report['seconds']:.0f} s with start and stop"
    )


@needs_vllm
def test_a_server_that_cannot_start_shows_its_last_words(small: Workspace, cli: Callable[..., Any]) -> None:
    result = cli(
        *("profile", "--llm", "small", "--prompt", "brief", "--name", "x", "--kind", "drug"),
        *("--vllm-flags", "--no-such-flag"),
        code=1,
    )
    assert "no-such-flag" in result.output
    assert servers_of(small) == ""
