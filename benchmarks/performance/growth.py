"""How a training step grows with edges, entities and triples, on generated graphs.

    python benchmarks/performance/growth.py --threads 1

Every graph has drugs, cell lines and proteins; 1 edge in 20 leads to a drug or cell line, as in DrugCombDB. A step
is batch, forward, backward and Adam at batch 1024; times are CPU milliseconds, the median of nine steps after ten in
which the memory of a process that trains settles.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import dataclass
from typing import Any

sys.path.append(sys.path.pop(0))  # the neighbour profile.py would hide the standard library's
import numpy as np
import torch
import torch.nn.functional as F
from train import where

from l2aco.data.graph import KnowledgeGraph
from l2aco.entities import Entity, EntityKind
from l2aco.models.assemble import build_model
from l2aco.models.recipe import Recipe
from l2aco.models.spec import AlignSpec
from l2aco.runs.device import computing
from l2aco.training.optim import make_optimiser

BATCH = 1024
SETTLING, STEPS = 10, 9


@dataclass
class Generated:
    """What `build_model` asks of a data set."""

    graph: KnowledgeGraph
    drugs: list[Entity]
    cell_lines: list[Entity]
    name: str = "generated"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--backbones", default="GCN,HGAT,KGNN")
    parser.add_argument("--most-edges", type=int, default=5_000_000)
    parser.add_argument("--config", type=json.loads, default={}, help="Hyper-parameters, as '{\"neighbours\": 5}'.")
    given = parser.parse_args()
    names = given.backbones.split(",")
    print(f"{where()}; {given.threads} thread(s), batch {BATCH}. CPU milliseconds a step.\n")
    head = "| " + " | ".join(["what grows", "edges", "drugs", "triples", *names]) + " |"
    print(head + "\n|" + "---|" * (4 + len(names)))
    with computing(torch.device("cpu"), given.threads):
        for edges in (10_000, 100_000, 1_000_000, 5_000_000):
            if edges <= given.most_edges:
                row("edges", names, edges, 1000, 100_000, given.config)
        for drugs in (10_000, 100_000):
            row("entities", names, 1_000_000, drugs, 100_000, given.config)
        for triples in (1_000_000, 10_000_000):
            row("triples", names, 1_000_000, 1000, triples, given.config)
    print(f"\nPeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB.")


def row(what: str, names: list[str], edges: int, drugs: int, triples: int, config: dict[str, Any]) -> None:
    data = generate(edges, drugs, 100)
    times = [f"{step(name, data, triples, config):.1f}" for name in names]
    print(f"| {what} | {edges:,} | {drugs:,} | {triples:,} | " + " | ".join(times) + " |", flush=True)


def generate(edges: int, drugs: int, cells: int) -> Generated:
    """`edges` directed edges, inverses included, over one protein for 30 edges."""
    draw = np.random.default_rng(0)
    proteins = max(edges // 30, 100)
    nodes = {
        "drug": [f"D{number}" for number in range(drugs)],
        "cell_line": [f"C{number}" for number in range(cells)],
        "protein": [f"P{number}" for number in range(proteins)],
    }
    few = edges // 80
    relations = {
        ("drug", "targets", "protein"): np.stack([draw.integers(0, drugs, few), draw.integers(0, proteins, few)]),
        ("cell_line", "expresses", "protein"): np.stack(
            [draw.integers(0, cells, few), draw.integers(0, proteins, few)]
        ),
        ("protein", "interacts", "protein"): draw.integers(0, proteins, (2, edges // 2 - 2 * few)),
    }
    return Generated(
        KnowledgeGraph.build(nodes, relations),
        [Entity(key, EntityKind.drug, key) for key in nodes["drug"]],
        [Entity(key, EntityKind.cell_line, key) for key in nodes["cell_line"]],
    )


def step(name: str, data: Generated, triples: int, config: dict[str, Any]) -> float:
    model: Any = build_model(name, config, data, AlignSpec(loss="none"))  # type: ignore[arg-type]
    optimiser = make_optimiser(model, Recipe())
    a, b = torch.randint(0, len(data.drugs), (2, triples))
    c, y = torch.randint(0, len(data.cell_lines), (triples,)), torch.randint(0, 2, (triples,)).float()
    order = torch.randperm(triples)
    times = []
    for number in range(SETTLING + STEPS):
        started = time.process_time()
        index = order[number * BATCH : (number + 1) * BATCH]
        logits = model(a[index], b[index], c[index]).logits[0]
        F.binary_cross_entropy_with_logits(logits, y[index]).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        times.append((time.process_time() - started) * 1000)
    return float(np.median(times[SETTLING:]))


if __name__ == "__main__":
    main()
