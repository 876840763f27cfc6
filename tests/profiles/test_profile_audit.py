"""The audit finds what it is there to find, and nothing in clean profiles."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l2aco.entities import Entity, EntityKind
from l2aco.files import write_json
from l2aco.llm.fake.engine import fake_answer
from l2aco.profiles.audit.compare import compare_sets
from l2aco.profiles.audit.duplicates import find_groups
from l2aco.profiles.audit.leakage import check_leakage
from l2aco.profiles.audit.report import Known, audit_set
from l2aco.profiles.audit.targets import check_targets
from l2aco.profiles.audit.wording import check_wording
from l2aco.profiles.record import ProfileRecord, render_text
from l2aco.profiles.sets import ProfileSet, open_profile_set
from l2aco.workspace import Workspace

SCHEMA = {
    "properties": {"summary": {"type": "string"}, "primary_targets": {"type": "array"}, "confidence": {"enum": []}}
}


def profile(
    name: str, summary: str = "A kinase inhibitor that stops growth.", kind: str = "drug", **changes: Any
) -> ProfileRecord:
    fields = {
        "summary": summary,
        "primary_targets": changes.pop("targets", []),
        "confidence": changes.pop("confidence", "high"),
    }
    values = {"key": name.encode().hex(), "entity_id": name, "entity_name": name, "kind": kind, "fields": fields}
    return ProfileRecord(**{**values, "text": render_text(fields, SCHEMA), **changes})


@pytest.mark.parametrize(
    "leak",
    [
        "Shows strong synergy with cisplatin.",
        "It is synergistic in colon lines.",
        "Given in combination for lymphoma.",
        "Works when combined with taxanes.",
        "Has additive effects.",
        "The Bliss score was 12.",
        "A combination index below one.",
        "Used in combination regimens.",
    ],
)
def test_words_of_combinations_are_found(leak: str) -> None:
    assert check_leakage([profile("X", leak)], []).combination


@pytest.mark.parametrize(
    "clean",
    [
        "A muscarinic antagonist.",
        "Antagonism of the H1 receptor.",
        "RAS together with PI3K drives growth.",
        "A selective inhibitor of two kinases.",
        "Part of leprosy regimens.",
    ],
)
def test_words_that_only_look_like_it_are_not(clean: str) -> None:
    assert not check_leakage([profile("X", clean)], []).combination


@pytest.mark.parametrize("name", ["DrugComb", "DrugCombDB", "NCI-ALMANAC", "the O'Neil screen"])
def test_data_sets_of_combinations_are_found(name: str) -> None:
    assert check_leakage([profile("X", f"Part of {name}.")], []).data_sets


def test_names_of_other_drugs_are_mentions_and_own_names_are_not() -> None:
    drugs = [("A", ["Erlotinib", "Tarceva"]), ("B", ["Gefitinib"]), ("C", ["5-FU"])]
    records = [
        profile("Erlotinib", "Tarceva, like gefitinib, hits EGFR. Erlotinib hydrochloride is its salt.", entity_id="A"),
        profile("LINE", "Responds to gefitinib.", kind="cell_line"),
        profile("Gefitinib", "Resembles nothing else.", entity_id="B"),
    ]
    found = check_leakage(records, drugs)
    assert [(name, word) for name, word, _ in found.drug_names] == [("Erlotinib", "gefitinib")]
    assert (found.drugs_naming_others, found.cell_lines_naming_drugs) == (1, 1)


def test_refusals_cut_off_ends_and_odd_lengths_are_found() -> None:
    plain = [
        profile(f"P{number}", f"A kinase inhibitor that stops growth of {'many ' * (number % 3)}cells.")
        for number in range(30)
    ]
    odd = [
        profile("refused", "I'm sorry, as an AI language model I cannot provide medical details."),
        profile("cut", "This compound binds the active site of the kinase and then"),
        profile("long", "It binds. " * 200),
        profile("empty", ""),
        profile("length", finish_reason="length"),
    ]
    found = check_wording([*plain, *odd])
    assert found.refusals == ["refused"]
    assert found.cut_off == ["cut", "length"]
    assert "long" in found.out_of_line
    assert not {record.entity_name for record in plain} & set(found.out_of_line)
    assert found.empty_fields == ["empty"]


def test_hedges_are_counted_once_a_profile() -> None:
    found = check_wording([profile("A", "It may be active; the mechanism is unknown."), profile("B")])
    assert found.hedged == 1
    assert found.hedges["may be"] == found.hedges["unknown"] == 1


def test_near_duplicates_of_different_entities_are_found() -> None:
    records = [
        profile("A", "Potent inhibitor of tubulin polymerisation from the yew tree."),
        profile("B", "Potent inhibitor of tubulin polymerisation from the yew tree."),
        profile("C", "Alkylates guanine in DNA and kills dividing cells."),
        profile("D", "Potent inhibitor of tubulin polymerisation from the yew tree.", kind="cell_line"),
    ]
    (group,) = find_groups(records)
    assert (group.kind, group.names) == ("drug", ("A", "B"))
    assert group.similarity > 0.99


SENTENCE = "Binds the kinase in its active state and keeps it from phosphorylating what lies below."


def test_profiles_that_say_the_same_are_groups_and_no_pairs() -> None:
    chance = random.Random(0)
    words = chance.choices([f"u{k}" for k in range(300)], k=150)

    def varied(n: int) -> str:
        return " ".join(f"Drug{n}" if place == 0 else word for place, word in enumerate(words))

    close = [profile(f"A{n}", varied(n)) for n in range(400)]
    far = [profile(f"B{n}", " ".join(chance.choices([f"v{k}" for k in range(500)], k=90))) for n in range(100)]
    (group,) = find_groups([*close, *far])
    assert len(group.names) == 400 and all(name.startswith("A") for name in group.names)
    assert 0.8 <= group.similarity < 1


def test_a_group_is_shown_as_one(tmp_path: Path) -> None:
    audit = audit_set(a_set(tmp_path / "s", [profile(f"P{n:02}", SENTENCE) for n in range(30)]))
    row = next(row for row in audit.rows() if row["check"] == "near-duplicates")
    assert (row["result"], row["verdict"], row["details"]) == (29, "fault", "P00 / P01 / P02 and 27 more 1.00")


@pytest.mark.long
def test_twenty_thousand_similar_profiles_in_a_minute_and_a_gigabyte(tmp_path: Path) -> None:
    chance = random.Random(0)
    words = chance.choices([f"u{k}" for k in range(300)], k=150)
    many = (
        profile(f"P{n:05}", " ".join(f"w{chance.randrange(999)}" if chance.random() < 0.03 else w for w in words))
        for n in range(20_000)
    )
    a_set(tmp_path / "profiles" / "many", list(many))
    script = (
        "import resource; from l2aco.cli.main import app\n"
        "try:\n    app()\nfinally:\n    used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "    print('USED', used.ru_utime, used.ru_maxrss)"
    )
    command = [sys.executable, "-c", script, "profiles", "audit", "many", "-w", str(tmp_path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds, kilobytes = map(float, out.rpartition("USED")[2].split())
    assert seconds < 60 and kilobytes < 1e6


def test_precision_and_recall_of_claimed_targets() -> None:
    records = [
        profile("A", targets=["EGFR", "ERBB2 (HER2)"]),
        profile("B", targets=["tubulin beta", "TUBB"]),
        profile("C", targets=["DNA"]),
        profile("D", targets=["KIT"]),
    ]
    known = {"A": {"EGFR", "ABCG2"}, "B": {"TUBB"}, "C": {"TOP1"}}
    found = check_targets(records, known, {"EGFR", "ERBB2", "ABCG2", "TUBB", "TOP1", "KIT"})
    assert found is not None
    assert (found.drugs, found.claimed, found.known, found.both) == (2, 3, 3, 2)
    assert (found.precision, found.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found.unmapped == 2
    assert found.without_claims == ["C"]
    assert check_targets(records, {}, {"EGFR"}) is None


def a_set(folder: Path, records: list[ProfileRecord]) -> ProfileSet:
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", {"name": folder.name, "schemas": {"drug": SCHEMA, "cell_line": SCHEMA}})
    (folder / "records.jsonl").write_text("".join(json.dumps(record.to_json()) + "\n" for record in records))
    return ProfileSet(folder)


def test_coverage_names_what_is_missing(tmp_path: Path) -> None:
    wanted = [Entity(name, EntityKind.drug, name) for name in ("A", "B")]
    audit = audit_set(a_set(tmp_path / "s", [profile("A")]), Known("d", wanted))
    row = next(row for row in audit.rows() if row["check"] == "coverage, drug")
    assert (row["result"], row["verdict"], row["details"]) == ("1 of 2", "fault", "B")
    assert "coverage, drug" in audit.faults


def test_a_check_without_a_data_set_is_not_said_to_have_found_nothing(
    cli: Callable[..., Any], workspace: Workspace
) -> None:
    def found(*arguments: str) -> set[object]:
        rows = json.loads(cli("profiles", "audit", "reference", *arguments, "--json").stdout)["checks"]
        return {row["result"] for row in rows if row["check"].endswith(("name other drugs", "that name drugs"))}

    assert found() == {"not looked at"}
    assert all(isinstance(count, int) for count in found("--dataset", "demo"))


def test_the_reference_profiles_have_no_faults(workspace: Workspace) -> None:
    audit = audit_set(open_profile_set("reference", workspace))
    assert audit.faults == []
    assert audit.profiles == 669


def test_two_sets_are_compared_field_by_field(tmp_path: Path) -> None:
    one = a_set(
        tmp_path / "one",
        [profile("A", "Stops tubulin.", targets=["TUBB"]), profile("B", "Cuts DNA.", targets=["TOP1"])],
    )
    two = a_set(
        tmp_path / "two",
        [profile("A", "Stops tubulin.", targets=["TUBB", "X"]), profile("B", "Cuts DNA.", targets=["top1"])],
    )
    rows = {row["field"]: row for row in compare_sets(one, two)}
    assert rows["summary"]["agreement"] == pytest.approx(1.0)
    assert rows["summary"]["by_chance"] < 0.5
    assert rows["primary_targets"]["agreement"] == pytest.approx(0.75)
    assert rows["confidence"] == {
        "kind": "drug",
        "field": "confidence",
        "entities": 2,
        "agreement": 1.0,
        "by_chance": 1.0,
    }


def test_chance_is_the_mean_over_different_entities(tmp_path: Path) -> None:
    many = [profile(f"E{n}", f"Says {n}.", confidence="high" if n % 4 else "low") for n in range(40)]
    rows = {row["field"]: row for row in compare_sets(a_set(tmp_path / "one", many), a_set(tmp_path / "two", many))}
    assert rows["confidence"]["by_chance"] == pytest.approx((30 * 29 + 10 * 9) / (40 * 39), abs=0.03)


def test_words_of_the_schema_name_no_drugs() -> None:
    grades = {"type": "object", "properties": {"AZACYTIDINE": {"type": "number"}}}
    schema = {"properties": {"grades": grades, "like": {"enum": ["Gefitinib"]}}}
    drugs = [("A", ["Azacytidine"]), ("B", ["Gefitinib"])]
    said = profile("LINE", "grades: AZACYTIDINE 1; like: Gefitinib", kind="cell_line")
    records = [said, profile("B", "like azacytidine", entity_id="B")]
    found = check_leakage(records, drugs, {"cell_line": schema, "drug": schema})
    assert (found.drugs_naming_others, found.cell_lines_naming_drugs) == (1, 0)


def test_what_the_fake_model_says_has_an_end(cli: Callable[..., Any], workspace: Workspace) -> None:
    listed = workspace.root / "entities.csv"
    listed.write_text("name,kind\n" + "".join(f"E{number},{kind}\n" for number in range(9) for kind in EntityKind))
    cli("profile", "--llm", "fake", "--entities", listed, "-q")
    assert check_wording(ProfileSet(workspace.profiles / "fake").records()).cut_off == []
    assert [fake_answer({"type": "string", "maxLength": most}, 1) for most in (0, 1, 7)] == ["", ".", "Fake: ."]
