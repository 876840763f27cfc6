"""The SIMULATED demo data set: real names of drugs and cell lines, invented measurements.

demo.toml beside this file documents the mechanism and holds its numbers. Planted drug x cell-line interactions
follow textbook pharmacology; the knowledge graph shows only a part of what drives them, among decoys. A model that
can read the reference profiles can therefore know more about an unseen cell line than the graph says, and one that
is given shuffled profiles cannot. Nothing measured in a laboratory went in, and no number that comes out may be
quoted as a result about a drug.
"""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.write import write_dataset
from l2aco.entities import Entity, EntityKind
from l2aco.workspace import Workspace

DEMO = "demo"
NOTE = "SIMULATED: real names, invented measurements; see l2aco/data/sources/demo.toml"
EdgeEnds = tuple[list[str], list[str]]


@dataclass(frozen=True)
class Mechanism:
    """demo.toml, with drugs and lines in a fixed order."""

    numbers: dict[str, Any]
    drugs: list[tuple[str, str, str]]
    """(id, name, class)"""
    lines: list[str]

    @classmethod
    def load(cls) -> Mechanism:
        numbers = tomllib.loads((Path(__file__).parent / "demo.toml").read_text(encoding="utf-8"))
        drugs = [(*text.split(" ", 1), group) for group, texts in numbers["drugs"].items() for text in texts]
        return cls(numbers, sorted(drugs), sorted(numbers["lines"]))

    def traits(self, line: str) -> list[str]:
        return list(self.numbers["lines"][line]["traits"])

    def interaction(self, class_a: str, class_b: str, line: str) -> float:
        """The planted part of the score: what the traits of `line` do to this pair of classes."""
        total = 0.0
        for trait in self.traits(line):
            for group in (class_a, class_b):
                total += self.numbers["response"].get(group, {}).get(trait, 0.0)
            for one, other, effect in self.numbers["combination"].get(trait, []):
                if {one, other} == {class_a, class_b}:
                    total += effect
        return total


def write_demo(workspace: Workspace) -> DataSet:
    """Simulate the demo data set and write it as `data/demo`; the same bytes of content every time."""
    import polars as pl

    mechanism = Mechanism.load()
    rng = np.random.default_rng(mechanism.numbers["seed"])
    rows = pl.DataFrame(_triples(mechanism, rng), schema=["drug_a", "drug_b", "cell_line", "score"], orient="row")
    edges = _edges(mechanism, rng)
    proteins = set()
    for (source, _, target), (sources, targets) in edges.items():
        proteins |= {*sources} if source == "protein" else set()
        proteins |= {*targets} if target == "protein" else set()
    tissues = sorted({line["tissue"] for line in mechanism.numbers["lines"].values()})
    return write_dataset(
        DEMO,
        workspace,
        drugs=[Entity(identifier, EntityKind.drug, name) for identifier, name, _ in mechanism.drugs],
        cell_lines=[
            Entity(line, EntityKind.cell_line, line, facts={"tissue": mechanism.numbers["lines"][line]["tissue"]})
            for line in mechanism.lines
        ],
        rows=rows,
        graph_nodes={"protein": sorted(proteins), "tissue": tissues},
        graph_edges=edges,
        gene_symbols={protein: protein for protein in proteins},
        extra={"source": "simulated", "simulated": True, "note": NOTE},
    )


def _triples(mechanism: Mechanism, rng: np.random.Generator) -> list[tuple[str, str, str, float]]:
    numbers = mechanism.numbers
    groups = list(numbers["drugs"])
    potency = rng.normal(0, numbers["potency_sd"], len(mechanism.drugs))
    class_pair = rng.normal(0, numbers["class_pair_sd"], (len(groups), len(groups)))
    pairs = list(itertools.combinations(range(len(mechanism.drugs)), 2))
    rows = []
    for line in mechanism.lines:
        count = numbers["tail"].get(line, numbers["pairs_per_line"])
        for which in sorted(rng.choice(len(pairs), size=count, replace=False)):
            one, other = pairs[which]
            (id_a, _, class_a), (id_b, _, class_b) = mechanism.drugs[one], mechanism.drugs[other]
            row, column = sorted((groups.index(class_a), groups.index(class_b)))
            score = (
                numbers["intercept"]
                + potency[one]
                + potency[other]
                + class_pair[row, column]
                + mechanism.interaction(class_a, class_b, line)
                + rng.normal(0, numbers["noise"])
            )
            rows.append((id_a, id_b, line, round(float(score), 4)))
    return rows


def _edges(mechanism: Mechanism, rng: np.random.Generator) -> dict[tuple[str, str, str], EdgeEnds]:
    numbers = mechanism.numbers
    decoys = [f"DECOY{number:02d}" for number in range(numbers["decoy_proteins"])]
    drug_protein: list[tuple[str, str]] = []
    for identifier, _, group in mechanism.drugs:
        shown = [target for target in numbers["targets"][group] if rng.random() < numbers["target_edge"]]
        shown += list(rng.choice(decoys, size=numbers["decoys_per_drug"], replace=False))
        drug_protein += [(identifier, str(protein)) for protein in shown]
    cell_protein: list[tuple[str, str]] = []
    for line in mechanism.lines:
        known = [protein for trait in mechanism.traits(line) for protein in numbers["trait_proteins"][trait]]
        shown = [protein for protein in known if rng.random() < numbers["trait_edge"]]
        shown += list(rng.choice(decoys, size=numbers["decoys_per_line"], replace=False))
        cell_protein += [(line, str(protein)) for protein in shown]
    network = [
        pair
        for group in (*numbers["targets"].values(), *numbers["trait_proteins"].values())
        for pair in itertools.combinations(sorted(group), 2)
    ]
    named = sorted({protein for pair in network for protein in pair})
    for _ in range(numbers["decoy_network_edges"]):
        one, other = rng.choice(decoys), rng.choice([*decoys, *named])
        if one != other:
            network.append((str(one), str(other)))
    tissue = [
        (line, numbers["lines"][line]["tissue"]) for line in mechanism.lines if rng.random() < numbers["tissue_edge"]
    ]
    return {
        ("drug", "targets", "protein"): _ends(drug_protein),
        ("cell_line", "expresses", "protein"): _ends(cell_protein),
        ("protein", "interacts_with", "protein"): _ends(network),
        ("cell_line", "from_tissue", "tissue"): _ends(tissue),
    }


def _ends(pairs: list[tuple[str, str]]) -> EdgeEnds:
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
