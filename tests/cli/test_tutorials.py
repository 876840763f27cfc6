"""The tutorials, step by step in their order, on the simulated demo and with the fake language model."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from batch_server import batch_server
from snippets import snippets

import l2aco
from l2aco.profiles.sets import open_profile_set

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"


def followed(
    page: str, cli: Any, instead: Mapping[str, str] | None = None, code: int | None = 0
) -> Iterator[tuple[str, Any]]:
    """Each command of a tutorial with what it printed; Python and files between them are run and written. `instead`:
    what a test has no network, no model and no hour for."""
    done: list[tuple[str, Any]] = []

    def shell(command: str) -> None:
        for written, run in (instead or {}).items():
            command = command.replace(written, run)
        done.append((command.removeprefix("l2aco "), cli(*shlex.split(command)[1:], code=code)))

    for example in snippets(TUTORIALS / f"{page}.md", shell):
        example.evaluate()
        yield from done
        done.clear()


def test_a_line_that_nobody_screened(cli, workspace):
    (workspace.root / "first_results.csv").write_text("drug_a,drug_b,cell_line,score\nErlotinib,Sorafenib,BT-20,12\n")
    instead = {
        "data fetch drugcombdb --yes": "data list",
        "--dataset drugcombdb": "--dataset demo",
        "--llm qwen": "--llm fake",
    }
    for command, found in followed("unscreened-line", cli, instead):
        if command.startswith("recommend") and "--design" in command:
            assert len(found.stdout.splitlines()) == 1 + 20
        elif command.startswith("recommend"):
            assert "Rank correlation with the list of a line of which nothing is known" in found.stderr.replace(
                "\n", " "
            )
            assert "elsewhere" in found.stdout


def test_a_screen_and_a_predictor_of_ones_own(cli, workspace):
    """The predictor of the page is the pair mean, so that it has to come out as the one beside the run does."""
    triples = l2aco.open("demo", workspace).to_polars()
    lines, drugs = triples["cell_line"].unique().sort()[:20], triples["drug_a"].unique().sort()[:16]
    screen = triples.filter(*(pl.col(name).is_in(drugs.implode()) for name in ("drug_a", "drug_b")))
    screen = screen.filter(pl.col("cell_line").is_in(lines.implode()))
    screen.select("drug_a", "drug_b", "cell_line", "score").write_csv(workspace.root / "my_screen.csv")
    command, found = list(followed("own-screen", cli))[-1]
    assert command == "bench compare Mixed predictions.csv" and "p, first is better" in found.stdout
    measures = json.loads(cli(*command.split(), "--json").stdout)["measures"]
    run = l2aco.open("Mixed", workspace)
    beside = {row["model"]: row["auroc"] for row in run.metrics["baselines"]}
    assert measures["auroc"][1] == pytest.approx(beside["pair mean"], abs=0.02), "but for its smoothing"
    assert measures["auroc"][2]["low"] <= measures["auroc"][2]["value"] <= measures["auroc"][2]["high"]


def test_many_profiles_overnight(cli, workspace):
    names = ["Erlotinib", "Sorafenib", "Vorinostat", "Olaparib", "Gefitinib", "Lapatinib", "Sunitinib", "Topotecan"]
    (workspace.root / "many.csv").write_text("name,kind\n" + "".join(f"{name},drug\n" for name in names))
    entry = '[llms.m]\nengine = "openai"\nmodel = "m"\nbase_url = "{}"\nprice_in = 1.0\nprice_out = 2.0\n'
    instead = {
        "--llm gpt-4o-mini --batch": "--llm m --batch",
        "gpt-4o-mini": "fake",
        "--budget-usd 10": "--budget-tokens 3000",
        "--budget-usd 20": "--budget-tokens 50000",
        "m --batch --budget-tokens 3000": "m --batch --budget-usd 10",
    }
    with batch_server(seconds=0.2) as (url, api):
        (workspace.root / "l2aco.toml").write_text(entry.format(url))
        done = dict(followed("overnight", cli, instead, code=None))
        time.sleep(0.3)
        batch = next(command for command in done if "--batch" in command)
        assert done.pop(batch).exit_code == 1 and "Covers 8 of 8" in cli(*batch.split()).stdout
        assert len(api.batches) == 1
    codes = {command: found.exit_code for command, found in done.items()}
    stopped = next(command for command in codes if command.endswith("3000"))
    assert codes.pop(stopped) == 3 and set(codes.values()) == {0}
    probed = next(found for command, found in done.items() if "--probe" in command)
    assert "8 requested, 5 finished" in probed.stdout
    records = [record.entity_name for record in open_profile_set("fake", workspace).records()]
    assert sorted(records) == sorted(names), "every one, and none twice"
    assert l2aco.open("fake--minilm", workspace).dimension == 384


def test_a_result_with_its_uncertainty(cli, workspace):
    ((_, found),) = followed("uncertainty", cli)
    yes, no = (line for line in found.stdout.splitlines() if "This comparison resolves" in line)
    assert yes.startswith("Yes: the panel helps on unseen cell lines.")
    assert no.startswith("No evidence that a panel of somebody else helps.")
    assert (workspace.bench / "panel" / "report.html").exists()
