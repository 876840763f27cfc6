"""The audit of a panel: ranges, columns, twins, agreement, and its grades against measured response."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from any_bytes import feed, mutated

from l2aco.errors import InputError, UsageError
from l2aco.files import write_json
from l2aco.profiles.audit.compare import compare_samples, compare_sets, spearman
from l2aco.profiles.audit.report import audit_set
from l2aco.profiles.audit.response import check_response
from l2aco.profiles.record import ProfileRecord
from l2aco.profiles.sets import ProfileSet, open_profile_set
from l2aco.workspace import Workspace

CLASSES = ["MEK", "AKT", "JAK", "SMO", "CDK", "HDAC", "PARP", "TOP1"]
GRADE = {"type": "number", "minimum": -3, "maximum": 3}
SCHEMAS = {
    "cell_line": {
        "properties": {
            "hours": {"type": ["number", "null"]},
            "grades": {"type": "object", "properties": dict.fromkeys(CLASSES, GRADE)},
        }
    },
    "drug": {"properties": {"class": {"type": "string", "enum": CLASSES}, "confidence": {"enum": CLASSES}}},
}


def line(name: str, grades: list[float] | dict[str, Any], sample: int = 0, **fields: Any) -> ProfileRecord:
    held = grades if isinstance(grades, dict) else dict(zip(CLASSES, grades, strict=True))
    key = f"{name}/{sample}".encode().hex()
    return ProfileRecord(key, name, name, "cell_line", {"hours": 20, "grades": held, **fields}, "x", sample=sample)


def drug(name: str, drug_class: str, **fields: Any) -> ProfileRecord:
    return ProfileRecord(name.encode().hex(), name, name, "drug", {"class": drug_class, **fields}, "x")


def a_set(folder: Path, records: list[ProfileRecord]) -> ProfileSet:
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", {"format": 1, "schemas": SCHEMAS})
    (folder / "records.jsonl").write_text("".join(json.dumps(item.to_json()) + "\n" for item in records))
    return ProfileSet(folder)


def random_lines(number: int, seed: int = 0, sample: int = 0, noise: float = 0.0) -> list[ProfileRecord]:
    chance, other = random.Random(seed), random.Random(seed + 1)
    return [
        line(f"L{n}", [max(-3, min(3, chance.uniform(-2, 2) + noise * other.uniform(-1, 1))) for _ in CLASSES], sample)
        for n in range(number)
    ]


def checks(profiles: ProfileSet) -> dict[str, dict[str, Any]]:
    return {row["check"]: row for row in audit_set(profiles).rows()}


def test_the_bundled_panels_pass_their_audit(workspace: Workspace) -> None:
    for name, columns in (("reference-panel", "79 x 61"), ("reference-molecular", "79 x 83")):
        audit = audit_set(open_profile_set(name, workspace))
        assert audit.faults == []
        rows = {row["check"]: row for row in audit.rows()}
        assert rows["numbers, cell_line"]["result"] == columns
        assert rows["out of range, cell_line"]["verdict"] == "ok"
        assert rows["near-duplicates"]["result"] == 0, "tables of numbers are no texts"
        if name == "reference-panel":
            assert rows["numbers, drug"]["result"] == "83 x 1", "a word of a vocabulary is one field"
            same = rows["same numbers, drug"]
            assert (same["result"], same["verdict"]) == ("not looked at", "")
    assert rows["same numbers, cell_line"]["details"] == "LNCAP / LNCAPCLONEFGC"
    assert rows["same numbers, cell_line"]["verdict"] == "look", "they are one line"


def test_what_is_out_of_range_constant_the_same_or_missing_is_found(tmp_path: Path) -> None:
    records = [
        *(line(f"L{n}", [0.5, n % 5 - 2, *[(n * k) % 7 / 4 for k in range(1, 7)]]) for n in range(9)),
        line("wide", [9, 0, 0, 0, 0, 0, 0, 0]),
        line("odd", {"NOVEL": 1}),
        line("twin", [0.5, -2, 0, 0, 0, 0, 0, 0]),
        line("empty", {}, hours=None),
        drug("D1", "MEK"),
        drug("D2", "NOVEL"),
    ]
    rows = checks(a_set(tmp_path / "s", records))
    assert rows["out of range, cell_line"]["result"] == 2 and rows["out of range, cell_line"]["verdict"] == "fault"
    assert (
        "wide" in rows["out of range, cell_line"]["details"] and "NOVEL" in rows["out of range, cell_line"]["details"]
    )
    assert rows["out of range, drug"]["result"] == 1
    assert rows["same numbers, cell_line"]["details"] == "L0 / twin"
    assert rows["numbers, cell_line"]["details"].startswith("9 of ")
    assert rows["constant columns, cell_line"]["result"] == 0
    same = checks(a_set(tmp_path / "t", [line(f"L{n}", [0.5, n, *[0] * 6]) for n in range(3)]))
    assert same["constant columns, cell_line"]["details"].startswith("hours; grades.MEK; grades.JAK")


def test_samples_and_sets_agree_as_far_as_they_do(tmp_path: Path) -> None:
    first, close = random_lines(40), random_lines(40, sample=1, noise=0.2)
    (row,) = [row for row in compare_samples(a_set(tmp_path / "s", [*first, *close])) if row["field"] == "grades"]
    assert row["entities"] == 40 and row["agreement"] > 0.95 and row["by_chance"] is None
    assert compare_samples(a_set(tmp_path / "one", first)) == []
    far = a_set(tmp_path / "far", random_lines(40, seed=9))
    (row,) = [row for row in compare_sets(a_set(tmp_path / "near", first), far) if row["field"] == "grades"]
    assert abs(row["agreement"]) < 0.3
    (row,) = [row for row in compare_sets(far, far) if row["field"] == "grades"]
    assert row["agreement"] == pytest.approx(1.0)


def test_spearman_is_that_of_ranks_and_knows_when_it_cannot_tell() -> None:
    import numpy as np

    one = np.array([1.0, 2, 3, 4, np.nan])
    assert spearman(one, np.exp(one)) == pytest.approx(1)
    assert spearman(one, -(one**3)) == pytest.approx(-1)
    assert math.isnan(spearman(one, np.ones(5))) and math.isnan(spearman(one[:2], one[:2]))


def table(path: Path, response: dict[str, list[Any]], lines: list[str]) -> Path:
    rows = [",".join(["drug", *lines]), *(",".join([name, *map(str, values)]) for name, values in response.items())]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_grades_are_scored_with_measured_response(tmp_path: Path) -> None:
    lines = random_lines(30)
    grades = {name: [item.fields["grades"][name] for item in lines] for name in CLASSES}
    profiles = a_set(
        tmp_path / "s", [*lines, drug("trametinib", "MEK"), drug("uprosertib", "AKT"), drug("both", "AKT")]
    )
    measured: dict[str, list[Any]] = {
        "Trametinib": [-3 * grade + 1 for grade in grades["MEK"]],  # a small IC50 where the grade is high
        "UPROSERTIB": list(grades["AKT"]),
        "both": ["" if n % 2 else -grade for n, grade in enumerate(grades["AKT"])],
        "nobody": [0] * 30,
    }
    names = [item.entity_name.lower() for item in lines]
    found = check_response(profiles, table(tmp_path / "r.csv", measured, [*names, "stranger"][:30]))
    assert (found.lines, found.drugs, found.unknown_drugs) == (30, 3, 1)
    assert [(name, round(value, 6)) for _, name, value in found.by_drug] == [
        ("Trametinib", 1),
        ("UPROSERTIB", -1),
        ("both", 1),
    ]
    rows = found.rows()
    assert [row["class"] for row in rows] == ["MEK", "AKT", "all"]
    assert [row["spearman"] for row in rows] == pytest.approx([1, 0, 1])
    assert [row["drugs"] for row in rows] == [1, 2, 3]


def test_a_drug_that_acts_like_no_class_and_a_line_with_broken_grades_are_not_scored(tmp_path: Path) -> None:
    lines = random_lines(9)
    drugs = [drug("full", "MEK", strength=1), drug("none", "MEK", strength=0)]
    profiles = a_set(tmp_path / "s", [*lines, line("wide", [9] * 8), *drugs])
    grades = [*(-item.fields["grades"]["MEK"] for item in lines), 0]
    names = [item.entity_name for item in lines]
    found = check_response(profiles, table(tmp_path / "r.csv", {"full": grades, "none": grades}, [*names, "wide"]))
    assert (found.lines, found.unknown_lines, found.drugs, found.unknown_drugs) == (9, 1, 1, 1)
    assert found.rows()[-1]["spearman"] == pytest.approx(1)


def test_a_response_table_that_does_not_fit_says_how_it_should_be(tmp_path: Path, workspace: Workspace) -> None:
    profiles = a_set(tmp_path / "s", [*random_lines(9), drug("A", "MEK")])
    names = [f"L{n}" for n in range(9)]
    with pytest.raises(InputError, match=r"(?s)too few.*A row is a drug"):
        check_response(profiles, table(tmp_path / "t.csv", {name: [0] for name in names}, ["A"]))
    with pytest.raises(InputError, match="L3"):
        check_response(profiles, table(tmp_path / "w.csv", {"A": [0, 0, 0, "much", *[0] * 5]}, names))
    with pytest.raises(InputError, match="no such file"):
        check_response(profiles, tmp_path / "none.csv")
    twice = table(tmp_path / "d.csv", {"A": [0] * 9}, names).read_text()
    (tmp_path / "d.csv").write_text(twice + twice.splitlines()[1].replace("A", "a") + "\n")
    with pytest.raises(InputError, match=r"rows 'A' and 'a' are both about"):
        check_response(profiles, tmp_path / "d.csv")
    with pytest.raises(InputError, match=r"columns 'L0' and 'l0' are both about"):
        check_response(profiles, table(tmp_path / "l.csv", {"A": [0] * 10}, [*names, "l0"]))
    with pytest.raises(UsageError, match="reference-panel"):
        check_response(open_profile_set("reference", workspace), table(tmp_path / "r.csv", {"A": [0] * 9}, names))


def test_any_response_table(tmp_path: Path) -> None:
    profiles = a_set(tmp_path / "s", [*random_lines(9), drug("A", "MEK")])
    path = table(tmp_path / "t.csv", {"A": list(range(9))}, [f"L{n}" for n in range(9)])

    def read(data: bytes) -> None:
        path.write_bytes(data)
        check_response(profiles, path).rows()

    feed(mutated(path.read_bytes()), read)


def test_the_reference_panel_is_scored_too(tmp_path: Path, workspace: Workspace) -> None:
    panel = open_profile_set("reference-panel", workspace)
    lines = [record for record in panel.records() if record.kind == "cell_line"]
    response = {"Vemurafenib": [-record.fields["sensitivity"]["BRAF_V600"] for record in lines]}
    found = check_response(
        panel, table(tmp_path / "r.tsv".replace("tsv", "csv"), response, [r.entity_name for r in lines])
    )
    assert found.rows()[0] == {"class": "BRAF_V600", "drugs": 1, "spearman": pytest.approx(1)}
