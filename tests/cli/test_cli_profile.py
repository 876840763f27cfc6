"""`l2aco profile`, `l2aco profiles` and `l2aco llms`, as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l2aco.llm.fake.server import FakeServer
from l2aco.profiles.sets import ProfileSet
from l2aco.workspace import Workspace

Cli = Callable[..., Any]


@pytest.fixture
def listed(workspace: Workspace) -> Path:
    path = workspace.root / "entities.csv"
    path.write_text("name,kind\nErlotinib,drug\nA375,cell_line\nNosuchine,drug\n")
    return path


@pytest.fixture(autouse=True)
def _no_server_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "L2ACO_API_KEY", "L2ACO_VLLM_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("l2aco.llm.vllm.has_gpu", lambda: False)


def test_reference_and_fake_need_no_other_flag(cli: Cli, workspace: Workspace) -> None:
    first = cli("profile", "--llm", "reference")
    assert "669 profiles" in first.output
    second = cli("profile", "--llm", "fake")
    assert "Covers" in second.output
    assert (workspace.profiles / "reference" / "records.jsonl").exists()
    assert len(ProfileSet(workspace.profiles / "fake")) > 20, "the entities of the demo"


def test_reference_is_copied_as_it_is_and_says_so(cli: Cli, workspace: Workspace) -> None:
    plan = json.loads(cli("profile", "--llm", "reference", "--dry-run", "--json").stdout)
    assert plan["set"] == "reference" and plan["requested"] == plan["finished"] > 0 and plan["models"] == []
    assert "as they are" in cli("profile", "--llm", "reference", "--samples", 2, "--temperature", 1, code=2).stderr
    result = cli("profile", "--llm", "reference", "--name", "Nosuchine", "--kind", "drug", "-q", code=1)
    assert "Covers 0 of 1" in result.stdout and "Nosuchine" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--address", "ray://head:10001"), "Error: an address of a Ray cluster goes with"),
        (("--probe", "5"), "--dry-run"),
        (("--batch", "--rpm", "5"), "--rpm"),
        (("--engine", "ray", "--tpm", "5"), "--tpm"),
        (("--engine", "ray", "--timeout", "5"), "--timeout"),
        (("--wait", "no"), "Error: only a job in batches"),
        (("--base-url", "http://[::1"), "is no address"),
        (("--base-url", "localhost:8000"), "is no address"),
        (("--base-url", "http://me:hidden@127.0.0.1:9/v1"), "L2ACO_API_KEY"),
        (("--base-url", "http://127.0.0.1:9/v1?api_key=hidden"), "L2ACO_API_KEY"),
        (("--base-url", "http://127.0.0.1:9/v1?accessToken=hidden"), "L2ACO_API_KEY"),
        (("--base-url", "127.0.0.1:9/v1?sig=hidden"), "is no address"),
        (("--base-url", "http://127.0.0.1:9\\@example.org/v1"), "is no address"),
        (("--vllm-flags", "--api-key hidden"), "--api-key"),
        (("--vllm-flags", "--hf-token=hidden"), "--hf-token"),
        (("--vllm-flags", "--max-num-seqs 2 --ssl-keyfile-password hidden"), "--ssl-keyfile-password"),
        (("--vllm-flags", "--override hf_hidden0123456789abcdef"), "HF_TOKEN"),
        (("--vllm-flags", "--x 'open"), "quotation"),
        (("--name", "\udcff", "--kind", "drug"), "UTF-8"),
        (("--llm", "gpt-5", "--temperature", 0.9), "takes no temperature"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    cli: Cli, listed: Path, workspace: Workspace, options: tuple[Any, ...], said: str
) -> None:
    result = cli("profile", "--llm", "qwen", "--entities", listed, *options, code=2)
    assert said in result.stderr
    assert "hidden" not in result.output
    assert not workspace.profiles.exists()


def test_flags_of_vllm_may_hold_spaces(cli: Cli, listed: Path, workspace: Workspace) -> None:
    with FakeServer() as server:
        flags = """--override '{"top_k": 1}'"""
        cli("profile", "--llm", "qwen", "--base-url", server.url, "--entities", listed, "--vllm-flags", flags)
    assert ProfileSet(workspace.profiles / "qwen").manifest["spec"]["vllm_flags"] == ["--override", '{"top_k": 1}']


def test_a_failed_run_says_why_even_when_quiet(cli: Cli, listed: Path) -> None:
    with FakeServer(faults={"refusal": 1.0}) as server:
        result = cli("profile", "--llm", "qwen", "--base-url", server.url, "--entities", listed, "-q", code=1)
    assert "refused by the model" in result.stderr


def test_another_setting_of_the_catalog_is_another_set(cli: Cli, listed: Path, workspace: Workspace) -> None:
    with FakeServer() as server:
        for effort in ("low", "high"):
            entry = f'[llms.mine]\nengine = "openai"\nmodel = "m"\nextra = {{ reasoning_effort = "{effort}" }}\n'
            (workspace.root / "l2aco.toml").write_text(entry)
            cli("profile", "--llm", "mine", "--base-url", server.url, "--entities", listed)
        assert server.calls == 6
    assert len(list(workspace.profiles.iterdir())) == 2


def test_names_get_the_ids_that_an_import_gives_them(cli: Cli, workspace: Workspace) -> None:
    (workspace.root / "mine.csv").write_text("name,kind\nErlotinib,drug\nSorafenib,drug\nA-375,cell_line\nNew,drug\n")
    screen = "drug1,drug2,cell,score\nErlotinib,Sorafenib,A-375,1\nErlotinib,New,A-375,-2\n"
    (workspace.root / "s.csv").write_text(screen)
    said = cli("profile", "--llm", "fake", "--entities", "mine.csv").stderr
    assert "3 of the names have a known id or name" in said and "Erlotinib = DB00530" in said
    cli("data", "import", "s.csv", "--name", "mine")
    report = json.loads(cli("profile", "--llm", "fake", "--json").stdout)
    assert (report["calls"], report["covered"], report["profiles"]) == (0, 4, 4)


def test_spellings_of_one_entity_are_asked_for_once(cli: Cli, workspace: Workspace) -> None:
    twice = ("--name", "Erlotinib", "--name", "Erlotinib hydrochloride", "--kind", "drug")
    first, second = (json.loads(cli("profile", "--llm", "fake", *twice, "--json").stdout) for _ in range(2))
    assert (first["calls"], first["requested"], first["profiles"]) == (1, 1, 1)
    assert (second["calls"], second["covered"]) == (0, 1)


def test_a_name_is_the_entity_of_the_data_set_that_has_it(cli: Cli, workspace: Workspace) -> None:
    (workspace.root / "s.csv").write_text("drug1,drug2,cell,score\nX1,X2,A375,1\nX1,X3,A375,-2\n")
    (workspace.root / "d.csv").write_text("id,name,aliases\nX1,my compound,Erlotinib\n")
    cli("data", "import", "s.csv", "--name", "mine", "--drugs", "d.csv")
    before = json.loads(cli("profile", "--llm", "fake", "--json").stdout)
    for name in ("erlotinib", "My compound"):
        after = json.loads(cli("profile", "--llm", "fake", "--name", name, "--kind", "drug", "--json").stdout)
        assert (after["calls"], after["profiles"]) == (0, before["profiles"])
    (workspace.root / "p.csv").write_text("kind,name,text\ndrug,Erlotinib,EGFR\n")
    cli("profiles", "import", "p.csv", "--name", "own")
    assert [record.entity_id for record in ProfileSet(workspace.profiles / "own").records()] == ["X1"]


def test_the_nearest_name_is_looked_for_among_first_words_too(cli: Cli) -> None:
    error = cli("profiles", "show", "reference", "erlotinb", code=2).stderr
    assert error.index("ERLOTINIB") < (error + "NILOTINIB").index("NILOTINIB")


def test_a_local_model_without_anything_to_run_on_names_the_ways_out(cli: Cli, listed: Path) -> None:
    result = cli("profile", "--llm", "qwen", "--entities", listed, code=1)
    for way in (
        "--base-url",
        "pip install 'l2aco[vllm]'",
        "vllm_command",
        "--llm reference",
        "--llm fake",
        "gpt-4o-mini",
    ):
        assert way in result.output
    assert not (listed.parent / "profiles").exists(), "nothing half-made"


def test_an_api_model_without_its_key_names_the_variable(cli: Cli, listed: Path) -> None:
    result = cli("profile", "--llm", "gpt-4o-mini", "--entities", listed, code=1)
    assert "OPENAI_API_KEY" in result.output


def test_any_openai_compatible_server_will_do(cli: Cli, listed: Path, workspace: Workspace) -> None:
    with FakeServer() as server:
        result = cli("profile", "--llm", "qwen", "--base-url", server.url, "--entities", listed, "--json")
    report = json.loads(result.stdout)
    assert (report["written"], report["covered"], report["failed"]) == (3, 3, 0)
    assert ProfileSet(workspace.profiles / "qwen").get("cell_line", "A375") is not None


def test_a_server_that_is_not_there_is_one_clear_error(cli: Cli, listed: Path) -> None:
    with FakeServer() as server:
        url = server.url
    result = cli(
        *("profile", "--llm", "qwen", "--base-url", url, "--entities", listed, "--attempts", 1, "--break-after", 2),
        code=1,
    )
    assert "no connection" in result.output
    assert "Check that the server runs" in result.output


def test_names_and_settings(cli: Cli, workspace: Workspace) -> None:
    (workspace.root / "l2aco.toml").write_text('llm = "fake"\n')
    cli("profile", "--name", "Foretinib", "--name", "Cisplatin", "--kind", "drug")
    assert {record.entity_name for record in ProfileSet(workspace.profiles / "fake").records()} == {
        "Foretinib",
        "Cisplatin",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--name", "X"), "--kind"),
        (("--llm", "gwen", "--name", "X", "--kind", "drug"), "qwen"),
        (("--name", "X", "--kind", "planet"), "drug or cell_line"),
        (("--name", "X", "--kind", "drug", "--samples", "3"), "temperature"),
        (("--name", "X", "--kind", "drug", "--prompt", "plane"), "plain"),
        (("--name", "X", "--kind", "drug", "--temperature", "9"), "temperature"),
        (("--llm", "qwen", "--name", "X", "--kind", "drug", "--budget-usd", "1"), "--budget-tokens"),
        (("--name", "X", "--kind", "drug", "--set", "../up"), "cannot be a name"),
    ],
)
def test_bad_usage_is_code_1_or_2_with_a_way_out(
    cli: Cli, workspace: Workspace, arguments: tuple[str, ...], said: str
) -> None:
    defaults = () if "--llm" in arguments else ("--llm", "fake")
    result = cli("profile", *defaults, *arguments, code=None)
    assert result.exit_code in (1, 2)
    assert said in result.output
    assert "Traceback" not in result.output
    assert not workspace.profiles.exists()


def test_no_llm_at_all_says_how_to_name_one(cli: Cli, listed: Path) -> None:
    assert "--llm" in cli("profile", "--entities", listed, code=2).output


def test_a_dry_run_asks_nothing_and_prices_every_model(cli: Cli, listed: Path, workspace: Workspace) -> None:
    result = cli("profile", "--llm", "gpt-4o-mini", "--entities", listed, "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert plan["requested"] == 3
    assert {row["llm"] for row in plan["models"]} == {"gpt-4o-mini", "gpt-3.5-turbo", "gpt-5"}
    assert not workspace.profiles.exists()
    assert "gpt-5" in cli("profile", "--llm", "gpt-4o-mini", "--entities", listed, "--dry-run").stdout


def test_a_budget_stops_with_code_3_and_goes_on(cli: Cli, listed: Path) -> None:
    with FakeServer() as server:
        arguments = (
            "profile",
            "--llm",
            "gpt-4o-mini",
            "--base-url",
            server.url,
            "--entities",
            listed,
            "--concurrency",
            1,
        )
        first = cli(*arguments, "--budget-tokens", 4500, code=3)
        assert "budget" in first.output
        assert 1 <= server.calls < 3
        cli(*arguments)
        assert server.calls == 3


def test_failures_are_counted_and_asked_again_on_demand(cli: Cli, listed: Path) -> None:
    with FakeServer(faults={"refusal": 1.0}) as server:
        arguments = ("profile", "--llm", "qwen", "--base-url", server.url, "--entities", listed)
        assert "refused by the model" in cli(*arguments, code=1).output
        server.faults = {}
        assert "given up before" in cli(*arguments, "--name", "X", "--kind", "drug", code=3).output
        cli(*arguments, "--retry-failed")
    rows = json.loads(cli("profiles", "list", "--json").stdout)
    assert next(row for row in rows if row["set"] == "qwen")["failed"] == 0


def test_list_and_show(cli: Cli, listed: Path) -> None:
    cli("profile", "--llm", "fake", "--entities", listed)
    rows = {row["set"]: row for row in json.loads(cli("profiles", "list", "--json").stdout)}
    assert rows["reference"]["where"] == "bundled"
    assert rows["fake"]["profiles"] == 3
    assert rows["fake"]["prompt"] == "plain@1"
    assert "BRAF V600E" in cli("profiles", "show", "reference", "a-375").stdout
    assert json.loads(cli("profiles", "show", "reference", "A375", "--json").stdout)["entity_id"] == "A375"
    assert "590" not in cli("profiles", "show", "fake").stdout
    assert "Erlotinib" in cli("profiles", "show", "fake", "Erlotinip", code=2).output
    assert "reference" in cli("profiles", "show", "referense", code=2).output


def test_the_messages_of_a_prompt_without_sending_them(cli: Cli, workspace: Workspace) -> None:
    shown = cli("profiles", "show", "plain", "Foretinib", "--kind", "drug", "--prompt-only").stdout
    assert "Drug: Foretinib" in shown
    assert "Never mention the result" in shown
    messages = json.loads(
        cli("profiles", "show", "brief", "X1", "--kind", "cell_line", "--prompt-only", "--json").stdout
    )
    assert [message["role"] for message in messages] == ["system", "user"]
    assert "--kind" in cli("profiles", "show", "plain", "Nosuchine", "--prompt-only", code=2).output
    assert not workspace.profiles.exists()


def test_audit_is_a_table_json_and_an_exit_code(cli: Cli, listed: Path) -> None:
    assert "near-duplicates" in cli("profiles", "audit", "reference").stdout
    cli("profiles", "audit", "reference", "--strict")
    cli("profile", "--llm", "fake", "--entities", listed)
    found = json.loads(cli("profiles", "audit", "fake", "--dataset", "demo", "--against", "reference", "--json").stdout)
    assert any(fault.startswith("coverage") for fault in found["faults"])
    assert {row["field"] for row in found["agreement"]} >= {"summary", "primary_targets", "confidence"}
    cli("profiles", "audit", "fake", "--dataset", "demo", "--strict", code=1)


@pytest.mark.shared
def test_audit_of_the_reference_on_real_data(cli: Cli, workspace: Workspace, shared: Path) -> None:
    cli("data", "import", shared / "data" / "graphsynergy" / "DrugCombDB", "--name", "drugcombdb")
    found = json.loads(cli("profiles", "audit", "reference", "--dataset", "drugcombdb", "--strict", "--json").stdout)
    rows = {row["check"]: row["result"] for row in found["checks"]}
    assert rows["coverage, drug"] == "572 of 572"
    assert rows["coverage, cell_line"] == "73 of 73"
    assert rows["words of combinations"] == rows["data sets of combinations"] == 0
    assert rows["targets: precision"] > 20 * rows["targets: precision by chance"]
    assert 0.2 < rows["targets: recall"] < 0.5


def test_export_and_import(cli: Cli, workspace: Workspace) -> None:
    cli("profiles", "export", "reference", "out.parquet")
    cli("profiles", "import", "out.parquet", "--name", "copy")
    assert len(ProfileSet(workspace.profiles / "copy")) == 669
    cli("profiles", "export", "reference", "descriptions")
    result = cli("profiles", "import", "descriptions", "--name", "paper")
    assert "666 profiles" in result.output
    assert "3 repeated" in result.output  # vorinostat, mirdametinib and veliparib have two, and this layout has no ids
    assert "became ids" not in result.output
    assert "exists already" in cli("profiles", "import", "descriptions", "--name", "paper", code=2).output


def test_llms_say_whether_they_can_run_here(cli: Cli, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    (workspace.root / "l2aco.toml").write_text(
        '[llms.mine]\nengine = "openai"\nmodel = "x"\nbase_url = "http://127.0.0.1:9/v1"\n'
    )
    rows = {row["llm"]: row for row in json.loads(cli("llms", "--json").stdout)}
    assert rows["mine"]["runs here"]
    assert rows["fake"]["runs here"]
    assert rows["reference"]["runs here"]
    assert rows["gpt-5"]["why not"] == "OPENAI_API_KEY is not set"
    assert "vllm_command" in rows["qwen"]["why not"]
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("L2ACO_VLLM_COMMAND", "python -m vllm.entrypoints.openai.api_server")
    rows = {row["llm"]: row for row in json.loads(cli("llms", "--json").stdout)}
    assert rows["gpt-5"]["runs here"]
    assert rows["qwen"]["runs here"]


def test_a_budget_is_that_of_the_set_and_failures_keep_their_bill(cli: Cli, workspace: Workspace) -> None:
    """A job that is queued again and again with the same command spends its budget once."""
    with FakeServer(faults={"refusal": 0.2, "invalid-json": 0.3}, seed=3) as server:
        entry = f'engine = "openai"\nmodel = "m"\nbase_url = "{server.url}"\nprice_in = 1.0\nprice_out = 2.0'
        (workspace.root / "l2aco.toml").write_text(f"[llms.m]\n{entry}\nmax_tokens = 600\n")
        table = workspace.root / "many.csv"
        table.write_text("id,kind,name\n" + "".join(f"E{n},drug,Compound {n}\n" for n in range(60)))
        command = ("profile", "--llm", "m", "--entities", table, "--concurrency", 4, "--json")
        costs = []
        for _ in range(4):
            report = json.loads(cli(*command, "--budget-usd", 0.03, code=3).stdout)
            costs.append(report["cost_usd"])
            assert report["stopped"] == "the budget is spent"
            assert report["set_cost_usd"] == pytest.approx(sum(costs)) and sum(costs) <= 0.03
        assert costs[0] > 0.02
        calls = server.calls
        failed = [json.loads(line) for line in (workspace.profiles / "m" / "failures.jsonl").open()]
        refused = [line for line in failed if line["reason"] == "refused by the model"]
        assert refused and all(line["cost_usd"] > 0 and line["usage"]["input"] > 0 for line in refused)
        told = cli(*command[:-1], "--budget-usd", 0.03, code=3)
        assert "for all runs of the set together" in told.stderr and "in all, paid failures included" in told.stdout
        assert f"${sum(costs):,.4f}" in cli("profiles", "show", "m").stdout
        assert f"${sum(costs):,.4f}" in cli("profiles", "list", "--json").stdout
        cli(*command, code=None)
        assert server.calls > calls
