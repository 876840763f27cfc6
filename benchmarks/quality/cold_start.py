"""Cell lines that the model never heard of: every large line is taken out of the data, and ranked from its profiles.

    python benchmarks/quality/cold_start.py --workspace FOLDER --output LINES.jsonl [--group 5]

FOLDER holds drugcombdb and the stores reference--minilm and reference-panel--fields. The lines with at least 800
triples are left out one by one, or dealt into groups, of different tissues as far as that goes. For each group a Mixed
model is fitted to all other lines: neither its lines nor a triple of them is there (the model reads no graph), and its
variances are chosen anew. Then each line is admitted by its name with the vectors of its reference profiles, and its
measured pairs are ranked. Beside it stand the same model with the profiles of all lines exchanged (shuffled, each time
in another order), the same without kernels, the pair mean, and chance. One line of JSON a cell line, written as soon as
its group is done: what stands in the file is not computed again. Prints markdown: means over lines and, by resampling
lines, what the profiles add.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from l2aco.data.catalog import open_dataset
from l2aco.data.dataset import DataSet
from l2aco.data.triples import Triples
from l2aco.metrics import ndcg_at, precision_at
from l2aco.models.assemble import with_vectors
from l2aco.models.backbones.mixed import Mixed, MixedConfig
from l2aco.models.inputs import Inputs
from l2aco.models.spec import AlignSpec
from l2aco.models.vectors import Knowledge
from l2aco.runs.knowledge import load_knowledge
from l2aco.runs.naive_means import PairMean
from l2aco.workspace import Workspace

STORES = ("reference--minilm", "reference-panel--fields")
ENOUGH, TOP = 800, 20
RIVALS = ("shuffled profiles", "no profiles", "pair mean", "chance")
MEASURES = ("auroc", "ndcg_at_20", "precision_at_20")


def groups_of(dataset: DataSet, size: int) -> list[np.ndarray]:
    """Rows of the large lines, dealt out in the order of their tissues."""
    sizes = np.bincount(dataset.triples.cell_line, minlength=len(dataset.cell_lines))
    large = np.flatnonzero(sizes >= ENOUGH).tolist()
    large.sort(key=lambda row: (dataset.cell_lines[row].facts.get("tissue", ""), row))
    many = -(-len(large) // size)
    return [np.sort(large[start::many]) for start in range(many)]


def without(dataset: DataSet, lines: np.ndarray) -> Triples:
    """The triples of the other lines, whose rows close up."""
    triples = dataset.triples.take(np.flatnonzero(~np.isin(dataset.triples.cell_line, lines)))
    return replace(triples, cell_line=triples.cell_line - np.searchsorted(lines, triples.cell_line))


def exchanged(knowledge: Sequence[Knowledge], seed: int) -> list[Knowledge]:
    """The vectors of all lines dealt out anew, the same way in every store; nobody keeps their own."""
    order = np.random.default_rng(seed).permutation(len(knowledge[0].cell_mask))
    to = np.empty_like(order)
    to[order] = np.roll(order, 1)
    return [replace(one, cell_vectors=one.cell_vectors[to], cell_mask=one.cell_mask[to]) for one in knowledge]


def fitted(dataset: DataSet, knowledge: Sequence[Knowledge], lines: np.ndarray, reads: str) -> Mixed:
    """To all that is not of these lines, then told of their names and vectors."""
    others = np.delete(np.arange(len(dataset.cell_lines)), lines)
    seen = [replace(one, cell_vectors=one.cell_vectors[others], cell_mask=one.cell_mask[others]) for one in knowledge]
    inputs = with_vectors(
        Inputs(dataset.drugs, [dataset.cell_lines[row] for row in others]), AlignSpec(loss="none"), seen, seed=0
    )
    model = Mixed.fit(inputs, MixedConfig(knowledge=reads), without(dataset, lines))
    told = {
        dataset.cell_lines[row].key: {one.store: one.cell_vectors[row] for one in knowledge if one.cell_mask[row]}
        for row in lines
    }
    return model.admit(inputs.of([dataset.cell_lines[row] for row in lines], told))


def measured(label: np.ndarray, value: np.ndarray) -> dict[str, float]:
    return {
        "auroc": float(roc_auc_score(label, value)),
        "ndcg_at_20": ndcg_at(label, value, TOP),
        "precision_at_20": precision_at(label, value, TOP),
    }


def by_chance(label: np.ndarray, draws: int = 200) -> dict[str, float]:
    rng = np.random.default_rng(0)
    found = [measured(label, rng.permutation(len(label)).astype(float)) for _ in range(draws)]
    return {name: float(np.mean([one[name] for one in found])) for name in MEASURES}


def of_group(
    dataset: DataSet, knowledge: Sequence[Knowledge], lines: np.ndarray, seed: int
) -> Iterator[dict[str, Any]]:
    """What the measures are for each line, by what it is ranked by."""
    others = without(dataset, lines)
    models = {
        "true profiles": fitted(dataset, knowledge, lines, "stores"),
        "shuffled profiles": fitted(dataset, exchanged(knowledge, seed), lines, "stores"),
        "no profiles": fitted(dataset, knowledge, lines, "none"),
    }
    pair_mean = PairMean().fit(others, np.arange(len(others.label)))
    for place, line in enumerate(lines, start=len(dataset.cell_lines) - len(lines)):
        own = dataset.triples.take(np.flatnonzero(dataset.triples.cell_line == line))
        rows = (own.drug_a, own.drug_b, np.full(len(own.label), place))
        values = {name: model.logits(*rows) for name, model in models.items()}
        values["pair mean"] = pair_mean.predict(*rows)
        found = {name: measured(own.label, value) for name, value in values.items()}
        about = {"line": dataset.cell_lines[line].name, "left_out": len(lines), "pairs": len(own.label)}
        yield {**about, **found, "chance": by_chance(own.label)}


def table(found: Sequence[dict[str, Any]]) -> str:
    """Means over lines, and the difference to the true profiles with the interval of 95% over resampled lines."""
    draws = np.random.default_rng(0).integers(0, len(found), (10_000, len(found)))
    lines = [f"{len(found)} lines", "", "| ranked by | AUROC | NDCG@20 | precision@20 |", "|---|---|---|---|"]
    for name in ("true profiles", *RIVALS):
        means = [np.mean([one[name][measure] for one in found]) for measure in MEASURES]
        lines.append(f"| {name} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
    lines += ["", "| true profiles less | AUROC | NDCG@20 | precision@20 |", "|---|---|---|---|"]
    for name in RIVALS:
        cells = []
        for measure in MEASURES:
            gain = np.array([one["true profiles"][measure] - one[name][measure] for one in found])
            low, high = np.quantile(gain[draws].mean(axis=1), [0.025, 0.975])
            cells.append(f"{gain.mean():+.3f} [{low:.3f}, {high:.3f}]")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--group", type=int, default=1, help="lines left out at once; 1: leave one line out")
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    dataset = open_dataset("drugcombdb", workspace)
    knowledge = load_knowledge(STORES, dataset, workspace)
    done = [json.loads(one) for one in options.output.read_text().splitlines()] if options.output.exists() else []
    names = {one["line"] for one in done}
    for number, lines in enumerate(groups_of(dataset, options.group)):
        if names.issuperset(dataset.cell_lines[row].name for row in lines):
            continue
        found = list(of_group(dataset, knowledge, lines, number))
        with options.output.open("a") as stream:
            stream.writelines(json.dumps(one) + "\n" for one in found)
        done += found
    print(table(done))


if __name__ == "__main__":
    main()
