"""The simulated demo: the same every time, named as simulated, and planted where the graph is silent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from l2aco.data.catalog import list_datasets, open_dataset, open_or_simulate
from l2aco.data.sources.demo import Mechanism
from l2aco.entities import EntityKind
from l2aco.errors import UnknownNameError
from l2aco.profiles.sets import open_profile_set
from l2aco.workspace import Workspace


def test_is_simulated_the_same_way_every_time(tmp_path: Path) -> None:
    first = open_or_simulate("demo", Workspace(tmp_path / "a"))
    second = open_or_simulate("demo", Workspace(tmp_path / "b"))
    assert first.hash == second.hash
    assert first.manifest["simulated"] is True
    assert first.manifest["note"].startswith("SIMULATED")
    assert (len(first.drugs), len(first.cell_lines)) == (40, 36)


def test_opening_and_listing_write_nothing(workspace: Workspace) -> None:
    with pytest.raises(UnknownNameError, match="l2aco data info demo"):
        open_dataset("demo", workspace)
    assert list_datasets(workspace) == [] and not any(workspace.root.iterdir())


def test_every_entity_has_a_reference_profile_of_that_name(workspace: Workspace) -> None:
    reference = open_profile_set("reference", workspace)
    dataset = open_or_simulate("demo", workspace)
    for entity in (*dataset.drugs, *dataset.cell_lines):
        record = reference.get(entity.kind, entity.id)
        assert record is not None, entity.id
        assert record.entity_name.casefold().startswith(entity.name.casefold().split(" ")[0]), entity


def test_the_profiles_know_traits_that_the_graph_hides(workspace: Workspace) -> None:
    mechanism, dataset = Mechanism.load(), open_or_simulate("demo", workspace)
    graph, reference = dataset.graph, open_profile_set("reference", workspace)
    assert graph is not None
    edges = graph.edges["cell_line", "expresses", "protein"]
    shown = {(dataset.cell_lines[c].id, graph.nodes["protein"][p]) for c, p in edges.T}
    hidden = 0
    for line in mechanism.lines:
        if "braf" in mechanism.traits(line) and (line, "BRAF") not in shown:
            record = reference.get(EntityKind.cell_line, line)
            assert record is not None
            assert "BRAF" in record.text, line
            hidden += 1
    assert hidden >= 3


def test_the_planted_interactions_carry_signal(workspace: Workspace) -> None:
    mechanism, dataset = Mechanism.load(), open_or_simulate("demo", workspace)
    group = {identifier: name for identifier, _, name in mechanism.drugs}
    triples = dataset.triples
    planted = np.array(
        [
            mechanism.interaction(group[dataset.drugs[a].id], group[dataset.drugs[b].id], dataset.cell_lines[c].id)
            for a, b, c in zip(triples.drug_a, triples.drug_b, triples.cell_line, strict=True)
        ]
    )
    assert np.corrcoef(planted, triples.score)[0, 1] > 0.5
