"""Requests out, answers in: whoever answers, our checks stay in charge."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from batch_server import answer_line, completion, expired_line, refusal_line
from chat_server import scripted, subject
from hypothesis import given
from hypothesis import strategies as st

from l2aco.llm.lines import key_and_turn, read_answer
from l2aco.profiles.sets import ProfileSet
from l2aco.workspace import Workspace

Cli = Callable[..., Any]


def entities(folder: Path, number: int) -> Path:
    path = folder / "entities.csv"
    path.write_text("id,kind,name\n" + "".join(f"E{n},drug,Compound {n}\n" for n in range(number)))
    return path


def asked(folder: Path) -> list[dict[str, Any]]:
    """The requests of a folder."""
    return [json.loads(line) for path in sorted(folder.glob("requests-*")) for line in path.open()]


def answered(folder: Path, *lines: dict[str, Any] | str) -> None:
    """More answers for a folder of requests."""
    number = len(list(folder.glob("answers-*")))
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / f"answers-{number}.jsonl").write_text("".join(text + "\n" for text in texts))


def round_trip(cli: Cli, workspace: Workspace, number: int, shards: int) -> None:
    """1% of the answers broken, 1% twice, 1% of nobody, 0.5% not answered and 0.5% cut: two rounds end it."""
    listed = entities(workspace.root, number)
    command = ("profiles", "requests", "gpt-4o-mini", "--entities", listed, "--json")
    first = json.loads(cli(*command, "--shards", shards, "-o", "out").stdout)
    assert (first["written"], first["finished"]) == (number, 0)
    requests = asked(Path("out"))
    assert len(list(Path("out").glob("requests-*"))) == shards
    assert len({request["custom_id"] for request in requests}) == number
    some = max(1, number // 100)
    few = max(1, number // 200)
    broken = {request["custom_id"] for request in requests[:some]}
    lines: list[dict[str, Any] | str] = [
        answer_line(request, broken=request["custom_id"] in broken) for request in requests[: -2 * few]
    ]
    lines += [json.dumps(answer_line(request))[:200] for request in requests[-2 * few : -few]]
    lines += [expired_line(request) for request in requests[-few:]]
    lines += lines[:some] + lines[some : 2 * some]
    lines += [answer_line({**requests[0], "custom_id": f"{n:032x}"}) for n in range(some)]
    random.Random(1).shuffle(lines)
    answered(Path("out"), *lines)
    told = json.loads(cli("profiles", "answers", "out", "--json", code=3).stdout)
    assert told["answered"] == told["profiles"] == number - some - 2 * few
    assert (told["to_repair"], told["foreign"], told["repeated"]) == (some, some, 2 * some)
    assert (len(told["broken"]), len(told["refused"]), told["left"]) == (few, some, some + 2 * few)
    second = json.loads(cli(*command, "-o", "again").stdout)
    assert (second["written"], second["repairs"], second["waiting"]) == (some + 2 * few, some, 2 * few)
    repairs = [request for request in asked(Path("again")) if request["custom_id"].endswith("-2")]
    assert {request["custom_id"][:32] for request in repairs} == broken
    assert all("cannot be used" in request["body"]["messages"][-1]["content"] for request in repairs)
    answered(Path("again"), *map(answer_line, asked(Path("again"))))
    told = json.loads(cli("profiles", "answers", "again", "--json").stdout)
    assert (told["profiles"], told["left"]) == (number, 0)
    records = list(ProfileSet(workspace.profiles / "gpt-4o-mini").records())
    assert len({record.key for record in records}) == len(records) == number
    assert sorted(record.attempts for record in records)[-some:] == [2] * some
    assert not (workspace.profiles / "gpt-4o-mini" / "asked.jsonl").exists()
    assert json.loads(cli(*command, "-o", "none").stdout)["written"] == 0


def test_three_hundred_requests_go_out_and_come_back(cli: Cli, workspace: Workspace) -> None:
    round_trip(cli, workspace, 300, 3)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_ten_thousand_requests_go_out_and_come_back(cli: Cli, workspace: Workspace) -> None:
    round_trip(cli, workspace, 10_000, 8)


def test_what_is_refused_and_what_fails(cli: Cli, workspace: Workspace) -> None:
    listed = entities(workspace.root, 4)
    cli("profiles", "requests", "gpt-4o-mini", "--entities", listed, "-o", "out")
    one, two, three, four = asked(Path("out"))
    early = {**answer_line(two), "custom_id": f"{two['custom_id']}-2"}  # a repair that nobody asked for
    too_long = answer_line(three)
    too_long["response"]["body"]["choices"][0]["finish_reason"] = "length"
    answered(Path("out"), answer_line(one), early, too_long, refusal_line(four, 429, "Rate limit reached"))
    told = cli("profiles", "answers", "out", code=3)
    assert "1 profiles" in told.stdout and "1 asked for by nobody" in told.stdout
    assert f"{two['custom_id']}-2" in told.output and "1 cut off at max_tokens" in told.output
    again = json.loads(cli("profiles", "requests", "gpt-4o-mini", "--entities", listed, "-o", "b", "--json").stdout)
    assert again["written"] == 2, "the one that was not answered and the one whose repair was refused"
    retried = ("profiles", "requests", "gpt-4o-mini", "--entities", listed, "-o", "c", "--retry-failed", "--json")
    assert json.loads(cli(*retried).stdout)["written"] == 3


def test_an_answer_set_aside_is_paid_for_once_however_its_entity_ends(cli: Cli, workspace: Workspace) -> None:
    """Four answers are broken: one is repaired, one asked for anew, one fails anew, one stays."""
    listed = entities(workspace.root, 4)
    bill: list[dict[str, int]] = []

    def called(body: dict[str, Any], _: dict[str, str]) -> Any:
        value = completion(body)
        value["choices"][0]["finish_reason"] = "length" if "Compound 2" in subject(body) else "stop"
        bill.append(value["usage"])
        return 200, value, {}

    def by_file(folder: str, *lines: dict[str, Any]) -> None:
        bill.extend(line["response"]["body"]["usage"] for line in lines)
        answered(Path(folder), *lines)
        cli("profiles", "answers", folder, code=3)

    def check() -> None:
        spent = ProfileSet(workspace.profiles / "m").manifest["spent"]
        tokens = [sum(usage[name] for usage in bill) for name in ("prompt_tokens", "completion_tokens")]
        assert [spent["tokens_in"], spent["tokens_out"]] == tokens
        assert spent["usd"] == pytest.approx((tokens[0] + 2 * tokens[1]) / 1e6)

    with scripted(called) as url:
        entry = f'[llms.m]\nengine = "openai"\nmodel = "m"\nbase_url = "{url}"\nprice_in = 1.0\nprice_out = 2.0\n'
        (workspace.root / "l2aco.toml").write_text(entry)
        cli("profiles", "requests", "m", "--entities", listed, "-o", "out")
        by_file("out", *(answer_line(request, broken=True) for request in asked(Path("out"))))
        check()
        cli("profiles", "requests", "m", "--entities", listed, "-o", "again")
        by_file("again", answer_line(asked(Path("again"))[0]))
        check()
        listed.write_text("".join(listed.read_text().splitlines(keepends=True)[:4]))
        cli("profile", "--llm", "m", "--entities", listed, code=3)
    assert len(bill) == 7
    check()


def test_a_folder_that_is_there_and_one_without_answers(cli: Cli, workspace: Workspace) -> None:
    command = ("profiles", "requests", "gpt-4o-mini", "--name", "A", "--kind", "drug", "-o")
    cli(*command, "out")
    assert "there already" in cli(*command, "out", code=2).output
    assert "no file of answers" in cli("profiles", "answers", "out", code=1).output
    Path("stray").mkdir()
    answered(Path("stray"), "{}")
    assert "--set" in cli("profiles", "answers", "stray", code=2).output
    assert "ready made" in cli("profiles", "requests", "reference", "-o", "r", code=2).output


def test_answers_of_another_prompt_are_not_taken(cli: Cli, workspace: Workspace) -> None:
    listed = entities(workspace.root, 1)
    cli("profiles", "requests", "mine", "--llm", "gpt-4o-mini", "--entities", listed, "-o", "out")
    other = cli("profiles", "requests", "mine", "--prompt", "brief", "--entities", listed, "-o", "b", code=2)
    assert "another model, prompt or sampling" in other.output
    assert not Path("b").exists()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
LINE = st.fixed_dictionaries(
    {}, optional={"custom_id": st.text() | JSON, "response": JSON | st.fixed_dictionaries(
        {"status_code": JSON | st.sampled_from([200, 400, 500])}, optional={"body": JSON}
    ), "error": JSON | st.fixed_dictionaries({"code": JSON, "message": JSON})}
)  # fmt: skip


@given(st.binary(max_size=60) | LINE.map(lambda value: json.dumps(value).encode()))
def test_any_line_of_an_answer_file(line: bytes) -> None:
    try:
        found = read_answer(line, lambda text: text)
    except ValueError:
        return
    assert isinstance(found.custom_id, str)
    assert found.key is None or found.key == key_and_turn(found.custom_id)[0]
    str(found.end)


@pytest.mark.vllm
@pytest.mark.long
@pytest.mark.timeout(2400)
def test_the_real_run_batch(cli: Cli, workspace: Workspace, tmp_path: Path) -> None:
    """Twenty requests through vLLM's run-batch, with the Python and the model that the environment names."""
    import os

    python, model = os.environ.get("L2ACO_VLLM_PYTHON"), os.environ.get("L2ACO_VLLM_MODEL")
    if not python or not model:
        pytest.skip("L2ACO_VLLM_PYTHON and L2ACO_VLLM_MODEL name a Python with vLLM and a model folder")
    listed = entities(workspace.root, 20)
    made = ("profiles", "requests", "small", "--llm", f"vllm:{model}", "--prompt", "brief", "--max-tokens", 1200)
    cli(*made, "--entities", listed, "-o", "out")
    source = next(Path("out").glob("requests-*"))
    flags = ["--dtype", "bfloat16", "--enforce-eager", "--max-model-len", "2048", "--max-num-seqs", "8"]
    command = [python, "-m", "vllm.entrypoints.openai.run_batch", "-i", str(source), "-o", "out/answers.jsonl"]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    subprocess.run([*command, "--model", model, *flags], check=True, stdout=sys.stderr, timeout=2000, env=offline)
    told = json.loads(cli("profiles", "answers", "out", "--json", code=None).stdout)
    assert told.get("foreign", 0) == 0
    assert sum(told.get(name, 0) for name in ("answered", "to_repair", "failed")) == 20
    print(f"\n{told}")


def test_a_folder_that_is_called_like_answers_is_none(cli: Cli, workspace: Workspace) -> None:
    listed = entities(workspace.root, 2)
    cli("profiles", "requests", "gpt-4o-mini", "--entities", listed, "-o", "out")
    Path("out/old.jsonl").mkdir()
    answered(Path("out"), *map(answer_line, asked(Path("out"))))
    assert json.loads(cli("profiles", "answers", "out", "--json").stdout)["profiles"] == 2
