"""Knowledge as numbers on the command line: written, shown, audited, embedded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from small_stores import save_bert, tiny_settings

from l2aco.embeddings.find import stores_of_sets
from l2aco.llm.fake.server import FakeServer
from l2aco.profiles.prompt import load_templates
from l2aco.workspace import Workspace

Cli = Callable[..., Any]
LISTED = "kind,name\ndrug,Erlotinib\ndrug,Trametinib\ncell_line,A375\ncell_line,HT-29\ncell_line,MCF7\n"


@pytest.fixture
def made(cli: Cli, workspace: Workspace) -> str:
    (workspace.root / "mine.csv").write_text(LISTED)
    arguments = ("profile", "--llm", "fake", "--prompt", "panel", "--entities", "mine.csv", "--json")
    report = json.loads(cli(*arguments).stdout)
    assert (report["written"], report["failed"]) == (5, 0)
    return str(report["set"])


def test_a_panel_from_the_fake_model_is_shown_and_audited(cli: Cli, made: str) -> None:
    assert made.startswith("fake-panel1-")
    assert "panel@1" in cli("profiles", "list").stdout
    shown = cli("profiles", "show", made, "A375").stdout
    assert "sensitivity: EGFR 1st " in shown and "doubling time hours: " in shown and "confidence: " in shown
    fields = json.loads(cli("profiles", "show", made, "HT29", "--json").stdout)["fields"]
    assert len(fields["sensitivity"]) == 58
    found = json.loads(cli("profiles", "audit", made, "--against", "reference-panel", "--strict", "--json").stdout)
    checks = {row["check"]: row for row in found["checks"]}
    assert checks["numbers, cell_line"]["result"] == "3 x 61" and checks["numbers, drug"]["result"] == "2 x 2"
    assert found["faults"] == []
    assert {(row["kind"], row["field"]) for row in found["agreement"]} >= {
        ("cell_line", "sensitivity"), ("cell_line", "doubling_time_hours"), ("drug", "sensitivity_class")
    }  # fmt: skip


@pytest.mark.parametrize("formats", [("json_schema", "json_object"), ("json_object",), ()])
def test_a_panel_is_asked_of_any_server(cli: Cli, workspace: Workspace, formats: tuple[str, ...]) -> None:
    (workspace.root / "mine.csv").write_text(LISTED)
    with FakeServer(formats=formats) as server:
        arguments = ("--llm", "qwen", "--base-url", server.url, "--prompt", "panel", "--entities", "mine.csv")
        report = json.loads(cli("profile", *arguments, "--json").stdout)
    assert (report["written"], report["failed"], report["repairs"]) == (5, 0, 0)
    cli("profiles", "audit", report["set"], "--strict")


@pytest.mark.parametrize("formats", [("json_schema",), ()])
def test_a_panel_is_asked_for_in_pieces_and_joined(cli: Cli, workspace: Workspace, formats: tuple[str, ...]) -> None:
    (workspace.root / "mine.csv").write_text(LISTED)
    arguments = ("--llm", "qwen", "--prompt", "panel", "--entities", "mine.csv", "--pieces", 20)
    plan = json.loads(cli("profile", *arguments, "--dry-run", "--json").stdout)
    assert (plan["requested"], plan["models"][0]["calls"]) == (5, 2 + 3 * 4), "3 values of a drug, 62 of a line"
    with FakeServer(formats=formats) as server:
        report = json.loads(cli("profile", *arguments, "--base-url", server.url, "--json").stdout)
        again = json.loads(cli("profile", *arguments, "--base-url", server.url, "--json").stdout)
    assert (report["written"], report["failed"], report["calls"], again["calls"]) == (5, 0, 14, 0)
    panel = load_templates("panel", workspace)["cell_line"].schema
    fields = json.loads(cli("profiles", "show", report["set"], "A375", "--json").stdout)["fields"]
    assert list(fields) == list(panel["properties"])
    assert list(fields["sensitivity"]) == list(panel["properties"]["sensitivity"]["properties"])
    cli("profiles", "audit", report["set"], "--strict")
    assert cli("profile", "--llm", "qwen", "--pieces", 0, code=2).stderr


def test_samples_of_a_panel_are_compared(cli: Cli, workspace: Workspace) -> None:
    (workspace.root / "mine.csv").write_text(LISTED)
    cli("profile", "--llm", "fake", "--prompt", "panel", "--entities", "mine.csv", "--samples", 3, "--temperature", 1,
        "--set", "panel")  # fmt: skip
    found = json.loads(cli("profiles", "audit", "panel", "--json").stdout)
    row = next(row for row in found["samples"] if row["field"] == "sensitivity")
    assert row["entities"] == 6 and -1 <= row["agreement"] <= 1
    assert "Agreement of the samples" in cli("profiles", "audit", "panel").stdout


def test_a_panel_is_scored_with_response(cli: Cli, workspace: Workspace) -> None:
    from l2aco.profiles.sets import open_profile_set

    lines = [item for item in open_profile_set("reference-panel", workspace).records() if item.kind == "cell_line"]
    rows = [["", *(item.entity_name for item in lines)]]
    for drug, name in (("Vemurafenib", "BRAF_V600"), ("Bortezomib", "PROTEASOME"), ("Nosuchine", "MEK")):
        rows.append([drug, *(str(5 - item.fields["sensitivity"][name]) for item in lines)])
    (workspace.root / "r.csv").write_text("\n".join(map(",".join, rows)))
    text = cli("profiles", "audit", "reference-panel", "--response", "r.csv").stdout
    assert "79 cell lines, 2 drugs (0 and 1 of the table have no grades or no class)" in text
    found = json.loads(cli("profiles", "audit", "reference-panel", "--response", "r.csv", "--json").stdout)
    assert found["response"][-1] == {"class": "all", "drugs": 2, "spearman": pytest.approx(1)}
    assert "classes of drugs" in cli("profiles", "audit", "reference", "--response", "r.csv", code=2).stderr


def test_the_plan_of_a_panel_counts_its_numbers(cli: Cli, workspace: Workspace) -> None:
    common = ("profile", "--llm", "gpt-4o-mini", "--name", "A375", "--kind", "cell_line", "--dry-run", "--json")
    tokens = {
        prompt: json.loads(cli(*common, "--prompt", prompt).stdout)["models"][0]["tokens_out"]
        for prompt in ("panel", "molecular")
    }
    assert 400 < tokens["panel"] < 600 < tokens["molecular"] < 900, "as the reference panels take"


@pytest.mark.parametrize("ways", [(), ("--dry-run",), ("--dry-run", "--probe", "1"), ("--limit", "2")])
def test_a_prompt_of_one_kind_leaves_the_others_out(cli: Cli, workspace: Workspace, ways: tuple[str, ...]) -> None:
    who = {"x": "drug", "A375": "cell_line", "y": "drug", "MCF7": "cell_line", "HT29": "cell_line"}
    (workspace.root / "who.csv").write_text("name,kind\n" + "".join(f"{name},{kind}\n" for name, kind in who.items()))
    asked = ("profile", "--llm", "fake", "--prompt", "molecular", "--set", "m", "--entities", "who.csv")
    said = cli(*asked, *ways)
    assert said.stderr.count("prompt molecular speaks of cell lines alone: 2 drugs are left out") == 1
    number = 2 if "--limit" in ways else 3
    assert (f"Covers {number} of {number} requested" if not ways or "--limit" in ways else "3 requested") in said.stdout


def test_a_prompt_of_one_kind_asks_nobody_of_others(cli: Cli, workspace: Workspace) -> None:
    alone = ("--prompt", "molecular", "--name", "x", "--kind", "drug")
    for ways in (("profile", "--llm", "fake"), ("profiles", "requests", "fake", "-o", "out")):
        error = cli(*ways, *alone, code=1).stderr
        assert "prompt molecular speaks of cell lines alone, and 1 drug is asked for" in error
    assert not workspace.profiles.exists() and not (workspace.root / "out").exists()


def test_a_prompt_of_ones_own_for_drugs_alone_goes_out_in_files(cli: Cli, workspace: Workspace) -> None:
    folder = workspace.prompts / "mine@1"
    folder.mkdir(parents=True)
    (folder / "drug.toml").write_text(
        'name = "mine"\nversion = 1\nkind = "drug"\nsystem = "s"\nuser = "{{ entity.name }}"\n'
        '[schema.properties.text]\ntype = "string"\n'
    )
    (workspace.root / "who.csv").write_text("name,kind\nx,drug\nA375,cell_line\n")
    said = cli("profiles", "requests", "m", "-o", "out", "--llm", "fake", "--prompt", "mine", "--entities", "who.csv")
    assert "prompt mine speaks of drugs alone: 1 cell line is left out" in said.stderr
    assert "1 requested" in said.stdout


def test_nobody_was_asked_for_a_kind_that_the_prompt_does_not_speak_of(cli: Cli, workspace: Workspace) -> None:
    rows = json.loads(cli("profiles", "audit", "reference-molecular", "--dataset", "demo", "--json").stdout)
    found = {row["check"]: row for row in rows["checks"]}["coverage, drug"]
    assert (found["result"], found["verdict"]) == ("not asked", "") and rows["faults"] == []


def test_the_bundled_panels_can_be_embedded_as_text(cli: Cli, workspace: Workspace) -> None:
    (workspace.root / "l2aco.toml").write_text(tiny_settings(save_bert(workspace.root / "tiny-bge-en")))
    reports = json.loads(cli("embed", "reference-panel", "reference-molecular", "--json").stdout)
    assert [(item["set"], item["records"]) for item in reports] == [
        ("reference-panel", 162),
        ("reference-molecular", 79),
    ]
    assert {row["set"] for row in json.loads(cli("profiles", "list", "--json").stdout)} == {
        "reference", "reference-panel", "reference-molecular"
    }  # fmt: skip
    assert "58" not in cli("profiles", "show", "reference-molecular").stdout


def test_what_data_sets_say_is_a_profile_without_a_model(cli: Cli, workspace: Workspace) -> None:
    table = "kind,name,tissue,smiles\ncell_line,A375,skin,\ncell_line,MCF7,,\ndrug,Erlotinib,,C#CC\ndrug,Nobody,,\n"
    (workspace.root / "mine.csv").write_text(table)
    report = json.loads(cli("profile", "--llm", "facts", "--entities", "mine.csv", "--json").stdout)
    assert (report["set"], report["written"], report["failed"], report["cost_usd"]) == ("facts", 4, 0, 0)
    texts = {name: cli("profiles", "show", "facts", name).stdout for name in ("A375", "MCF7", "Erlotinib", "Nobody")}
    assert "tissue: skin\ndisease: not known\n" in texts["A375"] and "tissue: not known" in texts["MCF7"]
    assert "smiles: C#CC" in texts["Erlotinib"] and "targets: not known\nsmiles: not known" in texts["Nobody"]
    assert not any(name in text.split("\n", 1)[1] for name, text in texts.items()), "a name would be knowledge"
    cli("profiles", "audit", "facts", "--strict")
    (workspace.root / "l2aco.toml").write_text(tiny_settings(save_bert(workspace.root / "tiny-bge-en")))
    cli("embed", "facts")
    assert stores_of_sets(Workspace(workspace.root)) == [], "a control is read where it is named"
