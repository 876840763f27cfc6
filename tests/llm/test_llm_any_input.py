"""Whatever lies in a file that this room reads, or comes from a server, it is read or refused in one message."""

from __future__ import annotations

import json
import os
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from any_bytes import altered_json, dumps, feed, json_texts, json_values, mutated
from chat_server import GOOD, completion
from hypothesis import strategies as st

from l2aco.errors import L2aCoError
from l2aco.llm.available import why_not
from l2aco.llm.catalog import load_catalog, resolve_model
from l2aco.llm.journal import FAILURES, JOURNAL, RECORDS, Journal
from l2aco.llm.kept import find_server, keep_server
from l2aco.llm.keys import make_mask
from l2aco.llm.refusals import asked_pause, quota_pause, read_refusal, reason_of
from l2aco.llm.replies import read_reply
from l2aco.llm.request import CallFailed
from l2aco.llm.structured import parse_reply
from l2aco.llm.vllm import vllm_command
from l2aco.workspace import Settings, Workspace

KEY = f"{7:032x}"
SETTINGS = """
llm = "mine"
vllm_command = ["python", "-m", "vllm"]
[llms.mine]
engine = "openai"
model = "m"
base_url = "https://example.org/v1"
key = "EXAMPLE_API_KEY"
context = 4096
price_in = 0.5
extra = { reasoning_effort = "low" }
[llms.gpt-5]
price_in = 1.0
[encoders.mine]
runtime = "transformers"
"""


def use(folder: Path) -> None:
    """What commands do with settings."""
    settings = Workspace(folder).settings
    for name in ("mine", "gpt-5"):
        with suppress(L2aCoError):
            why_not(resolve_model(name, settings), settings)
    with suppress(L2aCoError):
        vllm_command(settings)
    for model in load_catalog(settings).values():
        json.dumps(model.model_dump(mode="json"), allow_nan=False)
        model.cost(1, 1)


@pytest.mark.parametrize("whose", ["the folder's", "one's own"])
def test_settings_of_any_bytes(workspace: Workspace, own_settings: Path, whose: str) -> None:
    path = own_settings if whose == "one's own" else workspace.root / "l2aco.toml"
    path.write_text(SETTINGS)
    use(workspace.root)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        use(workspace.root)

    deep = st.sampled_from([b"a = " + b"[" * 100_000, b"a = " + b"{a=" * 50_000, b"a = " + b"1" * 5000, b"\xff\xfe"])
    feed(mutated(SETTINGS.encode()) | deep, read, files=2)


def test_settings_with_anything_in_their_places(workspace: Workspace) -> None:
    def read(value: Any) -> None:
        try:
            text = tomli_w.dumps(value)
        except Exception:  # TOML cannot say it
            text = f"llms = {dumps(value)}"
        (workspace.root / "l2aco.toml").write_text(text, encoding="utf-8", errors="replace")
        use(workspace.root)

    feed(altered_json(tomllib.loads(SETTINGS)) | json_values(), read)


def test_entries_of_the_catalog_with_anything_in_them() -> None:
    entry = tomllib.loads(SETTINGS)["llms"]["mine"]

    def read(value: Any) -> None:
        with suppress(UnicodeEncodeError):  # no TOML file can hold that
            json.dumps(value, ensure_ascii=False).encode()
            settings = Settings(llms={"mine": value if isinstance(value, dict) else {"model": value}})
            resolve_model("mine", settings).model_dump_json()
            why_not(resolve_model("mine", settings), settings)

    feed(altered_json(entry), read)


def journal_lines() -> st.SearchStrategy[bytes]:
    record = {"key": KEY, "kind": "drug", "entity_id": "D1", "sample": 0, "reason": "timeout"}
    whole = altered_json(record).map(dumps) | json_texts()
    lines = whole.map(lambda text: text.encode("utf-8", "surrogatepass")) | mutated(dumps(record).encode())
    ours = st.sampled_from([f'{{"key":"{KEY}",]}}'.encode(), f'{{"key":"{KEY}","n":'.encode() + b"[" * 9999 + b"}"])
    return st.lists(lines | ours, max_size=3).map(lambda found: b"\n".join([*found, b""]))


@pytest.mark.parametrize("name", [JOURNAL, RECORDS, FAILURES])
def test_a_journal_of_any_lines(tmp_path: Path, name: str) -> None:
    def read(data: bytes) -> None:
        for path in tmp_path.glob("*.jsonl"):
            path.unlink()
        (tmp_path / name).write_bytes(data)
        with Journal(tmp_path, "the test") as journal:
            journal.failed(KEY)
            if KEY not in journal:
                journal.write({"key": KEY, "kind": "drug", "entity_id": "D1", "sample": 0})
            journal.compact(lambda record: (record["kind"], record["entity_id"], record["sample"]))
        assert not (tmp_path / JOURNAL).read_bytes()

    feed(journal_lines(), read, files=3)


def test_a_record_of_a_server_with_anything_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2ACO_CACHE", str(tmp_path))
    keep_server("x", 80, "token", os.getpid())
    (path,) = (tmp_path / "servers").iterdir()
    valid = json.loads(path.read_text())
    assert find_server("x") is not None

    def read(text: str) -> None:
        path.write_text(text, errors="replace")
        find_server("x")

    feed(altered_json(valid).map(dumps) | json_texts() | mutated(path.read_bytes()).map(bytes.hex), read)


def test_any_body_of_an_answered_call(schema: dict[str, Any]) -> None:
    valid = completion(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 9}, reasoning_content="so")

    def read(data: bytes) -> None:
        with suppress(CallFailed):
            reply = read_reply(data, make_mask())
            json.dumps([reply.model, reply.refusal, reply.finish_reason, reply.thoughts], ensure_ascii=False).encode()
            answer = parse_reply(reply, schema)
            json.dumps(answer, ensure_ascii=False, allow_nan=False).encode()

    texts = altered_json(valid).map(dumps) | json_texts()
    feed(texts.map(lambda text: text.encode("utf-8", "surrogatepass")) | mutated(dumps(valid).encode()), read)


def test_any_text_of_an_answer(schema: dict[str, Any]) -> None:
    parts = st.sampled_from(["<think>", "</think>", "```", "```json", "\n", GOOD, "{", "}", "<|im_end|>", "[1]", "9"])

    def read(pieces: list[str]) -> None:
        with suppress(CallFailed):
            parse_reply(read_reply(dumps(completion("".join(pieces))).encode(), make_mask()), schema)

    feed(st.lists(parts | st.text(max_size=5), max_size=8), read)


def test_any_refusal() -> None:
    valid = {"error": {"message": "no", "type": "invalid", "param": "seed", "code": 400}}

    def read(value: tuple[str, int, str]) -> None:
        text, status, header = value
        said = read_refusal(status, text.encode("utf-8", "surrogatepass"), make_mask())
        reason_of(said, asked_pause({"retry-after": header}))
        str(said).encode()
        quota_pause({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": header})

    texts = altered_json(valid).map(dumps) | json_texts()
    headers = st.text(max_size=12) | st.sampled_from(["1e999", "Mon, 01 Jan 0001 00:00:00 GMT", "9999-12-31", "1" * 99])
    feed(st.tuples(texts, st.sampled_from([0, 200, 302, 400, 404, 429, 500]), headers), read)
