"""Panels become vectors of numbers: what is known comes back as it was, what is not stays unknown, models read both."""

from __future__ import annotations

import json

import numpy as np
import pytest

from l2aco.data.catalog import open_or_simulate
from l2aco.embeddings.encoders.fields import numbers_in
from l2aco.embeddings.store.store import open_store
from l2aco.entities import EntityKind
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
