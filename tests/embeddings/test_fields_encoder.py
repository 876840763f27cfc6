"""Panels become vectors of numbers: what is known comes back as it was, what is not stays unknown, models read both."""

from __future__ import annotations

import json

import numpy as np
import pytest

from l2aco.data.catalog import open_or_simulate
from l2aco.embeddings.encoders.fields import numbers_in
from l2aco.embeddings.find import choose_store, stores_of_sets
from l2aco.embeddings.store.store import open_store
from l2aco.entities import EntityKind
from l2aco.files import write_json
from l2aco.profiles.record import ProfileRecord
from l2aco.profiles.sets import open_profile_set
from l2aco.runs.knowledge import load_knowledge
from l2aco.runs.run import open_run


def test_the_numbers_of_a_panel_come_back(workspace, cli):
    cli("embed", "reference-panel")
    store = open_store("reference-panel--fields", workspace)
    columns = store.encoder.columns
    records = {record.entity_id: record for record in open_profile_set("reference-panel", workspace).records()}
    lines = [key for key, record in records.items() if record.kind == EntityKind.cell_line]
    vectors, mask = store.vectors("cell_line", lines)
    found = numbers_in(vectors, len(columns))
    assert mask.all() and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    grades = [column for column in columns if column.startswith("sensitivity.")]
    assert len(grades) == 58
    for row, line in enumerate(lines):
        said = records[line].fields["sensitivity"]
        for column in grades:
            value = said.get(column.removeprefix("sensitivity."))
            here = found[row, columns.index(column)]
            assert np.isnan(here) if value is None else here == pytest.approx(value, abs=1e-4)
    of_drugs = [column for column in columns if column.startswith("sensitivity_class=")]
    assert of_drugs and np.isnan(found[:, [columns.index(column) for column in of_drugs]]).all()


def write_panel(workspace, profiles, schema, name="mine"):
    """A set of cell lines with (name, sample, fields)."""
    folder = workspace.profiles / name
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", {"format": 1, "schemas": {"cell_line": {"properties": schema}}})
    records = [
        ProfileRecord(f"{line}{sample}".encode().hex(), line, line, "cell_line", fields, str(fields), sample=sample)
        for line, sample, fields in profiles
    ]
    (folder / "records.jsonl").write_text("".join(json.dumps(item.to_json()) + "\n" for item in records))


def numbers(workspace, store, lines):
    found = open_store(store, workspace)
    columns = found.encoder.columns
    return columns, numbers_in(found.vectors("cell_line", lines)[0], len(columns))


HOURS = {"type": ["number", "null"]}
GRADES = {"type": "object", "properties": {"A": {"type": "number"}, "B": {"type": "number"}, "C": {"type": "number"}}}
KIND = {"type": "string", "enum": ["x", "y"]}


def test_a_number_of_several_samples_is_the_mean_of_those_that_know_it(workspace, cli):
    samples = [(20, 1), (50, None), (None, -2)]
    profiles = [("L1", n, {"hours": hours, "grade": grade}) for n, (hours, grade) in enumerate(samples)]
    write_panel(workspace, [*profiles, ("L2", 0, {"hours": 7})], {"hours": HOURS, "grade": HOURS})
    cli("embed", "mine")
    _, found = numbers(workspace, "mine--fields", ["L1", "L2"])
    assert found[0] == pytest.approx([35, -0.5], abs=1e-4)
    assert found[1, 0] == pytest.approx(7, abs=1e-4) and np.isnan(found[1, 1])


def test_level_and_pattern_are_the_panel_in_two_parts(workspace, cli):
    profiles = [
        ("L1", 0, {"hours": 30, "grades": {"A": 3, "B": 1, "C": None}, "kind": "x"}),
        ("L2", 0, {"hours": None, "grades": {}, "kind": "y"}),
    ]
    write_panel(workspace, profiles, {"hours": HOURS, "grades": GRADES, "kind": KIND})
    for part in ("fields-level", "fields-pattern"):
        cli("embed", "mine", "--encoder", part)
    columns, level = numbers(workspace, "mine--fields-level", ["L1", "L2"])
    assert columns == ("grades", "hours") and level[0] == pytest.approx([2, 30], abs=1e-4) and np.isnan(level[1]).all()
    columns, pattern = numbers(workspace, "mine--fields-pattern", ["L1", "L2"])
    assert columns == ("grades.A", "grades.B", "grades.C", "kind=x", "kind=y")
    assert pattern[0] == pytest.approx([1, -1, np.nan, 1, 0], abs=1e-4, nan_ok=True)
    assert np.isnan(pattern[1, :3]).all() and pattern[1, 3:] == pytest.approx([0, 1], abs=1e-4)


def test_a_control_is_read_only_where_it_is_named(workspace, cli):
    cli("embed", "reference-panel")
    cli("embed", "reference-panel", "--encoder", "fields-level")
    assert [store.name for store in stores_of_sets(workspace)] == ["reference-panel--fields"]
    assert choose_store(workspace).name == "reference-panel--fields"
    assert choose_store(workspace, encoder="fields-level").name == "reference-panel--fields-level"


def test_what_breaks_the_schema_is_named_and_nothing_is_embedded(workspace, cli):
    graded = {**GRADES, "properties": {"A": {"type": "number", "minimum": -3, "maximum": 3}}}
    for name, wrong in (("range", {"grades": {"A": 9}}), ("word", {"grades": {"NOVEL": 1}}), ("kind", {"kind": "z"})):
        profiles = [("L1", 0, {"grades": {"A": 1}}), ("Odd", 0, wrong)]
        write_panel(workspace, profiles, {"grades": graded, "kind": KIND}, name)
        for encoder in ("fields", "fields-level", "fields-pattern"):
            said = cli("embed", name, "--encoder", encoder, code=1).stderr
            assert "the profile of Odd" in said and "profiles audit" in said
            assert not (workspace.embeddings / f"{name}--{encoder}").exists()


def test_texts_are_no_numbers_and_numbers_no_texts(workspace, cli):
    assert "holds no numbers" in cli("embed", "reference", "--encoder", "fields", code=1).stderr
    cli("embed", "reference-panel")
    assert "reads no text" in cli("search", "BRAF mutant", "--store", "reference-panel--fields", code=None).stderr


@pytest.mark.parametrize("backbone", ["Mixed", "MLP"])
def test_a_model_is_trained_on_a_panel(lab, cli, backbone):
    cli("embed", "reference-panel")
    epochs = () if backbone == "Mixed" else ("--set", "epochs=2")
    cli("train", "--backbone", backbone, "--store", "reference-panel--fields", *epochs)
    assert open_run(None, lab).spec.store == ("reference-panel--fields",)
    [known] = load_knowledge(["reference-panel--fields"], open_or_simulate("demo", lab), lab)
    assert known.columns and known.cell_mask.any() and not np.isinf(known.cell_vectors).any()
    assert 0 < json.loads(cli("evaluate", "--json").stdout)["test"]["pooled"]["auroc"] < 1
