"""Knowledge that is wrong, about others, or tells nobody apart: refused by name, or said and left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from l2aco.files import write_json
from l2aco.profiles.record import ProfileRecord
from l2aco.runs.run import open_run
from l2aco.workspace import Workspace

Cli = Callable[..., Any]
DRUGS = ["Erlotinib", "Trametinib", "Bortezomib", "Olaparib", "Paclitaxel"]
LINES = ["A375", "HT29", "MCF7", "A549", "PC3", "T47D"]
GRADES = {
    "MEK": {"type": "number", "minimum": -3, "maximum": 3},
    "PARP": {"type": "number", "minimum": -3, "maximum": 3},
}
SCHEMA = {
    "cell_line": {"properties": {"grades": {"type": "object", "properties": GRADES}}},
    "drug": {"properties": {"class": {"type": "string", "enum": list(GRADES)}}},
}


def import_screen(cli: Cli, workspace: Workspace, name: str, lines: list[str]) -> None:
    rng = np.random.default_rng(0)
    pairs = [(a, b) for i, a in enumerate(DRUGS) for b in DRUGS[i + 1 :]]
    rows = [f"{a},{b},{line},{rng.normal():.3f}" for line in lines for a, b in pairs]
    (workspace.root / f"{name}.csv").write_text("\n".join(["drug_a,drug_b,cell_line,score", *rows]) + "\n")
    cli("data", "import", f"{name}.csv", "--name", name)


def write_panel(workspace: Workspace, name: str, records: list[tuple[str, str, dict[str, Any]]]) -> None:
    folder = workspace.profiles / name
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", {"format": 1, "schemas": SCHEMA})
    made = (ProfileRecord(id_.encode().hex(), id_, id_, kind, fields, str(fields)) for kind, id_, fields in records)
    (folder / "records.jsonl").write_text("".join(json.dumps(item.to_json()) + "\n" for item in made))


def lines_with(*grades: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [("cell_line", line, {"grades": held}) for line, held in zip(LINES, grades, strict=False)]


WRONG = {
    "a grade out of range": (lines_with({"MEK": 1}, {"MEK": 9}), "HT29", "9, which is no number from -3 to 3"),
    "a grade that is a word": (lines_with({"MEK": "high"}), "A375", "'high', which is no number"),
    "a class of lines that is unknown": (lines_with({"NOVEL": 1}), "A375", "'NOVEL'"),
    "a class of drugs that is unknown": ([("drug", "Olaparib", {"class": "NOVEL"})], "Olaparib", "'NOVEL'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_panel_that_breaks_its_vocabulary_is_a_fault_and_no_store(case: str, cli: Cli, workspace: Workspace) -> None:
    records, who, what = WRONG[case]
    write_panel(workspace, "odd", [*records, ("cell_line", "PC3", {"grades": {"MEK": 0}})])
    audit = cli("profiles", "audit", "odd", "--strict", "--json", code=1).stdout
    (found,) = [row for row in json.loads(audit)["checks"] if row["verdict"] == "fault"]
    assert found["check"].startswith("out of range") and who in found["details"]
    said = cli("embed", "odd", code=1).stderr
    assert f"the profile of {who}" in said and what in said and "profiles audit" in said
    assert not (workspace.embeddings / "odd--fields").exists()


def test_a_store_without_any_overlap_is_refused(cli: Cli, workspace: Workspace) -> None:
    import_screen(cli, workspace, "mine", LINES)
    write_panel(workspace, "others", [("cell_line", f"ZZ-{n}X", {"grades": {"MEK": n / 2}}) for n in range(6)])
    cli("embed", "others")
    said = cli("train", "--dataset", "mine", "--backbone", "Mixed", "--store", "others--fields", code=1).stderr
    assert "others--fields holds none of the drugs and cell lines of mine" in said and "--store" in said
    assert not list(workspace.runs.glob("*/metrics.json"))


def test_a_panel_of_lines_that_no_data_set_holds_is_of_no_use_and_says_so(cli: Cli, workspace: Workspace) -> None:
    import_screen(cli, workspace, "mine", ["ZZ-1X", "ZZ-2X", "ZZ-3X", "ZZ-4X"])
    cli("embed", "reference-panel")
    said = cli("train", "--dataset", "mine", "--backbone", "Mixed", "--folds", 4).stderr
    assert "4 of 4 cell lines" in said and "nothing is known of them there" in said and "align" not in said
    assert open_run(None, workspace).metrics["training"]["kernels"] == []
    coverage = json.loads(cli("profiles", "audit", "reference-panel", "--dataset", "mine", "--json").stdout)["checks"]
    assert next(row for row in coverage if row["check"] == "coverage, cell_line")["result"] == "0 of 4"


def test_one_line_can_be_split_at_random_and_no_other_way(cli: Cli, workspace: Workspace) -> None:
    import_screen(cli, workspace, "one", LINES[:1])
    cli("embed", "reference-panel")
    train = ("train", "--dataset", "one", "--backbone", "Mixed", "--folds", 2)
    assert "--setting random" in cli(*train, code=2).stderr
    assert "reference-panel--fields is not used" in cli(*train, "--setting", "random").stderr
    facts = open_run(None, workspace).metrics["training"]
    assert (facts["kernels"], facts["ignored_kernels"]) == ([], ["reference-panel--fields"])


@pytest.mark.parametrize(
    "grades",
    [[{"MEK": 1, "PARP": 2}] * 6, [{}] * 6, [{"MEK": 1}, *[{}] * 5]],
    ids=["constant", "nothing known", "known of one"],
)
def test_a_kernel_that_tells_nobody_apart_is_left_out(grades: list[Any], cli: Cli, workspace: Workspace) -> None:
    import_screen(cli, workspace, "mine", LINES)
    write_panel(workspace, "flat", lines_with(*grades))
    cli("embed", "flat")
    predicted = []
    for store in ("flat--fields", None):
        more = ("--store", store) if store else ("--set", "knowledge=none")
        said = cli("train", "--dataset", "mine", "--backbone", "Mixed", *more).stderr
        assert ("flat--fields is not used" in said) == (store is not None)
        predicted.append(open_run(None, workspace).predictions("test")["probability"].to_numpy())
    assert np.isfinite(predicted[0]).all() and np.allclose(*predicted, atol=1e-6), "as without knowledge"
