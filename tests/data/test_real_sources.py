"""The public data sets as published: every number that docs/data.md states of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from l2aco.data.dataset import DataSet
from l2aco.data.features import table_in

Real = Callable[[str], DataSet]


def check(dataset: DataSet, wanted: dict[str, Any]) -> None:
    found = {**dataset.manifest["report"], **{f"all_{key}": value for key, value in dataset.manifest["counts"].items()}}
    assert {key: found[key] for key in wanted} == wanted


def test_drugcombdb(real: Real) -> None:
    dataset = real("graphsynergy/DrugCombDB")
    check(
        dataset,
        {
            "rows": 69_436,
            "self_pairs": 52,
            "repeats": 2_629,
            "repeats_swapped": 2_629,
            "triples": 66_755,
            "drugs_with_triples": 572,
            "cell_lines_with_triples": 73,
            "drugs_with_several_names": 40,
            "protein_self_pairs": 3_264,
            "outliers": 1,
            "all_drugs": 764,
            "all_cell_lines": 76,
            "all_nodes": 16_823,
            "all_edges": 493_984,
        },
    )
    graph = dataset.graph
    assert graph is not None
    assert {kind: len(ids) for kind, ids in graph.nodes.items()} == {
        "drug": 764,
        "cell_line": 76,
        "protein": 15_970,
        "tissue": 13,
    }
    assert graph.edge_index().shape == (2, 493_984)
    assert dataset.gene_symbols["55679"] == "LIMS2"
    dasatinib = next(drug for drug in dataset.drugs if drug.id == "DB01254")
    assert {"ABL1", "SRC"} & set(dasatinib.facts["targets"])


def test_the_noise_ceiling_of_drugcombdb(real: Real) -> None:
    noise = real("graphsynergy/DrugCombDB").manifest["replicates"]
    assert (noise["triples"], noise["pairs"], noise["identical_scores"]) == (2_629, 88, 144)
    assert noise["correlation"] == pytest.approx(0.48, abs=0.005)
    assert noise["label_agreement"] == pytest.approx(0.721, abs=0.0005)
    assert noise["auroc_first_from_second"] == pytest.approx(0.761, abs=0.0005)
    low, high = noise["correlation_interval"]
    assert low < noise["correlation"] < high


def test_smiles_cover_99_2_percent_of_drugcombdb(real: Real) -> None:
    dataset = real("graphsynergy/DrugCombDB")
    known = np.array(["smiles" in drug.facts for drug in dataset.drugs])
    covered = known[dataset.triples.drug_a] & known[dataset.triples.drug_b]
    assert covered.mean() == pytest.approx(0.992, abs=0.0005)


def test_oncology_screen(real: Real) -> None:
    dataset = real("graphsynergy/OncologyScreen")
    check(dataset, {"rows": 4_176, "triples": 4_176, "drugs_with_triples": 21, "cell_lines_with_triples": 29})
    assert any("protein" in note for note in dataset.manifest["notes"])


def test_oneil(real: Real) -> None:
    dataset = real("deepdds")
    check(
        dataset,
        {
            "rows": 12_415,
            "repeats": 185,
            "repeats_swapped": 0,
            "triples": 12_230,
            "drugs_with_triples": 36,
            "cell_lines_with_triples": 31,
            "shipped_labels_against_scores": 59,
            "shipped_labels_in_gap": 33,
        },
    )
    expression = table_in(dataset, "expression")
    assert expression.values.shape == (31, 954)
    assert expression.mask.all()


def test_oneil_names_lead_to_the_ids_of_the_reference_profiles(real: Real) -> None:
    by_name = {drug.name: drug.id for drug in real("deepdds").drugs}
    assert (by_name["ERLOTINIB"], by_name["ABT-888"]) == ("DB00530", "DB07232")
    report = real("deepdds").manifest["resolution"]["drugs"]
    assert len(report["matched"]) == 31
    assert report["guessed"] == [
        "ABT-888 -> DB07232 Veliparib",
        "ERLOTINIB -> DB00530 ERLOTINIB HYDROCHLORIDE",
        "PD325901 -> DB07101 PD-0325901",
        "TOPOTECAN -> DB01030 TOPOTECAN HYDROCHLORIDE",
        "ZOLINZA -> DB02546 Vorinostat (SAHA)",
    ]
    assert report["left"] == []


def test_drugcombdb_by_cid(real: Real) -> None:
    dataset = real("dffndds/drugcombdb")
    check(dataset, {"rows": 109_307, "all_drugs": 1_084, "all_cell_lines": 71, "triples": 104_608, "ties": 1_806})
    assert all("smiles" in drug.facts for drug in dataset.drugs)
    assert any("context_set" in note for note in dataset.manifest["notes"])
    lines = dataset.manifest["resolution"]["cell_lines"]
    assert lines["left"] == ["A-673", "OVCAR3", "SR"]
    assert "786-0 -> 786O" in lines["guessed"]  # a misspelling that the synonym table knows


def test_the_tail_of_drugcombdb(real: Real) -> None:
    counts = np.bincount(real("graphsynergy/DrugCombDB").triples.cell_line)
    tail = counts[(counts > 0) & (counts <= 100)]
    assert (len(tail), tail.sum()) == (29, 2_333)
